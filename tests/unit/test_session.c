/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_session: a program whose agent is gone, comes back, or was never there, and what it hears from it besides saves. */
#include <sys/wait.h>
#include "suite.h"
#include "training.h"
#include "visible.h"

START_TEST(training_goes_on_while_the_agent_is_gone_and_saves_when_it_is_back)
{
        struct stint *s = begin();
        int n;

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        fake_await(&agent, &agent.layouts, 1);
        fake_die(&agent);
        n = step_until(s, 2, 0);
        ck_assert_ptr_nonnull(strstr(log_text, "the agent is gone"));
        ck_assert_int_eq(stint_save(s, n++), -1);
        fake_revive(&agent);
        n = step_until(s, n, 1);
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, n), STINT_STOP);
        ck_assert_int_eq(agent.landed_step, n);
        stint_close(s);
}
END_TEST

START_TEST(what_a_program_saw_at_its_beginning_is_told_to_every_agent)
{
        struct stint *s;

        fake_set("STINT_DEVICE_ROOT", "/nonexistent");
        fake_set("CUDA_VISIBLE_DEVICES", "-1");
        s = begin();
        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        fake_await(&agent, &agent.devices, 1);
        ck_assert_uint_eq(agent.told.certainty, VISIBLE_SURE);
        fake_set("CUDA_VISIBLE_DEVICES", "0"); /* of which it could not say anything without a driver */
        fake_die(&agent);
        step_until(s, 2, 0);
        fake_revive(&agent);
        step_until(s, 100, 1);
        fake_await(&agent, &agent.devices, 2);
        ck_assert_uint_eq(agent.told.certainty, VISIBLE_SURE);
        stint_close(s);
}
END_TEST

/* Plays the coordinator that asks the agent started anew for the final save again. */
static void *revive_and_want(void *arg)
{
        (void)arg;
        fake_await(&agent, &agent.connects, 2);
        fake_await(&agent, &agent.layouts, 2);
        fake_want(&agent, 1);
        return NULL;
}

START_TEST(an_agent_lost_during_a_final_save_may_come_back_and_ask_again)
{
        struct stint *s = begin();
        pthread_t thread;

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        ck_assert_int_eq(pthread_create(&thread, NULL, revive_and_want, NULL), 0);
        agent.drop_at_snapshot = 1;
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 2), STINT_STOP);
        pthread_join(thread, NULL);
        ck_assert_int_eq(agent.snapshots, 2);
        ck_assert_int_eq(agent.landed_step, 2);
        stint_close(s);
}
END_TEST

START_TEST(without_an_agent_training_goes_on_and_one_line_says_so)
{
        struct stint *s;
        int64_t at = 5;

        fake_die(&agent);
        s = open_one();
        ck_assert_ptr_nonnull(strstr(log_text, "without checkpoints"));
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, &at), STINT_FRESH);
        ck_assert_int_eq(at, 5);
        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        ck_assert_int_eq(step(s, 2), STINT_CONTINUE);
        ck_assert_int_eq(stint_poll(s), 0);
        ck_assert(isinf(stint_time_left(s)));
        ck_assert_int_eq(stint_fits(s, 1e9), 1);
        ck_assert_str_eq(stint_dir(s), "");
        ck_assert_int_eq(stint_complete(s), 0);
        stint_close(s);

        fake_set("STINT_DIR", "off");
        s = open_one();
        ck_assert_int_eq(stint_attach(s, "model/w", STINT_ARRAY(NULL, STINT_F32, 1000)), -1);
        ck_assert_ptr_nonnull(strstr(log_text, "stint_attach refused 'model/w'"));
        ck_assert_int_eq(stint_restore(s, &at), STINT_FRESH); /* there is nothing that it could harm */
        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        stint_close(s);
}
END_TEST

START_TEST(no_handle_means_no_stint)
{
        int64_t at = 5;

        ck_assert_int_eq(stint_attach(NULL, "x", NULL), 0);
        ck_assert_int_eq(stint_restore(NULL, &at), STINT_FRESH);
        ck_assert_int_eq(stint_step(NULL, 1), STINT_CONTINUE);
        ck_assert_int_eq(stint_poll(NULL), 0);
        ck_assert(isinf(stint_time_left(NULL)));
        ck_assert_int_eq(stint_complete(NULL), 0);
        ck_assert_str_eq(stint_why(NULL), "");
        stint_close(NULL);
}
END_TEST

START_TEST(a_forked_child_has_no_part_in_it)
{
        struct stint *s = begin();
        int status;
        pid_t pid;

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        fake_want(&agent, 0);
        pid = fork();
        if (pid == 0) {
                int wrong = stint_poll(s) + (stint_step(s, 2) != STINT_CONTINUE) + (stint_save(s, 3) != -1) +
                            session_usable(&s->session);

                stint_close(s);
                _exit(wrong);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
        ck_assert_int_eq(agent.snapshots, 0);
        ck_assert_int_eq(step(s, 2), STINT_SAVED);
        stint_close(s);
}
END_TEST

START_TEST(the_time_left_is_what_the_agent_says)
{
        struct stint *s = begin();

        agent.at[0].page->deadline_ns = clock_now() + 100 * CLOCK_SECOND;
        ck_assert(stint_time_left(s) > 90 && stint_time_left(s) < 101);
        agent.at[0].page->trigger_ns = clock_now() + 50 * CLOCK_SECOND;
        ck_assert(stint_time_left(s) > 40 && stint_time_left(s) < 51);
        ck_assert_int_eq(stint_fits(s, 60), 0);
        ck_assert_int_eq(stint_fits(s, 10), 1);
        stint_close(s);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "session");

        tcase_add_checked_fixture(all, setup, teardown);
        tcase_add_test(all, training_goes_on_while_the_agent_is_gone_and_saves_when_it_is_back);
        tcase_add_test(all, what_a_program_saw_at_its_beginning_is_told_to_every_agent);
        tcase_add_test(all, an_agent_lost_during_a_final_save_may_come_back_and_ask_again);
        tcase_add_test(all, without_an_agent_training_goes_on_and_one_line_says_so);
        tcase_add_test(all, no_handle_means_no_stint);
        tcase_add_test(all, the_time_left_is_what_the_agent_says);
        tcase_add_test(all, a_forked_child_has_no_part_in_it);
}

SUITE_MAIN("session", add_tests)
