/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_scheduler: one question, one answer, and whatever else comes through that socket is refused.  The other end is here. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "channel.h"
#include "scheduler.h"
#include "wire.h"

/* A scheduler that has been opened, and the end of the one it speaks to. */
struct both {
        struct scheduler s;
        int listener, manager;
        char name[CHANNEL_NAME];
};

static void both_open(struct both *b)
{
        static int count;
        struct stint_error err;

        snprintf(b->name, sizeof b->name, "stint-test-scheduler.%d.%d", (int)getpid(), count++);
        b->listener = channel_listen(b->name, &err);
        ck_assert_msg(b->listener >= 0, "%s", err.text);
        setenv("STINT_LOCAL_JOB", b->name, 1);
        ck_assert_msg(scheduler_open(&b->s, &err) == 0, "%s", err.text);
        unsetenv("STINT_LOCAL_JOB");
        b->manager = channel_accept(b->listener, NULL, NULL, &err);
        ck_assert_msg(b->manager >= 0, "%s", err.text);
}

static void both_close(struct both *b)
{
        scheduler_close(&b->s);
        ck_assert_int_eq(b->s.fd, -1);
        if (b->manager >= 0)
                close(b->manager);
        close(b->listener);
}

static struct wire_scheduler_answer an_answer(enum scheduler_question question)
{
        struct wire_scheduler_answer w = { .question = (uint32_t)question };

        WIRE_INIT(&w, WIRE_SCHEDULER_ANSWER);
        w.state = SCHEDULER_RUNNING;
        w.cause = DEADLINE_LIMIT;
        w.left_ns = 17 * CLOCK_SECOND;
        w.can_requeue = 1;
        w.restarts = 2;
        strcpy(w.text, "all is well");
        return w;
}

static void reply(const struct both *b, const void *message, size_t n)
{
        ck_assert_int_eq(channel_send(b->manager, message, n, NULL, 0, NULL), 0);
}

START_TEST(without_a_name_in_the_environment_there_is_none)
{
        struct scheduler s;
        struct scheduler_answer answer;
        struct stint_error err;

        unsetenv("STINT_LOCAL_JOB");
        ck_assert_int_eq(scheduler_open(&s, &err), 0);
        ck_assert_int_eq(s.fd, -1);
        ck_assert_str_eq(s.name, "none");
        ck_assert_str_eq(s.job, "");
        ck_assert_int_eq(scheduler_ask(&s, SCHEDULER_STATE, &err), -1);
        ck_assert_int_eq(err.code, ENOTCONN);
        ck_assert_int_eq(scheduler_read(&s, &answer, &err), -1);
        ck_assert_int_eq(err.code, ENOTCONN);
        scheduler_close(&s);
        setenv("STINT_LOCAL_JOB", "", 1);
        ck_assert_int_eq(scheduler_open(&s, &err), 0);
        ck_assert_str_eq(s.name, "none");
        unsetenv("STINT_LOCAL_JOB");
}
END_TEST

START_TEST(a_named_one_that_cannot_be_reached_is_an_error_and_none)
{
        struct scheduler s;
        struct stint_error err;

        setenv("STINT_LOCAL_JOB", "stint-test-scheduler.nobody", 1);
        ck_assert_int_eq(scheduler_open(&s, &err), -1);
        ck_assert_int_eq(err.code, ECONNREFUSED);
        ck_assert_ptr_nonnull(strstr(err.text, "STINT_LOCAL_JOB"));
        ck_assert_int_eq(s.fd, -1);
        ck_assert_str_eq(s.name, "none");
        unsetenv("STINT_LOCAL_JOB");
}
END_TEST

