/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_hear: a program that answers, one that fails, one that is not there, one that hangs, and one that says too much.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include "clock.h"
#include "hear.h"
#include "suite.h"

#define LONG (60 * CLOCK_SECOND) /* far more than any of these takes */
#define SHORT (100 * CLOCK_MS)

static char out[64];

START_TEST(what_a_program_says_is_heard_and_its_stderr_is_not)
{
        char *const words[] = {"sh", "-c", "echo one; echo no >&2; echo two", NULL};

        ck_assert_int_eq(hear(words, LONG, out, sizeof out), HEAR_ANSWERED);
        ck_assert_str_eq(out, "one\ntwo\n");
}
END_TEST

START_TEST(a_program_that_says_nothing_has_answered)
{
        char *const words[] = {"true", NULL};

        ck_assert_int_eq(hear(words, LONG, out, sizeof out), HEAR_ANSWERED);
        ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(one_that_exits_with_an_error_or_dies_has_failed)
{
        char *const wrong[] = {"sh", "-c", "echo half; exit 9", NULL};
        char *const dies[] = {"sh", "-c", "kill -KILL $$", NULL};

        ck_assert_int_eq(hear(wrong, LONG, out, sizeof out), HEAR_FAILED);
        ck_assert_int_eq(hear(dies, LONG, out, sizeof out), HEAR_FAILED);
}
END_TEST

START_TEST(one_that_is_not_there_is_told_from_one_that_fails)
{
        char *const words[] = {"stint-no-such-program", NULL};
        char *const folder[] = {"/", NULL};

        ck_assert_int_eq(hear(words, LONG, out, sizeof out), HEAR_NONE);
        ck_assert_int_eq(hear(folder, LONG, out, sizeof out), HEAR_FAILED);
}
END_TEST

START_TEST(one_that_hangs_is_given_up_in_time_and_killed)
{
        char *const words[] = {"sh", "-c", "echo begun; exec sleep 1000", NULL};
        char *const closed[] = {"sh", "-c", "exec sleep 1000 >&-", NULL};
        int64_t began = clock_now();

        ck_assert_int_eq(hear(words, SHORT, out, sizeof out), HEAR_HANGS);
        ck_assert_int_eq(hear(closed, SHORT, out, sizeof out), HEAR_HANGS);
        ck_assert_int_lt(clock_now() - began, 500 * CLOCK_SECOND);
        /* Killed, so that these waits end. */
        while (waitpid(-1, NULL, 0) > 0)
                continue;
        ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(one_that_says_more_than_there_is_room_for_has_failed)
{
        char *const words[] = {"sh", "-c", "while echo much; do :; done", NULL};

        ck_assert_int_eq(hear(words, LONG, out, sizeof out), HEAR_FAILED);
        ck_assert_uint_lt(strlen(out), sizeof out);
        while (waitpid(-1, NULL, 0) > 0)
                continue;
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "hear");

        tcase_add_test(tests, what_a_program_says_is_heard_and_its_stderr_is_not);
        tcase_add_test(tests, a_program_that_says_nothing_has_answered);
        tcase_add_test(tests, one_that_exits_with_an_error_or_dies_has_failed);
        tcase_add_test(tests, one_that_is_not_there_is_told_from_one_that_fails);
        tcase_add_test(tests, one_that_hangs_is_given_up_in_time_and_killed);
        tcase_add_test(tests, one_that_says_more_than_there_is_room_for_has_failed);
}

SUITE_MAIN("hear", add_tests)
