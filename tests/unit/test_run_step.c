/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_run_step: when agents are started by srun, with which arguments, and what of the environment it gets. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "run_step.h"
#include "suite.h"

static char dir[] = "/tmp/stint-step.XXXXXX";

/* A job of two nodes, with an srun in PATH. */
static void in_a_job(void)
{
        char path[64];
        FILE *file;

        snprintf(path, sizeof path, "%s/srun", dir);
        file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        fclose(file);
        chmod(path, 0755);
        snprintf(path, sizeof path, "/nowhere::%s", dir);
        setenv("PATH", path, 1);
        setenv("SLURM_JOB_ID", "4711", 1);
        setenv("SLURM_JOB_NUM_NODES", "2", 1);
        unsetenv("SLURM_HET_SIZE");
        unsetenv("STINT_SRUN");
}

START_TEST(in_a_job_there_is_one_agent_for_each_node)
{
        struct step_plan plan;
        char path[64];

        in_a_job();
        snprintf(path, sizeof path, "%s/srun", dir);
        ck_assert_ptr_null(step_choose(&plan, 1));
        ck_assert_int_eq(plan.slurm, 1);
        ck_assert_uint_eq(plan.nodes, 2);
        ck_assert_str_eq(plan.srun, path);
}
END_TEST

START_TEST(outside_a_job_there_is_one_agent_as_a_child)
{
        struct step_plan plan;

        in_a_job();
        ck_assert_ptr_null(step_choose(&plan, 0));
        ck_assert_int_eq(plan.slurm, 0);
        ck_assert_uint_eq(plan.nodes, 1);
        unsetenv("SLURM_JOB_ID");
        ck_assert_ptr_null(step_choose(&plan, 1));
        ck_assert_int_eq(plan.slurm, 0);
}
END_TEST

START_TEST(without_srun_the_user_hears_what_that_means)
{
        struct step_plan plan;
        const char *said;

        in_a_job();
        setenv("PATH", "/nowhere", 1);
        said = step_choose(&plan, 1);
        ck_assert_int_eq(plan.slurm, 0);
        ck_assert_uint_eq(plan.nodes, 1);
        ck_assert_ptr_nonnull(said);
        ck_assert_ptr_nonnull(strstr(said, "srun is not in PATH"));
        ck_assert_ptr_nonnull(strstr(said, "preemption will not be felt"));
}
END_TEST

START_TEST(of_a_heterogeneous_job_only_the_first_component_has_agents_and_that_is_said)
{
        struct step_plan plan;
        const char *said;

        in_a_job();
        setenv("SLURM_HET_SIZE", "2", 1);
        said = step_choose(&plan, 1);
        ck_assert_int_eq(plan.slurm, 1);
        ck_assert_ptr_nonnull(said);
        ck_assert_ptr_nonnull(strstr(said, "first component"));
}
END_TEST

START_TEST(a_number_of_nodes_that_is_none_means_one)
{
        static const char *const wrong[] = { "", "0", "-3", "many", "99999999999999999999" };
        struct step_plan plan;
        size_t i;

        in_a_job();
        for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
                setenv("SLURM_JOB_NUM_NODES", wrong[i], 1);
                step_choose(&plan, 1);
                ck_assert_uint_eq(plan.nodes, 1);
        }
}
END_TEST

static int has(char *const *words, const char *word)
{
        for (; *words != NULL; words++)
                if (strcmp(*words, word) == 0)
                        return 1;
        return 0;
}

START_TEST(srun_is_told_all_that_it_would_otherwise_take_from_the_job)
{
        static char *const agent[] = { "/opt/stint-agent", "--armour", NULL };
        static const char *const needed[] = {
                "--jobid=4711", "--nodes=2",   "--ntasks=2", "--ntasks-per-node=1",  "--overlap",
                "--mem=0",      "--gres=none", "--mpi=none", "--kill-on-bad-exit=1", "--wait=0",
                "--no-kill"};
        char *out[STEP_ARGUMENTS];
        struct step_plan plan;
        size_t i, n;

        in_a_job();
        step_choose(&plan, 1);
        ck_assert_int_eq(step_arguments(&plan, agent, out), 0);
        for (i = 0; i < sizeof needed / sizeof needed[0]; i++)
                ck_assert_msg(has(out, needed[i]), "%s is missing", needed[i]);
        for (n = 0; out[n] != NULL; n++)
                ;
        ck_assert_str_eq(out[0], "srun");
        ck_assert_str_eq(out[n - 2], "/opt/stint-agent");
        ck_assert_str_eq(out[n - 1], "--armour");
}
END_TEST

START_TEST(too_many_arguments_are_refused)
{
        char *agent[STEP_ARGUMENTS + 1], *out[STEP_ARGUMENTS];
        struct step_plan plan;
        size_t i;

        in_a_job();
        step_choose(&plan, 1);
        for (i = 0; i < STEP_ARGUMENTS; i++)
                agent[i] = "x";
        agent[i] = NULL;
        ck_assert_int_eq(step_arguments(&plan, agent, out), -1);
}
END_TEST

START_TEST(nothing_that_slurm_made_of_the_jobs_options_reaches_the_step)
{
        static char *const ours[] = {"PATH=/bin",
                                     "SLURM_JOB_ID=1",
                                     "SLURM_NTASKS_PER_GPU=1",
                                     "SLURM_CONF=/etc/slurm.conf",
                                     "SRUN_DEBUG=3",
                                     "SBATCH_EXCLUSIVE=1",
                                     "SLURM_EXPORT_ENV=PATH",
                                     "SLURMD_NODENAME=n1",
                                     "SALLOC_X=1",
                                     "MY_SLURM_THING=1",
                                     "STINT_DIR=/runs/a",
                                     "SLURM_CONFIG_X=1",
                                     NULL};
        static const char *const left[] = {"PATH=/bin",         "SLURM_CONF=/etc/slurm.conf", "MY_SLURM_THING=1",
                                           "STINT_DIR=/runs/a", "SLURM_JOB_ID=4711",          "SLURM_EXPORT_ENV=ALL"};
        struct step_plan plan;
        char job[48], **out;
        size_t i, n;

        in_a_job();
        step_choose(&plan, 1);
        out = step_environment(ours, &plan, job);
        ck_assert_ptr_nonnull(out);
        for (n = 0; out[n] != NULL; n++)
                ;
        ck_assert_uint_eq(n, sizeof left / sizeof left[0]);
        for (i = 0; i < n; i++)
                ck_assert_msg(has(out, left[i]), "%s is missing", left[i]);
        free(out);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tcase = suite_case(suite, "run_step");

        tcase_add_test(tcase, in_a_job_there_is_one_agent_for_each_node);
        tcase_add_test(tcase, outside_a_job_there_is_one_agent_as_a_child);
        tcase_add_test(tcase, without_srun_the_user_hears_what_that_means);
        tcase_add_test(tcase, of_a_heterogeneous_job_only_the_first_component_has_agents_and_that_is_said);
        tcase_add_test(tcase, a_number_of_nodes_that_is_none_means_one);
        tcase_add_test(tcase, srun_is_told_all_that_it_would_otherwise_take_from_the_job);
        tcase_add_test(tcase, too_many_arguments_are_refused);
        tcase_add_test(tcase, nothing_that_slurm_made_of_the_jobs_options_reaches_the_step);
}

int main(void)
{
        char path[64];
        int failed;

        if (mkdtemp(dir) == NULL)
                return EXIT_FAILURE;
        failed = suite_run("run_step", add_tests);
        snprintf(path, sizeof path, "%s/srun", dir);
        unlink(path);
        rmdir(dir);
        return failed;
}
