/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_agreement: several ranks, as threads of one process with a communicator of their own, save, restore and end
 * together. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include "agreement.h"
#include "fake_agent.h"
#include "fault.h"
#include "safepoint.h"
#include "suite.h"

#define RANKS 3
#define STEPS 12

/* ---- a communicator ------------------------------------------------------------------------------------------- */

/* Reductions are numbered; at most two are open at once, since nobody begins the next before it has waited for the
 * last. */
struct reduction {
        long number;
        int joined, left;
        int64_t most[AGREE_WORDS];
};

struct world {
        pthread_mutex_t lock;
        pthread_cond_t moved;
        struct reduction slots[2];
        int ranks, failing;
};

struct member {
        struct world *world;
        long number;
        int64_t *values;
        int n;
        long reductions;
};

static struct world world;

static void world_begin(int ranks)
{
        memset(&world, 0, sizeof world);
        pthread_mutex_init(&world.lock, NULL);
        pthread_cond_init(&world.moved, NULL);
        world.ranks = ranks;
        world.slots[1].number = 1;
}

static int member_begin(void *arg, int64_t *values, int n)
{
        struct member *m = arg;
        struct reduction *r = &m->world->slots[m->number % 2];
        int i;

        pthread_mutex_lock(&m->world->lock);
        while (r->number != m->number)
                pthread_cond_wait(&m->world->moved, &m->world->lock);
        for (i = 0; i < n; i++)
                if (!r->joined || values[i] > r->most[i])
                        r->most[i] = values[i];
        r->joined++;
        m->values = values;
        m->n = n;
        pthread_cond_broadcast(&m->world->moved);
        pthread_mutex_unlock(&m->world->lock);
        return m->world->failing ? -1 : 0;
}

static int member_wait(void *arg)
{
        struct member *m = arg;
        struct reduction *r = &m->world->slots[m->number % 2];

        pthread_mutex_lock(&m->world->lock);
        while (r->joined < m->world->ranks)
                pthread_cond_wait(&m->world->moved, &m->world->lock);
        memcpy(m->values, r->most, (size_t)m->n * sizeof r->most[0]);
        if (++r->left == m->world->ranks) {
                r->number += 2;
                r->joined = r->left = 0;
                pthread_cond_broadcast(&m->world->moved);
        }
        m->number++;
        m->reductions++;
        pthread_mutex_unlock(&m->world->lock);
        return 0;
}

/* ---- ranks ---------------------------------------------------------------------------------------------------- */

static struct fake_agent agent;

struct process {
        int rank;
        pthread_t thread;
        struct member member;
        struct stint *s;
        int every;
        int last;         /* its last step of its own */
        int skew_at;      /* from this step on it counts one too many; 0: never */
        int stop_early;   /* leaves with stint_close and without stint_complete */
        int metric_at;    /* reports a metric at this step; 0: never */
        int save_at;      /* calls stint_save at this step; 0: never */
        int refuse;       /* attaches something that does not fit the checkpoint */
        int64_t state[4];
        /* what it saw */
        int restored, saved, saved_at, stopped_at, failed, complete;
        int64_t from;
        char why[500];
};

static struct process processes[RANKS];

static int process_step(struct process *p, int64_t step)
{
        int go;

        p->state[0] = step * 10 + p->rank;
        if (p->skew_at && step >= p->skew_at)
                step++;
        if (p->metric_at == step)
                stint_metric(p->s, "loss", 1.0, STINT_GOAL_MIN);
        go = p->save_at == step ? stint_save(p->s, step) : stint_step(p->s, step);
        if (go == STINT_SAVED) {
                p->saved++;
                p->saved_at = (int)step;
        }
        if (go < 0) {
                p->failed++;
                snprintf(p->why, sizeof p->why, "%s", stint_why(p->s));
        }
        return go;
}

