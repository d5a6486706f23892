/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_job: a job's states as stintd has them, and what an agent's numbers may do to it. */
#include <check.h>
#include <string.h>
#include "job.h"
#include "suite.h"
#include "users.h"

#define S CLOCK_SECOND

static struct job fresh(void)
{
        struct wire_daemon_hello hello = { .stint = 3 };
        struct job job;

        strcpy(hello.run_id, "00112233445566778899aabbccddeeff");
        job_init(&job, 1001, 812, &hello);
        return job;
}

static struct wire_daemon_plan plan(void)
{
        struct wire_daemon_plan m = { .left_ns = 100 * S, .begun_ns = 50 * S, .since_save_ns = -1, .told_ns = 10 * S,
                                      .flying_ns = -1 };

        m.cause = DEADLINE_LIMIT;
        m.ranks = 2;
        m.interval_ns = CLOCK_NEVER;
        m.margin_ns = S;
        return m;
}

START_TEST(a_save_goes_from_training_to_saving_to_landed)
{
        ck_assert_int_eq(job_next(JOB_IDLE, JOB_TRAINS), JOB_TRAINING);
        ck_assert_int_eq(job_next(JOB_TRAINING, JOB_SAVE), JOB_SAVING);
        ck_assert_int_eq(job_next(JOB_SAVING, JOB_LANDS), JOB_LANDED);
        ck_assert_int_eq(job_next(JOB_SAVING, JOB_FAILS), JOB_FAILED);
        ck_assert_int_eq(job_next(JOB_LANDED, JOB_TRAINS), JOB_TRAINING);
        ck_assert_int_eq(job_next(JOB_FAILED, JOB_SAVE), JOB_SAVING);
}
END_TEST

START_TEST(nothing_lands_that_was_not_saving)
{
        int state;

        for (state = 0; state < JOB_STATES; state++)
                if (state != JOB_SAVING) {
                        ck_assert_int_eq(job_next(state, JOB_LANDS), state);
                        ck_assert_int_eq(job_next(state, JOB_FAILS), state);
                }
}
END_TEST

START_TEST(programs_that_come_and_go_do_not_end_a_save)
{
        ck_assert_int_eq(job_next(JOB_SAVING, JOB_TRAINS), JOB_SAVING);
        ck_assert_int_eq(job_next(JOB_SAVING, JOB_EMPTY), JOB_SAVING);
        ck_assert_int_eq(job_next(JOB_LANDED, JOB_EMPTY), JOB_LANDED);
}
END_TEST

START_TEST(from_everywhere_a_lost_agent_leads_to_gone_and_nothing_leads_away)
{
        int state, event;

        for (state = 0; state < JOB_STATES; state++)
                ck_assert_int_eq(job_next(state, JOB_LOST), JOB_GONE);
        for (event = 0; event < JOB_EVENTS; event++)
                ck_assert_int_eq(job_next(JOB_GONE, event), JOB_GONE);
}
END_TEST

START_TEST(every_state_has_a_word_of_its_own)
{
        int a, b;

        for (a = 0; a < JOB_STATES; a++)
                for (b = 0; b < a; b++)
                        ck_assert_str_ne(job_state_name(a), job_state_name(b));
        ck_assert_str_eq(job_state_name(JOB_STATES), "unknown");
}
END_TEST

START_TEST(lengths_become_times_of_this_machine)
{
        struct wire_daemon_plan m = plan();
        struct job job = fresh();

        job_plan(&job, &m, 1000 * S, 0);
        ck_assert_int_eq(job.in.start_ns, 950 * S);
        ck_assert_int_eq(job.in.end_ns, 1100 * S);
        ck_assert_int_eq(job.told_ns, 990 * S);
        ck_assert_int_eq(job.in.last_save_ns, 0);
        ck_assert_int_eq(job.in.flying_since_ns, 0);
        ck_assert_int_eq(job_left(&job, 1001 * S), 99 * S);
        m.left_ns = CLOCK_NEVER;
        m.told_ns = CLOCK_NEVER;
        m.since_save_ns = 0;
        m.flying_ns = 7 * S;
        job_plan(&job, &m, 1000 * S, 0);
        ck_assert_int_eq(job.in.end_ns, CLOCK_NEVER);
        ck_assert_int_eq(job.told_ns, 0);
        ck_assert_int_eq(job.in.last_save_ns, 1000 * S);
        ck_assert_int_eq(job.in.flying_since_ns, 993 * S);
        ck_assert_int_eq(job_left(&job, 1001 * S), CLOCK_NEVER);
}
END_TEST

