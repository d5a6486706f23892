/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peer: one SOCK_SEQPACKET connection, watched by uv_poll.  A message that does not hold ends its connection and nothing
 * else.  Opened by server.c.
 */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "log.h"
#include "requests.h"
#include "server.h"

#define MESSAGES_AT_ONCE 16 /* so that one that talks much does not starve the others */
#define LETTERS_MORE 64     /* beyond one for each job: one that leaves so many unread will never read them */

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

static void on_event(uv_poll_t *poll, int status, int events);

static void watch(struct peer *p)
{
        if (p->fd >= 0)
                uv_poll_start(&p->poll,
                              (p->paused ? 0 : UV_READABLE) | UV_DISCONNECT | (letters_wait(&p->letters) ? UV_WRITABLE : 0), on_event);
}

/* ---- who it is --------------------------------------------------------------------------------------------------- */

/* When the process began, in nanoseconds since boot; -1 when that cannot be read. */
static int64_t begun_of(pid_t pid)
{
        char path[64], line[1024], *at;
        unsigned long long ticks;
        size_t n;
        FILE *f;

        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        f = fopen(path, "re");
        if (!f)
                return -1;
        n = fread(line, 1, sizeof line - 1, f);
        fclose(f);
        line[n] = '\0';
        at = strrchr(line, ')'); /* its name may have any character in it */
        if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                          &ticks) != 1)
                return -1;
        return (int64_t)ticks * (CLOCK_SECOND / sysconf(_SC_CLK_TCK));
}

/*
 * A descriptor for the process itself, which its number is not: numbers come again.  Before Linux 6.5 the kernel gives
 * one only for a number; then a process that began after the connection was taken is another one.
 */
static int pidfd_of(int fd, pid_t pid, int64_t taken_ns)
{
        socklen_t size = sizeof(int);
        int pidfd = -1;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0)
                return pidfd;
        pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (pidfd >= 0 && begun_of(pid) > taken_ns) {
                close(pidfd);
                errno = ESRCH;
                return -1;
        }
        return pidfd;
}

int peer_lives(const struct peer *p)
{
        struct pollfd look = { .fd = p->pidfd, .events = POLLIN };

        return p->pidfd >= 0 && poll(&look, 1, 0) == 0;
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */

/* The connection is over, in order or not: others are told, and it is closed. */
static void over(struct peer *p, const char *why)
{
        if (why && user_may_be_named(p->user, clock_now()))
                log_warning("a connection of uid %u (process %d) is ended: %s", (unsigned)p->uid, (int)p->pid, why);
        peer_close(p);
}

/*
 * Only who may hand over a write sends descriptors; the kernel drops those of all others.  What has come is never closed
 * here, whatever it came with: a filesystem in user space lets close(2) wait.
 */
static void take_descriptors(struct peer *p, ssize_t n, const void *bytes, const int *fds, int n_fds)
{
        const struct wire_header *header = bytes;

        if (n > 0 && wire_check(bytes, (size_t)n, NULL) == 0 && header->type == WIRE_DAEMON_HANDOVER) {
                requests_handover(p, bytes, fds, n_fds);
                return;
        }
        requests_drop_descriptors(p, fds, n_fds);
        over(p, "it sent descriptors that nobody asked for");
}

/* One message.  1: there may be more; 0: no more for now, or the peer is closed. */
static int take(struct peer *p)
{
        _Alignas(8) unsigned char bytes[WIRE_MOST];
        const int may = requests_take_descriptors(p);
        struct stint_error err = { 0 };
        int fds[CHANNEL_MANY], n_fds = 0;
        ssize_t n;

        n = may ? channel_receive_many(p->fd, bytes, sizeof bytes, fds, &n_fds, &err)
                : channel_receive(p->fd, bytes, sizeof bytes, NULL, NULL, &err);
        if (n < 0 && err.code == EAGAIN)
                return 0;
        if (n_fds > 0)
                take_descriptors(p, n, bytes, fds, n_fds);
        else if (n == 0 || (n < 0 && err.code == EPIPE))
                over(p, NULL);
        else if (n < 0 && err.code == EMSGSIZE && !may && p->grant)
                requests_cannot_take(p);
        else if (n < 0 || wire_check(bytes, (size_t)n, &err) < 0)
                over(p, err.text);
        else
                requests_message(p, (const struct wire_header *)(const void *)bytes);
        return p->fd >= 0;
}

static void hear(struct peer *p)
{
        int left;

        for (left = MESSAGES_AT_ONCE; left > 0; left--) {
                if (!server_lets_speak(p->server, p->user)) {
                        p->paused = 1;
                        watch(p);
                        return;
                }
                if (!take(p))
                        return;
        }
}

void peer_resume(struct peer *p)
{
        p->paused = 0;
        watch(p);
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

/*
 * A message that can never arrive ends the connection, but not here: whoever sends may still have use for the peer.
 * With its socket shut down the loop hears it.
 */
void peer_send(struct peer *p, const void *message, int fd)
{
        const unsigned most = (unsigned)server_jobs_most(p->server) + LETTERS_MORE;

        if (p->fd < 0)
                return;
        if (letters_send(&p->letters, p->fd, message, fd, most) == 0) {
                if (letters_wait(&p->letters))
                        watch(p);
                return;
        }
        shutdown(p->fd, SHUT_RDWR);
        if (p->paused)
                peer_resume(p);
}

void peer_refuse(struct peer *p, int code, const char *format, ...)
{
        struct wire_daemon_refused m = { .code = code };
        char text[WIRE_TEXT];
        va_list arguments;

        WIRE_INIT(&m, WIRE_DAEMON_REFUSED);
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        wire_text(m.text, sizeof m.text, text);
        log_debug("uid %u (process %d): refused: %s", (unsigned)p->uid, (int)p->pid, text);
        peer_send(p, &m, -1);
        peer_close(p);
}

/* ---- the handle -------------------------------------------------------------------------------------------------- */

static void on_event(uv_poll_t *poll, int status, int events)
{
        struct peer *p = poll->data;

        if (status < 0) {
                /* libuv says EBADF of a socket whose peer is gone with something unread. */
                over(p, status == UV_EBADF ? NULL : uv_strerror(status));
                return;
        }
        if (events & UV_WRITABLE) {
                letters_flush(&p->letters, p->fd);
                watch(p);
        }
        if (events & UV_READABLE)
                hear(p);
        else if (events & UV_DISCONNECT)
                over(p, NULL);
}

static void on_closed(uv_handle_t *handle)
{
        struct peer *p = handle->data;

        server_peer_closed(p->server, p);
        free(p);
}

int peer_open(struct peer *p, struct server *server, int fd, struct stint_error *err)
{
        int rc;

        p->server = server;
        p->since_ns = clock_now();
        p->pidfd = pidfd_of(fd, p->pid, p->since_ns);
        if (p->pidfd < 0) {
                close(fd);
                return error_system(err, errno, "process %d of uid %u", (int)p->pid, (unsigned)p->uid);
        }
        rc = uv_poll_init(server_loop(server), &p->poll, fd);
        if (rc < 0) {
                close(fd);
                close(p->pidfd);
                return error_set(err, EIO, "cannot watch the connection of process %d: %s", (int)p->pid,
                                 uv_strerror(rc));
        }
        p->poll.data = p;
        p->fd = fd;
        watch(p);
        return 0;
}

void peer_close(struct peer *p)
{
        if (p->fd < 0)
                return;
        requests_gone(p);
        letters_drop(&p->letters);
        uv_close((uv_handle_t *)&p->poll, on_closed);
        close(p->fd);
        close(p->pidfd);
        p->fd = p->pidfd = -1;
}
