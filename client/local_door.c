/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * local_door: the socket of the local scheduler, and the connections of those who ask.  local_job.c opens it, and knows
 * the answers; scheduler.h is the other side.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include "local_door.h"
#include "log.h"

/* One connection of a `stint run` that asks. */
struct asker {
        uv_poll_t poll;
        int fd;
        struct local_door *door;
        struct asker *next, **link; /* link: what points here */
};

/* ---- those who ask ----------------------------------------------------------------------------------------------- */

static void on_asker_closed(uv_handle_t *handle)
{
        struct asker *a = handle->data;

        close(a->fd);
        free(a);
}

static void asker_close(struct asker *a)
{
        *a->link = a->next;
        if (a->next)
                a->next->link = a->link;
        uv_close((uv_handle_t *)&a->poll, on_asker_closed);
}

/* 0 when the connection may stay. */
static int asker_hear(struct asker *a)
{
        _Alignas(8) unsigned char message[WIRE_MOST];
        const struct wire_header *header = (const void *)message;
        struct wire_scheduler_answer answer = {0};
        int fds[CHANNEL_FDS], n_fds = 0, rc;
        struct stint_error err;
        ssize_t n = channel_receive(a->fd, message, sizeof message, fds, &n_fds, &err);

        while (n > 0 && n_fds > 0)
                close(fds[--n_fds]);
        if (n < 0 && err.code == EAGAIN)
                return 0;
        if (n <= 0)
                return -1;
        if (wire_check(message, (size_t)n, &err) || header->type != WIRE_SCHEDULER_ASK) {
                log_warning("local: a question that is none; its connection is closed");
                return -1;
        }
        a->door->on_question(a->door->arg, (const void *)message, &answer);
        rc = channel_send(a->fd, &answer, sizeof answer, NULL, 0, &err);
        a->door->on_answered(a->door->arg);
        return rc;
}

static void on_asker(uv_poll_t *poll, int status, int events)
{
        struct asker *a = poll->data;

        (void)events;
        if (status < 0 || asker_hear(a))
                asker_close(a);
}

static void asker_new(struct local_door *d, int fd)
{
        struct asker *a = calloc(1, sizeof *a);

        if (!a || uv_poll_init(d->poll.loop, &a->poll, fd)) {
                close(fd);
                free(a);
                return;
        }
        a->poll.data = a;
        a->fd = fd;
        a->door = d;
        a->next = d->askers;
        a->link = &d->askers;
        if (a->next)
                a->next->link = &a->next;
        d->askers = a;
        uv_poll_start(&a->poll, UV_READABLE, on_asker);
}

/* ---- the door ---------------------------------------------------------------------------------------------------- */

static void on_door(uv_poll_t *poll, int status, int events);

static void on_rested(uv_timer_t *timer)
{
        struct local_door *d = timer->data;

        uv_poll_start(&d->poll, UV_READABLE, on_door);
}

static void on_door(uv_poll_t *poll, int status, int events)
{
        struct local_door *d = poll->data;
        int left, fd, strangers = 0;
        struct stint_error err;
        uid_t uid;
        pid_t pid;

        (void)status;
        (void)events;
        for (left = STRANGER_AT_ONCE; left > 0 && (fd = channel_accept(d->fd, &uid, &pid, &err)) >= 0; left--) {
                if (uid == getuid()) {
                        asker_new(d, fd);
                        continue;
                }
                close(fd);
                strangers++;
                if (strangers_news(&d->strangers, uid))
                        log_warning("local: process %d of user %u wanted to ask about this job and was sent away. It is "
                                    "not told again",
                                    (int)pid, (unsigned)uid);
        }
        if (strangers == 0)
                return;
        uv_poll_stop(&d->poll);
        uv_timer_start(&d->rest, on_rested, STRANGER_REST_MS, 0);
}

/* The name is random, so that nobody else can listen under it before this process does. */
int local_door_open(struct local_door *d, const char *job, struct stint_error *err)
{
        uint64_t number;

        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
                return error_system(err, errno, "no random bytes for the name of the local scheduler's socket");
        snprintf(d->name, sizeof d->name, "stint-local-%s-%016llx", job, (unsigned long long)number);
        d->fd = channel_listen(d->name, err);
        return d->fd < 0 ? -1 : 0;
}

int local_door_watch(struct local_door *d, uv_loop_t *loop)
{
        d->poll.data = d->rest.data = d;
        if (uv_timer_init(loop, &d->rest))
                return -1;
        return uv_poll_init(loop, &d->poll, d->fd) || uv_poll_start(&d->poll, UV_READABLE, on_door) ? -1 : 0;
}

void local_door_close(struct local_door *d)
{
        while (d->askers)
                asker_close(d->askers);
        if (!uv_is_closing((uv_handle_t *)&d->poll))
                uv_close((uv_handle_t *)&d->poll, NULL);
        if (!uv_is_closing((uv_handle_t *)&d->rest))
                uv_close((uv_handle_t *)&d->rest, NULL);
}
