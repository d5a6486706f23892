/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * safepoint: the slow path of a safe point, and a save from the wish to its end.  stint.c calls in, and finish.c for
 * the saves and reductions that come after the last safe point.
 *
 * Several ranks: every function here runs on all of them, and makes the same reductions in the same order, whatever
 * happens on one; what happened on one is in the words that it gives to the next reduction.  A rank that has finished
 * goes on making the reductions of those that train, and takes part in their saves with the state of its own last step.
 */
#include "safepoint.h"

#include <errno.h>
#include <inttypes.h>

#include "reach.h"

#define READY_NS (60 * CLOCK_SECOND) /* for staging, for the snapshot before to be written, for our own agent to ask */
#define BEST_NS (60 * CLOCK_SECOND)  /* for a save that was asked for because a metric improved */

/* ---- wishes --------------------------------------------------------------------------------------------------- */

int64_t safepoint_wish(const struct stint *s)
{
        uint64_t word = atomic_load_explicit(&s->session.page->word, memory_order_acquire);
        uint32_t id = CONTROL_SAVE_ID(word);

        return id > s->handled ? AGREE_WISH(id, word & CONTROL_FINAL) : 0;
}

static int has_answer(void *arg)
{
        struct stint *s = arg;

        return safepoint_wish(s) != 0 || s->session.inbox.has_no_save;
}

int safepoint_ask(struct stint *s, enum save_reason reason, int64_t until_ns, struct stint_error *err)
{
        struct wire_ask_save m = { 0 };
        int rc;

        if (safepoint_wish(s))
                return 0;
        if (safepoint_refusal(s))
                return error_set(err, ECANCELED, "%s", safepoint_refusal(s)->text);
        WIRE_INIT(&m, WIRE_ASK_SAVE);
        m.reason = reason;
        m.step = s->step;
        s->session.inbox.has_no_save = 0;
        if (session_send(&s->session, &m, sizeof m, -1, err) < 0)
                return -1;
        rc = session_await(&s->session, has_answer, s, until_ns, err);
        if (rc == 0)
                return error_set(err, ETIMEDOUT, "`stint run` did not answer in time");
        if (rc < 0 || safepoint_wish(s))
                return rc < 0 ? -1 : 0;
        s->session.inbox.has_no_save = 0;
        return error_set(err, EBUSY, "%s", s->session.inbox.no_save.text);
}

/* When the metrics of this step improve on the best: rank 0, whose value counts, asks for a save. */
static void ask_for_best(struct stint *s)
{
        struct stint_error why;

        if (s->agreement.rank || safepoint_refusal(s) || !session_usable(&s->session) ||
            !snapshot_improves(&s->snapshot))
                return;
        if (safepoint_ask(s, SAVE_BEST, clock_now() + BEST_NS, &why) < 0)
                session_log(&s->session, STINT_LOG_WARNING, "step %" PRId64 " is the best so far, but is not saved: %s",
                            s->step, why.text);
}

void safepoint_words(const struct stint *s, int64_t words[AGREE_WORDS])
{
        int able = session_usable(&s->session) && !safepoint_refusal(s) && !s->misstep.code;
        int64_t held = snapshot_held(&s->snapshot, s->step);

        agreement_silence(words);
        words[AGREE_WANT] = safepoint_wish(s);
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
        const struct stint_error *refusal = safepoint_refusal(s);

        if (!refusal && s->misstep.code)
                refusal = &s->misstep;
        if (refusal)
                return error_set(err, refusal->code, "%s", refusal->text);
        if (snapshot_await_ready(&s->snapshot, s->step, until_ns, err) < 0)
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
        int64_t asked_ns = atomic_load(&s->session.page->request_ns), here_ns = clock_now() - s->snapshot.waited_ns;

        /* What was asked for before the first safe point has waited for the program to begin, as no later one does. */
        if (s->last_ns)
                job.delay_ns = asked_ns > 0 && asked_ns < here_ns ? here_ns - asked_ns : 0;
        job.unchanged =
                a->all[AGREE_LANDED] == job.checkpoint_step && a->all[AGREE_LANDED_LEAST] == -job.checkpoint_step;
        return job;
}

static int has_wish(void *arg)
{
        return safepoint_wish(arg) != 0;
}

/* The agent was lost with our snapshot while we waited: when it comes back and asks again, the state is still the
 * same. */
