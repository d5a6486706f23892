/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watch: decides nothing by itself: deadline_plan() does, with what the control pages and `stint run` say.  Called by
 * main and by two timers.
 *
 * Control pages are written by programs, so what they say is only ever used as numbers.
 */
#include "watch.h"

#include <string.h>
#include "clock.h"
#include "histogram.h"
#include "patience.h"

#define TICK_MS 1000
/* As TICK_MS, until training has begun and a save was measured: nobody tells of steps, they are looked at. */
#define LEARNING_MS 50
/* A trigger that `stint run` dropped, because of a save in flight, is repeated so late, or after a shorter interval. */
#define RETRY_NS CLOCK_SECOND
#define CALIBRATE_AGAIN_NS (5 * CLOCK_SECOND) /* after a calibrating save that did not land */
#define ORDER_SLACK_NS (250 * CLOCK_MS) /* stintd's clock and ours are the same, its timers and ours are not */
#define EXTENDED_NS CLOCK_SECOND /* a deadline that moved back by more than this is another one */

/* What one program's control page says. */
struct pace {
        uint64_t steps;
        int64_t p50_ns, p99_ns;
        int64_t safe_ns, step;
};

static struct pace pace_of(const struct rank *rank)
{
        const struct control_page *page = rank->page;
        struct histogram steps;
        struct pace pace;

        memcpy(&steps, &page->steps, sizeof steps); /* it goes on counting meanwhile, which costs nobody anything */
        pace.steps = histogram_count(&steps);
        pace.p50_ns = histogram_quantile(&steps, 0.5);
        pace.p99_ns = histogram_quantile(&steps, 0.99);
        pace.safe_ns = atomic_load_explicit(&page->safe_ns, memory_order_relaxed);
        pace.step = atomic_load_explicit(&page->step, memory_order_relaxed);
        return pace;
}

static int trains(const struct rank *rank)
{
        return rank->known && !rank->gone;
}

/* How long stintd would go on with a write of this rank: not at all before its staging is there, and from our own memory. */
static int64_t outlive_of(const struct rank *rank)
{
        return rank->staging && rank->staging->line >= 0 ? rank->staging->outlive_ns : 0;
}

/*
 * Since when its snapshot is there and only written.  A streamed one that is still coming has the copy before it: it
 * will be there when that has taken what copies take.
 */
static int64_t flying_since(const struct watch *w, const struct rank *rank)
{
        return rank->flight.since_ns + (rank->flight.streams && w->in.measured.saves ? w->in.measured.snapshot_ns : 0);
}

/*
 * All ranks together: the slowest sets the pace, the one with the fewest steps says how much is known of it.  Training
 * began when the last of them reached its first safe point.
 */
static int gather(struct watch *w)
{
        struct deadline_inputs *in = &w->in;
        const struct rank *rank;
        uint64_t fewest = UINT32_MAX;
        int begun = 1, ranks = 0;

        w->step = -1;
        in->now_ns = clock_now();
        in->step_ns = 0;
        in->agree_every = 1;
        in->state_bytes = 0;
        in->flying_since_ns = 0;
        in->outlive_ns = w->outlives ? CLOCK_NEVER : 0;
        for (rank = w->ranks->first; rank; rank = rank->next) {
                struct pace pace;

                if (!trains(rank))
                        continue;
                pace = pace_of(rank);
                ranks++;
                if (pace.p99_ns > in->step_ns)
                        in->step_ns = pace.p99_ns;
                if (pace.steps < fewest)
                        fewest = pace.steps;
                if (rank->agree_every > in->agree_every)
                        in->agree_every = rank->agree_every;
                if (rank->flight.since_ns > 0 &&
                    (in->flying_since_ns == 0 || flying_since(w, rank) < in->flying_since_ns))
                        in->flying_since_ns = flying_since(w, rank);
                if (outlive_of(rank) < in->outlive_ns)
                        in->outlive_ns = outlive_of(rank);
                if (rank_frame(rank))
                        in->state_bytes += rank_frame(rank)->state_bytes;
                begun = begun && pace.step >= 0;
                if (pace.step > w->step)
                        w->step = pace.step;
        }
        w->programs = ranks;
        in->steps = ranks ? (uint32_t)fewest : 0;
        in->several_ranks = w->ranks->of > 1;
        if (in->last_save_ns == 0 && ranks && begun)
                in->last_save_ns = in->now_ns;
        return ranks;
}