static void *process_main(void *arg)
{
        struct process *p = arg;
        struct stint_agree agree = { member_begin, member_wait, &p->member };
        struct stint_options options = STINT_OPTIONS;
        int64_t step;

        options.rank = p->rank;
        options.ranks = RANKS;
        options.agree = &agree;
        options.agree_every = p->every;
        options.log = NULL;
        p->s = stint_open(&options, NULL);
        stint_attach(p->s, "state",
                     p->refuse ? STINT_ARRAY(p->state, STINT_I64, 3) : STINT_ARRAY(p->state, STINT_I64, 4));
        p->restored = stint_restore(p->s, &p->from);
        if (p->restored < 0)
                snprintf(p->why, sizeof p->why, "%s", stint_why(p->s));
        for (step = p->from + 1; p->restored >= 0 && step <= p->last; step++)
                if (process_step(p, step) == STINT_STOP) {
                        p->stopped_at = (int)step;
                        break;
                }
        p->complete = 1;
        if (!p->stopped_at && !p->stop_early)
                p->complete = stint_complete(p->s);
        if (p->complete < 0)
                snprintf(p->why, sizeof p->why, "%s", stint_why(p->s));
        stint_close(p->s);
        return NULL;
}

static void setup(void)
{
        int i;

        fault_reset();
        fake_start(&agent, RANKS);
        memset(processes, 0, sizeof processes);
        for (i = 0; i < RANKS; i++)
                processes[i] = (struct process){ .rank = i, .last = STEPS };
}

static void teardown(void)
{
        fake_stop(&agent);
}

static void start_all(void)
{
        int i;

        world_begin(RANKS);
        for (i = 0; i < RANKS; i++) {
                processes[i].member = (struct member){ .world = &world };
                ck_assert_int_eq(pthread_create(&processes[i].thread, NULL, process_main, &processes[i]), 0);
        }
}

static void join_all(void)
{
        int i;

        for (i = 0; i < RANKS; i++)
                pthread_join(processes[i].thread, NULL);
        for (i = 1; i < RANKS; i++)
                ck_assert_int_eq(processes[i].member.reductions, processes[0].member.reductions);
}

/* ---- the vector ----------------------------------------------------------------------------------------------- */

