/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server: accept, limits, and three timers that run only while there is something for them to do.  Called by main. */
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "log.h"

#define ACCEPT_AT_ONCE 32
#define FOR_ROOT 16      /* connections above MaxConnections that only root has: an admin can always look */
#define BREATH_MS 5      /* as long as nobody is taken after ACCEPT_AT_ONCE came at once */
#define REST_MS 1000     /* as long as nobody is taken after the kernel had no descriptor left */
#define AGAIN_MS 100     /* how often those are looked at who said too much */
#define GREET_MS 5000    /* who has said nothing by then came for nothing */

uv_loop_t *server_loop(const struct server *s)
{
        return s->loop;
}

int64_t server_jobs_most(const struct server *s)
{
        return s->settings->jobs;
}

/* ---- pace -------------------------------------------------------------------------------------------------------- */

static void on_again(uv_timer_t *timer)
{
        struct server *s = timer->data;
        struct peer *p;

        uv_timer_stop(timer);
        for (p = s->first; p; p = p->next)
                if (p->paused && p->fd >= 0)
                        peer_resume(p);
}

int server_lets_speak(struct server *s, struct user *user)
{
        if (user->uid == 0 || user_speaks(user, s->settings->messages_per_second, clock_now()))
                return 1;
        if (!uv_is_active((uv_handle_t *)&s->again))
                uv_timer_start(&s->again, on_again, AGAIN_MS, 0);
        return 0;
}

static void on_greet(uv_timer_t *timer)
{
        struct server *s = timer->data;
        const int64_t now_ns = clock_now();
        struct peer *p;
        int more = 0;

        for (p = s->first; p; p = p->next) {
                if (p->kind != PEER_FRESH || p->fd < 0)
                        continue;
                if (now_ns - p->since_ns >= GREET_MS * CLOCK_MS)
                        peer_refuse(p, ETIMEDOUT, "nothing was said for %d s", GREET_MS / 1000);
                else
                        more = 1;
        }
        if (more)
                uv_timer_start(timer, on_greet, GREET_MS / 2, 0);
}

/* ---- coming and going -------------------------------------------------------------------------------------------- */

/* Whether one more connection of this user is within the limits; else why not. */
static const char *over_limit(const struct server *s, struct user *user)
{
        if (user->uid == 0)
                return s->connections >= s->settings->connections + FOR_ROOT ? "stintd has too many connections" : NULL;
        if (!user_speaks(user, s->settings->messages_per_second, clock_now()))
                return "this user connects more often than he may speak (MessagesPerSecond)";
        if (user->connections >= s->settings->connections_per_user)
                return "this user has too many connections to stintd (MaxConnectionsPerUser)";
        return s->connections >= s->settings->connections ? "stintd has too many connections (MaxConnections)" : NULL;
}

/* It is told why, which never waits: its socket is empty. */
static void turn_away(int fd, struct user *user, const char *why)
{
        struct wire_daemon_refused m = { .code = EMFILE };

        WIRE_INIT(&m, WIRE_DAEMON_REFUSED);
        wire_text(m.text, sizeof m.text, why);
        channel_send(fd, &m, sizeof m, NULL, 0, NULL);
        close(fd);
        if (user_may_be_named(user, clock_now()))
                log_warning("uid %u: %s", (unsigned)user->uid, why);
}

static void enter(struct server *s, int fd, uid_t uid, pid_t pid)
{
        struct user *user = users_get(&s->users, uid, clock_now());
        const char *why = user ? over_limit(s, user) : NULL;
        struct peer *p = user && !why ? calloc(1, sizeof *p) : NULL;
        struct stint_error err = { 0 };

        if (!p) {
                if (why)
                        turn_away(fd, user, why);
                else
                        close(fd);
                return;
        }
        p->uid = uid;
        p->pid = pid;
        p->user = user;
        if (peer_open(p, s, fd, &err) < 0) {
                log_debug("%s", err.text);
                free(p);
                return;
        }
        user->connections++;
        s->connections++;
        p->next = s->first;
        s->first = p;
        if (!uv_is_active((uv_handle_t *)&s->greet))
                uv_timer_start(&s->greet, on_greet, GREET_MS, 0);
}

void server_peer_closed(struct server *s, struct peer *p)
{
        struct peer **at;

        for (at = &s->first; *at && *at != p; at = &(*at)->next)
                ;
        if (*at)
                *at = p->next;
        p->user->connections--;
        s->connections--;
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_rest(uv_timer_t *timer)
{
        struct server *s = timer->data;

        if (s->listener_fd >= 0)
                uv_poll_start(&s->listener, UV_READABLE, on_connection);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
        struct server *s = poll->data;
        struct stint_error err = { 0 };
        int left, fd;
        uid_t uid;
        pid_t pid;

        (void)events;
        for (left = ACCEPT_AT_ONCE; status == 0 && left > 0; left--) {
                fd = channel_accept(s->listener_fd, &uid, &pid, &err);
                if (fd < 0)
                        break;
                enter(s, fd, uid, pid);
        }
        if (status == 0 && left == 0) {
                /* Somebody comes and comes. Those behind him wait a second at most; jobs keep their processors. */
                uv_poll_stop(&s->listener);
                uv_timer_start(&s->rest, on_rest, BREATH_MS, 0);
                return;
        }
        if (status == 0 && (err.code == EAGAIN || err.code == ECONNABORTED))
                return;
        /* No descriptor or memory left: with the connection still waiting, the loop would turn for nothing. */
        log_warning("no connection can be taken for a moment: %s", status < 0 ? uv_strerror(status) : err.text);
        uv_poll_stop(&s->listener);
        uv_timer_start(&s->rest, on_rest, REST_MS, 0);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

int server_open(struct server *s, uv_loop_t *loop, const struct settings *settings, const char *path,
                struct stintd *daemon, struct stint_error *err)
{
        int rc;

        memset(s, 0, sizeof *s);
        s->loop = loop;
        s->settings = settings;
        s->daemon = daemon;
        s->listener_fd = door_open(&s->door, path, err);
        if (s->listener_fd < 0)
                return -1;
        rc = uv_poll_init(loop, &s->listener, s->listener_fd);
        if (rc < 0) {
                close(s->listener_fd);
                s->listener_fd = -1;
                door_close(&s->door);
                return error_set(err, EIO, "cannot watch the socket %s: %s", path, uv_strerror(rc));
        }
        uv_timer_init(loop, &s->rest);
        uv_timer_init(loop, &s->again);
        uv_timer_init(loop, &s->greet);
        s->listener.data = s->rest.data = s->again.data = s->greet.data = s;
        uv_poll_start(&s->listener, UV_READABLE, on_connection);
        return 0;
}

void server_close(struct server *s)
{
        struct peer *p;

        for (p = s->first; p; p = p->next)
                peer_close(p);
        uv_close((uv_handle_t *)&s->listener, NULL);
        uv_close((uv_handle_t *)&s->rest, NULL);
        uv_close((uv_handle_t *)&s->again, NULL);
        uv_close((uv_handle_t *)&s->greet, NULL);
        close(s->listener_fd);
        s->listener_fd = -1;
        door_close(&s->door);
}
