/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trigger: deadline_plan() and requests in one order.  Called by jobs.c. */
#include "trigger.h"

static int64_t later(int64_t last_ns, int64_t wait_ns)
{
        return last_ns == 0 ? 0 : last_ns + wait_ns;
}

/* A drain is asked for again until it is seen to be under way: a first final save that failed is not the end of it. */
static int drain_due(const struct trigger *t, int64_t now_ns)
{
        return t->drain && !t->saving_final && now_ns >= later(t->drain_ns, TRIGGER_DRAIN_AGAIN_NS);
}

static int64_t sooner(int64_t a, int64_t b)
{
        return a < b ? a : b;
}

struct trigger_order trigger_decide(const struct trigger *t, const struct deadline_inputs *in, uint32_t ranks)
{
        const struct deadline_plan plan = deadline_plan(in);
        struct trigger_order order = { .reason = SAVE_NONE, .next_ns = CLOCK_NEVER, .lead_ns = plan.lead_ns };
        int64_t due_ns;

        if (drain_due(t, in->now_ns)) {
                order.reason = SAVE_DRAIN;
                return order;
        }
        if (t->drain && !t->saving_final)
                order.next_ns = later(t->drain_ns, TRIGGER_DRAIN_AGAIN_NS);
        if (t->save && !t->saving) {
                order.reason = SAVE_USER;
                return order;
        }
        if (ranks == 0 || plan.next == SAVE_NONE || (t->saving && !save_is_final(plan.next)))
                return order;
        due_ns = later(t->timed_ns, TRIGGER_AGAIN_NS);
        if (plan.next_ns > due_ns)
                due_ns = plan.next_ns;
        if (due_ns <= in->now_ns)
                order.reason = plan.next;
        else
                order.next_ns = sooner(order.next_ns, due_ns);
        return order;
}

void trigger_sent(struct trigger *t, enum save_reason reason, int64_t now_ns)
{
        if (reason == SAVE_DRAIN)
                t->drain_ns = now_ns;
        else if (reason == SAVE_USER)
                t->save = 0;
        else
                t->timed_ns = now_ns;
}
