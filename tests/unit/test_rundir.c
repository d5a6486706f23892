/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_rundir: names within a run directory, there and back, and setting a checkpoint aside. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"
#include "rundir.h"
#include "suite.h"

static char scratch[512];
static struct stint_error err;

static void set_up(void)
{
        const char *tmp = getenv("TMPDIR");

        snprintf(scratch, sizeof scratch, "%s/stint-test-rundir.XXXXXX", tmp ? tmp : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(scratch));
        err = (struct stint_error){0};
}

static void tear_down(void)
{
        ck_assert_int_eq(durable_remove_tree(scratch, NULL), 0);
}

static const char *in(const char *name)
{
        static char path[2000];

        snprintf(path, sizeof path, "%s/%s", scratch, name);
        return path;
}

START_TEST(names_are_spelled_as_the_format_says)
{
        char out[RUNDIR_NAME];

        ck_assert_str_eq(rundir_whole(out, 1200), "step-000000001200");
        ck_assert_str_eq(rundir_whole(out, 0), "step-000000000000");
        ck_assert_str_eq(rundir_whole(out, INT64_MAX), "step-9223372036854775807");
        ck_assert_str_eq(rundir_part(out, 1800, 7), "step-000000001800.s7.part");
        ck_assert_str_eq(rundir_rank_file(out, 0, 4), "rank-00000-of-00004.h5");
        ck_assert_str_eq(rundir_rank_seal(out, 123456, 1000000), "rank-123456-of-1000000.seal");
}
END_TEST

static void reads(const char *name, enum rundir_kind kind, int64_t step, uint32_t stint)
{
        int64_t got_step = -7;
        uint32_t got_stint = 77;

        ck_assert_msg(rundir_parse(name, &got_step, &got_stint) == kind, "%s is not of kind %d", name, (int)kind);
        ck_assert_int_eq(got_step, step);
        ck_assert_uint_eq(got_stint, stint);
        ck_assert_int_eq(rundir_parse(name, NULL, NULL), kind);
}

START_TEST(every_kind_of_name_is_read_back)
{
        reads("step-000000001200", RUNDIR_WHOLE, 1200, 0);
        reads("step-000000000000", RUNDIR_WHOLE, 0, 0);
        reads("step-1234567890123", RUNDIR_WHOLE, INT64_C(1234567890123), 0);
        reads("step-9223372036854775807", RUNDIR_WHOLE, INT64_MAX, 0);
        reads("step-000000001800.s7.part", RUNDIR_PART, 1800, 7);
        reads("step-000000001800.s4294967295.part", RUNDIR_PART, 1800, UINT32_MAX);
        reads("abandoned-step-000000001800.s7", RUNDIR_ABANDONED, 1800, 7);
        reads("abandoned-step-000000001800.s7.2", RUNDIR_ABANDONED, 1800, 7);
        reads("quarantined-step-000000001200", RUNDIR_QUARANTINED, 1200, 0);
        reads("quarantined-step-000000001200.13", RUNDIR_QUARANTINED, 1200, 0);
        reads("superseded-step-000000001200", RUNDIR_SUPERSEDED, 1200, 0);
        reads("retired-step-000000001200.9999", RUNDIR_RETIRED, 1200, 0);
}
END_TEST

START_TEST(any_other_spelling_is_no_name_of_ours)
{
        static const char *const names[] = {
                "",
                ".",
                "..",
                "step-",
                "step-1200",
                "step-00000001200",
                "step-0000000001200",
                "step-000000001200 ",
                "step-000000001200/",
                "step-000000001200.",
                "step-000000001200.2",
                "step-000000001200.s7",
                "step-000000001200.part",
                "step-000000001200.s.part",
                "step-000000001200.s0.part",
                "step-000000001200.s07.part",
                "step-000000001200.s-7.part",
                "step-000000001200.s+7.part",
                "step-000000001200.s7.part2",
                "step-000000001200.s7.part.2",
                "step-000000001200.s7.parts",
                "step-000000001200.s4294967296.part",
                "step--00000001200",
                "step-+00000001200",
                "step- 00000001200",
                "step-0x0000001200",
                "step-9223372036854775808",
                "step-18446744073709551616",
                "step-99999999999999999999999999999999999999999999999999999999999999999999999999999999",
                "STEP-000000001200",
                "xstep-000000001200",
                "abandoned-",
                "abandoned-step-000000001800.s7.part",
                "abandoned-step-000000001800.s7.0",
                "abandoned-step-000000001800.s7.1",
                "abandoned-step-000000001800.s7.02",
                "abandoned-step-000000001800.s7.10000",
                "abandoned-step-000000001800.2.s7",
                "quarantined-abandoned-step-000000001800",
                "retired-step-000000001200.",
                "retired_step-000000001200",
                "manifest.json",
        };

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                int64_t step = -7;
                uint32_t stint = 77;

                ck_assert_msg(rundir_parse(names[i], &step, &stint) == RUNDIR_OTHER, "'%s' was taken for a name",
                              names[i]);
                ck_assert_int_eq(step, -7);
                ck_assert_uint_eq(stint, 77);
        }
}
END_TEST

START_TEST(what_is_written_is_read_back)
{
        static const int64_t steps[] = {0, 1, 999999999999, 1000000000000, INT64_MAX};
        char out[RUNDIR_NAME];

        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
                reads(rundir_whole(out, steps[i]), RUNDIR_WHOLE, steps[i], 0);
                reads(rundir_part(out, steps[i], 3), RUNDIR_PART, steps[i], 3);
        }
}
END_TEST

