/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * safepoint: the slow path of a safe point, a save from the wish to its end, and the end of a stint.  stint.c calls in.
 *
 * Several ranks: every function here runs on all of them, and makes the same reductions in the same order, whatever
 * happens on one; what happened on one is in the words that it gives to the next reduction.  A rank that has finished
 * goes on making the reductions of those that train, and takes part in their saves with the state of its own last step.
 */
#include "safepoint.h"

#include <errno.h>
#include <inttypes.h>

#include "deadline.h"

#define READY_NS (60 * CLOCK_SECOND) /* for staging, for the snapshot before to be written, for our own agent to ask */
#define BEST_NS (60 * CLOCK_SECOND)  /* for a save that was asked for because a metric improved */
#define BACK_NS (10 * CLOCK_SECOND)  /* for an agent that broke off during a final save to be back and ask again */

/* ---- wishes --------------------------------------------------------------------------------------------------- */

/* The save that this rank's control word asks for and that was not acted on; 0: none. */
static int64_t wish(const struct stint *s)
{
        uint64_t word = atomic_load_explicit(&s->session.page->word, memory_order_acquire);
        uint32_t id = CONTROL_SAVE_ID(word);

        return id > s->handled ? AGREE_WISH(id, word & CONTROL_FINAL) : 0;
}

static int has_answer(void *arg)
{
        struct stint *s = arg;

        return wish(s) != 0 || s->session.inbox.has_no_save;
}

/* Asks the coordinator for a save of its own accord: 0 when there is a wish now; -1 when none will be made, or not
 * in time. */
static int ask(struct stint *s, enum save_reason reason, int64_t until_ns, struct stint_error *err)
{
        struct wire_ask_save m = { 0 };
        int rc;

        if (wish(s))
                return 0;
        if (s->refusing)
                return error_set(err, ECANCELED, "%s", s->refusal.text);
        WIRE_INIT(&m, WIRE_ASK_SAVE);
        m.reason = reason;
        m.step = s->step;
        s->session.inbox.has_no_save = 0;
        if (session_send(&s->session, &m, sizeof m, -1, err) < 0)
                return -1;
        rc = session_await(&s->session, has_answer, s, until_ns, err);
        if (rc == 0)
                return error_set(err, ETIMEDOUT, "`stint run` did not answer in time");
        if (rc < 0 || wish(s))
                return rc < 0 ? -1 : 0;
        s->session.inbox.has_no_save = 0;
        return error_set(err, EBUSY, "%s", s->session.inbox.no_save.text);
}

/* When the metrics of this step improve on the best: rank 0, whose value counts, asks for a save. */
static void ask_for_best(struct stint *s)
{
        struct stint_error why;

        if (s->agreement.rank || s->refusing || !session_usable(&s->session) || !snapshot_improves(&s->snapshot))
                return;
        if (ask(s, SAVE_BEST, clock_now() + BEST_NS, &why) < 0)
                session_log(&s->session, STINT_LOG_WARNING, "step %" PRId64 " is the best so far, but is not saved: %s",
                            s->step, why.text);
}

void safepoint_words(const struct stint *s, int64_t words[AGREE_WORDS])
{
        int able = session_usable(&s->session) && !s->refusing && !s->backwards;
        int64_t held = snapshot_held(&s->snapshot, s->step);

        agreement_silence(words);
        words[AGREE_WANT] = wish(s);
        words[AGREE_STEP] = s->step;
        words[AGREE_ABLE] = able;
        words[AGREE_UNABLE] = able ? 0 : s->agreement.rank + 1;
        words[AGREE_LANDED] = held;
        words[AGREE_LANDED_LEAST] = -held;
        if (!s->active)
                return;
        words[AGREE_ACTIVE] = 1;
        words[AGREE_ACTIVE_STEP] = s->step;
        words[AGREE_ACTIVE_LEAST] = -s->step;
}