START_TEST(a_stream_that_is_still_coming_lengthens_the_lead_as_the_agent_has_it)
{
        struct wire_daemon_plan m = plan();
        struct job job = fresh();
        int64_t quiet_ns;

        m.saves = 5;
        m.snapshot_ns = 20 * S;
        m.write_ns = 3 * S;
        job_plan(&job, &m, 1000 * S, 0);
        quiet_ns = deadline_plan(&job.in).lead_ns;
        m.flying_ns = 0;
        m.coming_ns = 15 * S; /* and its write after that */
        job_plan(&job, &m, 1000 * S, 0);
        ck_assert_int_eq(job.in.flying_since_ns, 1015 * S);
        ck_assert_int_eq(deadline_plan(&job.in).lead_ns, quiet_ns + 15 * S + 3 * S);
        m.coming_ns = INT64_MAX;
        job_plan(&job, &m, 1000 * S, 0);
        ck_assert_int_eq(job.in.flying_since_ns, CLOCK_NEVER);
        m.flying_ns = -1; /* there is none: what it says of one is nothing */
        job_plan(&job, &m, 1000 * S, 0);
        ck_assert_int_eq(job.in.flying_since_ns, 0);
}
END_TEST

START_TEST(the_longer_margin_stands)
{
        struct wire_daemon_plan m = plan();
        struct job job = fresh();

        job_plan(&job, &m, 1000 * S, 5 * S);
        ck_assert_int_eq(job.in.margin_ns, 5 * S);
        m.margin_ns = 9 * S;
        job_plan(&job, &m, 1000 * S, 5 * S);
        ck_assert_int_eq(job.in.margin_ns, 9 * S);
}
END_TEST

/* The words of a message are anybody's: no number may lead to arithmetic that is undefined, which a sanitizer sees. */
START_TEST(any_numbers_make_a_job_that_can_be_planned)
{
        static const int64_t odd[] = { INT64_MIN, INT64_MIN + 1, -S, -1, 0, 1, S, INT64_MAX - 1, INT64_MAX };
        const unsigned n = sizeof odd / sizeof odd[0];
        unsigned i, j, field;

        for (field = 0; field < 16; field++)
                for (i = 0; i < n; i++)
                        for (j = 0; j < n; j++) {
                                struct wire_daemon_plan m = plan();
                                struct job job = fresh();
                                struct deadline_plan p;
                                char why[160];

                                /* All of the 64-bit fields lie one behind the other. */
                                memcpy((char *)&m + sizeof m.header + 8 * field, &odd[i], 8);
                                m.left_ns = odd[j];
                                m.cause = (uint32_t)odd[i];
                                m.agree_every = (int32_t)odd[j];
                                job_plan(&job, &m, 1000 * S, 0);
                                ck_assert_int_ge(job.in.start_ns, 1);
                                ck_assert_int_le(job.in.cause, DEADLINE_POLICY);
                                p = deadline_plan(&job.in);
                                ck_assert_int_le(p.final_ns, job.in.end_ns);
                                job_why(&job, JOB_SAVE, 1000 * S, why, sizeof why);
                        }
}
END_TEST

START_TEST(programs_of_which_a_final_save_was_asked_do_not_train)
{
        struct wire_daemon_plan m = plan();
        struct job job = fresh();

        job_plan(&job, &m, S, 0);
        ck_assert_int_eq(job_plan_event(&job), JOB_TRAINS);
        m.final_asked = 1;
        job_plan(&job, &m, S, 0);
        ck_assert_int_eq(job_plan_event(&job), -1);
        m.ranks = 0;
        job_plan(&job, &m, S, 0);
        ck_assert_int_eq(job_plan_event(&job), JOB_EMPTY);
}
END_TEST

START_TEST(news_of_a_save_that_make_no_sense_are_none)
{
        struct wire_daemon_saving m = { .state = 77, .step = 5 };
        struct job job = fresh();

        ck_assert_int_eq(job_saving(&job, &m), -1);
        ck_assert_int_eq(job.landed_step, -1);
        m.state = DAEMON_SAVING_LANDED;
        ck_assert_int_eq(job_saving(&job, &m), JOB_LANDS);
        ck_assert_int_eq(job.landed_step, 5);
        m.state = DAEMON_SAVING_BEGUN;
        m.reason = 4000000000u;
        ck_assert_int_eq(job_saving(&job, &m), JOB_SAVE);
}
END_TEST