START_TEST(paths_are_joined_or_refused_whole)
{
        char out[12];

        ck_assert_int_eq(rundir_join(out, sizeof out, "run", "a", NULL, &err), 0);
        ck_assert_str_eq(out, "run/a");
        ck_assert_int_eq(rundir_join(out, sizeof out, "run", "abc", "def", &err), 0);
        ck_assert_str_eq(out, "run/abc/def");
        ck_assert_int_eq(rundir_join(out, sizeof out, "run", "abc", "defg", &err), -1);
        ck_assert_int_eq(err.code, ENAMETOOLONG);
        ck_assert_int_eq(rundir_join(out, sizeof out, "run", "12345678", NULL, NULL), -1);
}
END_TEST

static void set_aside(const char *name, enum rundir_kind kind, const char *expected)
{
        char now[RUNDIR_NAME] = "";
        struct stat st;

        ck_assert_int_eq(mkdir(in(name), 0700), 0);
        ck_assert_msg(rundir_set_aside(scratch, name, kind, now, &err) == 0, "%s", err.text);
        ck_assert_str_eq(now, expected);
        ck_assert_int_eq(lstat(in(name), &st), -1);
        ck_assert_int_eq(lstat(in(expected), &st), 0);
        ck_assert_int_eq(rundir_parse(now, NULL, NULL), kind);
}

START_TEST(a_checkpoint_is_set_aside_under_its_prefix)
{
        set_aside("step-000000001200", RUNDIR_QUARANTINED, "quarantined-step-000000001200");
        set_aside("step-000000001200", RUNDIR_SUPERSEDED, "superseded-step-000000001200");
        set_aside("step-000000001200", RUNDIR_RETIRED, "retired-step-000000001200");
        set_aside("step-000000001800.s7.part", RUNDIR_ABANDONED, "abandoned-step-000000001800.s7");
}
END_TEST

START_TEST(one_more_of_the_same_name_gets_a_number)
{
        set_aside("step-000000001200", RUNDIR_QUARANTINED, "quarantined-step-000000001200");
        set_aside("step-000000001200", RUNDIR_QUARANTINED, "quarantined-step-000000001200.2");
        set_aside("step-000000001200", RUNDIR_QUARANTINED, "quarantined-step-000000001200.3");
        set_aside("step-000000001800.s7.part", RUNDIR_ABANDONED, "abandoned-step-000000001800.s7");
        set_aside("step-000000001800.s7.part", RUNDIR_ABANDONED, "abandoned-step-000000001800.s7.2");
}
END_TEST

START_TEST(what_was_set_aside_can_be_retired)
{
        set_aside("abandoned-step-000000001800.s7.2", RUNDIR_RETIRED, "retired-step-000000001800.s7");
        set_aside("superseded-step-000000001800", RUNDIR_RETIRED, "retired-step-000000001800");
}
END_TEST

START_TEST(what_is_no_checkpoint_stays_where_it_is)
{
        char now[RUNDIR_NAME] = "as it was";
        struct stat st;

        ck_assert_int_eq(mkdir(in("precious"), 0700), 0);
        ck_assert_int_eq(mkdir(in("step-000000001200"), 0700), 0);
        ck_assert_int_eq(rundir_set_aside(scratch, "precious", RUNDIR_RETIRED, now, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(rundir_set_aside(scratch, "../step-000000001200", RUNDIR_RETIRED, now, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(rundir_set_aside(scratch, "step-000000001200", RUNDIR_WHOLE, now, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(rundir_set_aside(scratch, "step-000000001300", RUNDIR_RETIRED, now, &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
        ck_assert_int_eq(lstat(in("precious"), &st), 0);
        ck_assert_int_eq(lstat(in("step-000000001200"), &st), 0);
        ck_assert_str_eq(now, "as it was");
}
END_TEST

START_TEST(a_run_directory_with_too_long_a_name_is_told)
{
        char dir[2000], now[RUNDIR_NAME];

        memset(dir, 'd', sizeof dir - 1);
        dir[sizeof dir - 1] = '\0';
        ck_assert_int_eq(rundir_set_aside(dir, "step-000000001200", RUNDIR_RETIRED, now, &err), -1);
        ck_assert_int_eq(err.code, ENAMETOOLONG);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "rundir");

        tcase_add_checked_fixture(tests, set_up, tear_down);
        tcase_add_test(tests, names_are_spelled_as_the_format_says);
        tcase_add_test(tests, every_kind_of_name_is_read_back);
        tcase_add_test(tests, any_other_spelling_is_no_name_of_ours);
        tcase_add_test(tests, what_is_written_is_read_back);
        tcase_add_test(tests, paths_are_joined_or_refused_whole);
        tcase_add_test(tests, a_checkpoint_is_set_aside_under_its_prefix);
        tcase_add_test(tests, one_more_of_the_same_name_gets_a_number);
        tcase_add_test(tests, what_was_set_aside_can_be_retired);
        tcase_add_test(tests, what_is_no_checkpoint_stays_where_it_is);
        tcase_add_test(tests, a_run_directory_with_too_long_a_name_is_told);
}

SUITE_MAIN("rundir", add_tests)