static int take_again(struct stint *s, struct snapshot_job *job, struct stint_error *err)
{
        int64_t until_ns = clock_now() + REACH_BACK_NS;

        if (reach_until(&s->session, until_ns) < 0)
                return error_set(err, ENOTCONN,
                                 "the agent went away before the checkpoint landed, and did not come back");
        s->connects = s->session.connects;
        s->handled = s->session.over_id;
        snapshot_forget(&s->snapshot);
        if (snapshot_prepare(&s->snapshot, err) < 0)
                return -1;
        if (session_await(&s->session, has_wish, s, until_ns, err) != 1)
                return error_set(err, ENOTCONN,
                                 "the agent went away before the checkpoint landed, and did not ask for it again");
        job->save_id = AGREE_WISH_ID(safepoint_wish(s));
        job->unchanged = 0;
        s->handled = job->save_id;
        return get_ready(s, job->save_id, err) < 0 ? -1 : snapshot_take(&s->snapshot, job, err);
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

static int await_second_chance(struct stint *s, struct snapshot_job *job, int *taken, struct stint_error *err);

/*
 * 1 when the checkpoint landed, as far as this rank was told; else 0 with the reason.  For a further attempt the agent has
 * the state still, unless it was streamed: then it asks again.
 */
static int await_landing(struct stint *s, struct snapshot_job *job, struct stint_error *err)
{
        int taken = 0;

        for (;;) {
                if (session_await(&s->session, over_or_again, s, CLOCK_NEVER, NULL) < 0) {
                        if (take_again(s, job, err) < 0)
                                return 0;
                } else if (asked_again(s) && !snapshot_is_over(&s->snapshot, job->save_id)) {
                        snapshot_lost(&s->snapshot, job->save_id);
                        return await_second_chance(s, job, &taken, err);
                } else {
                        return snapshot_await_result(&s->snapshot, job->save_id, err);
                }
        }
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

int safepoint_confirm(struct stint *s, int told, const char *what, struct stint_error *why)
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

        landed = safepoint_confirm(s, landed, "the checkpoint landed", why);
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
        if (s->session.inbox.wake_id == save_id)
                s->session.inbox.wakes = 1; /* whoever asked more than once asks for this */
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
        /* An agent that went away with a part of the state is waited for as one that has all of it. */
        taken |= why.code == ENOTCONN && (final || sync);
        if (!taken)
                session_log(&s->session, STINT_LOG_ERROR, "step %" PRId64 " is not saved: %s", s->step, why.text);
        if (final || sync)
                return conclude(s, &job, taken, final, &why);
        s->why = taken ? s->why : why;
        return taken ? STINT_SAVED : -1;
}

int safepoint_judge(struct stint *s)
{
        const struct agreement *a = &s->agreement;
        int64_t wanted = a->all[AGREE_WANT];

        if (wanted)
                return act(s, wanted, a->all[AGREE_SYNC] > 0);
        if (s->active && agreement_steps_differ(a, &s->why))
                return -1;
        return STINT_CONTINUE;
}

int safepoint_agree(struct stint *s, int sync)
{
        int64_t words[AGREE_WORDS];

        safepoint_words(s, words);
        words[AGREE_SYNC] = sync;
        return agreement_now(&s->agreement, words, &s->why) < 0 ? -1 : safepoint_judge(s);
}

int safepoint_judge_open(struct stint *s)
{
        if (!s->agreement.open)
                return STINT_CONTINUE;
        return agreement_wait(&s->agreement, &s->why) < 0 ? -1 : safepoint_judge(s);
}

/* Of two answers at one safe point: what failed counts most, then what asks most of the program. */
static int worse(int a, int b)
{
        return a < 0 || b < 0 ? -1 : a > b ? a : b;
}

/* ---- the safe point ------------------------------------------------------------------------------------------- */

void safepoint_hear(struct stint *s, int64_t now_ns)
{
        session_attend(&s->session, now_ns);
        if (s->session.connects != s->connects) {
                s->connects = s->session.connects;
                s->handled = s->session.over_id;
                snapshot_forget(&s->snapshot);
        }
        if (asked_again(s) && !snapshot_flies(&s->snapshot, s->handled)) {
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

/*
 * Takes the step that the program gave, or refuses it: the state would be saved as that of another step.  After a lower
 * one the highest so far does not count either: it was counted from the beginning again.
 */
static void take_step(struct stint *s, int64_t step, const char *call)
{
        if (step > s->step || (step == s->step && step >= 0 && !s->misstep.code)) {
                s->misstep.code = 0;
                s->step = step;
                return;
        }
        if (step < 0)
                error_set(&s->misstep, EINVAL,
                          "%s was given step %" PRId64 ": a step is how many were done, 0 at least, so this one is not "
                          "saved", call, step);
        else
                error_set(&s->misstep, EINVAL,
                          "%s was given step %" PRId64 " after step %" PRId64 ": steps only grow, so this one is not "
                          "saved; count steps over the whole training, all epochs included", call, step, s->step);
        if (s->missteps++ == 0)
                session_log(&s->session, STINT_LOG_ERROR, "%s", s->misstep.text);
}

static void arrive(struct stint *s, int64_t step, int64_t now_ns, const char *call)
{
        struct stint_error why = { 0 };

        take_step(s, step, call);
        publish(s, now_ns);
        safepoint_hear(s, now_ns);
        if (!s->restored.asked)
                restore_forgone(s);
        if (session_usable(&s->session) && snapshot_prepare(&s->snapshot, &why) < 0 && why.code != ENOTCONN)
                session_log(&s->session, STINT_LOG_WARNING, "the state cannot be described to the agent: %s", why.text);
}

/* Makes ready for the fast path: when nothing is wanted and everything read, the word as it is stands for that. */
static void leave(struct stint *s)
{
        uint64_t word = atomic_load_explicit(&s->session.page->word, memory_order_acquire);
        int quiet = !safepoint_wish(s) &&
                    (!session_usable(&s->session) || (word & CONTROL_MAIL_MASK) == s->session.mail);

        snapshot_clear_metrics(&s->snapshot);
        s->seen = quiet ? word : ~word;
        s->look_ns = s->agreement.ranks > 1 || s->misstep.code || s->stopped > s->trained_on ? 0 : s->session.look_ns;
        s->last_ns = clock_now();
}

static int point_alone(struct stint *s)
{
        ask_for_best(s);
        return safepoint_agree(s, 0);
}

/* The ranks cannot agree any more: every save is declined, so that nobody waits for this rank. */
static int broken_off(struct stint *s)
{
        int64_t wanted = safepoint_wish(s);

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
                go = safepoint_judge_open(s);
        if (metric && go != STINT_STOP && !a->broken) {
                ask_for_best(s);
                go = worse(go, safepoint_agree(s, 0));
        }
        if (a->broken)
                return broken_off(s);
        if (!due || go == STINT_STOP)
                return go;
        safepoint_words(s, words);
        return agreement_begin(a, words, &s->why) < 0 ? -1 : go;
}

/* A step lower than the one before is the program's mistake; a stint that ends here ends all the same. */
static int visit(struct stint *s, int64_t step, int64_t now_ns, int (*do_here)(struct stint *s), const char *call)
{
        int go;

        arrive(s, step, now_ns, call);
        go = do_here(s);
        leave(s);
        if (!s->misstep.code || go == STINT_STOP)
                return go;
        s->why = s->misstep;
        return -1;
}

int safepoint_slow(struct stint *s, int64_t step, int64_t now_ns)
{
        if (s->session.forked)
                return STINT_CONTINUE;
        if (s->stopped && !s->trained_on) {
                s->trained_on = 1;
                session_log(&s->session, STINT_LOG_WARNING,
                            "stint_step answered STINT_STOP at step %" PRId64 " and the program trained on: what it "
                            "trains from here is lost when this stint ends", s->step);
        }
        return visit(s, step, now_ns, s->agreement.ranks > 1 ? point_together : point_alone, "stint_step");
}

static int save_together(struct stint *s)
{
        struct agreement *a = &s->agreement;
        int64_t words[AGREE_WORDS];
        struct stint_error why = { 0 };

        if (safepoint_judge_open(s) == STINT_STOP)
                return STINT_STOP;
        if (a->rank == 0)
                safepoint_ask(s, SAVE_PROGRAM, CLOCK_NEVER, &why);
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
        int go = visit(s, step, now_ns, save_together, "stint_save");

        return go == STINT_CONTINUE ? -1 : go;
}

void safepoint_refuse(struct stint *s, const struct stint_error *why)
{
        s->refusing = 1;
        s->refusal = *why;
        session_log(&s->session, STINT_LOG_ERROR,
                    "nothing will be saved in this stint, so as not to bury what was not restored: %s", why->text);
}
