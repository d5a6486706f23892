/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_slurm_record: what every kind of record of Slurm's means for a stint; no Slurm is needed. */
#include <check.h>
#include <string.h>
#include "clock.h"
#include "deadline.h"
#include "scheduler.h"
#include "slurm_record.h"
#include "suite.h"

#define NOW_S 1795400000 /* some time of the controller's clock */
#define NOW_NS (NOW_S * CLOCK_SECOND)

/* A batch job of an hour that has run for a minute. */
static slurm_job_info_t a_job(void)
{
        slurm_job_info_t job = { 0 };

        job.job_id = 4711;
        job.job_state = JOB_RUNNING;
        job.batch_flag = 1;
        job.requeue = 1;
        job.submit_time = NOW_S - 100;
        job.start_time = NOW_S - 60;
        job.end_time = NOW_S + 3540;
        job.time_limit = 60;
        job.user_id = 1000;
        job.num_nodes = 2;
        job.restart_cnt = 3;
        job.het_job_offset = NO_VAL;
        return job;
}

static struct wire_scheduler_answer answer_of(const slurm_job_info_t *job)
{
        struct wire_scheduler_answer answer;

        memset(&answer, 0xa5, sizeof answer);
        WIRE_INIT(&answer, WIRE_SCHEDULER_ANSWER);
        answer.reserved = 0;
        record_answer(job, NOW_NS, &answer);
        ck_assert_int_eq(wire_check(&answer, sizeof answer, NULL), 0);
        return answer;
}

START_TEST(a_running_job_has_until_its_end)
{
        slurm_job_info_t job = a_job();
        struct wire_scheduler_answer answer = answer_of(&job);

        ck_assert_int_eq(answer.state, SCHEDULER_RUNNING);
        ck_assert_int_eq(answer.left_ns, 3540 * CLOCK_SECOND);
        ck_assert_int_eq(answer.cause, DEADLINE_LIMIT);
        ck_assert_int_eq(answer.can_requeue, 1);
        ck_assert_int_eq(answer.gone, 0);
        ck_assert_str_eq(answer.text, "");
        ck_assert_str_eq(answer.job, "4711");
        ck_assert_uint_eq(answer.restarts, 3);
        ck_assert_uint_eq(answer.uid, 1000);
        ck_assert_uint_eq(answer.nodes, 2);
        ck_assert_int_eq(answer.submit_s, NOW_S - 100);
        ck_assert_int_eq(answer.start_s, NOW_S - 60);
}
END_TEST

/* What each base state means, alone and with COMPLETING. */
static const struct {
        uint32_t base;
        enum scheduler_state alone, completing;
        int requeue_alone, requeue_completing;
} states[] = {
        { JOB_PENDING, SCHEDULER_PENDING, SCHEDULER_PENDING, 1, 1 },
        { JOB_RUNNING, SCHEDULER_RUNNING, SCHEDULER_COMPLETING, 1, 1 },
        { JOB_SUSPENDED, SCHEDULER_SUSPENDED, SCHEDULER_COMPLETING, 1, 1 },
        { JOB_COMPLETE, SCHEDULER_ENDED, SCHEDULER_COMPLETING, 0, 0 },
        { JOB_CANCELLED, SCHEDULER_CANCELLED, SCHEDULER_CANCELLED, 0, 0 },
        { JOB_FAILED, SCHEDULER_ENDED, SCHEDULER_COMPLETING, 0, 0 },
        { JOB_TIMEOUT, SCHEDULER_ENDED, SCHEDULER_COMPLETING, 0, 1 },
        { JOB_NODE_FAIL, SCHEDULER_ENDED, SCHEDULER_COMPLETING, 0, 1 },
        { JOB_PREEMPTED, SCHEDULER_ENDED, SCHEDULER_COMPLETING, 0, 1 },
        { JOB_BOOT_FAIL, SCHEDULER_ENDED, SCHEDULER_COMPLETING, 0, 0 },
        { JOB_DEADLINE, SCHEDULER_ENDED, SCHEDULER_COMPLETING, 0, 0 },
        { JOB_OOM, SCHEDULER_ENDED, SCHEDULER_COMPLETING, 0, 0 },
};

#define FIRST_FLAG SLURM_BIT(8)
#define FLAGS_WITH_MEANING (JOB_COMPLETING | JOB_REVOKED)

