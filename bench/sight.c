/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sight: how soon a trigger is in the control page and the program sees it, and what a safe point costs that sees nothing.
 * The trainer calls in.
 */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "channel.h"
#include "clock.h"
#include "measure.h"
#include "safepoint.h"
#include "trainer.h"
#include "wire.h"

#define STEP_PAUSE_NS (1 * CLOCK_MS)
#define LOOK_PAUSE_NS (50 * 1000) /* between two looks at the control page */
#define TRIGGER_NS (60 * CLOCK_SECOND)

/* ---- from a trigger to the control page -------------------------------------------------------------------------- */

/* What became of a trigger; overslept: by how much the longest pause of this program was longer than it asked for. */
struct sight {
        struct series seen, published, overslept;
};

/* 0: seen at *seen_ns; -1: not in time. */
static int await_wish(struct trainer *t, int64_t *seen_ns, struct sight *sight)
{
        const int64_t until_ns = clock_now() + TRIGGER_NS;
        int64_t begin_ns, longest_ns = 0;

        while (!stint_poll(t->stint)) {
                begin_ns = clock_now();
                if (begin_ns > until_ns)
                        return -1;
                pause_for(LOOK_PAUSE_NS);
                if (clock_now() - begin_ns - LOOK_PAUSE_NS > longest_ns)
                        longest_ns = clock_now() - begin_ns - LOOK_PAUSE_NS;
        }
        *seen_ns = clock_now();
        series_add(&sight->overslept, (double)longest_ns);
        return 0;
}

/* As `stint save` asks; the answer comes when it landed. */
static int ask(const char *socket_name, struct stint_error *err)
{
        struct wire_verb verb = { .what = VERB_SAVE };
        int fd = channel_connect(socket_name, NULL, err);

        if (fd < 0)
                return -1;
        WIRE_INIT(&verb, WIRE_VERB);
        if (channel_send(fd, &verb, sizeof verb, NULL, 0, err) == 0)
                return fd;
        close(fd);
        return -1;
}

/* Training goes on meanwhile.  -1: it did not land. */
static int await_answer(struct trainer *t, int fd, struct stint_error *err)
{
        _Alignas(8) unsigned char message[WIRE_MOST];
        const struct wire_verb_answer *told = (const void *)message;
        const int64_t until_ns = clock_now() + TRIGGER_NS;
        ssize_t n;

        while (!channel_wait(fd, clock_now() + STEP_PAUSE_NS)) {
                stint_step(t->stint, ++t->step);
                if (clock_now() > until_ns)
                        return error_set(err, ETIMEDOUT, "no answer");
        }
        n = channel_receive(fd, message, sizeof message, NULL, NULL, err);
        if (n <= 0)
                return error_set(err, ECONNRESET, "`stint run` went away");
        if (wire_check(message, (size_t)n, err) < 0)
                return -1;
        return told->code ? error_set(err, told->code, "%s", told->text) : 0;
}

static int trigger_once(struct trainer *t, const char *socket_name, struct sight *sight, struct stint_error *err)
{
        const int64_t begin_ns = clock_now();
        int64_t seen_ns;
        int rc, fd = ask(socket_name, err);

        if (fd < 0)
                return -1;
        if (await_wish(t, &seen_ns, sight) < 0) {
                close(fd);
                return error_set(err, ETIMEDOUT, "the control page never asked for the save");
        }
        series_add(&sight->seen, (double)(seen_ns - begin_ns));
        series_add(&sight->published, (double)(atomic_load(&t->stint->session.page->request_ns) - begin_ns));
        stint_step(t->stint, ++t->step);
        rc = await_answer(t, fd, err);
        close(fd);
        return rc;
}

/* All of its values, as a member of an object. */
static void answer_values(struct trainer *t, const struct series *s, const char *before)
{
        size_t i;

        fprintf(t->line, "%s\"%s\": [", before, s->name);
        for (i = 0; i < s->n; i++)
                fprintf(t->line, "%s%.9g", i ? ", " : "", s->values[i]);
        fputc(']', t->line);
}

void do_trigger(struct trainer *t, long n, const char *socket_name)
{
        struct sight sight = { SERIES("seen", "ns"), SERIES("published", "ns"), SERIES("overslept", "ns") };
        struct stint_error err = { 0 };

        while (n-- > 0)
                if (trigger_once(t, socket_name, &sight, &err) < 0) {
                        fail(t, "trigger", err.text);
                        return;
                }
        answer_values(t, &sight.seen, "{");
        answer_values(t, &sight.published, ", ");
        answer_values(t, &sight.overslept, ", ");
        answer(t, "}");
        series_fini(&sight.seen);
        series_fini(&sight.published);
        series_fini(&sight.overslept);
}

/* The final save before a limit: when it was due stands in the control page long before. */
void do_due(struct trainer *t)
{
        int64_t seen_ns, due_ns = CLOCK_NEVER, now_due_ns, looked_ns, longest_ns = 0;
        const int64_t until_ns = clock_now() + TRIGGER_NS;
        int asked = 0;

        for (;;) {
                looked_ns = clock_now();
                now_due_ns = stint_poll(t->stint) ? 0 : atomic_load(&t->stint->session.page->trigger_ns);
                if (now_due_ns == 0)
                        break;
                due_ns = now_due_ns;
                if (clock_now() > until_ns) {
                        fail(t, "due", "no save became due");
                        return;
                }
                if (++asked % 20 == 0) /* a step every millisecond: the plan follows from how long steps are */
                        stint_step(t->stint, ++t->step);
                pause_for(LOOK_PAUSE_NS);
                if (clock_now() > due_ns && clock_now() - looked_ns - LOOK_PAUSE_NS > longest_ns)
                        longest_ns = clock_now() - looked_ns - LOOK_PAUSE_NS;
        }
        seen_ns = clock_now();
        answer(t, "{\"due_ns\": %" PRId64 ", \"seen_ns\": %" PRId64 ", \"overslept_ns\": %" PRId64 "}", due_ns, seen_ns,
               longest_ns);
}

/* ---- the safe point with nothing to do --------------------------------------------------------------------------- */

static int64_t time_clock(long calls)
{
        const int64_t begin_ns = clock_now();
        struct timespec now;
        long i;

        for (i = 0; i < calls; i++) {
                clock_gettime(CLOCK_MONOTONIC, &now);
                __asm__ volatile("" : : "r"(&now) : "memory");
        }
        return clock_now() - begin_ns;
}

static int64_t time_steps(struct trainer *t, long calls)
{
        const int64_t begin_ns = clock_now();
        long i;

        for (i = 0; i < calls; i++)
                stint_step(t->stint, ++t->step);
        return clock_now() - begin_ns;
}

void do_idle(struct trainer *t, long batches, long calls)
{
        struct series clock = SERIES("clock", "ns"), step = SERIES("step", "ns");

        while (batches-- > 0) {
                series_add(&clock, (double)time_clock(calls) / (double)calls);
                series_add(&step, (double)time_steps(t, calls) / (double)calls);
        }
        answer_values(t, &clock, "{");
        answer_values(t, &step, ", ");
        answer(t, "}");
        series_fini(&clock);
        series_fini(&step);
}