/* ---- one save, from the wish to its end ----------------------------------------------------------------------- */

static int word_has_come(void *arg)
{
        const struct stint *s = ((void **)arg)[0];
        const uint32_t *save_id = ((void **)arg)[1];

        return CONTROL_SAVE_ID(atomic_load_explicit(&s->session.page->word, memory_order_acquire)) >= *save_id;
}

/*
 * Waits until this rank could copy its state: another rank may have heard of the save before our own agent did, and an
 * agent takes a snapshot only of a save that it knows.
 */
static int get_ready(struct stint *s, uint32_t save_id, struct stint_error *err)
{
        int64_t until_ns = clock_now() + READY_NS;
        void *awaited[2] = { s, &save_id };

        if (s->refusing)
                return error_set(err, s->refusal.code, "%s", s->refusal.text);
        if (s->backwards)
                return error_set(err, EINVAL, "the program gave a step lower than the one before");
        if (snapshot_await_ready(&s->snapshot, until_ns, err) < 0)
                return -1;
        switch (session_await(&s->session, word_has_come, awaited, until_ns, err)) {
        case 1:
                return 0;
        case 0:
                return error_set(err, ETIMEDOUT, "the agent of this rank did not hear of save %" PRIu32, save_id);
        }
        return -1;
}

/* This rank cannot save, or another cannot, or their steps differ: nobody saves, and every agent hears it. */
static int give_up(struct stint *s, uint32_t save_id, int sync, struct stint_error *why)
{
        struct agreement *a = &s->agreement;
        int differ = agreement_steps_differ(a, why);
        int mine = a->all[AGREE_UNABLE] == a->rank + 1;

        if (!differ && !why->code)
                error_set(why, ECANCELED, "rank %d cannot take part in this save (its own log says why)",
                          (int)a->all[AGREE_UNABLE] - 1);
        snapshot_decline(&s->snapshot, save_id, s->step, why);
        if (a->rank == 0 || mine)
                session_log(&s->session, STINT_LOG_WARNING, "step %" PRId64 " is not saved: %s", s->step, why->text);
        s->why = *why;
        return differ || sync ? -1 : STINT_CONTINUE;
}

static struct snapshot_job make_job(const struct stint *s, uint32_t save_id)
{
        const struct agreement *a = &s->agreement;
        struct snapshot_job job = { .save_id = save_id, .step = s->step, .checkpoint_step = a->all[AGREE_STEP] };
        int64_t asked_ns = atomic_load(&s->session.page->request_ns), now_ns = clock_now();

        job.delay_ns = asked_ns > 0 && asked_ns < now_ns ? now_ns - asked_ns : 0;
        job.unchanged =
                a->all[AGREE_LANDED] == job.checkpoint_step && a->all[AGREE_LANDED_LEAST] == -job.checkpoint_step;
        return job;
}

static int has_wish(void *arg)
{
        return wish(arg) != 0;
}

/* The agent was lost with our snapshot while we waited: when it comes back and asks again, the state is still the
 * same. */
static int take_again(struct stint *s, struct snapshot_job *job, struct stint_error *err)
{
        int64_t until_ns = clock_now() + BACK_NS;

        if (session_reconnect(&s->session, until_ns) < 0)
                return error_set(err, ENOTCONN,
                                 "the agent went away before the checkpoint landed, and did not come back");
        s->connects = s->session.connects;
        s->handled = 0;
        snapshot_forget(&s->snapshot);
        if (snapshot_prepare(&s->snapshot, err) < 0)
                return -1;
        if (session_await(&s->session, has_wish, s, until_ns, err) != 1)
                return error_set(err, ENOTCONN,
                                 "the agent went away before the checkpoint landed, and did not ask for it again");
        job->save_id = AGREE_WISH_ID(wish(s));
        job->unchanged = 0;
        s->handled = job->save_id;
        return get_ready(s, job->save_id, err) < 0 ? -1 : snapshot_take(&s->snapshot, job, err);
}

