/* SPDX-License-Identifier: BSD-3-Clause */
/* letters: a queue of messages that wait until their socket has room.  Called by the peer rooms of agent and stintd. */
#include "letters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "channel.h"
#include "wire.h"

struct letter {
        struct letter *next;
        int fd;
        _Alignas(8) unsigned char bytes[];
};

static void drop_first(struct letters *l)
{
        struct letter *letter = l->first;

        l->first = letter->next;
        if (!l->first)
                l->last = NULL;
        l->waiting--;
        if (letter->fd >= 0)
                close(letter->fd);
        free(letter);
}

/* 0: sent; EAGAIN: not now; another errno value: never. */
static int put(int socket, const void *message, int fd)
{
        const struct wire_header *header = message;
        struct stint_error err = { 0 };

        if (channel_send(socket, message, header->size, &fd, fd >= 0, &err) == 0)
                return 0;
        return err.code == EWOULDBLOCK || err.code == EINTR ? EAGAIN : err.code;
}

static int keep(struct letters *l, const void *message, int fd)
{
        const struct wire_header *header = message;
        struct letter *letter = malloc(sizeof *letter + header->size);

        if (!letter)
                return -1;
        letter->next = NULL;
        letter->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
        if (fd >= 0 && letter->fd < 0) {
                free(letter);
                return -1;
        }
        memcpy(letter->bytes, message, header->size);
        if (l->last)
                l->last->next = letter;
        else
                l->first = letter;
        l->last = letter;
        l->waiting++;
        return 0;
}

int letters_send(struct letters *l, int socket, const void *message, int fd, unsigned most)
{
        const int code = l->first ? EAGAIN : put(socket, message, fd);

        if (code != EAGAIN)
                return code == 0 ? 0 : -1;
        return l->waiting < most ? keep(l, message, fd) : -1;
}

void letters_flush(struct letters *l, int socket)
{
        while (l->first && put(socket, l->first->bytes, l->first->fd) != EAGAIN)
                drop_first(l); /* sent, or its reader is gone, which whoever watches the socket hears */
}

void letters_drop(struct letters *l)
{
        while (l->first)
                drop_first(l);
}
