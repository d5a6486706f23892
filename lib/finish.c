/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * finish: the end of a stint: other ranks are outlasted, the last state lands, and the coordinator writes that the run
 * is done.  stint_complete and stint_close in stint.c call in.
 *
 * As in safepoint.c, whatever happens on one rank, all of them make the same reductions in the same order.
 */
#include "finish.h"

#include <errno.h>
#include <inttypes.h>

#include "reach.h"

#define CARRIED_NAMED 3
#define CARRIED_LINE \
        "tensors of the restored checkpoint that the program never attached, and that its checkpoints carry along: "

/* ---- the others ----------------------------------------------------------------------------------------------- */

/*
 * Takes part in what the ranks still training do until none is left.  0; 1 when a rank leaves without being complete;
 * -1 when the communicator failed.
 */
static int outlast_others(struct stint *s, int complete)
{
        struct agreement *a = &s->agreement;
        int64_t words[AGREE_WORDS], active, leaving;

        s->active = 0;
        safepoint_judge_open(s);
        do {
                safepoint_hear(s, clock_now());
                safepoint_words(s, words);
                words[AGREE_LEAVING] = complete ? 0 : a->rank + 1;
                if (agreement_now(a, words, &s->why) < 0)
                        return -1;
                active = a->all[AGREE_ACTIVE];
                leaving = a->all[AGREE_LEAVING];
                safepoint_judge(s);
        } while (active);
        return leaving ? 1 : 0;
}

/* Names the tensors that the program never attached: the first three of them. */
static void say_carried(const struct stint *s)
{
        char names[CARRIED_NAMED * (STINT_MAX_NAME + 8)];
        const struct layout_tensor *t;
        uint64_t named = 0;
        size_t at = 0;

        for (t = s->layout.tensors; t && named < CARRIED_NAMED; t = layout_next(t))
                if (!t->device)
                        at += (size_t)snprintf(names + at, sizeof names - at, "%s'%s'", named++ ? ", " : "", t->name);
        if (!named)
                return;
        if (s->layout.carried > named)
                session_log(&s->session, STINT_LOG_NOTICE, CARRIED_LINE "%s and %" PRIu64 " more", names,
                            s->layout.carried - named);
        else
                session_log(&s->session, STINT_LOG_NOTICE, CARRIED_LINE "%s", names);
}

/* ---- the last state, and the mark ----------------------------------------------------------------------------- */

/* Why the state that this rank has now may not end the run: -1; 0 when it may. */
static int may_end(const struct stint *s, struct stint_error *err)
{
        const struct stint_error *refusal = safepoint_refusal(s);

        if (!refusal && s->misstep.code)
                refusal = &s->misstep;
        if (refusal)
                return error_set(err, refusal->code, "the run is not complete: %s", refusal->text);
        if (s->step < 0)
                return error_set(err, EINVAL,
                                 "training is not complete: stint_step was never called, so there is no state to end "
                                 "with");
        if (!session_usable(&s->session))
                return error_set(err, ENOTCONN, "training cannot be marked complete: there is no agent");
        return 0;
}

/* The same for all ranks: 0, or -1 on every one of them. */
static int may_all_end(struct stint *s)
{
        struct agreement *a = &s->agreement;
        int64_t words[AGREE_WORDS];
        struct stint_error why;
        int may = may_end(s, &why) == 0;

        safepoint_words(s, words);
        words[AGREE_UNABLE] = may ? 0 : a->rank + 1;
        if (agreement_now(a, words, &s->why) < 0)
                return -1;
        if (!may) {
                session_log(&s->session, STINT_LOG_ERROR, "%s", why.text);
                s->why = why;
                return -1;
        }
        if (a->all[AGREE_UNABLE])
                return error_set(&s->why, ECANCELED,
                                 "training cannot be marked complete: rank %d cannot end it (its own log says why)",
                                 (int)a->all[AGREE_UNABLE] - 1);
        return 0;
}

/* An agent that died is being started again: what was trained since the last save is not given up for that. */
static void find_agent_again(struct stint *s)
{
        s->session.look_ns = 0; /* its socket is asked whether it is gone */
        safepoint_hear(s, clock_now());
        if (!session_usable(&s->session))
                reach_until(&s->session, clock_now() + REACH_BACK_NS);
        safepoint_hear(s, clock_now());
}