/* 1 when the checkpoint landed, as far as this rank was told; else 0 with the reason. */
static int await_landing(struct stint *s, struct snapshot_job *job, struct stint_error *err)
{
        int rc;

        while ((rc = snapshot_await_result(&s->snapshot, job->save_id, err)) < 0)
                if (take_again(s, job, err) < 0)
                        return 0;
        return rc;
}

/* The agent asked for the save that this rank acted on last once more: another attempt at it. */
static int asked_again(const struct stint *s)
{
        return s->handled && s->session.inbox.wake_id == s->handled && s->session.inbox.wakes > 1;
}

static int over_or_again(void *arg)
{
        struct stint *s = arg;

        return asked_again(s) || snapshot_is_over(&s->snapshot, s->handled);
}

/* The copy failed here, where all ranks wait for the end of this save: there may be another attempt at it.  As
 * await_landing. */
static int await_second_chance(struct stint *s, struct snapshot_job *job, int *taken, struct stint_error *err)
{
        while (session_await(&s->session, over_or_again, s, CLOCK_NEVER, NULL) == 1 && asked_again(s)) {
                s->session.inbox.wakes = 1;
                *taken = snapshot_take(&s->snapshot, job, err) == 0;
                if (*taken)
                        return await_landing(s, job, err);
        }
        return 0;
}

/* One outcome for all ranks: 1 when every one of them was told so; else 0, with the reason in *why where this one
 * was. */
static int confirm(struct stint *s, int told, const char *what, struct stint_error *why)
{
        struct agreement *a = &s->agreement;
        int64_t words[AGREE_WORDS];

        safepoint_words(s, words);
        words[AGREE_FAILED] = told ? 0 : a->rank + 1;
        if (agreement_now(a, words, told ? why : NULL) < 0 || !told)
                return 0;
        if (!a->all[AGREE_FAILED])
                return 1;
        error_set(why, EIO, "rank %d was not told that %s (its own log says why)", (int)a->all[AGREE_FAILED] - 1, what);
        return 0;
}

/* Waits for the end of a save that everybody waits for, and makes one outcome of it for all ranks. */
static int conclude(struct stint *s, struct snapshot_job *job, int taken, int final, struct stint_error *why)
{
        int landed = taken ? await_landing(s, job, why) : await_second_chance(s, job, &taken, why);

        landed = confirm(s, landed, "the checkpoint landed", why);
        if (landed) {
                s->stopped = final && s->active;
                if (final)
                        session_log(&s->session, STINT_LOG_DEBUG, "step %" PRId64 " is saved: this stint stops here",
                                    s->step);
                return final ? STINT_STOP : STINT_SAVED;
        }
        if (final)
                session_log(&s->session, STINT_LOG_ERROR,
                            "the final save of step %" PRId64 " did not land: %s; training goes on", s->step,
                            why->text);
        s->why = *why;
        return final && taken ? STINT_CONTINUE : -1;
}

/* One save.  sync: all ranks wait until it landed, as they do when it is final. */
static int act(struct stint *s, int64_t wanted, int sync)
{
        struct agreement *a = &s->agreement;
        struct stint_error why = { 0 };
        struct snapshot_job job;
        uint32_t save_id = AGREE_WISH_ID(wanted);
        int final = AGREE_WISH_FINAL(wanted), able, taken;
        int64_t words[AGREE_WORDS];

        able = get_ready(s, save_id, &why) == 0;
        s->handled = save_id;
        safepoint_words(s, words);
        words[AGREE_UNABLE] = able ? 0 : a->rank + 1;
        if (agreement_now(a, words, &why) < 0) {
                snapshot_decline(&s->snapshot, save_id, s->step, &why);
                s->why = why;
                return -1;
        }
        if (a->all[AGREE_UNABLE] || agreement_steps_differ(a, NULL))
                return give_up(s, save_id, sync, &why);
        job = make_job(s, save_id);
        taken = snapshot_take(&s->snapshot, &job, &why) == 0;
        if (!taken)
                session_log(&s->session, STINT_LOG_ERROR, "step %" PRId64 " is not saved: %s", s->step, why.text);
        if (final || sync)
                return conclude(s, &job, taken, final, &why);
        s->why = taken ? s->why : why;
        return taken ? STINT_SAVED : -1;
}

