/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_slurm_act: what stint-slurm asks of Slurm for a question, in which order, and what it makes of refusals.  The
 * calls are here (slurm_call.c is not linked), and so is the job that they change.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "scheduler.h"
#include "slurm_act.h"
#include "slurm_query.h"
#include "suite.h"

#define NOW_S 1795400000
#define KILL_WAIT_S 30

/* ---- a Slurm of one job ------------------------------------------------------------------------------------------ */

static struct {
        slurm_job_info_t job;
        int known;                 /* the controller has its record */
        char calls[200];           /* what was asked, in order: "load requeue start load " */
        int load_code, requeue_code, update_code, cancel_code, whose_code, reservations_code; /* failures */
        int requeue_ignores;       /* StartTime is taken and not kept */
        uint32_t requeued, updated, cancelled;
        uint64_t updates; /* a bit for each job that was changed, by its number */
        char comment[64], reservation_name[16];
        reserve_info_t reservation;
        slurm_conf_t conf;
} slurm;

static void said(const char *call)
{
        strcat(slurm.calls, call);
        strcat(slurm.calls, " ");
}

static int outcome(int code, struct stint_error *err)
{
        return code == 0 ? 0 : error_set(err, code, "Slurm says no");
}

int call_load_job(uint32_t job, job_info_msg_t **out, struct stint_error *err)
{
        static slurm_job_info_t records[2];
        static job_info_msg_t message;

        said("load");
        *out = NULL;
        if (slurm.load_code != 0)
                return outcome(slurm.load_code, err);
        if (!slurm.known)
                return outcome(ESRCH, err);
        ck_assert_uint_eq(job, slurm.job.job_id);
        records[0] = slurm.job; /* another task of the same array comes along */
        records[0].job_id++;
        records[0].job_state = JOB_CANCELLED;
        records[1] = slurm.job;
        message = (job_info_msg_t){ .record_count = 2, .job_array = records, .last_update = NOW_S };
        *out = &message;
        return 0;
}

int call_load_reservations(reserve_info_msg_t **out, struct stint_error *err)
{
        static reserve_info_msg_t message;

        said("reservations");
        slurm.reservation.name = slurm.reservation_name;
        message = (reserve_info_msg_t){ .record_count = 1, .reservation_array = &slurm.reservation };
        *out = &message;
        return outcome(slurm.reservations_code, err);
}

int call_load_conf(slurm_conf_t **out, struct stint_error *err)
{
        said("conf");
        *out = &slurm.conf;
        return outcome(0, err);
}

int call_requeue(uint32_t job, struct stint_error *err)
{
        said("requeue");
        slurm.requeued = job;
        if (slurm.requeue_code != 0)
                return outcome(slurm.requeue_code, err);
        if (!slurm.job.requeue)
                return outcome(EPERM, err);
        slurm.job.job_state = JOB_PENDING | JOB_COMPLETING;
        slurm.job.restart_cnt++;
        return 0;
}

int call_update(job_desc_msg_t *change, struct stint_error *err)
{
        if (change->requeue != NO_VAL16)
                said("allow");
        if (change->begin_time != 0)
                said("start");
        if (change->comment != NULL)
                said("comment");
        slurm.updated = change->CHANGED_JOB;
        slurm.updates |= UINT64_C(1) << (change->CHANGED_JOB & 63);
        if (slurm.update_code != 0)
                return outcome(slurm.update_code, err);
        if (change->requeue != NO_VAL16)
                slurm.job.requeue = change->requeue;
        if (change->begin_time != 0 && !slurm.requeue_ignores)
                slurm.job.eligible_time = change->begin_time;
        if (change->comment != NULL)
                snprintf(slurm.comment, sizeof slurm.comment, "%s", change->comment);
        return 0;
}

int call_cancel(uint32_t job, struct stint_error *err)
{
        said("cancel");
        slurm.cancelled = job;
        return outcome(slurm.cancel_code, err);
}