START_TEST(a_question_goes_out_and_its_answer_comes_back)
{
        struct wire_scheduler_answer w = an_answer(SCHEDULER_STATE);
        struct wire_scheduler_ask ask;
        struct scheduler_answer answer;
        struct stint_error err = { 0 };
        struct both b;

        both_open(&b);
        ck_assert_str_eq(b.s.name, "local");
        ck_assert_str_eq(b.s.job, b.name);
        ck_assert_msg(scheduler_ask(&b.s, SCHEDULER_STATE, &err) == 0, "%s", err.text);
        ck_assert_int_eq(scheduler_read(&b.s, &answer, &err), -1);
        ck_assert_int_eq(err.code, EAGAIN);
        ck_assert_int_eq(channel_receive(b.manager, &ask, sizeof ask, NULL, NULL, NULL), sizeof ask);
        ck_assert_int_eq(wire_check(&ask, sizeof ask, NULL), 0);
        ck_assert_uint_eq(ask.header.type, WIRE_SCHEDULER_ASK);
        ck_assert_uint_eq(ask.question, SCHEDULER_STATE);
        ck_assert_str_eq(ask.job, b.s.job);
        reply(&b, &w, sizeof w);
        ck_assert_msg(scheduler_read(&b.s, &answer, &err) == 0, "%s", err.text);
        ck_assert_int_eq(answer.question, SCHEDULER_STATE);
        ck_assert_int_eq(answer.failed, 0);
        ck_assert_int_eq(answer.state, SCHEDULER_RUNNING);
        ck_assert_int_eq(answer.cause, DEADLINE_LIMIT);
        ck_assert_int_eq(answer.left_ns, 17 * CLOCK_SECOND);
        ck_assert_int_eq(answer.can_requeue, 1);
        ck_assert_str_eq(answer.text, "all is well");
        ck_assert_uint_eq(b.s.restarts, 2);
        ck_assert_int_eq(b.s.asked, 0);
        both_close(&b);
}
END_TEST

START_TEST(a_job_has_the_id_that_the_environment_gives_it)
{
        struct both b;

        setenv("STINT_LOCAL_JOB_ID", "17", 1);
        both_open(&b);
        ck_assert_str_eq(b.s.job, "17");
        both_close(&b);
        unsetenv("STINT_LOCAL_JOB_ID");
}
END_TEST

START_TEST(two_questions_are_never_on_their_way)
{
        struct wire_scheduler_answer w = an_answer(SCHEDULER_REQUEUE);
        struct scheduler_answer answer;
        struct stint_error err;
        struct both b;

        both_open(&b);
        ck_assert_int_eq(scheduler_ask(&b.s, SCHEDULER_REQUEUE, &err), 0);
        ck_assert_int_eq(scheduler_ask(&b.s, SCHEDULER_STATE, &err), -1);
        ck_assert_int_eq(err.code, EALREADY);
        w.failed = EPERM;
        w.left_ns = -5;
        reply(&b, &w, sizeof w);
        ck_assert_int_eq(scheduler_read(&b.s, &answer, &err), 0);
        ck_assert_int_eq(answer.question, SCHEDULER_REQUEUE);
        ck_assert_int_eq(answer.failed, EPERM);
        ck_assert_int_eq(answer.left_ns, 0);
        ck_assert_int_eq(scheduler_ask(&b.s, SCHEDULER_STATE, &err), 0);
        both_close(&b);
}
END_TEST

START_TEST(a_limit_that_there_is_not_stays_one)
{
        struct wire_scheduler_answer w = an_answer(SCHEDULER_STATE);
        struct scheduler_answer answer;
        struct both b;

        both_open(&b);
        ck_assert_int_eq(scheduler_ask(&b.s, SCHEDULER_STATE, NULL), 0);
        w.left_ns = CLOCK_NEVER;
        w.cause = DEADLINE_NONE;
        reply(&b, &w, sizeof w);
        ck_assert_int_eq(scheduler_read(&b.s, &answer, NULL), 0);
        ck_assert_int_eq(answer.left_ns, CLOCK_NEVER);
        both_close(&b);
}
END_TEST

/* Sends n bytes as the answer to a question about the state; whether they are refused, and the next question may be asked. */
static int refused(struct both *b, const void *message, size_t n)
{
        struct scheduler_answer answer = { .failed = 77 };
        struct stint_error err = { 0 };

        ck_assert_int_eq(scheduler_ask(&b->s, SCHEDULER_STATE, NULL), 0);
        reply(b, message, n);
        if (scheduler_read(&b->s, &answer, &err) == 0)
                return 0;
        return (err.code == EBADMSG || err.code == EPROTONOSUPPORT) && answer.failed == 77 && b->s.asked == 0;
}

