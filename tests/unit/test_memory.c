/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_memory: what a process may still have is the least of what the kernel has and what its control groups leave. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"
#include "memory.h"

static char root[64], membership[128];

static void set_up(void)
{
        strcpy(root, "/tmp/stint-test-memory.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
        snprintf(membership, sizeof membership, "%s/self", root);
}

static void clean_up(void)
{
        durable_remove_tree(root, NULL);
}

static void put(const char *name, const char *text)
{
        char path[256];
        FILE *f;

        snprintf(path, sizeof path, "%s/%s", root, name);
        f = fopen(path, "w");
        ck_assert_ptr_nonnull(f);
        fputs(text, f);
        ck_assert_int_eq(fclose(f), 0);
}

static void folder(const char *name)
{
        char path[256];

        snprintf(path, sizeof path, "%s/%s", root, name);
        ck_assert_int_eq(mkdir(path, 0700), 0);
}

START_TEST(there_is_memory_on_a_machine_that_runs_this)
{
        ck_assert_int_gt(memory_available(), 0);
}
END_TEST

START_TEST(the_narrowest_of_the_groups_above_counts)
{
        put("self", "0::/jobs/4711\n");
        folder("jobs");
        folder("jobs/4711");
        put("jobs/memory.max", "1000000\n");
        put("jobs/memory.current", "400000\n");
        put("jobs/4711/memory.max", "max\n");
        put("jobs/4711/memory.current", "300000\n");
        ck_assert_int_eq(memory_left_in_groups(membership, root), 600000);
        put("jobs/4711/memory.max", "350000\n");
        ck_assert_int_eq(memory_left_in_groups(membership, root), 50000);
}
END_TEST

START_TEST(page_cache_that_can_be_given_up_is_not_missing)
{
        put("self", "0::/job\n");
        folder("job");
        put("job/memory.max", "1000\n");
        put("job/memory.current", "990\n");
        put("job/memory.stat", "anon 90\ninactive_anon 7\ninactive_file 900\n");
        ck_assert_int_eq(memory_left_in_groups(membership, root), 910);
        put("job/memory.stat", "inactive_file 0\n");
        put("job/memory.current", "1001\n");
        ck_assert_int_eq(memory_left_in_groups(membership, root), 0);
}
END_TEST

START_TEST(the_memory_controller_of_version_1_has_other_names)
{
        put("self", "11:cpu,cpuacct:/job\n9:memory:/job\n1:name=systemd:/job\n0::/job\n");
        folder("memory");
        folder("memory/job");
        put("memory/job/memory.limit_in_bytes", "500\n");
        put("memory/job/memory.usage_in_bytes", "100\n");
        put("memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 20\n");
        ck_assert_int_eq(memory_left_in_groups(membership, root), 420);
}
END_TEST

START_TEST(where_nothing_is_limited_or_known_there_is_no_answer)
{
        ck_assert_int_eq(memory_left_in_groups(membership, root), -1);
        put("self", "0::/\nnonsense\n:::\n5:cpu:/x\n");
        ck_assert_int_eq(memory_left_in_groups(membership, root), -1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("memory");
        TCase *all = tcase_create("memory");
        SRunner *runner;
        int failed;

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, there_is_memory_on_a_machine_that_runs_this);
        tcase_add_test(all, the_narrowest_of_the_groups_above_counts);
        tcase_add_test(all, page_cache_that_can_be_given_up_is_not_missing);
        tcase_add_test(all, the_memory_controller_of_version_1_has_other_names);
        tcase_add_test(all, where_nothing_is_limited_or_known_there_is_no_answer);
        suite_add_tcase(suite, all);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
