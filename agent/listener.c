/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * listener: accepts connections, and looks first whether they are of the same user.  Where there is no descriptor left,
 * or too many strangers come, it rests for a moment.
 */
#include "listener.h"

#include <errno.h>
#include <unistd.h>
#include "channel.h"
#include "log.h"

#define FULL_REST_MS 1000

/* Told why, which never waits: its socket is empty. */
static void turn_away(struct ranks_listener *l, int fd, uid_t uid, pid_t pid)
{
        struct wire_refused m = { .code = EPERM };

        WIRE_INIT(&m, WIRE_REFUSED);
        wire_text(m.text, sizeof m.text, "this stint-agent serves the programs of another user");
        channel_send(fd, &m, sizeof m, NULL, 0, NULL);
        close(fd);
        if (strangers_news(&l->strangers, uid))
                log_warning("uid %u (process %d) connected and was not served: this is the agent of another user. It "
                            "is not told again",
                            (unsigned)uid, (int)pid);
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_rested(uv_timer_t *timer)
{
        struct ranks_listener *l = timer->data;

        uv_poll_start(&l->poll, UV_READABLE, on_connection);
}

static void rest(struct ranks_listener *l, uint64_t ms)
{
        uv_poll_stop(&l->poll);
        uv_timer_start(&l->rest, on_rested, ms, 0);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
        struct ranks_listener *l = poll->data;
        struct stint_error err = { 0 };
        int left, fd, strangers = 0;
        uid_t uid;
        pid_t pid;

        (void)events;
        if (status < 0) {
                log_error("no more programs can connect: %s", uv_strerror(status));
                uv_poll_stop(poll);
                return;
        }
        for (left = STRANGER_AT_ONCE; left > 0 && (fd = channel_accept(l->fd, &uid, &pid, &err)) >= 0; left--) {
                if (stranger_is(uid)) {
                        turn_away(l, fd, uid, pid);
                        strangers++;
                } else {
                        ranks_add(l->ranks, fd, pid);
                }
        }
        if (left > 0 && err.code != EAGAIN) {
                /* No descriptor left, say: with the program still waiting, the loop would turn for nothing. */
                log_warning("a program could not connect: %s", err.text);
                rest(l, FULL_REST_MS);
        } else if (strangers > 0) {
                rest(l, STRANGER_REST_MS);
        }
}

int listener_open(struct ranks *r, const char *name, struct stint_error *err)
{
        struct ranks_listener *l = &r->listener[r->listeners];
        int rc;

        if (r->listeners == RANKS_NAMES)
                return error_set(err, ENFILE, "there is no place for another name");
        l->fd = channel_listen(name, err);
        if (l->fd < 0)
                return -1;
        rc = uv_poll_init(r->loop, &l->poll, l->fd);
        if (rc < 0) {
                close(l->fd);
                return error_set(err, EIO, "cannot wait for programs: %s", uv_strerror(rc));
        }
        uv_timer_init(r->loop, &l->rest);
        l->ranks = r;
        l->poll.data = l->rest.data = l;
        r->listeners++; /* from here on listener_close sees to it */
        rc = uv_poll_start(&l->poll, UV_READABLE, on_connection);
        return rc == 0 ? 0 : error_set(err, EIO, "cannot wait for programs: %s", uv_strerror(rc));
}

void listener_close(struct ranks *r)
{
        while (r->listeners > 0) {
                r->listeners--;
                uv_close((uv_handle_t *)&r->listener[r->listeners].poll, NULL);
                uv_close((uv_handle_t *)&r->listener[r->listeners].rest, NULL);
                close(r->listener[r->listeners].fd);
        }
}