/* ---- acting ------------------------------------------------------------------------------------------------------ */

static int64_t left_of(const struct watch *w)
{
        return w->in.end_ns == CLOCK_NEVER ? CLOCK_NEVER : w->in.end_ns - w->in.now_ns;
}

static void trigger(struct watch *w, const struct deadline_plan *plan)
{
        struct wire_agent_trigger m = { .reason = plan->next, .left_ns = left_of(w), .lead_ns = plan->lead_ns };

        WIRE_INIT(&m, WIRE_AGENT_TRIGGER);
        coordinator_send(w->ranks->run, &m);
        if (save_is_final(plan->next)) {
                w->in.final_asked = 1;
                w->asked_end_ns = w->in.end_ns;
        } else if (plan->next == SAVE_CALIBRATE) {
                w->in.calibrate_asked = 1;
        } else {
                w->retry_ns = w->in.now_ns + (plan->interval_ns < RETRY_NS ? plan->interval_ns : RETRY_NS);
        }
}

static void publish(const struct watch *w, const struct deadline_plan *plan)
{
        struct rank *rank;

        for (rank = w->ranks->first; rank; rank = rank->next)
                if (trains(rank)) {
                        atomic_store_explicit(&rank->page->deadline_ns, w->in.end_ns, memory_order_relaxed);
                        atomic_store_explicit(&rank->page->trigger_ns, plan->final_ns, memory_order_relaxed);
                }
}

static void on_due(uv_timer_t *timer)
{
        watch_plan(timer->data);
}

/* Never later than the next tick, which plans anew with what the programs measured meanwhile. */
static void arm(struct watch *w, int64_t at_ns)
{
        const int learning = w->in.last_save_ns == 0 || (w->in.measured.saves == 0 && !w->in.calibrate_asked);
        int64_t wait_ms;

        uv_timer_stop(&w->due);
        if (learning && at_ns > w->in.now_ns + LEARNING_MS * CLOCK_MS)
                at_ns = w->in.now_ns + LEARNING_MS * CLOCK_MS;
        if (at_ns == CLOCK_NEVER || at_ns - w->in.now_ns > TICK_MS * CLOCK_MS)
                return;
        wait_ms = (at_ns - w->in.now_ns + CLOCK_MS - 1) / CLOCK_MS;
        /* libuv counts from when the loop woke. */
        uv_update_time(w->due.loop);
        uv_timer_start(&w->due, on_due, wait_ms > 0 ? (uint64_t)wait_ms : 1, 0);
}

static void on_tick(uv_timer_t *timer);

static int64_t next_of(const struct watch *w, const struct deadline_plan *plan)
{
        if (plan->next == SAVE_NONE)
                return CLOCK_NEVER;
        if (save_is_final(plan->next) || plan->next_ns > w->retry_ns)
                return plan->next_ns;
        return w->retry_ns;
}

static void planned(const struct watch *w)
{
        if (w->on_planned)
                w->on_planned(w->planned_arg);
}

void watch_plan(struct watch *w)
{
        struct deadline_plan plan;

        if (w->closed)
                return;
        if (!gather(w)) { /* nothing to save */
                uv_timer_stop(&w->due);
                uv_timer_stop(&w->tick);
                planned(w);
                return;
        }
        if (!uv_is_active((uv_handle_t *)&w->tick))
                uv_timer_start(&w->tick, on_tick, TICK_MS, TICK_MS);
        plan = deadline_plan(&w->in);
        if (next_of(w, &plan) <= w->in.now_ns) {
                trigger(w, &plan);
                plan = deadline_plan(&w->in);
        }
        publish(w, &plan);
        arm(w, next_of(w, &plan));
        planned(w);
}

/* ---- progress ---------------------------------------------------------------------------------------------------- */