/* One state with one flag that says nothing about what a stint may do, alone and while it is completing. */
static void check_state(size_t i, uint32_t flag)
{
        struct wire_scheduler_answer alone, completing;
        slurm_job_info_t job = a_job();

        job.job_state = states[i].base | flag;
        alone = answer_of(&job);
        job.job_state |= JOB_COMPLETING;
        completing = answer_of(&job);
        ck_assert_int_eq(alone.state, states[i].alone);
        ck_assert_int_eq(completing.state, states[i].completing);
        ck_assert_int_eq(alone.can_requeue, states[i].requeue_alone);
        ck_assert_int_eq(completing.can_requeue, states[i].requeue_completing);
        ck_assert_int_eq(alone.text[0] == '\0', alone.can_requeue);
        ck_assert_int_eq(completing.text[0] == '\0', completing.can_requeue);
        ck_assert_int_eq(completing.gone, 0);
        ck_assert_int_eq(alone.gone, states[i].base != JOB_RUNNING && states[i].base != JOB_SUSPENDED);
}

START_TEST(every_state_with_every_flag_has_its_meaning)
{
        uint32_t flag;
        size_t i;

        ck_assert_uint_eq(sizeof states / sizeof states[0], JOB_END);
        for (i = 0; i < sizeof states / sizeof states[0]; i++) {
                check_state(i, 0);
                for (flag = FIRST_FLAG; flag != 0; flag <<= 1)
                        if (!(flag & FLAGS_WITH_MEANING))
                                check_state(i, flag);
        }
}
END_TEST

START_TEST(an_end_is_one_only_while_the_job_runs)
{
        size_t i;

        for (i = 0; i < sizeof states / sizeof states[0]; i++) {
                slurm_job_info_t job = a_job();

                job.job_state = states[i].base | JOB_COMPLETING;
                ck_assert_int_eq(answer_of(&job).left_ns, CLOCK_NEVER);
                ck_assert_int_eq(answer_of(&job).cause, DEADLINE_NONE);
                job.job_state = states[i].base;
                ck_assert_int_eq(answer_of(&job).left_ns == CLOCK_NEVER, states[i].base != JOB_RUNNING);
        }
}
END_TEST

START_TEST(a_state_of_a_later_slurm_is_unknown_and_nothing_is_done_with_it)
{
        slurm_job_info_t job = a_job();

        job.job_state = JOB_END;
        ck_assert_int_eq(answer_of(&job).state, SCHEDULER_UNKNOWN);
        ck_assert_int_eq(answer_of(&job).can_requeue, 0);
        ck_assert_int_eq(answer_of(&job).gone, 0);
        ck_assert_int_eq(answer_of(&job).left_ns, CLOCK_NEVER);
}
END_TEST

START_TEST(a_job_that_another_cluster_has_is_over_here)
{
        slurm_job_info_t job = a_job();

        job.job_state = JOB_PENDING | JOB_REVOKED;
        ck_assert_int_eq(answer_of(&job).state, SCHEDULER_ENDED);
}
END_TEST

START_TEST(a_preemption_is_told_from_a_limit_by_its_time)
{
        slurm_job_info_t job = a_job();

        job.preempt_time = NOW_S - 1;
        job.end_time = NOW_S + 9;
        ck_assert_int_eq(answer_of(&job).cause, DEADLINE_PREEMPTED);
        ck_assert_int_eq(answer_of(&job).left_ns, 9 * CLOCK_SECOND);
        job.time_limit = INFINITE;
        ck_assert_int_eq(answer_of(&job).cause, DEADLINE_PREEMPTED);
        ck_assert_int_eq(answer_of(&job).left_ns, 9 * CLOCK_SECOND);
        job.preempt_time = job.start_time - 1; /* of its last run */
        job.time_limit = 60;
        ck_assert_int_eq(answer_of(&job).cause, DEADLINE_LIMIT);
        job.preempt_time = job.start_time;
        ck_assert_int_eq(answer_of(&job).cause, DEADLINE_PREEMPTED);
}
END_TEST

START_TEST(a_job_without_a_limit_has_no_end)
{
        slurm_job_info_t job = a_job();

        job.time_limit = INFINITE;
        job.end_time = NOW_S + 365 * 86400;
        ck_assert_int_eq(answer_of(&job).left_ns, CLOCK_NEVER);
        ck_assert_int_eq(answer_of(&job).cause, DEADLINE_NONE);
}
END_TEST

