/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_scheduler: one question, one answer, and whatever else comes through that socket is refused.  The other end is
 * here, or it is tests/programs/slurm_stand_in.c, started as stint-slurm.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "channel.h"
#include "scheduler.h"
#include "suite.h"
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
        w.state = SCHEDULER_SUSPENDED + 1;
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
        ck_assert_str_eq(scheduler_state_name(SCHEDULER_SUSPENDED), "suspended");
        ck_assert_str_eq(scheduler_state_name((enum scheduler_state)99), "unknown");
}
END_TEST

/* ---- Slurm, behind a child that is not the real one ------------------------------------------------------------------ */

/* A folder with the stand-in as stint-slurm and its script, which the environment names. */
struct stand_in {
        char dir[64], script[80];
        struct scheduler s;
};

static void stand_in_open(struct stand_in *in, const char *script)
{
        const char *build = getenv("TEST_BUILD");
        char program[500], link[80];
        FILE *f;

        ck_assert_msg(build != NULL, "TEST_BUILD does not name the folder of this build");
        strcpy(in->dir, "/tmp/stint-test-scheduler.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(in->dir));
        snprintf(program, sizeof program, "%s/tests/programs/slurm_stand_in", build);
        snprintf(link, sizeof link, "%s/stint-slurm", in->dir);
        snprintf(in->script, sizeof in->script, "%s/script", in->dir);
        ck_assert_int_eq(symlink(program, link), 0);
        f = fopen(in->script, "w");
        ck_assert_ptr_nonnull(f);
        fputs(script, f);
        fclose(f);
        setenv("STINT_LIBEXEC_DIR", in->dir, 1);
        setenv("SLURM_CONF", in->script, 1);
        setenv("SLURM_JOB_ID", "4711", 1);
        ck_assert_int_eq(scheduler_open(&in->s, NULL), 0);
}

static void stand_in_close(struct stand_in *in)
{
        static const char *const names[] = { "stint-slurm", "script", "script.log" };
        char path[100];
        size_t i;

        scheduler_close(&in->s);
        ck_assert_str_eq(in->s.name, "none");
        for (i = 0; i < sizeof names / sizeof names[0]; i++) {
                snprintf(path, sizeof path, "%s/%s", in->dir, names[i]);
                unlink(path);
        }
        ck_assert_int_eq(rmdir(in->dir), 0);
        unsetenv("STINT_LIBEXEC_DIR");
        unsetenv("SLURM_CONF");
        unsetenv("SLURM_JOB_ID");
        ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
        ck_assert_int_eq(errno, ECHILD);
}

static int ask_state(struct stand_in *in, int64_t limit_ns, struct scheduler_answer *answer, struct stint_error *err)
{
        return scheduler_ask_wait(&in->s, &(struct scheduler_query){ .question = SCHEDULER_STATE }, limit_ns, answer, err);
}

START_TEST(a_job_of_slurm_is_found_and_slurm_is_not_spoken_to_before_a_question)
{
        struct stand_in in;

        setenv("SLURM_RESTART_COUNT", "3", 1);
        stand_in_open(&in, "");
        ck_assert_str_eq(in.s.name, "slurm");
        ck_assert_str_eq(in.s.job, "4711");
        ck_assert_uint_eq(in.s.restarts, 3);
        ck_assert_int_eq(in.s.fd, -1);
        ck_assert_uint_eq(in.s.started, 0);
        ck_assert(scheduler_is_there(&in.s));
        stand_in_close(&in);
        unsetenv("SLURM_RESTART_COUNT");
}
END_TEST

START_TEST(a_local_job_inside_one_of_slurm_is_the_one_that_counts)
{
        struct both b;

        setenv("SLURM_JOB_ID", "4711", 1);
        both_open(&b);
        ck_assert_str_eq(b.s.name, "local");
        both_close(&b);
        unsetenv("SLURM_JOB_ID");
}
END_TEST

START_TEST(one_child_answers_all_questions)
{
        struct scheduler_answer answer;
        struct stint_error err;
        struct stand_in in;

        stand_in_open(&in, "state left=17s cause=limit can_requeue=1 restarts=2 uid=5 nodes=3 submit=99\n"
                           "state state=cancelled gone=1\nrequeue wait=12s text=requeued; it may start in 12 s\n");
        ck_assert_msg(ask_state(&in, 20 * CLOCK_SECOND, &answer, &err) == 0, "%s", err.text);
        ck_assert_int_eq(answer.left_ns, 17 * CLOCK_SECOND);
        ck_assert_int_eq(answer.cause, DEADLINE_LIMIT);
        ck_assert_str_eq(answer.job, "4711");
        ck_assert_uint_eq(answer.uid, 5);
        ck_assert_uint_eq(answer.nodes, 3);
        ck_assert_int_eq(answer.submit_s, 99);
        ck_assert_uint_eq(in.s.restarts, 2);
        ck_assert_int_eq(ask_state(&in, 20 * CLOCK_SECOND, &answer, &err), 0);
        ck_assert_int_eq(answer.state, SCHEDULER_CANCELLED);
        ck_assert_int_eq(answer.gone, 1);
        ck_assert_int_eq(scheduler_ask_wait(&in.s, &(struct scheduler_query){ .question = SCHEDULER_REQUEUE },
                                            20 * CLOCK_SECOND, &answer, &err), 0);
        ck_assert_int_eq(answer.wait_ns, 12 * CLOCK_SECOND);
        ck_assert_str_eq(answer.text, "requeued; it may start in 12 s");
        ck_assert_uint_eq(in.s.started, 1);
        stand_in_close(&in);
}
END_TEST

START_TEST(an_answer_about_another_job_says_nothing_of_the_own_one)
{
        struct scheduler_answer answer;
        struct stand_in in;

        stand_in_open(&in, "state restarts=2\nstate restarts=9\n");
        ck_assert_int_eq(ask_state(&in, 20 * CLOCK_SECOND, &answer, NULL), 0);
        ck_assert_int_eq(scheduler_ask_wait(&in.s,
                                            &(struct scheduler_query){ .question = SCHEDULER_STATE, .job = "12" },
                                            20 * CLOCK_SECOND, &answer, NULL), 0);
        ck_assert_str_eq(answer.job, "12");
        ck_assert_uint_eq(answer.restarts, 9);
        ck_assert_uint_eq(in.s.restarts, 2);
        stand_in_close(&in);
}
END_TEST

START_TEST(no_answer_in_time_ends_the_child_and_the_next_question_has_another)
{
        struct scheduler_answer answer;
        struct stint_error err = { 0 };
        struct stand_in in;

        stand_in_open(&in, "state silence\nstate left=5s\n");
        ck_assert_int_eq(ask_state(&in, CLOCK_SECOND, &answer, &err), -1);
        ck_assert_int_eq(err.code, ETIMEDOUT);
        ck_assert_str_eq(err.text, "slurmctld did not answer within 1 s");
        ck_assert_int_eq(in.s.fd, -1);
        ck_assert_int_eq(in.s.asked, 0);
        ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* it was reaped */
        ck_assert_int_eq(ask_state(&in, 20 * CLOCK_SECOND, &answer, &err), 0);
        ck_assert_int_eq(answer.left_ns, 5 * CLOCK_SECOND);
        ck_assert_uint_eq(in.s.started, 2);
        stand_in_close(&in);
}
END_TEST

START_TEST(its_death_is_no_answer_and_its_last_words_are_told)
{
        struct scheduler_answer answer;
        struct stint_error err = { 0 };
        struct stand_in in;

        stand_in_open(&in, "state die=3 text=no slurm.conf\nstate left=5s\n");
        ck_assert_int_eq(ask_state(&in, 20 * CLOCK_SECOND, &answer, &err), -1);
        ck_assert_int_eq(err.code, ECONNRESET);
        ck_assert_msg(strstr(err.text, "exit status 3: slurm_stand_in: no slurm.conf") != NULL, "%s", err.text);
        ck_assert_int_eq(ask_state(&in, 20 * CLOCK_SECOND, &answer, &err), 0);
        ck_assert_uint_eq(in.s.started, 2);
        stand_in_close(&in);
}
END_TEST

START_TEST(a_child_that_is_killed_between_two_questions_costs_nobody_one)
{
        struct scheduler_answer answer;
        struct stint_error err = { 0 };
        struct stand_in in;

        stand_in_open(&in, "state left=5s\n");
        ck_assert_int_eq(ask_state(&in, 20 * CLOCK_SECOND, &answer, &err), 0);
        ck_assert_int_eq(kill(in.s.child.pid, SIGKILL), 0);
        ck_assert_int_eq(waitid(P_PID, (id_t)in.s.child.pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
        ck_assert_msg(ask_state(&in, 20 * CLOCK_SECOND, &answer, &err) == 0, "%s", err.text);
        ck_assert_int_eq(answer.left_ns, 5 * CLOCK_SECOND);
        ck_assert_uint_eq(in.s.started, 2);
        stand_in_close(&in);
}
END_TEST

START_TEST(the_signals_that_end_a_job_do_not_end_a_question)
{
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };
        struct scheduler_answer answer;
        struct stint_error err = { 0 };
        struct stand_in in;
        size_t i;

        stand_in_open(&in, "state delay=200ms left=5s\n");
        ck_assert_int_eq(scheduler_ask(&in.s, SCHEDULER_STATE, &err), 0);
        for (i = 0; i < sizeof signals / sizeof signals[0]; i++)
                ck_assert_int_eq(kill(in.s.child.pid, signals[i]), 0);
        ck_assert_int_eq(channel_wait(in.s.fd, 20 * CLOCK_SECOND), 1);
        ck_assert_msg(scheduler_read(&in.s, &answer, &err) == 0, "%s", err.text);
        ck_assert_int_eq(answer.left_ns, 5 * CLOCK_SECOND);
        stand_in_close(&in);
}
END_TEST

START_TEST(children_of_others_are_left_alone)
{
        struct scheduler_answer answer;
        struct stand_in in;
        int status;
        pid_t other;

        stand_in_open(&in, "state silence\n");
        other = fork();
        if (other == 0)
                _exit(42);
        ck_assert_int_eq(ask_state(&in, CLOCK_SECOND / 5, &answer, NULL), -1);
        ck_assert_int_eq(scheduler_drop(&in.s), 1);
        ck_assert_int_eq(waitpid(other, &status, 0), other);
        ck_assert_int_eq(WEXITSTATUS(status), 42);
        stand_in_close(&in);
}
END_TEST

/* The NUL-separated environment of the child, as one text with spaces. */
static void environment_of(pid_t pid, char *out, size_t size)
{
        char path[40];
        ssize_t n, i;
        int fd;

        snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
        fd = open(path, O_RDONLY);
        n = read(fd, out, size - 1);
        close(fd);
        ck_assert_int_gt(n, 0);
        for (i = 0; i < n; i++)
                if (out[i] == '\0')
                        out[i] = ' ';
        out[n] = '\0';
}

START_TEST(the_child_has_slurms_two_variables_and_nothing_else)
{
        char have[600], want[200];
        struct scheduler_answer answer;
        struct stand_in in;

        setenv("SLURMD_NODENAME", "n1", 1);
        setenv("LD_PRELOAD_NOT_REALLY", "1", 1);
        stand_in_open(&in, "state left=5s\n");
        ck_assert_int_eq(ask_state(&in, 20 * CLOCK_SECOND, &answer, NULL), 0);
        environment_of(in.s.child.pid, have, sizeof have);
        snprintf(want, sizeof want, "SLURM_CONF=%s SLURMD_NODENAME=n1 ", in.script);
        ck_assert_str_eq(have, want);
        stand_in_close(&in);
        unsetenv("SLURMD_NODENAME");
        unsetenv("LD_PRELOAD_NOT_REALLY");
}
END_TEST

START_TEST(a_stint_slurm_that_is_missing_is_named)
{
        struct scheduler_answer answer;
        struct stint_error err = { 0 };
        struct stand_in in;

        stand_in_open(&in, "");
        setenv("STINT_LIBEXEC_DIR", "/nowhere", 1);
        ck_assert_int_eq(ask_state(&in, CLOCK_SECOND, &answer, &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
        ck_assert_ptr_nonnull(strstr(err.text, "/nowhere/stint-slurm"));
        ck_assert_int_eq(in.s.asked, 0);
        setenv("STINT_LIBEXEC_DIR", in.dir, 1);
        stand_in_close(&in);
}
END_TEST

START_TEST(the_settings_of_a_cluster_come_or_why_they_do_not)
{
        struct stint_error err = { 0 };
        struct cluster cluster;
        struct stand_in in;

        stand_in_open(&in, "cluster grace=10 kill_wait=30 requeue=1\ncluster failed=110 text=nobody there\n");
        ck_assert_msg(scheduler_cluster_wait(&in.s, "main", 20 * CLOCK_SECOND, &cluster, &err) == 0, "%s", err.text);
        ck_assert_str_eq(cluster.name, "stand-in");
        ck_assert_uint_eq(cluster.part_grace_s, 10);
        ck_assert_uint_eq(cluster.kill_wait_s, 30);
        ck_assert_int_eq(scheduler_cluster_wait(&in.s, NULL, 20 * CLOCK_SECOND, &cluster, &err), -1);
        ck_assert_int_eq(err.code, ETIMEDOUT);
        ck_assert_str_eq(err.text, "nobody there");
        ck_assert_uint_eq(in.s.started, 1);
        stand_in_close(&in);
}
END_TEST

START_TEST(giving_up_a_question_of_the_local_scheduler_keeps_it)
{
        struct wire_scheduler_answer w = an_answer(SCHEDULER_STATE);
        struct scheduler_answer answer;
        struct both b;

        both_open(&b);
        ck_assert_int_eq(scheduler_ask(&b.s, SCHEDULER_STATE, NULL), 0);
        ck_assert_int_eq(scheduler_drop(&b.s), 0);
        ck_assert_int_eq(b.s.asked, SCHEDULER_STATE);
        reply(&b, &w, sizeof w);
        ck_assert_int_eq(scheduler_read(&b.s, &answer, NULL), 0);
        both_close(&b);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "scheduler");

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
        tcase_add_test(all, giving_up_a_question_of_the_local_scheduler_keeps_it);
        tcase_add_test(all, a_local_job_inside_one_of_slurm_is_the_one_that_counts);
        tcase_add_test(all, a_job_of_slurm_is_found_and_slurm_is_not_spoken_to_before_a_question);
        tcase_add_test(all, one_child_answers_all_questions);
        tcase_add_test(all, an_answer_about_another_job_says_nothing_of_the_own_one);
        tcase_add_test(all, no_answer_in_time_ends_the_child_and_the_next_question_has_another);
        tcase_add_test(all, its_death_is_no_answer_and_its_last_words_are_told);
        tcase_add_test(all, a_child_that_is_killed_between_two_questions_costs_nobody_one);
        tcase_add_test(all, the_signals_that_end_a_job_do_not_end_a_question);
        tcase_add_test(all, children_of_others_are_left_alone);
        tcase_add_test(all, the_child_has_slurms_two_variables_and_nothing_else);
        tcase_add_test(all, a_stint_slurm_that_is_missing_is_named);
        tcase_add_test(all, the_settings_of_a_cluster_come_or_why_they_do_not);
}

int main(void)
{
        unsetenv("SLURM_JOB_ID"); /* where these tests are a job themselves */
        unsetenv("SLURM_RESTART_COUNT");
        return suite_run("scheduler", add_tests);
}
