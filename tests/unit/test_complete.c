/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_complete: when a training is complete, and when it is not. */
#include "suite.h"
#include "training.h"

START_TEST(completing_saves_the_last_state_unless_it_has_landed)
{
        struct stint *s = begin();

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        ck_assert_int_eq(stint_complete(s), 0);
        ck_assert_uint_eq(agent.asked_reason, SAVE_COMPLETE);
        ck_assert_int_eq(agent.landed_step, 1);
        ck_assert_int_eq(agent.completes, 1);
        stint_close(s);

        s = open_one();
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        train_to(2);
        ck_assert_int_eq(stint_save(s, 2), STINT_SAVED);
        agent.asked = 0;
        ck_assert_int_eq(stint_complete(s), 0);
        ck_assert_int_eq(agent.asked, 0);
        stint_close(s);
}
END_TEST

START_TEST(a_save_asked_for_while_the_run_is_being_marked_done_is_answered)
{
        struct stint *s = begin();

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        agent.save_before_done = 1;
        ck_assert_int_eq(stint_complete(s), 0);
        fake_await(&agent, &agent.unchanged, 1);
        stint_close(s);
}
END_TEST

START_TEST(training_is_not_complete_when_its_last_state_did_not_land)
{
        struct stint *s = begin();

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        agent.fail_saves = 1;
        ck_assert_int_eq(stint_complete(s), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "the disk is full"));
        ck_assert_int_eq(agent.completes, 0);
        stint_close(s);

        s = begin();
        ck_assert_int_eq(stint_complete(s), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "never called"));
        stint_close(s);
}
END_TEST

START_TEST(a_restored_state_may_be_complete_as_it_is)
{
        struct stint *s;

        run_to(7);
        s = open_one();
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert_int_eq(stint_complete(s), 0);
        ck_assert_int_eq(agent.completes, 1);
        ck_assert_int_eq(agent.snapshots, 0);
        stint_close(s);
}
END_TEST

/* As where a program counts the batches of each epoch: the last one of the second has the number of the first's. */
START_TEST(steps_counted_from_the_beginning_again_are_not_complete)
{
        struct stint *s = begin();
        int epoch, batch;

        for (epoch = 0; epoch < 2; epoch++)
                for (batch = 1; batch <= 3; batch++)
                        ck_assert_int_eq(step(s, batch), epoch ? -1 : STINT_CONTINUE);
        ck_assert_int_eq(said("stint_step was given step 1 after step 3"), 1);
        ck_assert_int_eq(said("was given step"), 1);
        ck_assert_int_eq(said("count steps over the whole training, all epochs included"), 1);
        fake_want(&agent, 0);
        ck_assert_int_eq(step(s, 3), -1);
        fake_await(&agent, &agent.declined, 1);
        ck_assert_int_eq(stint_save(s, 2), -1);
        ck_assert_int_eq(stint_complete(s), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "not complete: stint_save was given step 2 after step 3"));
        ck_assert_int_eq(said("the run is not complete"), 1);
        ck_assert_int_eq(agent.completes, 0);
        ck_assert_int_eq(agent.snapshots, 0);
        stint_close(s);
}
END_TEST

START_TEST(a_program_that_trains_on_after_its_stint_is_told_once)
{
        struct stint *s = begin();

        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 7), STINT_STOP);
        ck_assert_int_eq(said("trained on"), 0);
        ck_assert_int_eq(step(s, 8), STINT_CONTINUE);
        ck_assert_int_eq(said("answered STINT_STOP at step 7 and the program trained on"), 1);
        ck_assert_int_eq(step(s, 9), STINT_CONTINUE);
        ck_assert_int_eq(said("trained on"), 1);
        stint_close(s);
}
END_TEST

START_TEST(nothing_is_complete_without_a_tensor_that_was_refused)
{
        struct stint *s = begin();

        ck_assert_int_eq(stint_save(s, 1), STINT_SAVED);
        ck_assert_int_eq(stint_attach(s, "data//position", STINT_OBJECT(&weights)), -1);
        ck_assert_int_eq(stint_complete(s), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "data//position"));
        ck_assert_int_eq(agent.completes, 0);
        stint_close(s);
}
END_TEST

START_TEST(what_is_carried_along_is_named_at_the_end)
{
        static const char *const names[] = { "a", "b", "c", "d", "e" };
        static int values[5];
        struct stint *s = open_one();
        int i;

        for (i = 0; i < 5; i++)
                stint_attach(s, names[i], STINT_OBJECT(&values[i]));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_FRESH);
        ck_assert_int_eq(stint_save(s, 1), STINT_SAVED);
        stint_close(s);

        s = open_one();
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert_int_eq(stint_attach(s, "b", STINT_OBJECT(&values[1])), STINT_RESTORED);
        stint_close(s);
        ck_assert_int_eq(said("carry along: 'a', 'c', 'd' and 1 more\n"), 1);

        s = open_one();
        for (i = 1; i < 5; i++)
                stint_attach(s, names[i], STINT_OBJECT(&values[i]));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        stint_close(s);
        ck_assert_int_eq(said("carry along: 'a'\n"), 1);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "complete");

        tcase_add_checked_fixture(all, setup, teardown);
        tcase_add_test(all, completing_saves_the_last_state_unless_it_has_landed);
        tcase_add_test(all, a_save_asked_for_while_the_run_is_being_marked_done_is_answered);
        tcase_add_test(all, training_is_not_complete_when_its_last_state_did_not_land);
        tcase_add_test(all, a_restored_state_may_be_complete_as_it_is);
        tcase_add_test(all, steps_counted_from_the_beginning_again_are_not_complete);
        tcase_add_test(all, a_program_that_trains_on_after_its_stint_is_told_once);
        tcase_add_test(all, nothing_is_complete_without_a_tensor_that_was_refused);
        tcase_add_test(all, what_is_carried_along_is_named_at_the_end);
}

SUITE_MAIN("complete", add_tests)
