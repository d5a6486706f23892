/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_daemon: messages that an agent might send to stintd, one after another, each whole by wire_check and with any
 * numbers in it: whatever they say, the job stays one that can be planned, ordered about and written into the log.
 */
#include "ask.h"
#include "fuzz.h"
#include "job.h"
#include "trigger.h"
#include "wire.h"

#define NOW (1000000 * CLOCK_SECOND)

struct world {
        struct job job;
        struct trigger trigger;
        int64_t now_ns;
        int greeted;
};

static void step(struct world *w, int event)
{
        const enum job_state before = w->job.state;
        char why[160], label[JOB_LABEL];

        if (event < 0)
                return;
        FUZZ_CHECK(event < JOB_EVENTS);
        w->job.state = job_next(before, (enum job_event)event);
        FUZZ_CHECK(w->job.state < JOB_STATES && (before != JOB_GONE || w->job.state == JOB_GONE));
        FUZZ_CHECK(strlen(job_why(&w->job, (enum job_event)event, w->now_ns, why, sizeof why)) < sizeof why);
        FUZZ_CHECK(strlen(job_label(&w->job, label)) < sizeof label);
}

static void look(struct world *w)
{
        struct ask_inputs ask = { .begun_ns = w->job.in.start_ns, .end_ns = w->job.in.end_ns,
                                  .told_ns = w->job.told_ns, .every_ns = 300 * CLOCK_SECOND };
        struct trigger_order o;
        int orders;

        w->job.in.now_ns = w->now_ns;
        FUZZ_CHECK(w->job.told_ns <= w->now_ns && w->job.in.start_ns <= w->now_ns);
        for (orders = 0; orders < 4; orders++) {
                o = trigger_decide(&w->trigger, &w->job.in, w->job.ranks);
                if (o.reason == SAVE_NONE)
                        break;
                FUZZ_CHECK(save_reason_from_name(save_reason_name(o.reason)) == o.reason);
                trigger_sent(&w->trigger, o.reason, w->now_ns);
        }
        /* At one moment there is an end of what is to be ordered. */
        FUZZ_CHECK(orders < 4 && o.next_ns > w->now_ns);
        FUZZ_CHECK(ask_next(&ask) > 0);
}

static void take(struct world *w, const struct wire_header *m)
{
        const void *message = m;
        int event;

        if (m->type == WIRE_DAEMON_HELLO && !w->greeted) {
                job_init(&w->job, 1001, 812, message);
                w->greeted = 1;
        } else if (m->type == WIRE_DAEMON_PLAN && w->greeted) {
                job_plan(&w->job, message, w->now_ns, CLOCK_SECOND);
                step(w, job_plan_event(&w->job));
                look(w);
        } else if (m->type == WIRE_DAEMON_SAVING && w->greeted) {
                event = job_saving(&w->job, message);
                w->trigger.saving = event == JOB_SAVE;
                w->trigger.saving_final = event == JOB_SAVE && save_is_final((enum save_reason)w->job.saving);
                step(w, event);
                look(w);
        } else if (m->type == WIRE_DAEMON_REQUEST) {
                w->trigger.drain |= ((const struct wire_daemon_request *)message)->what == DAEMON_DRAIN;
                w->trigger.save |= ((const struct wire_daemon_request *)message)->what == DAEMON_SAVE;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        struct world w = { .now_ns = NOW };
        _Alignas(8) unsigned char message[WIRE_MOST];
        struct wire_header header;
        size_t at = FUZZ_MODE;

        if (n < FUZZ_MODE)
                return 0;
        while (n - at >= sizeof header) {
                memcpy(&header, bytes + at, sizeof header);
                /* The type counts; size and version are set right, for peer.c hands nothing else on. */
                header.type = (uint16_t)(WIRE_DAEMON_HELLO + header.type % 5);
                header.version = WIRE_VERSION;
                header.size = (uint32_t)wire_size(header.type);
                if (header.size > n - at)
                        break;
                memcpy(message, bytes + at, header.size);
                memcpy(message, &header, sizeof header);
                if (wire_check(message, header.size, NULL) == 0)
                        take(&w, (const struct wire_header *)(const void *)message);
                at += header.size;
                w.now_ns += bytes[0] * CLOCK_MS * 100;
        }
        return 0;
}

static size_t put(uint8_t *out, size_t at, const void *message, size_t n)
{
        memcpy(out + at, message, n);
        return at + n;
}

/* A save from hello to landed; the second seed is of a job without a deadline that is drained. */
size_t fuzz_seed(unsigned number, uint8_t *out)
{
        struct wire_daemon_hello hello = { .stint = 1 };
        struct wire_daemon_plan plan = { .left_ns = number ? CLOCK_NEVER : 90 * CLOCK_SECOND, .ranks = 2, .saves = 3 };
        struct wire_daemon_request drain = { .what = DAEMON_DRAIN };
        struct wire_daemon_saving saving = { .state = DAEMON_SAVING_BEGUN, .reason = SAVE_LIMIT };
        size_t at = FUZZ_MODE;

        if (number > 1)
                return 0;
        memset(out, 1, FUZZ_MODE);
        hello.header.type = 0; /* types count from HELLO here */
        plan.header.type = 1;
        saving.header.type = 2;
        drain.header.type = 4;
        plan.write_ns = plan.mtbf_ns = 60 * CLOCK_SECOND;
        at = put(out, at, &hello, sizeof hello);
        at = put(out, at, &plan, sizeof plan);
        if (number == 1)
                at = put(out, at, &drain, sizeof drain);
        at = put(out, at, &plan, sizeof plan);
        at = put(out, at, &saving, sizeof saving);
        saving.state = DAEMON_SAVING_LANDED;
        at = put(out, at, &saving, sizeof saving);
        return put(out, at, &plan, sizeof plan);
}