START_TEST(an_end_that_is_over_is_no_time_left)
{
        slurm_job_info_t job = a_job();

        job.end_time = NOW_S - 20; /* within OverTimeLimit, or before the next tick */
        ck_assert_int_eq(answer_of(&job).left_ns, 0);
        ck_assert_int_eq(answer_of(&job).cause, DEADLINE_LIMIT);
}
END_TEST

START_TEST(only_batch_jobs_are_requeued_and_requeue_0_is_no_reason)
{
        slurm_job_info_t job = a_job();

        job.requeue = 0;
        ck_assert_int_eq(answer_of(&job).can_requeue, 1);
        job.batch_flag = 0;
        ck_assert_int_eq(answer_of(&job).can_requeue, 0);
        ck_assert_ptr_nonnull(strstr(answer_of(&job).text, "sbatch"));
        job.job_state = JOB_CANCELLED;
        ck_assert_ptr_nonnull(strstr(answer_of(&job).text, "cancelled"));
}
END_TEST

START_TEST(a_job_that_slurm_does_not_know_is_over)
{
        struct wire_scheduler_answer answer = { 0 };

        WIRE_INIT(&answer, WIRE_SCHEDULER_ANSWER);
        record_unknown(12, &answer);
        ck_assert_int_eq(wire_check(&answer, sizeof answer, NULL), 0);
        ck_assert_int_eq(answer.state, SCHEDULER_ENDED);
        ck_assert_int_eq(answer.gone, 1);
        ck_assert_int_eq(answer.can_requeue, 0);
        ck_assert_int_eq(answer.failed, 0);
        ck_assert_str_eq(answer.job, "12");
}
END_TEST

START_TEST(among_the_records_of_an_array_the_very_job_is_taken)
{
        slurm_job_info_t jobs[3] = { a_job(), a_job(), a_job() };
        job_info_msg_t all = { .record_count = 3, .job_array = jobs };

        jobs[0].job_id = 13;
        jobs[1].job_id = 11;
        jobs[2].job_id = 12;
        ck_assert_ptr_eq(record_find(&all, 11), &jobs[1]);
        ck_assert_ptr_eq(record_find(&all, 13), &jobs[0]);
        ck_assert_ptr_null(record_find(&all, 14));
        all.record_count = 0;
        ck_assert_ptr_null(record_find(&all, 11));
}
END_TEST

START_TEST(a_job_id_is_a_number_and_nothing_else)
{
        static const char *const bad[] = { "", "0", "-1", "+1", " 1", "12_3", "12+1", "12 ", "12a", "4294967294",
                                           "99999999999999999999" };
        size_t i;

        ck_assert_uint_eq(record_job_id("1"), 1);
        ck_assert_uint_eq(record_job_id("4711"), 4711);
        for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
                ck_assert_msg(record_job_id(bad[i]) == 0, "'%s' was taken", bad[i]);
}
END_TEST

START_TEST(the_controllers_clock_counts_where_it_differs)
{
        ck_assert_int_eq(record_now(NOW_S, NOW_NS + 300 * CLOCK_MS), NOW_NS + 300 * CLOCK_MS);
        ck_assert_int_eq(record_now(NOW_S, NOW_NS + 60 * CLOCK_SECOND), NOW_NS + CLOCK_SECOND);
        ck_assert_int_eq(record_now(NOW_S, NOW_NS - 60 * CLOCK_SECOND), NOW_NS + CLOCK_SECOND);
        ck_assert_int_eq(record_now(0, NOW_NS), NOW_NS);
}
END_TEST

/* A job in a reservation of that end, flags and ResvOverRun; *answer is what comes of it. */
static void reserve(time_t end, uint64_t flags, uint16_t over_run_min, const char *name,
                    struct wire_scheduler_answer *answer)
{
        char rest[] = "rest", week[] = "week", named[16];
        reserve_info_t r[2] = { { .name = rest, .end_time = NOW_S + 1 }, { .name = week, .end_time = end, .flags = flags } };
        reserve_info_msg_t all = { .record_count = 2, .reservation_array = r };
        slurm_job_info_t job = a_job();