START_TEST(a_process_without_a_job_is_called_by_its_number_and_user)
{
        struct job job = fresh();
        char label[JOB_LABEL];

        ck_assert_str_eq(job_label(&job, label), "process 812 of uid 1001");
        strcpy(job.id, "4711");
        ck_assert_str_eq(job_label(&job, label), "job 4711");
}
END_TEST

START_TEST(a_user_who_says_too_much_waits_and_others_do_not)
{
        struct users users = { .first = NULL };
        struct user *loud = users_get(&users, 1001, 100 * S), *quiet = users_get(&users, 1002, 100 * S);
        int said = 0;

        while (said < 1000 && user_speaks(loud, 50, 100 * S))
                said++;
        ck_assert_int_eq(said, 100); /* two seconds' worth */
        ck_assert(user_speaks(quiet, 50, 100 * S));
        ck_assert(!user_speaks(loud, 50, 100 * S + 10 * CLOCK_MS));
        ck_assert(user_speaks(loud, 50, 100 * S + 20 * CLOCK_MS));
        for (said = 0; said < 1000 && user_speaks(loud, 50, 1000 * S); said++)
                ;
        ck_assert_int_eq(said, 100);
        ck_assert(!user_speaks(loud, 50, 999 * S)); /* a clock that went back gives nothing */
        ck_assert_ptr_eq(users_get(&users, 1001, 0), loud);
        users_free(&users);
        ck_assert_ptr_null(users.first);
}
END_TEST

START_TEST(a_user_is_forgotten_a_minute_after_he_was_last_heard)
{
        struct users users = { .first = NULL };
        struct user *user = users_get(&users, 1001, 100 * S);
        int lines;

        while (user_speaks(user, 50, 100 * S))
                ;
        ck_assert_ptr_eq(users_get(&users, 1001, 100 * S), user);
        ck_assert(!user_speaks(user, 50, 100 * S)); /* to come again is not to begin anew */
        ck_assert(user_may_be_named(user, 100 * S));
        ck_assert(!user_may_be_named(user, 159 * S));
        ck_assert(user_may_be_named(user, 160 * S));
        for (lines = 0; lines < 10000 && user_may_log(user, 160 * S); lines++)
                ;
        ck_assert_int_eq(lines, 600);
        ck_assert(!user_may_log(user, 160 * S + 50 * CLOCK_MS));
        ck_assert(user_may_log(user, 160 * S + 100 * CLOCK_MS));
        user->connections = 1;
        users_get(&users, 1002, 400 * S);
        ck_assert_ptr_eq(users_get(&users, 1001, 400 * S), user);
        user->connections = 0;
        users_get(&users, 1002, 500 * S);
        ck_assert_ptr_null(users.first->next);
        users_free(&users);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "job");

        tcase_add_test(all, a_save_goes_from_training_to_saving_to_landed);
        tcase_add_test(all, nothing_lands_that_was_not_saving);
        tcase_add_test(all, programs_that_come_and_go_do_not_end_a_save);
        tcase_add_test(all, from_everywhere_a_lost_agent_leads_to_gone_and_nothing_leads_away);
        tcase_add_test(all, every_state_has_a_word_of_its_own);
        tcase_add_test(all, lengths_become_times_of_this_machine);
        tcase_add_test(all, a_stream_that_is_still_coming_lengthens_the_lead_as_the_agent_has_it);
        tcase_add_test(all, the_longer_margin_stands);
        tcase_add_test(all, any_numbers_make_a_job_that_can_be_planned);
        tcase_add_test(all, programs_of_which_a_final_save_was_asked_do_not_train);
        tcase_add_test(all, news_of_a_save_that_make_no_sense_are_none);
        tcase_add_test(all, a_process_without_a_job_is_called_by_its_number_and_user);
        tcase_add_test(all, a_user_who_says_too_much_waits_and_others_do_not);
        tcase_add_test(all, a_user_is_forgotten_a_minute_after_he_was_last_heard);
}

SUITE_MAIN("job", add_tests)
