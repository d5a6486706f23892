/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon_line: one SOCK_SEQPACKET connection, watched by uv_poll and made again when it breaks.  Called by main. */
#include "daemon_line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "channel.h"
#include "daemon_memory.h"
#include "log.h"

#define FIRST_WAIT_MS 500   /* until stintd is looked for again; twice as long each time, up to: */
#define LONGEST_WAIT_MS 30000
#define REFRESH_NS (5 * CLOCK_SECOND) /* a plan that has not changed is told again so late */
#define MOVED_NS (50 * CLOCK_MS)      /* a deadline that moved by less has not moved */

static void on_retry(uv_timer_t *timer);

/* Where nobody expects a stintd, on a laptop, nobody is told that there is none. */
static int is_expected(void)
{
        return getenv("STINT_DAEMON_SOCKET") != NULL || getenv("SLURM_JOB_ID") != NULL;
}

static void say(struct daemon_line *l, const char *why)
{
        if (l->said || !is_expected())
                log_debug("no stintd: %s", why);
        else
                log_notice("stintd is not there on this node: training goes on with the agent's own timer (%s)", why);
        l->said = 1;
}

/* ---- the connection ---------------------------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *handle)
{
        free(handle);
}

static void drop(struct daemon_line *l)
{
        if (!l->poll)
                return;
        uv_close((uv_handle_t *)l->poll, on_poll_closed);
        l->poll = NULL;
        close(l->fd);
        l->fd = -1;
        l->sent_ns = 0;
}

/* Agents of one node lost their stintd together, and need not come back in the same millisecond. */
static void later(struct daemon_line *l)
{
        const uint64_t spread_ms = (uint64_t)getpid() * 37 % 250;

        drop(l);
        if (l->closed)
                return;
        uv_timer_start(&l->retry, on_retry, l->wait_ms + spread_ms, 0);
        l->wait_ms = l->wait_ms * 2 < LONGEST_WAIT_MS ? l->wait_ms * 2 : LONGEST_WAIT_MS;
}

/* A stintd that does not read is as good as none; its end of the queue holds hundreds of messages. */
static void tell(struct daemon_line *l, const void *message)
{
        const struct wire_header *header = message;
        struct stint_error err = { 0 };

        if (!l->poll || channel_send(l->fd, message, header->size, NULL, 0, &err) == 0)
                return;
        say(l, err.text);
        later(l);
}

static void on_message(struct daemon_line *l, const struct wire_header *m)
{
        const struct wire_daemon_refused *refused = (const void *)m;
        struct wire_agent_ask_deadline ask = { .header = { 0 } };

        switch (m->type) {
        case WIRE_DAEMON_WELCOME:
                l->wait_ms = FIRST_WAIT_MS;
                l->said = 0;
                break;
        case WIRE_DAEMON_TRIGGER:
                watch_order(l->watch, (const struct wire_daemon_trigger *)(const void *)m);
                break;
        case WIRE_DAEMON_ASK:
                WIRE_INIT(&ask, WIRE_AGENT_ASK_DEADLINE);
                coordinator_send(l->run, &ask);
                break;
        case WIRE_DAEMON_REFUSED:
                say(l, refused->text);
                l->wait_ms = LONGEST_WAIT_MS;
                later(l);
                break;
        default:
                say(l, "it sent something that is not for agents");
                later(l);
                break;
        }
}

static void on_event(uv_poll_t *poll, int status, int events)
{
        _Alignas(8) unsigned char bytes[WIRE_MOST];
        struct daemon_line *l = poll->data;
        struct stint_error err = { 0 };
        ssize_t n;

        (void)events;
        while (l->poll == poll) {
                n = status < 0 ? 0 : channel_receive(l->fd, bytes, sizeof bytes, NULL, NULL, &err);
                if (n < 0 && err.code == EAGAIN)
                        return;
                if (n <= 0 || wire_check(bytes, (size_t)n, &err) < 0) {
                        say(l, n <= 0 ? "it ended the connection" : err.text);
                        later(l);
                        return;
                }
                on_message(l, (const struct wire_header *)(const void *)bytes);
        }
}

static int watch_fd(struct daemon_line *l)
{
        l->poll = malloc(sizeof *l->poll);
        if (!l->poll)
                return -1;
        if (uv_poll_init(l->loop, l->poll, l->fd) < 0) {
                free(l->poll);
                l->poll = NULL;
                return -1;
        }
        l->poll->data = l;
        uv_poll_start(l->poll, UV_READABLE | UV_DISCONNECT, on_event);
        return 0;
}

