/* SPDX-License-Identifier: GPL-2.0-or-later */
/* peer: one program's SOCK_SEQPACKET connection, watched by uv_poll.  Called by ranks. */
#include "peer.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include "channel.h"

#define MESSAGES_AT_ONCE 32 /* so that one program that talks much does not starve the others */
#define LETTERS_MOST 256    /* a program that leaves so many unread will never read them */

static void on_event(uv_poll_t *poll, int status, int events);

static void watch(struct peer *p)
{
        uv_poll_start(&p->poll, UV_READABLE | UV_DISCONNECT | (letters_wait(&p->letters) ? UV_WRITABLE : 0), on_event);
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */

/* One message.  1: there may be more; 0: no more for now, or the peer is closed. */
static int take(struct peer *p)
{
        _Alignas(8) unsigned char bytes[WIRE_MOST];
        struct stint_error err = { 0 };
        int fds[CHANNEL_FDS], n_fds = 0, i;
        ssize_t n;

        n = channel_receive(p->fd, bytes, sizeof bytes, fds, &n_fds, &err);
        if (n < 0 && (err.code == EAGAIN || err.code == EINTR))
                return 0;
        if (n == 0 || (n < 0 && (err.code == ECONNRESET || err.code == EPIPE))) {
                p->on_gone(p, NULL);
                return 0;
        }
        if (n < 0 || wire_check(bytes, (size_t)n, &err) < 0) {
                p->on_gone(p, err.text);
        } else {
                if (n_fds == 0)
                        fds[0] = -1;
                p->on_message(p, (const struct wire_header *)(const void *)bytes, &fds[0]);
        }
        for (i = 0; i < n_fds; i++)
                if (fds[i] >= 0)
                        close(fds[i]);
        return p->fd >= 0;
}

int peer_hung_up(const struct peer *p)
{
        char byte;

        return recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

int peer_send(struct peer *p, const void *message, int fd)
{
        if (p->fd < 0 || letters_send(&p->letters, p->fd, message, fd, LETTERS_MOST) < 0)
                return -1;
        if (letters_wait(&p->letters))
                watch(p);
        return 0;
}

/* ---- the handle -------------------------------------------------------------------------------------------------- */

static void on_event(uv_poll_t *poll, int status, int events)
{
        struct peer *p = poll->data;
        int left = MESSAGES_AT_ONCE;

        if (status < 0) {
                /* libuv says EBADF of a socket whose peer is gone with something unread. */
                p->on_gone(p, status == UV_EBADF ? "the program has ended" : uv_strerror(status));
                return;
        }
        if (events & UV_WRITABLE) {
                letters_flush(&p->letters, p->fd);
                watch(p);
        }
        /* What a program said before it closed is heard first: reading answers 0 only after that. */
        if (events & (UV_READABLE | UV_DISCONNECT))
                while (left-- > 0 && take(p))
                        ;
}

static void on_handle_closed(uv_handle_t *handle)
{
        struct peer *p = handle->data;

        p->on_closed(p);
}

int peer_open(struct peer *p, uv_loop_t *loop, int fd, pid_t pid,
              void (*on_message)(struct peer *, const struct wire_header *message, int *fd),
              void (*on_gone)(struct peer *, const char *why), void (*on_closed)(struct peer *),
              struct stint_error *err)
{
        int rc = uv_poll_init(loop, &p->poll, fd);

        if (rc < 0) {
                close(fd);
                return error_set(err, EIO, "cannot watch the connection of process %d: %s", (int)pid, uv_strerror(rc));
        }
        p->poll.data = p;
        p->fd = fd;
        p->pid = pid;
        p->letters = (struct letters){ 0 };
        p->on_message = on_message;
        p->on_gone = on_gone;
        p->on_closed = on_closed;
        watch(p);
        return 0;
}

void peer_close(struct peer *p)
{
        if (p->fd < 0)
                return;
        letters_drop(&p->letters);
        uv_close((uv_handle_t *)&p->poll, on_handle_closed);
        close(p->fd);
        p->fd = -1;
}