        strcpy(named, name);
        job.resv_name = named;
        *answer = answer_of(&job);
        ck_assert(record_reserved(&job, answer));
        record_reservation(&job, &all, over_run_min, NOW_NS, answer);
}

START_TEST(a_reservation_that_ends_earlier_is_the_deadline)
{
        struct wire_scheduler_answer answer;

        reserve(NOW_S + 600, 0, 0, "week", &answer);
        ck_assert_int_eq(answer.left_ns, 600 * CLOCK_SECOND);
        ck_assert_int_eq(answer.cause, DEADLINE_RESERVATION);
        reserve(NOW_S + 600, 0, 5, "week", &answer);
        ck_assert_int_eq(answer.left_ns, 900 * CLOCK_SECOND);
        reserve(NOW_S - 600, 0, 5, "week", &answer);
        ck_assert_int_eq(answer.left_ns, 0);
        ck_assert_int_eq(answer.cause, DEADLINE_RESERVATION);
}
END_TEST

START_TEST(a_reservation_that_ends_later_or_never_or_lets_go_on_is_none)
{
        struct wire_scheduler_answer answer;

        reserve(NOW_S + 3541, 0, 0, "week", &answer);
        ck_assert_int_eq(answer.cause, DEADLINE_LIMIT);
        reserve(NOW_S + 600, RESERVE_FLAG_FLEX, 0, "week", &answer);
        ck_assert_int_eq(answer.cause, DEADLINE_LIMIT);
        reserve(NOW_S + 600, 0, INFINITE16, "week", &answer);
        ck_assert_int_eq(answer.cause, DEADLINE_LIMIT);
        reserve(NOW_S + 600, 0, 0, "another", &answer);
        ck_assert_int_eq(answer.cause, DEADLINE_LIMIT);
        ck_assert_int_eq(answer.left_ns, 3540 * CLOCK_SECOND);
}
END_TEST

START_TEST(reservations_are_asked_for_only_for_a_running_job_that_has_one)
{
        slurm_job_info_t job = a_job();
        struct wire_scheduler_answer answer = answer_of(&job);
        char name[] = "week";

        ck_assert(!record_reserved(&job, &answer));
        job.resv_name = name;
        ck_assert(record_reserved(&job, &answer));
        job.job_state |= JOB_COMPLETING;
        answer = answer_of(&job);
        ck_assert(!record_reserved(&job, &answer));
}
END_TEST

START_TEST(of_a_heterogeneous_job_the_leader_is_requeued)
{
        slurm_job_info_t job = a_job();

        ck_assert_uint_eq(record_leader(&job), 4711);
        job.het_job_id = 4710;
        job.het_job_offset = 1;
        ck_assert_uint_eq(record_leader(&job), 4710);
        job.het_job_id = NO_VAL;
        ck_assert_uint_eq(record_leader(&job), 4711);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "slurm_record");

        tcase_add_test(all, a_running_job_has_until_its_end);
        tcase_add_test(all, every_state_with_every_flag_has_its_meaning);
        tcase_add_test(all, an_end_is_one_only_while_the_job_runs);
        tcase_add_test(all, a_state_of_a_later_slurm_is_unknown_and_nothing_is_done_with_it);
        tcase_add_test(all, a_job_that_another_cluster_has_is_over_here);
        tcase_add_test(all, a_preemption_is_told_from_a_limit_by_its_time);
        tcase_add_test(all, a_job_without_a_limit_has_no_end);
        tcase_add_test(all, an_end_that_is_over_is_no_time_left);
        tcase_add_test(all, only_batch_jobs_are_requeued_and_requeue_0_is_no_reason);
        tcase_add_test(all, a_job_that_slurm_does_not_know_is_over);
        tcase_add_test(all, among_the_records_of_an_array_the_very_job_is_taken);
        tcase_add_test(all, a_job_id_is_a_number_and_nothing_else);
        tcase_add_test(all, the_controllers_clock_counts_where_it_differs);
        tcase_add_test(all, a_reservation_that_ends_earlier_is_the_deadline);
        tcase_add_test(all, a_reservation_that_ends_later_or_never_or_lets_go_on_is_none);
        tcase_add_test(all, reservations_are_asked_for_only_for_a_running_job_that_has_one);
        tcase_add_test(all, of_a_heterogeneous_job_the_leader_is_requeued);
}

SUITE_MAIN("slurm_record", add_tests)