START_TEST(ranks_that_cannot_be_are_refused)
{
        struct stint_agree agree = { member_begin, member_wait, NULL };
        struct stint_error err;
        struct agreement a;

        ck_assert_int_eq(agreement_init(&a, 0, 0, NULL, 0, &err), 0);
        ck_assert_int_eq(a.ranks, 1);
        ck_assert_int_eq(agreement_init(&a, 2, 2, &agree, 0, &err), -1);
        ck_assert_int_eq(agreement_init(&a, -1, 2, &agree, 0, &err), -1);
        ck_assert_int_eq(agreement_init(&a, 0, -1, &agree, 0, &err), -1);
        ck_assert_int_eq(agreement_init(&a, 0, 2, &agree, -1, &err), -1);
        ck_assert_int_eq(agreement_init(&a, 0, 2, NULL, 0, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_ptr_nonnull(strstr(err.text, "stint_mpi.h"));
        ck_assert_ptr_null(
                stint_open(&(struct stint_options){ .size = sizeof(struct stint_options), .ranks = 2 }, &err));
        ck_assert_int_eq(err.code, EINVAL);
}
END_TEST

START_TEST(one_rank_agrees_with_itself)
{
        int64_t words[AGREE_WORDS];
        struct agreement a;

        agreement_init(&a, 0, 1, NULL, 0, NULL);
        agreement_silence(words);
        words[AGREE_WANT] = AGREE_WISH(7, 1);
        ck_assert_int_eq(agreement_now(&a, words, NULL), 0);
        ck_assert_uint_eq(AGREE_WISH_ID(a.all[AGREE_WANT]), 7);
        ck_assert_int_eq(AGREE_WISH_FINAL(a.all[AGREE_WANT]), 1);
        ck_assert_int_eq(agreement_steps_differ(&a, NULL), 0);
        ck_assert(AGREE_WISH(8, 0) > AGREE_WISH(7, 1));
}
END_TEST

START_TEST(a_communicator_that_failed_stays_failed)
{
        struct member member = { .world = &world };
        struct stint_agree agree = { member_begin, member_wait, &member };
        int64_t words[AGREE_WORDS];
        struct stint_error err;
        struct agreement a;

        world_begin(2);
        world.failing = 1;
        agreement_init(&a, 0, 2, &agree, 0, NULL);
        agreement_silence(words);
        ck_assert_int_eq(agreement_now(&a, words, &err), -1);
        ck_assert_int_eq(err.code, ECOMM);
        world.failing = 0;
        ck_assert_int_eq(agreement_begin(&a, words, &err), -1);
        ck_assert_int_eq(agreement_wait(&a, &err), -1);
}
END_TEST

/* ---- whole trainings ------------------------------------------------------------------------------------------ */

START_TEST(ranks_save_the_same_step_and_end_together)
{
        int i;

        for (i = 0; i < RANKS; i++)
                processes[i].save_at = 5;
        start_all();
        join_all();
        for (i = 0; i < RANKS; i++) {
                ck_assert_int_eq(processes[i].failed, 0);
                ck_assert_int_eq(processes[i].saved_at, 5);
                ck_assert_int_eq(processes[i].complete, 0);
                ck_assert_int_eq(agent.at[i].last.step, STEPS);
        }
        ck_assert_int_eq(agent.landed_step, STEPS);
        ck_assert_int_eq(agent.completes, RANKS);
        ck_assert_int_eq(agent.asked, 2); /* by rank 0 alone: stint_save, and stint_complete */
}
END_TEST

START_TEST(a_wish_that_one_agent_knows_first_is_acted_on_by_all_at_one_step)
{
        int i, every;

        for (every = 1; every <= 4; every++) {
                for (i = 0; i < RANKS; i++)
                        processes[i] = (struct process){ .rank = i, .last = 1000000000, .every = i == 1 ? every : 0 };
                start_all();
                fake_await(&agent, &agent.restores, RANKS * every);
                fake_want(&agent, 1);
                join_all();
                ck_assert_int_gt(processes[0].stopped_at, 0);
                for (i = 1; i < RANKS; i++)
                        ck_assert_int_eq(processes[i].stopped_at, processes[0].stopped_at);
                ck_assert_int_eq(agent.landed_step, processes[0].stopped_at);
        }
}
END_TEST

START_TEST(what_ranks_saved_each_of_them_has_again)
{
        int i;

        for (i = 0; i < RANKS; i++)
                processes[i].save_at = STEPS;
        start_all();
        join_all();
        for (i = 0; i < RANKS; i++)
                processes[i] = (struct process){ .rank = i, .last = STEPS };
        start_all();
        join_all();
        for (i = 0; i < RANKS; i++) {
                ck_assert_int_eq(processes[i].restored, STINT_RESTORED);
                ck_assert_int_eq(processes[i].from, STEPS);
                ck_assert_int_eq(processes[i].state[0], STEPS * 10 + i);
                ck_assert_int_eq(processes[i].complete, 0);
        }
}
END_TEST

START_TEST(when_one_rank_does_not_fit_no_rank_is_restored)
{
        int i;

        start_all();
        join_all();
        for (i = 0; i < RANKS; i++)
                processes[i] = (struct process){ .rank = i, .last = STEPS, .refuse = i == 1 };
        start_all();
        join_all();
        for (i = 0; i < RANKS; i++) {
                ck_assert_int_eq(processes[i].restored, -1);
                ck_assert_int_eq(processes[i].state[0], 0);
        }
        ck_assert_int_eq(processes[1].complete, -1);
}
END_TEST

START_TEST(ranks_that_finish_early_take_part_in_the_saves_of_the_others)
{
        int i;

        processes[0].last = 4;
        processes[1].last = 9;
        processes[2].last = STEPS;
        for (i = 0; i < RANKS; i++)
                processes[i].every = i;
        start_all();
        fake_await(&agent, &agent.restores, RANKS);
        fake_want(&agent, 0);
        join_all();
        for (i = 0; i < RANKS; i++)
                ck_assert_int_eq(processes[i].complete, 0);
        ck_assert_int_eq(agent.landed_step, STEPS);
        ck_assert_int_eq(agent.at[0].last.step, 4);
        ck_assert_int_eq(agent.at[1].last.step, 9);
        ck_assert_int_eq(agent.at[0].last.checkpoint_step, STEPS);
        ck_assert_int_eq(agent.completes, RANKS);
}
END_TEST

START_TEST(a_run_is_not_complete_while_one_rank_leaves_early)
{
        int i;

        processes[1].last = 3;
        processes[1].stop_early = 1;
        start_all();
        join_all();
        ck_assert_int_eq(processes[0].complete, -1);
        ck_assert_int_eq(processes[2].complete, -1);
        ck_assert_int_eq(agent.completes, 0);
        for (i = 0; i < RANKS; i++)
                ck_assert_int_eq(processes[i].failed, 0);
}
END_TEST

START_TEST(ranks_at_different_steps_are_told_and_nothing_is_saved)
{
        int i;

        processes[2].skew_at = 6;
        for (i = 0; i < RANKS; i++)
                processes[i].stop_early = 1;
        start_all();
        join_all();
        for (i = 0; i < RANKS; i++) {
                ck_assert_int_gt(processes[i].failed, 0);
                ck_assert_ptr_nonnull(strstr(processes[i].why, "different steps"));
        }
        ck_assert_int_eq(agent.snapshots, 0);
}
END_TEST

START_TEST(a_metric_saves_the_very_step_it_belongs_to)
{
        int i;

        for (i = 0; i < RANKS; i++) {
                processes[i].metric_at = 7;
                processes[i].every = 3;
                processes[i].stop_early = 1;
        }
        start_all();
        join_all();
        for (i = 0; i < RANKS; i++)
                ck_assert_int_eq(processes[i].saved_at, 7);
        fake_await(&agent, &agent.snapshots, RANKS); /* nobody waited for them */
        ck_assert_uint_eq(agent.asked_reason, SAVE_BEST);
        ck_assert_int_eq(agent.asked, 1);
        ck_assert_int_eq(agent.at[0].last.step, 7);
}
END_TEST

START_TEST(when_one_rank_cannot_copy_the_save_fails_for_all_and_training_goes_on)
{
        int i, failed = 0;

        fake_set("STINT_FAULT", "snapshot.mid_copy:fail=EIO@2"); /* the second rank that comes there */
        fault_reset();
        for (i = 0; i < RANKS; i++)
                processes[i].save_at = 5;
        start_all();
        join_all();
        for (i = 0; i < RANKS; i++) {
                failed += processes[i].failed;
                ck_assert_int_eq(processes[i].complete, 0);
        }
        ck_assert_int_eq(failed, RANKS);
        ck_assert_int_eq(agent.declined, 1);
        ck_assert_int_eq(agent.landed_step, STEPS);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *vector = suite_case(suite, "vector"), *trainings = suite_case(suite, "trainings");

        tcase_add_test(vector, ranks_that_cannot_be_are_refused);
        tcase_add_test(vector, one_rank_agrees_with_itself);
        tcase_add_test(vector, a_communicator_that_failed_stays_failed);
        tcase_add_checked_fixture(trainings, setup, teardown);
        tcase_add_test(trainings, ranks_save_the_same_step_and_end_together);
        tcase_add_test(trainings, a_wish_that_one_agent_knows_first_is_acted_on_by_all_at_one_step);
        tcase_add_test(trainings, what_ranks_saved_each_of_them_has_again);
        tcase_add_test(trainings, when_one_rank_does_not_fit_no_rank_is_restored);
        tcase_add_test(trainings, ranks_that_finish_early_take_part_in_the_saves_of_the_others);
        tcase_add_test(trainings, a_run_is_not_complete_while_one_rank_leaves_early);
        tcase_add_test(trainings, ranks_at_different_steps_are_told_and_nothing_is_saved);
        tcase_add_test(trainings, a_metric_saves_the_very_step_it_belongs_to);
        tcase_add_test(trainings, when_one_rank_cannot_copy_the_save_fails_for_all_and_training_goes_on);
}

SUITE_MAIN("agreement", add_tests)