/* What the reduction that was waited for last asks of everybody. */
static int judge(struct stint *s)
{
        const struct agreement *a = &s->agreement;
        int64_t wanted = a->all[AGREE_WANT];

        if (wanted)
                return act(s, wanted, a->all[AGREE_SYNC] > 0);
        if (s->active && agreement_steps_differ(a, &s->why))
                return -1;
        return STINT_CONTINUE;
}

/* A reduction made and judged at once. */
static int agree_and_judge(struct stint *s, int sync)
{
        int64_t words[AGREE_WORDS];

        safepoint_words(s, words);
        words[AGREE_SYNC] = sync;
        return agreement_now(&s->agreement, words, &s->why) < 0 ? -1 : judge(s);
}

/* Waits for the reduction begun at an earlier safe point, if there is one. */
static int judge_open(struct stint *s)
{
        if (!s->agreement.open)
                return STINT_CONTINUE;
        return agreement_wait(&s->agreement, &s->why) < 0 ? -1 : judge(s);
}

/* Of two answers at one safe point: what failed counts most, then what asks most of the program. */
static int worse(int a, int b)
{
        return a < 0 || b < 0 ? -1 : a > b ? a : b;
}

/* ---- the safe point ------------------------------------------------------------------------------------------- */

/* Reads the agent's mail.  After a connection was made anew nothing counts that an agent before it knew. */
static void hear_agent(struct stint *s, int64_t now_ns)
{
        session_attend(&s->session, now_ns);
        if (s->session.connects != s->connects) {
                s->connects = s->session.connects;
                s->handled = 0;
                snapshot_forget(&s->snapshot);
        }
        if (asked_again(s) && s->snapshot.in_flight != s->handled) {
                s->session.inbox.wakes = 1;
                s->handled--;
        }
}

static void publish(struct stint *s, int64_t now_ns)
{
        struct control_page *page = s->session.page;

        if (s->last_ns)
                histogram_add(&page->steps, now_ns - s->last_ns);
        atomic_store_explicit(&page->safe_ns, now_ns, memory_order_relaxed);
        atomic_store_explicit(&page->step, s->step, memory_order_relaxed);
}

static void arrive(struct stint *s, int64_t step, int64_t now_ns)
{
        struct stint_error why = { 0 };

        s->backwards = step < s->step || step < 0;
        if (!s->backwards)
                s->step = step;
        publish(s, now_ns);
        hear_agent(s, now_ns);
        if (!s->restored.asked)
                restore_forgone(s);
        if (session_usable(&s->session) && snapshot_prepare(&s->snapshot, &why) < 0 && why.code != ENOTCONN)
                session_log(&s->session, STINT_LOG_WARNING, "the state cannot be described to the agent: %s", why.text);
}

/* Makes ready for the fast path: when nothing is wanted and everything read, the word as it is stands for that. */
static void leave(struct stint *s)
{
        uint64_t word = atomic_load_explicit(&s->session.page->word, memory_order_acquire);
        int quiet = !wish(s) && (session_usable(&s->session) ? (word & CONTROL_MAIL_MASK) == s->session.mail : 1);

        snapshot_clear_metrics(&s->snapshot);
        s->backwards = 0;
        s->seen = quiet ? word : ~word;
        s->look_ns = s->agreement.ranks > 1 ? 0 : s->session.look_ns;
        s->last_ns = clock_now();
}

static int point_alone(struct stint *s)
{
        ask_for_best(s);
        return agree_and_judge(s, 0);
}

