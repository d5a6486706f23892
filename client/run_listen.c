/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_listen: one verb per connection, answered when what it asked for is done.  Opened by run_story.c; what is asked
 * goes to run_saving.c.  A peer that says anything else is cut off.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "log.h"
#include "run_listen.h"

static void on_client_closed(uv_handle_t *handle)
{
        struct listen_client *client = handle->data;

        close(client->fd);
        client->used = 0;
}

static void end_client(struct listen_client *client)
{
        client->asked = 0;
        if (client->used && !uv_is_closing((uv_handle_t *)&client->poll))
                uv_close((uv_handle_t *)&client->poll, on_client_closed);
}

static void on_client_readable(uv_poll_t *poll, int status, int events)
{
        struct listen_client *client = poll->data;
        _Alignas(8) unsigned char buffer[WIRE_MOST];
        const struct wire_verb *verb = (const struct wire_verb *)(const void *)buffer;
        int fds[CHANNEL_FDS], n_fds = 0, i;
        struct stint_error err = { 0 };
        ssize_t n;

        (void)events;
        n = status < 0 ? 0 : channel_receive(client->fd, buffer, sizeof buffer, fds, &n_fds, &err);
        if (n < 0 && err.code == EAGAIN)
                return;
        for (i = 0; i < n_fds; i++)
                close(fds[i]);
        if (n <= 0 || client->asked || wire_check(buffer, (size_t)n, NULL) != 0 || verb->header.type != WIRE_VERB ||
            (verb->what != VERB_SAVE && verb->what != VERB_STOP)) {
                end_client(client);
                return;
        }
        client->asked = 1;
        client->save_id = 0; /* a refusal comes at once */
        client->save_id = client->all->on_verb(client->all->arg, verb->what);
}

static void take_client(struct listen *l, int fd)
{
        int i;

        for (i = 0; i < LISTEN_CLIENTS; i++) {
                struct listen_client *client = &l->client[i];

                if (client->used)
                        continue;
                if (uv_poll_init(l->loop, &client->poll, fd) != 0)
                        break;
                client->all = l;
                client->poll.data = client;
                client->fd = fd;
                client->used = 1;
                client->asked = 0;
                uv_poll_start(&client->poll, UV_READABLE | UV_DISCONNECT, on_client_readable);
                return;
        }
        close(fd);
}

static void on_knock(uv_poll_t *poll, int status, int events);

static void on_rested(uv_timer_t *timer)
{
        struct listen *l = timer->data;

        uv_poll_start(&l->poll, UV_READABLE, on_knock);
}

static void on_knock(uv_poll_t *poll, int status, int events)
{
        struct listen *l = poll->data;
        int left, fd, strangers = 0;
        uid_t uid;
        pid_t pid;

        (void)events;
        if (status < 0)
                return;
        for (left = STRANGER_AT_ONCE; left > 0 && (fd = channel_accept(l->fd, &uid, &pid, NULL)) >= 0; left--) {
                if (!stranger_is(uid)) {
                        take_client(l, fd);
                        continue;
                }
                close(fd);
                strangers++;
                if (strangers_news(&l->strangers, uid))
                        log_warning("uid %u (process %d) tried to give orders to this run and was not heard. It is not "
                                    "told again",
                                    (unsigned)uid, (int)pid);
        }
        if (strangers == 0)
                return;
        uv_poll_stop(&l->poll);
        uv_timer_start(&l->rest, on_rested, STRANGER_REST_MS, 0);
}

int listen_open(struct listen *l, uv_loop_t *loop, const char *run_id, uint32_t stint,
                uint32_t (*on_verb)(void *arg, enum wire_verb_what what), void *arg, struct stint_error *err)
{
        uint64_t number;
        int rc;

        *l = (struct listen){ .loop = loop, .fd = -1, .on_verb = on_verb, .arg = arg };
        /* As with the agent's name: who cannot guess it cannot be there first. */
        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
                return error_system(err, errno, "no random bytes for the name of the socket for verbs");
        snprintf(l->name, sizeof l->name, "stint-run-%u-%.8s-%u-%016" PRIx64, (unsigned)getuid(), run_id, stint, number);
        l->fd = channel_listen(l->name, err);
        if (l->fd < 0)
                return -1;
        rc = uv_poll_init(loop, &l->poll, l->fd);
        if (rc != 0) {
                close(l->fd);
                l->fd = -1;
                return error_set(err, -rc, "the socket for verbs cannot be watched: %s", uv_strerror(rc));
        }
        uv_timer_init(loop, &l->rest);
        l->poll.data = l->rest.data = l;
        uv_poll_start(&l->poll, UV_READABLE, on_knock);
        return 0;
}

void listen_answer(struct listen *l, uint32_t save_id, int code, int64_t step, uint64_t bytes, int64_t took_ns, const char *text)
{
        struct wire_verb_answer answer = { .code = code, .step = step, .bytes = bytes, .took_ns = took_ns };
        int i;

        WIRE_INIT(&answer, WIRE_VERB_ANSWER);
        wire_text(answer.text, sizeof answer.text, text);
        for (i = 0; i < LISTEN_CLIENTS; i++)
                if (l->client[i].used && l->client[i].asked && (save_id == 0 || l->client[i].save_id <= save_id)) {
                        channel_send(l->client[i].fd, &answer, sizeof answer, NULL, 0, NULL);
                        end_client(&l->client[i]);
                }
}

static void on_listener_closed(uv_handle_t *handle)
{
        struct listen *l = handle->data;

        close(l->fd);
        l->fd = -1;
}

void listen_close(struct listen *l)
{
        int i;

        if (l->loop == NULL || l->fd < 0 || uv_is_closing((uv_handle_t *)&l->poll))
                return;
        for (i = 0; i < LISTEN_CLIENTS; i++)
                end_client(&l->client[i]);
        uv_close((uv_handle_t *)&l->rest, NULL);
        uv_close((uv_handle_t *)&l->poll, on_listener_closed);
}
