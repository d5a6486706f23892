/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * letters: messages to a socket that must not be waited for.  What it does not take now waits here, descriptors too, in
 * order, until there is room.  The peers of the agent and of stintd each have one.
 */
#ifndef STINT_LETTERS_H
#define STINT_LETTERS_H

struct letter;

struct letters {
        struct letter *first, *last;
        unsigned waiting;
};

/*
 * Sends a message (which begins with its header), with a descriptor beside it unless fd is -1; fd stays open here.  0:
 * it is sent, or waits: whoever watches the socket wants to know then when it has room.  -1: it can never arrive, or so
 * many wait already that nobody reads them.
 */
int letters_send(struct letters *l, int socket, const void *message, int fd, unsigned most);

/* The socket has room: sends what waits. */
void letters_flush(struct letters *l, int socket);

/* Nobody will read them. */
void letters_drop(struct letters *l);

static inline int letters_wait(const struct letters *l)
{
        return l->first != 0;
}

#endif
