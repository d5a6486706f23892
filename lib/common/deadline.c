/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * deadline: the arithmetic of when to save.  Everything here is a function of its arguments; times are CLOCK_BOOTTIME,
 * and whatever does not fit saturates at CLOCK_NEVER, for what is told from outside may be anything.
 */
#include "deadline.h"

#include <string.h>

#define DEADLINE_SHORTEST_INTERVAL (5 * CLOCK_SECOND)
#define DEADLINE_WRITE_SHARE 10 /* an automatic interval is so many times what a write takes */

static const char *const reason_names[] = {
        [SAVE_NONE] = "none",         [SAVE_CALIBRATE] = "calibration", [SAVE_INTERVAL] = "interval",
        [SAVE_USER] = "user",         [SAVE_PROGRAM] = "program",       [SAVE_BEST] = "best",
        [SAVE_COMPLETE] = "complete", [SAVE_SIGNAL] = "SIGTERM",        [SAVE_LIMIT] = "time limit",
        [SAVE_PREEMPTED] = "preemption", [SAVE_REQUEUED] = "requeue",   [SAVE_DRAIN] = "drain",
        [SAVE_STOP] = "stop",
};

static const char *const cause_names[] = {
        [DEADLINE_NONE] = "none",
        [DEADLINE_LIMIT] = "time limit",
        [DEADLINE_PREEMPTED] = "preemption",
        [DEADLINE_RESERVATION] = "reservation",
        [DEADLINE_STEP] = "step limit",
        [DEADLINE_POLICY] = "policy",
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const char *save_reason_name(enum save_reason reason)
{
        return (unsigned)reason < COUNT(reason_names) ? reason_names[reason] : "unknown";
}

enum save_reason save_reason_from_name(const char *word)
{
        unsigned i;

        for (i = 0; i < COUNT(reason_names); i++)
                if (strcmp(reason_names[i], word) == 0)
                        return (enum save_reason)i;
        return SAVE_NONE;
}

const char *deadline_cause_name(enum deadline_cause cause)
{
        return (unsigned)cause < COUNT(cause_names) ? cause_names[cause] : "unknown";
}

/* ---- sums that end at CLOCK_NEVER ---- */

/* Durations are never negative, whatever a clock or a message says. */
static int64_t duration(int64_t ns)
{
        return ns < 0 ? 0 : ns;
}

static int64_t sum(int64_t a, int64_t b)
{
        int64_t out;

        return __builtin_add_overflow(a, b, &out) ? CLOCK_NEVER : out;
}

static int64_t times(int64_t ns, int64_t n)
{
        int64_t out;

        return __builtin_mul_overflow(ns, n, &out) ? CLOCK_NEVER : out;
}

/* end - ns, at the least INT64_MIN. */
static int64_t before(int64_t end, int64_t ns)
{
        int64_t out;

        return __builtin_sub_overflow(end, ns, &out) ? INT64_MIN : out;
}

static int64_t lower(int64_t a, int64_t b)
{
        return a < b ? a : b;
}

static int64_t higher(int64_t a, int64_t b)
{
        return a > b ? a : b;
}

/* ---- what a save costs ---- */

/* Writing state_bytes at DEADLINE_GUESS_RATE, and what goes with it. */
static int64_t guess(uint64_t state_bytes)
{
        uint64_t seconds = state_bytes / (uint64_t)DEADLINE_GUESS_RATE;
        uint64_t rest = state_bytes % (uint64_t)DEADLINE_GUESS_RATE;
        int64_t whole = seconds > INT64_MAX / CLOCK_SECOND ? CLOCK_NEVER : (int64_t)seconds * CLOCK_SECOND;

        return sum(sum(whole, (int64_t)(rest * (uint64_t)CLOCK_SECOND / (uint64_t)DEADLINE_GUESS_RATE)),
                   DEADLINE_GUESS_FIXED);
}

static int64_t flown(const struct deadline_inputs *in)
{
        int64_t out;

        if (in->flying_since_ns == 0)
                return 0;
        return __builtin_sub_overflow(in->now_ns, in->flying_since_ns, &out) ? 0 : duration(out);
}

/* As measured, or as the one in flight shows by now. */
static int64_t slowest_write(const struct deadline_inputs *in)
{
        return higher(duration(in->measured.write_ns), flown(in));
}

/* What a write in flight still has to do. */
static int64_t rest_of_flight(const struct deadline_inputs *in)
{
        int64_t so_far = flown(in), write, still;

        if (in->flying_since_ns == 0)
                return 0;
        write = in->measured.saves ? duration(in->measured.write_ns) : guess(in->state_bytes);
        if (in->flying_since_ns > in->now_ns)
                return __builtin_sub_overflow(in->flying_since_ns, in->now_ns, &still) ? CLOCK_NEVER : sum(write, still);
        return so_far < write ? write - so_far : so_far - write;
}

/* From the safe point to landed. */
static int64_t save_cost(const struct deadline_inputs *in)
{
        const struct deadline_measured *m = &in->measured;

        if (m->saves == 0)
                return guess(in->state_bytes);
        return sum(duration(m->snapshot_ns), sum(slowest_write(in), duration(m->commit_ns)));
}

int64_t deadline_patience(const struct deadline_measured *m, uint64_t state_bytes, unsigned given_up)
{
        const struct deadline_inputs in = { .measured = *m, .state_bytes = state_bytes };
        const unsigned doubled = given_up < DEADLINE_PATIENCE_DOUBLED ? given_up : DEADLINE_PATIENCE_DOUBLED;

        return times(higher(times(save_cost(&in), DEADLINE_PATIENCE), DEADLINE_PATIENCE_LEAST), INT64_C(1) << doubled);
}

/* From asking to landed: several ranks act one safe point after they agreed, a single one at its next. */
static int64_t whole_cost(const struct deadline_inputs *in)
{
        int64_t every = in->agree_every > 1 ? in->agree_every : 1;
        int64_t steps = times(duration(in->step_ns), in->several_ranks ? every + 1 : 1);
        int64_t delay = in->measured.saves ? duration(in->measured.delay_ns) : 0;

        return sum(sum(sum(steps, delay), rest_of_flight(in)), save_cost(in));
}

/* How long this stint has in all; CLOCK_NEVER when nobody knows. */
static int64_t span_of(const struct deadline_inputs *in)
{
        int64_t out;

        if (in->end_ns == CLOCK_NEVER || __builtin_sub_overflow(in->end_ns, in->start_ns, &out))
                return CLOCK_NEVER;
        return duration(out);
}

/* What of the final save others can do after the end.  Only of a cost that was measured: it is the owner's last save. */
static int64_t left_to_others(const struct deadline_inputs *in)
{
        const int64_t write = slowest_write(in);

        if (in->measured.saves == 0 || write > duration(in->outlive_ns) / 2)
                return 0;
        return sum(write, duration(in->measured.commit_ns));
}

static int64_t lead_of(const struct deadline_inputs *in)
{
        int64_t cost = whole_cost(in), lead;

        if (cost != CLOCK_NEVER)
                cost -= left_to_others(in);
        lead = sum(cost, duration(in->margin_ns));

        /* An estimate must not eat the stint that would correct it. */
        if (in->measured.saves == 0 && in->end_ns != CLOCK_NEVER)
                lead = lower(lead, span_of(in) / 2);
        return lead;
}

/*
 * When the final save is due.  Where even the whole stint is shorter than the lead, asking at its start would hand over
 * the state that came in, in every stint of the chain: a few steps are made first, for at p99 the odds are bad but not
 * nil.
 */
static int64_t final_of(const struct deadline_inputs *in, int64_t lead)
{
        int64_t at;

        if (in->cause == DEADLINE_PREEMPTED)
                return lower(in->now_ns, in->end_ns);
        if (in->end_ns == CLOCK_NEVER)
                return CLOCK_NEVER;
        at = higher(before(in->end_ns, lead), in->start_ns);
        if (lead >= span_of(in) && in->steps < DEADLINE_CALIBRATE_STEPS) {
                int64_t steps = times(duration(in->step_ns), DEADLINE_CALIBRATE_STEPS - (int64_t)in->steps);

                at = in->step_ns > 0 ? higher(at, sum(in->now_ns, steps)) : in->end_ns;
        }
        return lower(at, in->end_ns);
}

/* ---- saves that are not final ---- */

/* The whole part of the square root; libstint carries this file too and needs nothing beyond libc, so no libm. */
static uint64_t square_root(unsigned __int128 of)
{
        uint64_t root = 0;
        int bit;

        for (bit = 63; bit >= 0; bit--) {
                uint64_t more = root | UINT64_C(1) << bit;

                if ((unsigned __int128)more * more <= of)
                        root = more;
        }
        return root;
}

int64_t deadline_interval(int64_t cost_ns, int64_t mtbf_ns)
{
        int64_t cost = duration(cost_ns), mtbf = duration(mtbf_ns);
        int64_t most = higher(mtbf, DEADLINE_SHORTEST_INTERVAL);
        uint64_t best;

        /* Daly: where a save costs so much, the steps between two failures are the cheaper loss. */
        if (cost >= mtbf / 2)
                return most;
        best = square_root((unsigned __int128)2 * (uint64_t)cost * (uint64_t)mtbf) - (uint64_t)cost;
        return best >= (uint64_t)most ? most : higher((int64_t)best, DEADLINE_SHORTEST_INTERVAL);
}

static int64_t interval_of(const struct deadline_inputs *in)
{
        const struct deadline_measured *m = &in->measured;
        int64_t widest, interval;

        if (in->interval_ns > 0)
                return in->interval_ns;
        widest = deadline_interval(save_cost(in), in->mtbf_ns);
        if (m->saves == 0)
                return widest;
        interval = higher(deadline_interval(m->cost_ns, in->mtbf_ns), times(slowest_write(in), DEADLINE_WRITE_SHARE));
        return lower(interval, widest);
}

/* When the next interval save is due; CLOCK_NEVER when none is, or when it would only be in the way of the final one.
 */
static int64_t next_interval(const struct deadline_inputs *in, const struct deadline_plan *plan)
{
        int64_t at;

        if (plan->interval_ns == CLOCK_NEVER || in->last_save_ns == 0)
                return CLOCK_NEVER;
        /* Before the first measurement the cost is a guess, and a calibrating save will come. */
        if (in->measured.saves == 0 && !in->calibrate_asked)
                return CLOCK_NEVER;
        at = sum(in->last_save_ns, plan->interval_ns);
        if (plan->final_ns != CLOCK_NEVER && sum(higher(at, in->now_ns), whole_cost(in)) > plan->final_ns)
                return CLOCK_NEVER;
        return at;
}

static int calibrate_due(const struct deadline_inputs *in)
{
        return in->measured.saves == 0 && !in->calibrate_asked && in->steps >= DEADLINE_CALIBRATE_STEPS &&
               in->state_bytes > 0;
}

struct deadline_plan deadline_plan(const struct deadline_inputs *in)
{
        struct deadline_plan plan = { .next_ns = CLOCK_NEVER, .next = SAVE_NONE };
        int64_t interval;

        plan.lead_ns = lead_of(in);
        plan.final_ns = final_of(in, plan.lead_ns);
        plan.interval_ns = interval_of(in);
        if (in->final_asked)
                return plan;
        if (plan.final_ns != CLOCK_NEVER) {
                plan.next_ns = plan.final_ns;
                plan.next = in->cause == DEADLINE_PREEMPTED ? SAVE_PREEMPTED : SAVE_LIMIT;
        }
        if (in->cause == DEADLINE_PREEMPTED || plan.final_ns <= in->now_ns)
                return plan;
        if (calibrate_due(in)) {
                plan.next_ns = in->now_ns;
                plan.next = SAVE_CALIBRATE;
                return plan;
        }
        interval = next_interval(in, &plan);
        if (interval < plan.next_ns) {
                plan.next_ns = interval;
                plan.next = SAVE_INTERVAL;
        }
        return plan;
}
