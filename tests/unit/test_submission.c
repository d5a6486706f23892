/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_submission: what a run keeps of its submission comes back as it was; what of an environment may reach the next
 * job; what sbatch's lines say; and which jobs and successors a journal names.
 */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"
#include "jobs.h"
#include "run_requeue.h"
#include "run_successor.h"
#include "submission.h"
#include "suite.h"

static char dir[] = "/tmp/stint-unit.XXXXXX";

static void make_dir(void)
{
        strcpy(dir + strlen(dir) - 6, "XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
        durable_remove_tree(dir, NULL);
}

static struct submission example(void)
{
        static char *arguments[] = {(char *)"--time=60", (char *)"--comment=a \"b\" c", NULL};
        static char *rest[] = {(char *)"--epochs", (char *)"3", NULL};
        static char *environment[] = {(char *)"SBATCH_PARTITION=main", NULL};

        return (struct submission){.arguments = arguments,
                                   .script_arguments = rest,
                                   .environment = environment,
                                   .job_name = (char *)"train.sh",
                                   .directory = (char *)"/home/ada",
                                   .has_script = 1,
                                   .array_task = 7,
                                   .mode = SUBMISSION_CHAIN,
                                   .cluster = "c",
                                   .job = "42"};
}

static void write_example(void)
{
        struct submission s = example();
        struct stint_error err = {0};

        ck_assert_msg(!submission_write_script(dir, "#!/bin/sh\n", 10, &err), "%s", err.text);
        ck_assert_msg(!submission_write(&s, dir, &err), "%s", err.text);
}

static int holds(char *const *words, const char *word)
{
        for (; *words; words++)
                if (!strcmp(*words, word))
                        return 1;
        return 0;
}

START_TEST(a_submission_comes_back_as_it_was)
{
        struct submission s;
        struct stint_error err = {0};

        write_example();
        ck_assert_msg(!submission_read(&s, dir, &err), "%s", err.text);
        ck_assert_str_eq(s.arguments[1], "--comment=a \"b\" c");
        ck_assert_ptr_null(s.arguments[2]);
        ck_assert_str_eq(s.script_arguments[0], "--epochs");
        ck_assert_str_eq(s.environment[0], "SBATCH_PARTITION=main");
        ck_assert_str_eq(s.job_name, "train.sh");
        ck_assert_str_eq(s.directory, "/home/ada");
        ck_assert_int_eq(s.array_task, 7);
        ck_assert_int_eq(s.mode, SUBMISSION_CHAIN);
        ck_assert_str_eq(s.cluster, "c");
        ck_assert_str_eq(s.job, "42");
        submission_fini(&s);
        ck_assert_int_eq(s.array_task, -1);
}
END_TEST

START_TEST(a_run_without_one_says_so)
{
        struct submission s;
        struct stint_error err = {0};

        ck_assert_int_eq(submission_read(&s, dir, &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
}
END_TEST

START_TEST(what_another_could_have_written_is_not_run)
{
        char path[128];
        struct submission s;
        struct stint_error err = {0};

        write_example();
        snprintf(path, sizeof path, "%s/%s", dir, SUBMISSION_SCRIPT);
        ck_assert_int_eq(chmod(path, 0666), 0);
        ck_assert_int_eq(submission_read(&s, dir, &err), -1);
        ck_assert_int_eq(err.code, EPERM);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(symlink("/bin/sh", path), 0);
        ck_assert_int_eq(submission_read(&s, dir, &err), -1);
        ck_assert_int_eq(err.code, EPERM);
}
END_TEST

START_TEST(what_is_no_submission_is_refused)
{
        static const char *const texts[] = {
                "",
                "{}",
                "[]",
                "{\"format\": 2}",
                "{\"format\": 1, \"arguments\": [1], \"script_arguments\": [], \"environment\": [], "
                "\"directory\": \"/\", \"mode\": \"auto\"}",
                "{\"format\": 1, \"arguments\": [], \"script_arguments\": [], \"environment\": [], "
                "\"directory\": \"/\", \"mode\": \"sometimes\"}"};
        char path[128];
        struct submission s;
        struct stint_error err = {0};

        snprintf(path, sizeof path, "%s/%s", dir, SUBMISSION_FILE);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
                ck_assert_int_eq(durable_replace(path, texts[i], strlen(texts[i]), 0644, &err), 0);
                ck_assert_int_eq(submission_read(&s, dir, &err), -1);
                ck_assert_int_eq(err.code, EBADMSG);
        }
}
END_TEST

START_TEST(a_word_that_json_cannot_hold_is_an_error_and_changes_nothing)
{
        static char *bad[] = {(char *)"--comment=\xff", NULL};
        struct submission s = example(), was;
        struct stint_error err = {0};

        write_example();
        s.arguments = bad;
        ck_assert_int_eq(submission_write(&s, dir, &err), -1);
        ck_assert_int_eq(submission_read(&was, dir, &err), 0);
        ck_assert_str_eq(was.arguments[0], "--time=60");
        submission_fini(&was);
}
END_TEST

START_TEST(modes_have_names)
{
        enum submission_mode mode;

        ck_assert_int_eq(submission_mode_read(&mode, "requeue"), 0);
        ck_assert_int_eq(mode, SUBMISSION_REQUEUE);
        ck_assert_str_eq(submission_mode_name(SUBMISSION_CHAIN), "chain");
        ck_assert_int_eq(submission_mode_read(&mode, "Auto"), -1);
}
END_TEST

START_TEST(nothing_of_this_job_reaches_the_next_one)
{
        struct submission s = example();
        char **environment;

        clearenv();
        setenv("HOME", "/h", 1);
        setenv("SLURM_CONF", "/s", 1);
        setenv("SLURM_JOB_ID", "1", 1);
        setenv("SLURMD_NODENAME", "n1", 1);
        setenv("SRUN_DEBUG", "1", 1);
        setenv("SBATCH_QOS", "now", 1);
        setenv("CUDA_VISIBLE_DEVICES", "0", 1);
        setenv("STINT_AGENT", "a", 1);
        setenv("STINT_DIR", "/old", 1);
        setenv("STINT_LIBEXEC_DIR", "/l", 1);
        environment = submission_environment("/run", &s);
        ck_assert_ptr_nonnull(environment);
        ck_assert(holds(environment, "HOME=/h") && holds(environment, "SLURM_CONF=/s"));
        ck_assert(holds(environment, "STINT_DIR=/run") && holds(environment, "STINT_LIBEXEC_DIR=/l"));
        ck_assert(holds(environment, "SBATCH_PARTITION=main"));
        ck_assert(!holds(environment, "SBATCH_QOS=now") && !holds(environment, "SLURM_JOB_ID=1"));
        ck_assert(!holds(environment, "STINT_AGENT=a") && !holds(environment, "STINT_DIR=/old"));
        ck_assert(!holds(environment, "CUDA_VISIBLE_DEVICES=0") && !holds(environment, "SLURMD_NODENAME=n1"));
        submission_free_words(environment);
        environment = submission_environment("/run", NULL);
        ck_assert(holds(environment, "SBATCH_QOS=now"));
        submission_free_words(environment);
}
END_TEST

START_TEST(the_job_is_read_in_what_sbatch_says)
{
        char job[SBATCH_JOB];

        ck_assert(sbatch_job_read("Submitted batch job 17\n", job));
        ck_assert_str_eq(job, "17");
        ck_assert(sbatch_job_read("Submitted batch job 18 on cluster c\n", job));
        ck_assert_str_eq(job, "18");
        ck_assert(sbatch_job_read("19\n", job));
        ck_assert_str_eq(job, "19");
        ck_assert(sbatch_job_read("20;c\n", job));
        ck_assert_str_eq(job, "20");
        ck_assert(!sbatch_job_read("sbatch: lua: 5 jobs queued\n", job));
        ck_assert(!sbatch_job_read("21 jobs are queued\n", job));
        ck_assert(!sbatch_job_read("Submitted batch job 22x\n", job));
        ck_assert(!sbatch_job_read("", job));
}
END_TEST

/* ---- the journal ----------------------------------------------------------------------------------------------- */

static json_t *lines_of(const char *text)
{
        json_t *lines = json_loads(text, 0, NULL);

        ck_assert_msg(json_is_array(lines), "%s", text);
        return lines;
}

START_TEST(the_journal_names_the_successor_that_was_not_withdrawn)
{
        json_t *lines = lines_of("[{\"event\":\"successor\",\"job\":\"2\",\"after\":\"1\",\"of\":\"1\"},"
                                 "{\"event\":\"successor\",\"job\":\"3\",\"after\":\"2\",\"of\":\"2\"},"
                                 "{\"event\":\"successor\",\"job\":\"4\",\"after\":\"2\",\"of\":\"2\"},"
                                 "{\"event\":\"successor\",\"job\":\"6\",\"after\":\"5\",\"of\":\"5\"},"
                                 "{\"event\":\"successor withdrawn\",\"job\":\"6\"}]");

        ck_assert_str_eq(successor_in_journal(lines, "1"), "2");
        ck_assert_str_eq(successor_in_journal(lines, "2"), "4");
        ck_assert_str_eq(successor_in_journal(lines, "5"), "");
        ck_assert_str_eq(successor_in_journal(lines, "9"), "");
        ck_assert_str_eq(successor_predecessor(lines, "4"), "2");
        ck_assert_str_eq(successor_predecessor(lines, "1"), "");
        json_decref(lines);
}
END_TEST

START_TEST(stints_that_got_nowhere_are_counted_in_a_row)
{
        json_t *lines = lines_of("[{\"event\":\"start\"},{\"event\":\"end\",\"why\":\"killed\"},"
                                 "{\"event\":\"start\"},{\"event\":\"end\",\"why\":\"preempted\"},"
                                 "{\"event\":\"start\"},{\"event\":\"save\",\"landed\":false},{\"event\":\"end\","
                                 "\"why\":\"time limit\"}]");

        ck_assert_uint_eq(successor_idle(lines), 2);
        json_array_append_new(lines, json_pack("{s:s}", "event", "start"));
        json_array_append_new(lines, json_pack("{s:s, s:b}", "event", "save", "landed", 1));
        json_array_append_new(lines, json_pack("{s:s, s:s}", "event", "end", "why", "killed"));
        ck_assert_uint_eq(successor_idle(lines), 0);
        json_decref(lines);
}
END_TEST

START_TEST(the_jobs_of_a_run_are_those_that_can_still_live)
{
        struct jobs jobs;
        json_t *lines = lines_of("[{\"event\":\"start\",\"scheduler\":\"slurm\",\"job\":\"1\"},"
                                 "{\"event\":\"successor\",\"job\":\"2\",\"after\":\"1\"},"
                                 "{\"event\":\"start\",\"scheduler\":\"slurm\",\"job\":\"2\"},"
                                 "{\"event\":\"successor\",\"job\":\"3\",\"after\":\"2\"},"
                                 "{\"event\":\"start\",\"scheduler\":\"slurm\",\"job\":\"3\"},"
                                 "{\"event\":\"successor\",\"job\":\"4\",\"after\":\"3\"}]");

        jobs_gather(&jobs, lines, "1", "3");
        ck_assert_int_eq(jobs.n, 3);
        ck_assert_str_eq(jobs.one[0].id, "1");
        ck_assert_str_eq(jobs.one[1].id, "3");
        ck_assert_str_eq(jobs.one[2].id, "4");
        json_decref(lines);
        lines = lines_of("[{\"event\":\"start\",\"scheduler\":\"local\",\"job\":\"99\"}]");
        jobs_gather(&jobs, lines, "", "");
        ck_assert_int_eq(jobs.n, 0);
        json_decref(lines);
        jobs_gather(&jobs, NULL, "", "");
        ck_assert_int_eq(jobs.n, 0);
}
END_TEST

/* ---- the requeue ----------------------------------------------------------------------------------------------- */

static enum requeued outcome_of(int failed, enum scheduler_state state, int *again)
{
        const struct scheduler_answer answer = {.question = SCHEDULER_REQUEUE, .failed = failed, .state = state};

        return requeue_outcome(&answer, NULL, again);
}

START_TEST(a_job_that_was_cancelled_is_never_continued)
{
        int again;

        ck_assert_int_eq(outcome_of(ECANCELED, SCHEDULER_CANCELLED, &again), REQUEUE_NOT);
        ck_assert_int_eq(again, 0);
        ck_assert_int_eq(outcome_of(EPERM, SCHEDULER_CANCELLED, &again), REQUEUE_NOT);
        ck_assert_int_eq(outcome_of(0, SCHEDULER_CANCELLED, &again), REQUEUE_NOT);
        ck_assert_int_eq(outcome_of(ESRCH, SCHEDULER_ENDED, &again), REQUEUE_NOT);
        ck_assert_int_eq(again, 0);
}
END_TEST

START_TEST(silence_is_no_permission_and_may_pass)
{
        const struct stint_error late = {.code = ETIMEDOUT}, gone = {.code = ECONNRESET}, none = {.code = ENOENT};
        int again;

        ck_assert_int_eq(requeue_outcome(NULL, &late, &again), REQUEUE_NOT);
        ck_assert_int_eq(again, 1);
        ck_assert_int_eq(requeue_outcome(NULL, &gone, &again), REQUEUE_NOT);
        ck_assert_int_eq(again, 1);
        ck_assert_int_eq(requeue_outcome(NULL, &none, &again), REQUEUE_NOT);
        ck_assert_int_eq(again, 0);
        ck_assert_int_eq(outcome_of(ETIMEDOUT, SCHEDULER_UNKNOWN, &again), REQUEUE_NOT);
        ck_assert_int_eq(again, 1);
}
END_TEST

START_TEST(a_refusal_leaves_the_way_of_a_successor)
{
        int again;

        ck_assert_int_eq(outcome_of(EPERM, SCHEDULER_RUNNING, &again), REQUEUE_REFUSED);
        ck_assert_int_eq(outcome_of(EACCES, SCHEDULER_RUNNING, &again), REQUEUE_REFUSED);
        ck_assert_int_eq(outcome_of(0, SCHEDULER_PENDING, &again), REQUEUE_GRANTED);
        ck_assert_int_eq(again, 0);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *record = suite_case(suite, "record");
        TCase *journal = suite_case(suite, "journal");
        TCase *requeue = suite_case(suite, "requeue");

        tcase_add_checked_fixture(record, make_dir, remove_dir);
        tcase_add_test(record, a_submission_comes_back_as_it_was);
        tcase_add_test(record, a_run_without_one_says_so);
        tcase_add_test(record, what_another_could_have_written_is_not_run);
        tcase_add_test(record, what_is_no_submission_is_refused);
        tcase_add_test(record, a_word_that_json_cannot_hold_is_an_error_and_changes_nothing);
        tcase_add_test(record, modes_have_names);
        tcase_add_test(record, nothing_of_this_job_reaches_the_next_one);
        tcase_add_test(record, the_job_is_read_in_what_sbatch_says);
        tcase_add_test(journal, the_journal_names_the_successor_that_was_not_withdrawn);
        tcase_add_test(journal, stints_that_got_nowhere_are_counted_in_a_row);
        tcase_add_test(journal, the_jobs_of_a_run_are_those_that_can_still_live);
        tcase_add_test(requeue, a_job_that_was_cancelled_is_never_continued);
        tcase_add_test(requeue, silence_is_no_permission_and_may_pass);
        tcase_add_test(requeue, a_refusal_leaves_the_way_of_a_successor);
}

SUITE_MAIN("submission", add_tests)