static void send_plan(struct daemon_line *l);

static void greet(struct daemon_line *l)
{
        struct wire_daemon_hello hello = { .oldest = WIRE_VERSION, .newest = WIRE_VERSION, .stint = l->stint };

        WIRE_INIT(&hello, WIRE_DAEMON_HELLO);
        wire_text(hello.run_id, sizeof hello.run_id, l->run_id);
        tell(l, &hello);
        send_plan(l);
        if (l->saving.save_id)
                tell(l, &l->saving);
}

static void on_retry(uv_timer_t *timer)
{
        struct daemon_line *l = timer->data;
        struct stint_error err = { 0 };
        char path[DAEMON_PATH];

        if (l->poll || l->closed)
                return;
        l->fd = daemon_socket(path, &err) < 0 ? -1 : channel_connect_path(path, NULL, &err);
        if (l->fd < 0) {
                say(l, err.text);
                later(l);
                return;
        }
        if (watch_fd(l) < 0) {
                close(l->fd);
                l->fd = -1;
                later(l);
                return;
        }
        greet(l);
}

/* ---- what it is told --------------------------------------------------------------------------------------------- */

static int moved(int64_t a, int64_t b)
{
        if (a == CLOCK_NEVER || b == CLOCK_NEVER)
                return a != b;
        return a > b + MOVED_NS || b > a + MOVED_NS;
}

/* Whether what it was told would make another plan than what is known now. */
static int has_changed(const struct daemon_line *l, const struct deadline_inputs *in)
{
        const struct deadline_inputs *was = &l->sent;

        return l->sent_programs != l->watch->programs || moved(was->end_ns, in->end_ns) || was->cause != in->cause ||
               was->agree_every != in->agree_every || was->several_ranks != in->several_ranks ||
               memcmp(&was->measured, &in->measured, sizeof was->measured) != 0 ||
               was->state_bytes != in->state_bytes || was->margin_ns != in->margin_ns ||
               was->last_save_ns != in->last_save_ns || was->flying_since_ns != in->flying_since_ns || was->interval_ns != in->interval_ns ||
               was->mtbf_ns != in->mtbf_ns || was->outlive_ns != in->outlive_ns || was->final_asked != in->final_asked ||
               was->calibrate_asked != in->calibrate_asked;
}

static void send_plan(struct daemon_line *l)
{
        struct wire_daemon_plan m;

        if (!l->poll)
                return;
        watch_describe(l->watch, &m);
        l->sent = l->watch->in;
        l->sent_programs = l->watch->programs;
        l->sent_ns = clock_now();
        tell(l, &m);
}

static void on_planned(void *arg)
{
        struct daemon_line *l = arg;

        if (has_changed(l, &l->watch->in) || clock_now() - l->sent_ns >= REFRESH_NS)
                send_plan(l);
}

void daemon_line_save(struct daemon_line *l, const struct wire_run_save *m)
{
        memset(&l->saving, 0, sizeof l->saving);
        WIRE_INIT(&l->saving, WIRE_DAEMON_SAVING);
        l->saving.state = DAEMON_SAVING_BEGUN;
        l->saving.reason = m->reason;
        l->saving.save_id = m->save_id;
        l->saving.step = -1;
        tell(l, &l->saving);
}

void daemon_line_result(struct daemon_line *l, const struct wire_run_result *m)
{
        struct wire_daemon_saving news = l->saving;

        if (m->save_id == 0 || m->save_id != l->saving.save_id)
                return;
        l->saving.save_id = 0;
        news.state = m->landed ? DAEMON_SAVING_LANDED : DAEMON_SAVING_FAILED;
        news.step = m->step;
        news.took_ns = m->took_ns;
        tell(l, &news);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

void daemon_line_open(struct daemon_line *l, uv_loop_t *loop, struct watch *watch, struct coordinator *run,
                      uint32_t stint, const char *run_id)
{
        memset(l, 0, sizeof *l);
        l->loop = loop;
        l->fd = -1;
        l->watch = watch;
        l->run = run;
        l->stint = stint;
        l->run_id = run_id;
        l->wait_ms = FIRST_WAIT_MS;
        uv_timer_init(loop, &l->retry);
        l->retry.data = l;
        watch->on_planned = on_planned;
        watch->planned_arg = l;
        uv_timer_start(&l->retry, on_retry, 0, 0);
}

void daemon_line_close(struct daemon_line *l)
{
        l->closed = 1;
        l->watch->on_planned = NULL;
        drop(l);
        uv_close((uv_handle_t *)&l->retry, NULL);
}
