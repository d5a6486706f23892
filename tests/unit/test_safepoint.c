/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_safepoint: what stint_step(), stint_save() and stint_metric() do at a safe point. */
#include <math.h>
#include "suite.h"
#include "training.h"

START_TEST(nothing_to_do_goes_on)
{
        struct stint *s = begin();
        int i;

        for (i = 1; i <= 100; i++)
                ck_assert_int_eq(step(s, i), STINT_CONTINUE);
        ck_assert_int_eq(agent.at[0].page->step, 100);
        ck_assert_int_gt(agent.at[0].page->safe_ns, 0);
        ck_assert_uint_eq(histogram_count(&agent.at[0].page->steps), 99);
        ck_assert_str_eq(stint_dir(s), "/tmp/fake.stint");
        stint_close(s);
        fake_await(&agent, &agent.byes, 1);
        ck_assert_int_eq(agent.snapshots, 0);
}
END_TEST

START_TEST(a_wanted_save_is_taken_once_at_the_next_safe_point)
{
        struct stint *s = begin();

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        fake_want(&agent, 0);
        ck_assert_int_eq(stint_poll(s), 1);
        ck_assert_int_eq(step(s, 2), STINT_SAVED);
        ck_assert_int_eq(stint_poll(s), 0);
        train_to(99);
        ck_assert_int_eq(stint_step(s, 3), STINT_CONTINUE);
        fake_await(&agent, &agent.snapshots, 1);
        ck_assert_int_eq(agent.at[0].last.step, 2);
        ck_assert_int_eq(agent.at[0].last.checkpoint_step, 2);
        ck_assert_int_gt(agent.at[0].last.delay_ns, 0);
        stint_close(s);
}
END_TEST

START_TEST(a_final_save_stops_training_when_it_landed)
{
        struct stint *s = begin();

        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 7), STINT_STOP);
        ck_assert_int_eq(agent.landed_step, 7);
        stint_close(s);
}
END_TEST

START_TEST(a_final_save_that_does_not_land_lets_training_go_on)
{
        struct stint *s = begin();

        agent.fail_saves = 1;
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 7), STINT_CONTINUE);
        ck_assert_ptr_nonnull(strstr(log_text, "the disk is full"));
        ck_assert_int_eq(step(s, 8), STINT_CONTINUE);
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 9), STINT_STOP);
        stint_close(s);
}
END_TEST

START_TEST(a_save_of_the_programs_own_waits_until_it_landed)
{
        struct stint *s = begin();

        train_to(1);
        ck_assert_int_eq(stint_save(s, 1), STINT_SAVED);
        ck_assert_int_eq(agent.landed_step, 1);
        ck_assert_uint_eq(agent.asked_reason, SAVE_PROGRAM);
        agent.fail_saves = 1;
        ck_assert_int_eq(stint_save(s, 2), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "the disk is full"));
        agent.refuse_saves = 1;
        ck_assert_int_eq(stint_save(s, 3), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "saves are refused"));
        stint_close(s);
}
END_TEST

START_TEST(a_better_metric_saves_and_a_worse_one_does_not)
{
        struct stint *s = begin();

        ck_assert_int_eq(stint_metric(s, "loss", 2.0, STINT_GOAL_MIN), 0);
        ck_assert_int_eq(step(s, 1), STINT_SAVED);
        fake_await(&agent, &agent.snapshots, 1);
        ck_assert_uint_eq(agent.asked_reason, SAVE_BEST);
        ck_assert_uint_eq(agent.at[0].last.metric_count, 1);
        ck_assert_str_eq(agent.at[0].last.metrics[0].name, "loss");
        stint_metric(s, "loss", 3.0, STINT_GOAL_MIN);
        ck_assert_int_eq(step(s, 2), STINT_CONTINUE);
        stint_metric(s, "loss", (double)NAN, STINT_GOAL_MIN);
        ck_assert_int_eq(step(s, 3), STINT_CONTINUE);
        stint_metric(s, "accuracy", 1.0, STINT_GOAL_MAX); /* not the first with a goal */
        ck_assert_int_eq(step(s, 4), STINT_CONTINUE);
        agent.fail_saves = 1;
        stint_metric(s, "loss", 1.0, STINT_GOAL_MIN);
        ck_assert_int_eq(stint_save(s, 5), -1); /* did not land, so 1.5 is still better */
        stint_metric(s, "loss", 1.5, STINT_GOAL_MIN);
        ck_assert_int_eq(step(s, 6), STINT_SAVED);
        ck_assert_int_eq(stint_metric(s, "a name that is much longer than forty bytes are", 1, STINT_GOAL_NONE), -1);
        stint_close(s);
}
END_TEST

