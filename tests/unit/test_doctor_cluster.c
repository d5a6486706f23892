/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_doctor_cluster: what `stint doctor` says of settings, warning where a checkpoint is in danger and only there. */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "doctor.h"
#include "suite.h"

/* What was found, a line each: "warning preemption: ...". */
static char found[8000];

static void on_found(void *arg, const char *what, enum finding finding, const char *text)
{
        static const char *const words[] = { "ok", "warning", "problem" };
        size_t n = strlen(found);

        (void)arg;
        snprintf(found + n, sizeof found - n, "%s %s: %s\n", words[finding], what, text);
}

/* As good as it gets. */
static struct cluster a_cluster(void)
{
        struct cluster c = {
                .name = "big", .version = "22.05.8", .library = "22.05.8", .kill_wait_s = 30, .job_requeue = 1,
                .job_file_append = 1, .preempt = CLUSTER_PREEMPT_REQUEUE, .max_batch_requeue = 5, .cred_expire_s = 120,
                .nodes = 4, .constrain_devices = 1, .preempt_type = "preempt/partition_prio",
                .task_plugin = "task/affinity,task/cgroup", .proctrack = "proctrack/cgroup", .partition = "main",
                .part_preempt = CLUSTER_PREEMPT_REQUEUE, .part_grace_s = 300, .part_max_min = 240,
                .part_over_time_min = CLUSTER_UNKNOWN,
        };

        return c;
}

static const char *say(const struct cluster *c)
{
        struct doctor d = { .found = on_found };

        found[0] = '\0';
        doctor_settings(&d, c);
        return found;
}

static int count(const char *text, const char *word)
{
        int n = 0;

        while ((text = strstr(text, word)) != NULL) {
                n++;
                text++;
        }
        return n;
}

/* Exactly one line warns, and it has these words. */
static void warns(const struct cluster *c, const char *words)
{
        const char *line;

        say(c);
        ck_assert_msg(count(found, "warning ") == 1, "%s", found);
        line = strstr(found, "warning ");
        ck_assert_msg(strstr(line, words) != NULL && strstr(line, words) < strchr(line, '\n'), "%s", found);
        ck_assert_int_eq(count(found, "problem "), 0);
}

START_TEST(a_cluster_that_is_good_to_checkpoints_gives_no_warning)
{
        struct cluster c = a_cluster();

        say(&c);
        ck_assert_msg(count(found, "warning ") == 0 && count(found, "problem ") == 0, "%s", found);
        ck_assert_ptr_nonnull(strstr(found, "run 240 min at most"));
        ck_assert_ptr_nonnull(strstr(found, "has 300 s (GraceTime)"));
        ck_assert_ptr_nonnull(strstr(found, "waits 121 s here (cred_expire); stint shortens that to 35 s"));
}
END_TEST

START_TEST(without_a_grace_only_kill_wait_remains)
{
        struct cluster c = a_cluster();

        c.part_grace_s = 0;
        warns(&c, "a preemption kills at once, and only KillWait (30 s) remains");
        c.part_grace_s = 2;
        warns(&c, "has 2 s (GraceTime)");
        c.part_preempt = CLUSTER_PREEMPT_OFF;
        c.part_grace_s = 0;
        ck_assert_int_eq(count(say(&c), "warning "), 0);
}
END_TEST

START_TEST(where_preempted_jobs_are_cancelled_only_a_chain_goes_on)
{
        struct cluster c = a_cluster();

        c.part_preempt = CLUSTER_PREEMPT_CANCEL;
        warns(&c, "--stint-mode=chain");
        c.part_preempt = CLUSTER_PREEMPT_SUSPEND;
        warns(&c, "SUSPEND");
}
END_TEST

START_TEST(what_a_job_must_say_itself_is_told)
{
        struct cluster c = a_cluster();

        c.job_requeue = 0;
        warns(&c, "--requeue");
        c = a_cluster();
        c.job_file_append = 0;
        warns(&c, "--open-mode=append");
        c = a_cluster();
        c.user_signal = 1;
        warns(&c, "Leave --signal out");
}
END_TEST

START_TEST(devices_that_are_not_confined_are_told)
{
        struct cluster c = a_cluster();

        strcpy(c.task_plugin, "task/affinity");
        warns(&c, "TaskPlugin without task/cgroup");
        c = a_cluster();
        c.constrain_devices = 0;
        warns(&c, "ConstrainDevices=no");
        c.constrain_devices = CLUSTER_UNKNOWN;
        ck_assert_int_eq(count(say(&c), "warning "), 0);
        strcpy(c.proctrack, "proctrack/pgid");
        warns(&c, "proctrack/pgid");
}
END_TEST

START_TEST(what_comes_after_a_limit_is_called_a_reserve)
{
        struct cluster c = a_cluster();

        ck_assert_ptr_nonnull(strstr(say(&c), "KillWait (30 s) after the limit is reserve and no budget"));
        c.over_time_min = 5;
        ck_assert_ptr_nonnull(strstr(say(&c), "OverTimeLimit (5 min) and KillWait (30 s) after the limit are reserve"));
        c.part_over_time_min = 0;
        ck_assert_ptr_null(strstr(say(&c), "OverTimeLimit"));
        c.part_over_time_min = CLUSTER_UNLIMITED;
        c.part_max_min = CLUSTER_UNLIMITED;
        ck_assert_ptr_nonnull(strstr(say(&c), "OverTimeLimit (without end)"));
        ck_assert_ptr_nonnull(strstr(found, "have no longest time"));
}
END_TEST

START_TEST(a_wait_that_is_short_already_is_left_alone)
{
        struct cluster c = a_cluster();

        c.cred_expire_s = 5;
        ck_assert_ptr_nonnull(strstr(say(&c), "waits 6 s here (cred_expire)\n"));
}
END_TEST

START_TEST(a_partition_that_there_is_not_is_told_and_nothing_is_said_of_it)
{
        struct cluster c = a_cluster();

        c.partition[0] = '\0';
        warns(&c, "there is no partition");
        ck_assert_int_eq(count(found, "preemption"), 0);
}
END_TEST

START_TEST(what_an_admin_must_leave_as_it_is_is_told)
{
        struct cluster c = a_cluster();

        c.rate_limit = 1;
        c.private_jobs = 1;
        ck_assert_int_eq(count(say(&c), "AskAs=owner"), 2);
        ck_assert_int_eq(count(found, "warning "), 0);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "doctor_cluster");

        tcase_add_test(all, a_cluster_that_is_good_to_checkpoints_gives_no_warning);
        tcase_add_test(all, without_a_grace_only_kill_wait_remains);
        tcase_add_test(all, where_preempted_jobs_are_cancelled_only_a_chain_goes_on);
        tcase_add_test(all, what_a_job_must_say_itself_is_told);
        tcase_add_test(all, devices_that_are_not_confined_are_told);
        tcase_add_test(all, what_comes_after_a_limit_is_called_a_reserve);
        tcase_add_test(all, a_wait_that_is_short_already_is_left_alone);
        tcase_add_test(all, a_partition_that_there_is_not_is_told_and_nothing_is_said_of_it);
        tcase_add_test(all, what_an_admin_must_leave_as_it_is_is_told);
}

SUITE_MAIN("doctor_cluster", add_tests)