int call_whose(pid_t pid, uint32_t *job, struct stint_error *err)
{
        said("whose");
        *job = (uint32_t)pid + 1;
        return outcome(slurm.whose_code, err);
}

const slurm_conf_t *call_own_conf(void)
{
        return &slurm.conf;
}

/* Of libslurm itself, what is called besides. */
void slurm_init_job_desc_msg(job_desc_msg_t *change)
{
        memset(change, 0, sizeof *change);
        change->requeue = NO_VAL16;
        change->CHANGED_JOB = NO_VAL;
}

void slurm_free_job_info_msg(job_info_msg_t *message)
{
        (void)message;
}

void slurm_free_reservation_info_msg(reserve_info_msg_t *message)
{
        (void)message;
}

void slurm_free_ctl_conf(slurm_conf_t *conf)
{
        (void)conf;
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

static void slurm_with_a_job(void)
{
        memset(&slurm, 0, sizeof slurm);
        slurm.known = 1;
        slurm.conf.kill_wait = KILL_WAIT_S;
        slurm.job.job_id = 12;
        slurm.job.job_state = JOB_RUNNING;
        slurm.job.batch_flag = 1;
        slurm.job.requeue = 1;
        slurm.job.start_time = NOW_S - 60;
        slurm.job.end_time = NOW_S + 600;
        slurm.job.time_limit = 11;
}

static struct wire_scheduler_answer answer;
static struct stint_error err;

typedef int question(const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer, struct stint_error *err);

/* Asks about job 12; the answer is in `answer`, what failed in `err`. */
static int ask(question *q, const char *text)
{
        struct wire_scheduler_ask a = { .pid = 77 };

        wire_text(a.job, sizeof a.job, "12");
        wire_text(a.text, sizeof a.text, text);
        answer = (struct wire_scheduler_answer){ 0 };
        err = (struct stint_error){ 0 };
        WIRE_INIT(&answer, WIRE_SCHEDULER_ANSWER);
        if (q(&a, &answer, &err) < 0) {
                ck_assert_int_gt(err.code, 0);
                ck_assert_str_ne(err.text, "");
                return -1;
        }
        ck_assert_msg(wire_check(&answer, sizeof answer, &err) == 0, "%s", err.text);
        return 0;
}

START_TEST(the_state_of_a_job_costs_one_request)
{
        slurm_with_a_job();
        ck_assert_int_eq(ask(query_state, ""), 0);
        ck_assert_str_eq(slurm.calls, "load ");
        ck_assert_int_eq(answer.state, SCHEDULER_RUNNING);
        ck_assert_str_eq(answer.job, "12");
        ck_assert_int_eq(answer.left_ns, 600 * CLOCK_SECOND - CLOCK_SECOND); /* the clock here is far from the controller's */
}
END_TEST

START_TEST(an_unknown_job_is_over_and_that_is_no_failure)
{
        slurm_with_a_job();
        slurm.known = 0;
        ck_assert_int_eq(ask(query_state, ""), 0);
        ck_assert_int_eq(answer.state, SCHEDULER_ENDED);
        ck_assert_int_eq(answer.gone, 1);
}
END_TEST

START_TEST(a_controller_that_does_not_answer_is_a_failure_and_says_nothing_of_the_job)
{
        slurm_with_a_job();
        slurm.load_code = ETIMEDOUT;
        ck_assert_int_eq(ask(query_state, ""), -1);
        ck_assert_int_eq(err.code, ETIMEDOUT);
        ck_assert_int_eq(answer.state, SCHEDULER_UNKNOWN);
}
END_TEST

START_TEST(a_reservation_costs_one_more_request_and_may_be_the_deadline)
{
        slurm_with_a_job();
        slurm.job.resv_name = strcpy(slurm.reservation_name, "week");
        slurm.reservation.end_time = NOW_S + 61;
        ck_assert_int_eq(ask(query_state, ""), 0);
        ck_assert_str_eq(slurm.calls, "load reservations ");
        ck_assert_int_eq(answer.cause, DEADLINE_RESERVATION);
        ck_assert_int_eq(answer.left_ns, 60 * CLOCK_SECOND);
        slurm.reservations_code = ETIMEDOUT;
        ck_assert_int_eq(ask(query_state, ""), 0);
        ck_assert_int_eq(answer.cause, DEADLINE_LIMIT);
}
END_TEST

START_TEST(a_requeue_is_four_requests)
{
        slurm_with_a_job();
        ck_assert_int_eq(ask(act_requeue, ""), 0);
        ck_assert_str_eq(slurm.calls, "load requeue start load ");
        ck_assert_uint_eq(slurm.requeued, 12);
        ck_assert_uint_eq(slurm.updated, 12);
        ck_assert_int_eq(slurm.job.eligible_time, NOW_S + 1 + KILL_WAIT_S + 5);
        ck_assert_int_eq(answer.wait_ns, (KILL_WAIT_S + 5) * CLOCK_SECOND);
        ck_assert_int_eq(answer.state, SCHEDULER_PENDING);
        ck_assert_int_eq(answer.gone, 0);
        ck_assert_uint_eq(answer.restarts, 1);
        ck_assert_str_eq(answer.text, "requeued; it may start in 35 s");
}
END_TEST

START_TEST(requeue_0_is_changed_first)
{
        slurm_with_a_job();
        slurm.job.requeue = 0;
        ck_assert_int_eq(ask(act_requeue, ""), 0);
        ck_assert_str_eq(slurm.calls, "load allow requeue start load ");
}
END_TEST

START_TEST(requeue_0_that_may_not_be_changed_is_refused)
{
        slurm_with_a_job();
        slurm.job.requeue = 0;
        slurm.update_code = EPERM;
        ck_assert_int_eq(ask(act_requeue, ""), -1);
        ck_assert_int_eq(err.code, EPERM);
        ck_assert_str_eq(slurm.calls, "load allow ");
        ck_assert_ptr_nonnull(strstr(err.text, "Requeue=0"));
}
END_TEST

START_TEST(a_cancelled_job_stays_cancelled)
{
        static const uint32_t flags[] = { 0, JOB_COMPLETING, JOB_COMPLETING | JOB_REQUEUE };
        size_t i;

        for (i = 0; i < sizeof flags / sizeof flags[0]; i++) {
                slurm_with_a_job();
                slurm.job.job_state = JOB_CANCELLED | flags[i];
                ck_assert_int_eq(ask(act_requeue, ""), -1);
                ck_assert_int_eq(err.code, ECANCELED);
                ck_assert_str_eq(slurm.calls, "load ");
        }
}
END_TEST

START_TEST(what_is_over_or_unknown_or_not_told_is_not_requeued)
{
        slurm_with_a_job();
        slurm.job.job_state = JOB_COMPLETE;
        ck_assert_int_eq(ask(act_requeue, ""), -1);
        ck_assert_int_eq(err.code, EPERM);
        slurm_with_a_job();
        slurm.known = 0;
        ck_assert_int_eq(ask(act_requeue, ""), -1);
        ck_assert_int_eq(err.code, ESRCH);
        slurm_with_a_job();
        slurm.load_code = ETIMEDOUT;
        ck_assert_int_eq(ask(act_requeue, ""), -1);
        ck_assert_int_eq(err.code, ETIMEDOUT);
        ck_assert_str_eq(slurm.calls, "load ");
        slurm_with_a_job();
        slurm.job.batch_flag = 0;
        ck_assert_int_eq(ask(act_requeue, ""), -1);
        ck_assert_str_eq(slurm.calls, "load ");
}
END_TEST

START_TEST(a_job_that_is_cut_off_at_its_limit_can_still_be_requeued)
{
        slurm_with_a_job();
        slurm.job.job_state = JOB_TIMEOUT | JOB_COMPLETING;
        ck_assert_int_eq(ask(act_requeue, ""), 0);
        ck_assert_str_eq(slurm.calls, "load requeue start load ");
}
END_TEST

START_TEST(a_requeue_that_slurm_refuses_is_refused_in_its_words)
{
        slurm_with_a_job();
        slurm.requeue_code = EIO;
        ck_assert_int_eq(ask(act_requeue, ""), -1);
        ck_assert_int_eq(err.code, EIO);
        ck_assert_str_eq(slurm.calls, "load requeue ");
}
END_TEST

START_TEST(a_job_that_somebody_has_requeued_gets_only_its_shorter_wait)
{
        slurm_with_a_job();
        slurm.job.job_state = JOB_PENDING | JOB_COMPLETING;
        ck_assert_int_eq(ask(act_requeue, ""), 0);
        ck_assert_str_eq(slurm.calls, "load start load ");
        slurm_with_a_job();
        slurm.requeue_code = EALREADY; /* between our look and our request */
        ck_assert_int_eq(ask(act_requeue, ""), 0);
        ck_assert_str_eq(slurm.calls, "load requeue start load ");
}
END_TEST

START_TEST(the_wait_of_a_job_that_runs_no_more_is_not_changed)
{
        slurm_with_a_job();
        slurm.job.job_state = JOB_PENDING;
        slurm.job.eligible_time = NOW_S + 3601;
        ck_assert_int_eq(ask(act_requeue, ""), 0);
        ck_assert_str_eq(slurm.calls, "load load ");
        ck_assert_int_eq(answer.wait_ns, 3600 * CLOCK_SECOND);
}
END_TEST

START_TEST(a_start_time_that_could_not_be_set_is_told_and_the_requeue_stands)
{
        slurm_with_a_job();
        slurm.update_code = EIO;
        ck_assert_int_eq(ask(act_requeue, ""), 0);
        ck_assert_ptr_nonnull(strstr(answer.text, "StartTime could not be set"));
}
END_TEST

START_TEST(a_start_time_that_slurm_did_not_keep_is_seen)
{
        slurm_with_a_job();
        slurm.requeue_ignores = 1;
        slurm.job.eligible_time = NOW_S + 122;
        ck_assert_int_eq(ask(act_requeue, ""), 0);
        ck_assert_int_eq(answer.wait_ns, 121 * CLOCK_SECOND);
        ck_assert_str_eq(answer.text, "requeued; it may start in 121 s");
}
END_TEST

START_TEST(a_wait_that_the_site_made_short_is_left_alone)
{
        static char info[] = "cred_expire=5";

        slurm_with_a_job();
        slurm.conf.authinfo = info;
        ck_assert_int_eq(ask(act_requeue, ""), 0);
        ck_assert_str_eq(slurm.calls, "load requeue load ");
        ck_assert_int_eq(answer.wait_ns, 6 * CLOCK_SECOND);
        ck_assert_str_eq(answer.text, "requeued; it may start in 6 s");
}
END_TEST

START_TEST(the_leader_of_a_heterogeneous_job_is_requeued_and_no_part_of_it_waits)
{
        slurm_with_a_job();
        slurm.job.het_job_id = 11;
        ck_assert_int_eq(ask(act_requeue, ""), 0);
        ck_assert_uint_eq(slurm.requeued, 11);
        ck_assert_uint_eq(slurm.updates, 1 << 11 | 1 << 12 | 1 << 13);
}
END_TEST

START_TEST(cancelling_what_is_over_is_no_failure)
{
        slurm_with_a_job();
        ck_assert_int_eq(ask(act_cancel, ""), 0);
        ck_assert_uint_eq(slurm.cancelled, 12);
        ck_assert_int_eq(answer.state, SCHEDULER_CANCELLED);
        slurm.cancel_code = ESRCH;
        ck_assert_int_eq(ask(act_cancel, ""), 0);
        ck_assert_int_eq(answer.state, SCHEDULER_ENDED);
        slurm.cancel_code = EPERM;
        ck_assert_int_eq(ask(act_cancel, ""), -1);
        ck_assert_int_eq(err.code, EPERM);
}
END_TEST

START_TEST(a_comment_is_set_on_this_job)
{
        slurm_with_a_job();
        ck_assert_int_eq(ask(act_comment, "saved step 12"), 0);
        ck_assert_str_eq(slurm.comment, "saved step 12");
        ck_assert_uint_eq(slurm.updated, 12);
        slurm.update_code = EPERM;
        ck_assert_int_eq(ask(act_comment, "x"), -1);
}
END_TEST

START_TEST(a_process_belongs_to_a_job_or_to_none)
{
        slurm_with_a_job();
        ck_assert_int_eq(ask(query_whose, ""), 0);
        ck_assert_str_eq(answer.job, "78");
        slurm.whose_code = ESRCH;
        ck_assert_int_eq(ask(query_whose, ""), -1);
        ck_assert_int_eq(err.code, ESRCH);
        ck_assert_str_eq(err.text, "process 77 belongs to no job of this node");
}
END_TEST

START_TEST(what_is_no_job_id_is_never_sent_to_slurm)
{
        static question *const questions[] = { query_state, act_requeue, act_cancel, act_comment };
        struct wire_scheduler_ask a = { 0 };
        size_t i;

        wire_text(a.job, sizeof a.job, "12_3");
        for (i = 0; i < sizeof questions / sizeof questions[0]; i++) {
                slurm_with_a_job();
                ck_assert_int_eq(questions[i](&a, &answer, &err), -1);
                ck_assert_int_eq(err.code, EINVAL);
                ck_assert_str_eq(slurm.calls, "");
        }
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "slurm_act");

        tcase_add_test(all, the_state_of_a_job_costs_one_request);
        tcase_add_test(all, an_unknown_job_is_over_and_that_is_no_failure);
        tcase_add_test(all, a_controller_that_does_not_answer_is_a_failure_and_says_nothing_of_the_job);
        tcase_add_test(all, a_reservation_costs_one_more_request_and_may_be_the_deadline);
        tcase_add_test(all, a_requeue_is_four_requests);
        tcase_add_test(all, requeue_0_is_changed_first);
        tcase_add_test(all, requeue_0_that_may_not_be_changed_is_refused);
        tcase_add_test(all, a_cancelled_job_stays_cancelled);
        tcase_add_test(all, what_is_over_or_unknown_or_not_told_is_not_requeued);
        tcase_add_test(all, a_job_that_is_cut_off_at_its_limit_can_still_be_requeued);
        tcase_add_test(all, a_requeue_that_slurm_refuses_is_refused_in_its_words);
        tcase_add_test(all, a_job_that_somebody_has_requeued_gets_only_its_shorter_wait);
        tcase_add_test(all, the_wait_of_a_job_that_runs_no_more_is_not_changed);
        tcase_add_test(all, a_start_time_that_could_not_be_set_is_told_and_the_requeue_stands);
        tcase_add_test(all, a_start_time_that_slurm_did_not_keep_is_seen);
        tcase_add_test(all, a_wait_that_the_site_made_short_is_left_alone);
        tcase_add_test(all, the_leader_of_a_heterogeneous_job_is_requeued_and_no_part_of_it_waits);
        tcase_add_test(all, cancelling_what_is_over_is_no_failure);
        tcase_add_test(all, a_comment_is_set_on_this_job);
        tcase_add_test(all, a_process_belongs_to_a_job_or_to_none);
        tcase_add_test(all, what_is_no_job_id_is_never_sent_to_slurm);
}

SUITE_MAIN("slurm_act", add_tests)