START_TEST(the_best_of_earlier_stints_is_the_one_to_beat)
{
        struct stint *s;

        run_to(7);
        agent.best_name = "loss";
        agent.best_value = 1.0;
        s = open_one();
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        stint_metric(s, "loss", 1.5, STINT_GOAL_MIN);
        ck_assert_int_eq(stint_step(s, 8), STINT_CONTINUE);
        stint_metric(s, "loss", 0.5, STINT_GOAL_MIN);
        ck_assert_int_eq(stint_step(s, 9), STINT_SAVED);
        stint_close(s);
}
END_TEST

START_TEST(steps_only_grow)
{
        struct stint *s = begin();

        ck_assert_int_eq(step(s, -1), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "0 at least"));
        ck_assert_int_eq(step(s, 5), STINT_CONTINUE);
        ck_assert_int_eq(step(s, 5), STINT_CONTINUE);
        ck_assert_int_eq(step(s, 4), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "steps only grow"));
        ck_assert_int_eq(step(s, 6), STINT_CONTINUE);
        ck_assert_int_eq(stint_complete(s), 0);
        ck_assert_int_eq(agent.landed_step, 6);
        stint_close(s);
}
END_TEST

START_TEST(a_copy_that_fails_is_told_to_both_sides)
{
        struct stint *s = begin();

        fake_set("STINT_FAULT", "snapshot.mid_copy:fail=EIO@1");
        fault_reset();
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 1), -1);
        fake_await(&agent, &agent.declined, 1);
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 2), STINT_STOP);
        stint_close(s);
}
END_TEST

START_TEST(another_attempt_at_a_final_save_may_succeed)
{
        struct stint *s = begin();

        fake_set("STINT_FAULT", "snapshot.mid_copy:fail=EIO@1");
        fault_reset();
        agent.retry = 1;
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 1), STINT_STOP);
        ck_assert_int_eq(agent.landed_step, 1);
        stint_close(s);
}
END_TEST

START_TEST(another_attempt_is_answered_also_by_a_program_that_cannot_save)
{
        struct stint *s = open_one();

        agent.retry = 1;
        ck_assert_int_eq(stint_restore(s, NULL), STINT_FRESH);
        fake_want(&agent, 1);
        ck_assert_int_eq(stint_step(s, 1), STINT_CONTINUE); /* nothing is attached */
        fake_await(&agent, &agent.declined, 1);
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_step(s, 2), STINT_STOP);
        ck_assert_int_eq(agent.landed_step, 2);
        stint_close(s);
}
END_TEST

START_TEST(a_snapshot_waits_until_the_one_before_is_written)
{
        struct stint *s = begin();

        agent.hold_results = 1;
        fake_want(&agent, 0);
        ck_assert_int_eq(step(s, 1), STINT_SAVED);
        fake_await(&agent, &agent.snapshots, 1);
        ck_assert_uint_eq(snapshot_flying(&s->snapshot), 1);
        agent.hold_results = 0;
        pthread_mutex_lock(&agent.lock);
        fake_conclude(&agent);
        pthread_mutex_unlock(&agent.lock);
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 2), STINT_STOP);
        stint_close(s);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "safepoint");

        tcase_add_checked_fixture(all, setup, teardown);
        tcase_add_test(all, nothing_to_do_goes_on);
        tcase_add_test(all, a_wanted_save_is_taken_once_at_the_next_safe_point);
        tcase_add_test(all, a_final_save_stops_training_when_it_landed);
        tcase_add_test(all, a_final_save_that_does_not_land_lets_training_go_on);
        tcase_add_test(all, a_save_of_the_programs_own_waits_until_it_landed);
        tcase_add_test(all, a_better_metric_saves_and_a_worse_one_does_not);
        tcase_add_test(all, the_best_of_earlier_stints_is_the_one_to_beat);
        tcase_add_test(all, steps_only_grow);
        tcase_add_test(all, a_copy_that_fails_is_told_to_both_sides);
        tcase_add_test(all, another_attempt_at_a_final_save_may_succeed);
        tcase_add_test(all, another_attempt_is_answered_also_by_a_program_that_cannot_save);
        tcase_add_test(all, a_snapshot_waits_until_the_one_before_is_written);
}

SUITE_MAIN("safepoint", add_tests)