static void report(const struct watch *w, const struct rank *rank, int64_t lead_ns)
{
        struct wire_agent_progress m = { .rank = rank->rank, .lead_ns = lead_ns, .left_ns = left_of(w) };
        const struct pace pace = pace_of(rank);

        WIRE_INIT(&m, WIRE_AGENT_PROGRESS);
        m.steps = pace.steps > UINT32_MAX ? UINT32_MAX : (uint32_t)pace.steps;
        m.step = pace.step;
        m.step_p50_ns = pace.p50_ns;
        m.step_p99_ns = pace.p99_ns;
        m.quiet_ns = w->in.now_ns - (pace.safe_ns > 0 ? pace.safe_ns : rank->since_ns);
        coordinator_send(w->ranks->run, &m);
}

static void on_tick(uv_timer_t *timer)
{
        struct watch *w = timer->data;
        const struct rank *rank;
        int64_t lead_ns;

        watch_plan(w);
        patience_look(w->ranks, &w->in.measured, w->in.state_bytes);
        if (coordinator_busy(w->ranks->run))
                return;
        lead_ns = deadline_plan(&w->in).lead_ns;
        for (rank = w->ranks->first; rank; rank = rank->next)
                if (trains(rank))
                        report(w, rank, lead_ns);
}

/* ---- what `stint run` says --------------------------------------------------------------------------------------- */

void watch_deadline(struct watch *w, const struct wire_run_deadline *m)
{
        struct deadline_inputs *in = &w->in;
        int64_t end_ns = CLOCK_NEVER;

        in->now_ns = w->told_ns = clock_now();
        if (m->left_ns != CLOCK_NEVER && m->left_ns < CLOCK_NEVER - in->now_ns)
                end_ns = in->now_ns + m->left_ns;
        in->end_ns = end_ns;
        in->cause = (enum deadline_cause)m->cause;
        /* The job was given more time after its final save was asked for: that save is for another deadline. */
        if (in->final_asked && (end_ns == CLOCK_NEVER || end_ns - EXTENDED_NS > w->asked_end_ns))
                in->final_asked = 0;
        watch_plan(w);
}

void watch_measured(struct watch *w, const struct wire_run_measured *m)
{
        struct deadline_inputs *in = &w->in;

        in->measured = (struct deadline_measured){ .delay_ns = m->delay_ns, .snapshot_ns = m->snapshot_ns };
        in->measured.write_ns = m->write_ns;
        in->measured.commit_ns = m->commit_ns;
        in->measured.cost_ns = m->cost_ns;
        in->measured.saves = m->saves;
        w->outlives = m->outlives != 0;
        in->margin_ns = m->margin_ns;
        in->interval_ns = m->interval_ns;
        in->mtbf_ns = m->mtbf_ns;
        watch_plan(w);
}

void watch_save(struct watch *w, const struct wire_run_save *m)
{
        w->in.last_save_ns = clock_now();
        w->retry_ns = 0;
        if (m->reason == SAVE_CALIBRATE)
                w->in.calibrate_asked = 1;
        if (save_is_final((enum save_reason)m->reason) && !w->in.final_asked) {
                w->in.final_asked = 1;
                w->asked_end_ns = w->in.end_ns;
        }
        watch_plan(w);
}

void watch_result(struct watch *w, const struct wire_run_result *m)
{
        patience_result(w->ranks, m);
        if (m->landed || w->in.measured.saves > 0 || !w->in.calibrate_asked)
                return;
        w->in.calibrate_asked = 0;
        w->retry_ns = clock_now() + CALIBRATE_AGAIN_NS;
}

/* ---- stintd ------------------------------------------------------------------------------------------------------ */