/* The ranks cannot agree any more: every save is declined, so that nobody waits for this rank. */
static int broken_off(struct stint *s)
{
        int64_t wanted = wish(s);

        if (wanted) {
                s->handled = AGREE_WISH_ID(wanted);
                snapshot_decline(&s->snapshot, s->handled, s->step, &s->why);
        }
        return -1;
}

/* Of several ranks: act on what the safe point before began, and begin anew.  A metric belongs to this very step. */
static int point_together(struct stint *s)
{
        struct agreement *a = &s->agreement;
        int due = agreement_due(a), metric = s->snapshot.metric_count > 0, go = STINT_CONTINUE;
        int64_t words[AGREE_WORDS];

        if (a->broken)
                return broken_off(s);
        if (due || metric)
                go = judge_open(s);
        if (metric && go != STINT_STOP && !a->broken) {
                ask_for_best(s);
                go = worse(go, agree_and_judge(s, 0));
        }
        if (a->broken)
                return broken_off(s);
        if (!due || go == STINT_STOP)
                return go;
        safepoint_words(s, words);
        return agreement_begin(a, words, &s->why) < 0 ? -1 : go;
}

int safepoint_slow(struct stint *s, int64_t step, int64_t now_ns)
{
        int64_t before = s->step;
        int backwards, go;

        if (s->session.forked)
                return STINT_CONTINUE;
        arrive(s, step, now_ns);
        backwards = s->backwards;
        go = s->agreement.ranks > 1 ? point_together(s) : point_alone(s);
        leave(s);
        if (backwards && go != STINT_STOP)
                return error_set(&s->why, EINVAL,
                                 "stint_step was given step %" PRId64 " after step %" PRId64 ": steps only grow", step,
                                 before);
        return go;
}

static int save_together(struct stint *s)
{
        struct agreement *a = &s->agreement;
        int64_t words[AGREE_WORDS];
        struct stint_error why = { 0 };

        if (judge_open(s) == STINT_STOP)
                return STINT_STOP;
        if (a->rank == 0)
                ask(s, SAVE_PROGRAM, CLOCK_NEVER, &why);
        safepoint_words(s, words);
        words[AGREE_SYNC] = 1;
        if (agreement_now(a, words, &s->why) < 0)
                return -1;
        if (a->all[AGREE_WANT])
                return act(s, a->all[AGREE_WANT], 1);
        return error_set(&s->why, why.code ? why.code : EBUSY, "step %" PRId64 " is not saved: %s", s->step,
                         why.code ? why.text : "rank 0 was not granted a save (its own log says why)");
}

int safepoint_save(struct stint *s, int64_t step, int64_t now_ns)
{
        int64_t before = s->step;
        int backwards, go;

        arrive(s, step, now_ns);
        backwards = s->backwards;
        go = save_together(s);
        leave(s);
        if (backwards && go != STINT_STOP)
                return error_set(&s->why, EINVAL,
                                 "stint_save was given step %" PRId64 " after step %" PRId64 ": steps only grow", step,
                                 before);
        return go == STINT_CONTINUE ? -1 : go;
}