/* Sees to it that the state of the last step has landed: 0, or -1 on every rank. */
static int save_last(struct stint *s)
{
        struct agreement *a = &s->agreement;
        struct stint_error why = { 0 };
        int go, was_there = session_usable(&s->session);

        while (snapshot_flying(&s->snapshot))
                if (snapshot_await_result(&s->snapshot, snapshot_flying(&s->snapshot), NULL) < 0)
                        break;
        if (was_there && !session_usable(&s->session))
                find_agent_again(s);
        if (may_all_end(s) < 0)
                return -1;
        if (a->all[AGREE_LANDED] == a->all[AGREE_STEP] && a->all[AGREE_LANDED_LEAST] == -a->all[AGREE_STEP])
                return 0;
        if (a->rank == 0)
                safepoint_ask(s, SAVE_COMPLETE, CLOCK_NEVER, &why);
        go = safepoint_agree(s, 1);
        if (go == STINT_SAVED || go == STINT_STOP)
                return 0;
        if (go == STINT_CONTINUE && !a->all[AGREE_WANT])
                error_set(&s->why, why.code ? why.code : EBUSY, "%s",
                          why.code ? why.text : "rank 0 was not granted a save");
        return error_wrap(&s->why, "the state of the last step, %" PRId64 ", did not land: the run is not complete",
                          s->step);
}

static int is_completed(void *arg)
{
        struct stint *s = arg;

        return s->session.inbox.has_completed || safepoint_wish(s);
}

/* A save that is asked for when the last state has landed already: nothing has changed since, and nobody need wait
 * for us. */
static void answer_late_wish(struct stint *s)
{
        struct snapshot_job job = { .save_id = AGREE_WISH_ID(safepoint_wish(s)), .step = s->step, .unchanged = 1 };

        job.checkpoint_step = s->snapshot.landed_step;
        s->handled = job.save_id;
        snapshot_take(&s->snapshot, &job, NULL);
}

/* Tells the coordinator, and waits until it has written that the run is done. */
static int mark_done(struct stint *s, struct stint_error *err)
{
        struct session_inbox *inbox = &s->session.inbox;
        struct wire_complete m = { 0 };
        int told = 0;

        WIRE_INIT(&m, WIRE_COMPLETE);
        m.step = s->step;
        while (!inbox->has_completed) {
                told = told || session_send(&s->session, &m, sizeof m, -1, NULL) == 0;
                if (session_await(&s->session, is_completed, s, CLOCK_NEVER, NULL) < 0) {
                        told = 0;
                        if (reach_until(&s->session, clock_now() + REACH_BACK_NS) < 0)
                                return error_set(err, ENOTCONN,
                                                 "the agent went away before the run was marked as done: "
                                                 "it is not complete");
                        safepoint_hear(s, clock_now());
                }
                if (!inbox->has_completed && safepoint_wish(s))
                        answer_late_wish(s);
        }
        inbox->has_completed = 0;
        if (inbox->completed.done)
                return 0;
        return error_set(err, inbox->completed.code > 0 ? inbox->completed.code : EIO,
                         "the run was not marked as done: %s", inbox->completed.text);
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

static int complete_together(struct stint *s)
{
        struct stint_error why;
        int told;

        if (save_last(s) < 0)
                return -1;
        told = mark_done(s, &why) == 0;
        if (safepoint_confirm(s, told, "the run is done", &why))
                return 0;
        s->why = why;
        return -1;
}

/* Without an agent there is nothing to do at the end but to say so. */
static int complete_unrecorded(struct stint *s)
{
        session_log(&s->session, STINT_LOG_DEBUG,
                    "training is complete, but without an agent nothing was recorded of it");
        return 0;
}

int finish_stint(struct stint *s, int complete)
{
        int left = 0;

        s->finished = 1;
        say_carried(s);
        safepoint_hear(s, clock_now());
        if (s->agreement.ranks > 1)
                left = outlast_others(s, complete);
        s->active = 0;
        if (left < 0 || !complete)
                return left < 0 ? -1 : 0;
        if (left)
                return error_set(&s->why, ECANCELED,
                                 "the run is not complete: another rank ended without stint_complete");
        find_agent_again(s);
        return s->session.off && s->agreement.ranks == 1 ? complete_unrecorded(s) : complete_together(s);
}