void watch_describe(struct watch *w, struct wire_daemon_plan *m)
{
        const struct deadline_inputs *in = &w->in;

        gather(w);
        memset(m, 0, sizeof *m);
        WIRE_INIT(m, WIRE_DAEMON_PLAN);
        m->begun_ns = in->now_ns - in->start_ns;
        m->left_ns = left_of(w);
        m->told_ns = w->told_ns > 0 ? in->now_ns - w->told_ns : CLOCK_NEVER;
        m->since_save_ns = in->last_save_ns > 0 ? in->now_ns - in->last_save_ns : -1;
        m->step_ns = in->step_ns;
        m->delay_ns = in->measured.delay_ns;
        m->snapshot_ns = in->measured.snapshot_ns;
        m->write_ns = in->measured.write_ns;
        m->commit_ns = in->measured.commit_ns;
        m->cost_ns = in->measured.cost_ns;
        m->flying_ns = in->flying_since_ns <= 0               ? -1
                       : in->now_ns > in->flying_since_ns ? in->now_ns - in->flying_since_ns
                                                          : 0;
        m->coming_ns = in->flying_since_ns > in->now_ns ? in->flying_since_ns - in->now_ns : 0;
        m->saves = in->measured.saves;
        m->margin_ns = in->margin_ns;
        m->interval_ns = in->interval_ns;
        m->mtbf_ns = in->mtbf_ns;
        m->outlive_ns = in->outlive_ns;
        m->state_bytes = in->state_bytes;
        m->step = w->step;
        m->cause = in->cause;
        m->steps = in->steps;
        m->agree_every = in->agree_every;
        m->ranks = (uint32_t)w->programs;
        m->several_ranks = (uint32_t)in->several_ranks;
        m->final_asked = (uint32_t)in->final_asked;
        m->calibrate_asked = (uint32_t)in->calibrate_asked;
}

/* What time makes due is due by our own plan too, give or take; or it rests on what is not so any more. */
static void timed_order(struct watch *w, const struct wire_daemon_trigger *m)
{
        struct deadline_plan plan = deadline_plan(&w->in);
        const int64_t left_ns = left_of(w);

        if (!save_is_final((enum save_reason)m->reason)) {
                if (plan.next == m->reason && next_of(w, &plan) <= w->in.now_ns + ORDER_SLACK_NS)
                        trigger(w, &plan);
                return;
        }
        if (w->in.final_asked || left_ns == CLOCK_NEVER || m->left_ns > left_ns + EXTENDED_NS ||
            left_ns > m->left_ns + EXTENDED_NS)
                return;
        plan.next = (enum save_reason)m->reason;
        plan.lead_ns = m->lead_ns; /* longer than ours where the node's admin wants a longer margin */
        trigger(w, &plan);
}

/* Asked for by a user or an admin; whether it comes to a save is for `stint run` to say. */
static void asked_order(struct watch *w, enum save_reason reason)
{
        struct wire_agent_trigger m = { .reason = reason, .left_ns = left_of(w) };

        WIRE_INIT(&m, WIRE_AGENT_TRIGGER);
        m.lead_ns = deadline_plan(&w->in).lead_ns;
        coordinator_send(w->ranks->run, &m);
}

void watch_order(struct watch *w, const struct wire_daemon_trigger *m)
{
        if (w->closed)
                return;
        gather(w);
        switch (m->reason) {
        case SAVE_USER:
        case SAVE_DRAIN:
                asked_order(w, (enum save_reason)m->reason);
                break;
        case SAVE_CALIBRATE:
        case SAVE_INTERVAL:
        case SAVE_LIMIT:
        case SAVE_PREEMPTED:
                if (w->programs > 0)
                        timed_order(w, m);
                break;
        default:
                break;
        }
        watch_plan(w);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

void watch_open(struct watch *w, uv_loop_t *loop, struct ranks *ranks)
{
        memset(w, 0, sizeof *w);
        w->ranks = ranks;
        w->in.start_ns = clock_now();
        w->in.end_ns = CLOCK_NEVER;
        w->in.agree_every = 1;
        w->in.margin_ns = CLOCK_SECOND;           /* until `stint run` says otherwise */
        w->in.mtbf_ns = 24 * 3600 * CLOCK_SECOND; /* likewise */
        uv_timer_init(loop, &w->due);
        uv_timer_init(loop, &w->tick);
        w->due.data = w->tick.data = w;
}

void watch_close(struct watch *w)
{
        w->closed = 1;
        uv_close((uv_handle_t *)&w->due, NULL);
        uv_close((uv_handle_t *)&w->tick, NULL);
}
