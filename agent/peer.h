/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peer: the socket of one program: messages in, messages out with a queue for when the program does not read, and the
 * moment when it is gone.  Who the program is, and what is said, is for ranks to know.
 */
#ifndef STINT_PEER_H
#define STINT_PEER_H

#include <sys/types.h>
#include <uv.h>
#include "error.h"
#include "letters.h"
#include "wire.h"

struct peer {
        uv_poll_t poll;
        int fd; /* -1 once it is closed */
        pid_t pid;
        struct letters letters;

        /* Set by peer_open. */
        void (*on_message)(struct peer *, const struct wire_header *message, int *fd); /* taken by setting *fd to -1 */
        void (*on_gone)(struct peer *, const char *why); /* it closed (why NULL) or broke the rules: call peer_close */
        void (*on_closed)(struct peer *);                /* after peer_close: the struct may be freed */
};

/* Watches fd, which is closed by peer_close.  After a failure fd is closed and the struct may be freed at once. */
int peer_open(struct peer *p, uv_loop_t *loop, int fd, pid_t pid,
              void (*on_message)(struct peer *, const struct wire_header *message, int *fd),
              void (*on_gone)(struct peer *, const char *why), void (*on_closed)(struct peer *),
              struct stint_error *err);

/*
 * Sends a message, with a descriptor beside it unless fd is -1 (which stays open here).  -1 when it can never arrive.
 */
int peer_send(struct peer *p, const void *message, int fd);

/* Whether the other end has closed, although the loop has not said so yet. */
int peer_hung_up(const struct peer *p);

void peer_close(struct peer *p);

#endif