void safepoint_refuse(struct stint *s, const struct stint_error *why)
{
        s->refusing = 1;
        s->refusal = *why;
        session_log(&s->session, STINT_LOG_ERROR,
                    "nothing will be saved in this stint, so as not to bury what was not restored: %s", why->text);
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

/*
 * Takes part in what the ranks still training do until none is left.  0; 1 when a rank leaves without being complete;
 * -1 when the communicator failed.
 */
static int outlast_others(struct stint *s, int complete)
{
        struct agreement *a = &s->agreement;
        int64_t words[AGREE_WORDS], active, leaving;

        s->active = 0;
        judge_open(s);
        do {
                hear_agent(s, clock_now());
                safepoint_words(s, words);
                words[AGREE_LEAVING] = complete ? 0 : a->rank + 1;
                if (agreement_now(a, words, &s->why) < 0)
                        return -1;
                active = a->all[AGREE_ACTIVE];
                leaving = a->all[AGREE_LEAVING];
                judge(s);
        } while (active);
        return leaving ? 1 : 0;
}

/* Sees to it that the state of the last step has landed: 0, or -1 on every rank. */
static int save_last(struct stint *s)
{
        struct agreement *a = &s->agreement;
        int64_t words[AGREE_WORDS];
        struct stint_error why = { 0 };
        int go;

        if (s->snapshot.in_flight)
                snapshot_await_result(&s->snapshot, s->snapshot.in_flight, NULL);
        safepoint_words(s, words);
        words[AGREE_UNABLE] = s->step < 0 || !session_usable(&s->session) ? a->rank + 1 : 0;
        if (agreement_now(a, words, &s->why) < 0)
                return -1;
        if (a->all[AGREE_UNABLE])
                return error_set(&s->why, s->step < 0 ? EINVAL : ENOTCONN,
                                 s->step < 0 ? "training is not complete: stint_step was never called, so there is no "
                                               "state to end with"
                                             : "training cannot be marked complete: rank %d has no agent, or no state",
                                 (int)a->all[AGREE_UNABLE] - 1);
        if (a->all[AGREE_LANDED] == a->all[AGREE_STEP] && a->all[AGREE_LANDED_LEAST] == -a->all[AGREE_STEP])
                return 0;
        if (a->rank == 0)
                ask(s, SAVE_COMPLETE, CLOCK_NEVER, &why);
        go = agree_and_judge(s, 1);
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

        return s->session.inbox.has_completed || wish(s);
}

/* A save that is asked for when the last state has landed already: nothing has changed since, and nobody need wait
 * for us. */
static void answer_late_wish(struct stint *s)
{
        struct snapshot_job job = { .save_id = AGREE_WISH_ID(wish(s)), .step = s->step, .unchanged = 1 };

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
                        if (session_reconnect(&s->session, clock_now() + BACK_NS) < 0)
                                return error_set(
                                        err, ENOTCONN,
                                        "the agent went away before the run was marked as done: it is not complete");
                        hear_agent(s, clock_now());
                }
                if (!inbox->has_completed && wish(s))
                        answer_late_wish(s);
        }
        inbox->has_completed = 0;
        if (inbox->completed.done)
                return 0;
        return error_set(err, inbox->completed.code > 0 ? inbox->completed.code : EIO,
                         "the run was not marked as done: %s", inbox->completed.text);
}

static int complete_together(struct stint *s)
{
        struct stint_error why;
        int told;

        if (save_last(s) < 0)
                return -1;
        told = mark_done(s, &why) == 0;
        if (confirm(s, told, "the run is done", &why))
                return 0;
        s->why = why;
        return -1;
}

/* Without an agent there is nothing to do at the end but to say so. */
static int complete_unrecorded(struct stint *s)
{
        session_log(&s->session, STINT_LOG_WARNING,
                    "training is complete, but without an agent nothing was recorded of it");
        return 0;
}

int safepoint_finish(struct stint *s, int complete)
{
        int left = 0;

        s->finished = 1;
        if (s->layout.carried)
                session_log(&s->session, STINT_LOG_NOTICE,
                            "tensors of the restored checkpoint that the program never attached, and that its checkpoints carry along: "
                            "%" PRIu64,
                            s->layout.carried);
        hear_agent(s, clock_now());
        if (s->agreement.ranks > 1)
                left = outlast_others(s, complete);
        s->active = 0;
        if (left < 0 || !complete)
                return left < 0 ? -1 : 0;
        if (left)
                return error_set(&s->why, ECANCELED,
                                 "the run is not complete: another rank ended without stint_complete");
        hear_agent(s, clock_now());
        return s->session.off && s->agreement.ranks == 1 ? complete_unrecorded(s) : complete_together(s);
}