START_TEST(what_is_no_answer_to_the_question_is_refused)
{
        const struct wire_scheduler_answer good = an_answer(SCHEDULER_STATE);
        struct wire_scheduler_answer w = good;
        struct wire_complete other = { 0 };
        struct both b;

        both_open(&b);
        ck_assert(!refused(&b, &w, sizeof w));
        ck_assert(refused(&b, "x", 1));
        ck_assert(refused(&b, &w, sizeof w - 1));
        WIRE_INIT(&other, WIRE_COMPLETE);
        ck_assert(refused(&b, &other, sizeof other));
        w.header.version++;
        ck_assert(refused(&b, &w, sizeof w));
        w = good;
        w.question = SCHEDULER_REQUEUE;
        ck_assert(refused(&b, &w, sizeof w));
        w = good;
        w.state = SCHEDULER_ENDED + 1;
        ck_assert(refused(&b, &w, sizeof w));
        w = good;
        w.cause = DEADLINE_POLICY + 1;
        ck_assert(refused(&b, &w, sizeof w));
        w = good;
        w.failed = -1;
        ck_assert(refused(&b, &w, sizeof w));
        w = good;
        memset(w.text, 'x', sizeof w.text);
        ck_assert(refused(&b, &w, sizeof w));
        both_close(&b);
}
END_TEST

START_TEST(an_answer_that_nobody_asked_for_is_refused)
{
        struct wire_scheduler_answer w = an_answer(SCHEDULER_STATE);
        struct scheduler_answer answer;
        struct stint_error err;
        struct both b;

        both_open(&b);
        reply(&b, &w, sizeof w);
        ck_assert_int_eq(scheduler_read(&b.s, &answer, &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        ck_assert_uint_eq(b.s.restarts, 0);
        both_close(&b);
}
END_TEST

START_TEST(a_scheduler_that_went_away_is_said_so)
{
        struct scheduler_answer answer;
        struct stint_error err;
        struct both b;

        both_open(&b);
        ck_assert_int_eq(scheduler_ask(&b.s, SCHEDULER_STATE, &err), 0);
        close(b.manager);
        b.manager = -1;
        ck_assert_int_eq(scheduler_read(&b.s, &answer, &err), -1);
        ck_assert_int_eq(err.code, ECONNRESET);
        ck_assert_int_eq(scheduler_ask(&b.s, SCHEDULER_STATE, &err), -1);
        ck_assert_int_eq(err.code, EPIPE);
        ck_assert_int_eq(b.s.asked, 0);
        both_close(&b);
}
END_TEST

START_TEST(states_have_words)
{
        ck_assert_str_eq(scheduler_state_name(SCHEDULER_RUNNING), "running");
        ck_assert_str_eq(scheduler_state_name(SCHEDULER_CANCELLED), "cancelled");
        ck_assert_str_eq(scheduler_state_name(SCHEDULER_ENDED), "ended");
        ck_assert_str_eq(scheduler_state_name((enum scheduler_state)99), "unknown");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("scheduler");
        TCase *all = tcase_create("scheduler");
        SRunner *runner;
        int failed;

        tcase_add_test(all, without_a_name_in_the_environment_there_is_none);
        tcase_add_test(all, a_named_one_that_cannot_be_reached_is_an_error_and_none);
        tcase_add_test(all, a_question_goes_out_and_its_answer_comes_back);
        tcase_add_test(all, a_job_has_the_id_that_the_environment_gives_it);
        tcase_add_test(all, two_questions_are_never_on_their_way);
        tcase_add_test(all, a_limit_that_there_is_not_stays_one);
        tcase_add_test(all, what_is_no_answer_to_the_question_is_refused);
        tcase_add_test(all, an_answer_that_nobody_asked_for_is_refused);
        tcase_add_test(all, a_scheduler_that_went_away_is_said_so);
        tcase_add_test(all, states_have_words);
        suite_add_tcase(suite, all);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
