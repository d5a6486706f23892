/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_log: lines on stderr, read back from a pipe, and what is escaped in them; the wall clock as log lines show it.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"
#include "suite.h"

static int stderr_kept = -1, pipe_end = -1;
static char caught[16384];

static void set_up(void)
{
        int fds[2];

        fflush(stderr);
        ck_assert_int_eq(pipe(fds), 0);
        stderr_kept = dup(STDERR_FILENO);
        ck_assert_int_ge(dup2(fds[1], STDERR_FILENO), 0);
        close(fds[1]);
        pipe_end = fds[0];
        unsetenv("JOURNAL_STREAM");
        log_init("stint-test", STINT_LOG_NOTICE);
}

static void tear_down(void)
{
        if (stderr_kept >= 0) {
                dup2(stderr_kept, STDERR_FILENO);
                close(stderr_kept);
                close(pipe_end);
                stderr_kept = -1;
        }
}

/* What was written so far; gives stderr back, so that a failing assertion can be read. */
static const char *take(void)
{
        ssize_t n;
        size_t used = 0;

        dup2(stderr_kept, STDERR_FILENO);
        close(stderr_kept);
        stderr_kept = -1;
        while ((n = read(pipe_end, caught + used, sizeof caught - 1 - used)) > 0)
                used += (size_t)n;
        close(pipe_end);
        caught[used] = '\0';
        return caught;
}

START_TEST(a_line_begins_with_the_name_of_its_program)
{
        log_warning("rank %d is late", 2);
        ck_assert_str_eq(take(), "stint-test: rank 2 is late\n");
}
END_TEST

START_TEST(a_line_that_begins_with_the_name_is_not_given_it_twice)
{
        log_notice("stint-test 3: saved");
        log_notice("stint-tests are many");
        ck_assert_str_eq(take(), "stint-test 3: saved\nstint-test: stint-tests are many\n");
}
END_TEST

START_TEST(a_line_has_one_newline_whether_it_brought_one_or_not)
{
        log_notice("one");
        log_notice("two\n");
        log_notice("three\nfour");
        ck_assert_str_eq(take(), "stint-test: one\nstint-test: two\nstint-test: three\\x0afour\n");
}
END_TEST

START_TEST(lines_above_the_level_are_dropped)
{
        log_debug("no");
        log_notice("yes");
        log_init("stint-test", STINT_LOG_ERROR);
        log_warning("no");
        log_error("yes");
        log_init("stint-test", STINT_LOG_DEBUG);
        log_debug("yes");
        ck_assert_str_eq(take(), "stint-test: yes\nstint-test: yes\nstint-test: yes\n");
}
END_TEST

START_TEST(the_journal_gets_priorities_instead_of_the_name)
{
        struct stat st;
        char stream[64];

        ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
        snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
        setenv("JOURNAL_STREAM", stream, 1);
        log_init("stint-test", STINT_LOG_DEBUG);
        log_error("a");
        log_warning("b");
        log_notice("c");
        log_debug("d");
        unsetenv("JOURNAL_STREAM");
        log_init("stint-test", STINT_LOG_NOTICE);
        ck_assert_str_eq(take(), "<3>a\n<4>b\n<5>c\n<7>d\n");
}
END_TEST

START_TEST(a_journal_that_was_inherited_but_is_not_stderr_counts_for_nothing)
{
        setenv("JOURNAL_STREAM", "1:1", 1);
        log_init("stint-test", STINT_LOG_NOTICE);
        log_notice("a");
        setenv("JOURNAL_STREAM", "nonsense", 1);
        log_init("stint-test", STINT_LOG_NOTICE);
        log_notice("b");
        unsetenv("JOURNAL_STREAM");
        ck_assert_str_eq(take(), "stint-test: a\nstint-test: b\n");
}
END_TEST

START_TEST(a_line_is_never_longer_than_a_pipe_takes_at_once)
{
        char text[9000];
        const char *line;

        memset(text, '\x01', sizeof text - 1); /* each becomes four bytes */
        text[sizeof text - 1] = '\0';
        log_notice("%s", text);
        line = take();
        ck_assert_uint_le(strlen(line), 4096);
        ck_assert_uint_gt(strlen(line), 4000);
        ck_assert_str_eq(line + strlen(line) - 5, "\\x01\n");
}
END_TEST

START_TEST(a_program_with_an_absurd_name_still_gets_its_line)
{
        char name[5000];

        memset(name, 'n', sizeof name - 1);
        name[sizeof name - 1] = '\0';
        log_init(name, STINT_LOG_NOTICE);
        log_notice("here");
        log_init("stint-test", STINT_LOG_NOTICE);
        ck_assert_ptr_nonnull(strstr(take(), "nnn: here\n"));
}
END_TEST

START_TEST(errno_is_what_it_was)
{
        errno = ENOSPC;
        log_notice("x");
        ck_assert_int_eq(errno, ENOSPC);
        close(STDERR_FILENO); /* even where nobody can be told */
        log_notice("x");
        ck_assert_int_eq(errno, ENOSPC);
        dup2(stderr_kept, STDERR_FILENO);
}
END_TEST

static const char *escaped(const char *text)
{
        static char out[200];

        return log_escape(out, sizeof out, text);
}

START_TEST(text_that_is_fit_to_print_is_left_alone)
{
        ck_assert_str_eq(escaped(""), "");
        ck_assert_str_eq(escaped("plain \"text\" \\ ~"), "plain \"text\" \\ ~");
        ck_assert_str_eq(escaped("caf\xc3\xa9 \xe2\x80\xa6 \xf0\x9f\x98\x80"),
                         "caf\xc3\xa9 \xe2\x80\xa6 \xf0\x9f\x98\x80");
}
END_TEST

START_TEST(control_characters_are_escaped)
{
        ck_assert_str_eq(escaped("\x1b[2J\t\r\n\x7f"), "\\x1b[2J\\x09\\x0d\\x0a\\x7f");
        ck_assert_str_eq(escaped("\xc2\x9b"), "\\xc2\\x9b"); /* C1: one of them is ESC [ */
}
END_TEST

START_TEST(bytes_that_are_not_utf8_are_escaped)
{
        ck_assert_str_eq(escaped("\xff"), "\\xff");
        ck_assert_str_eq(escaped("a\xc3"), "a\\xc3");        /* cut off */
        ck_assert_str_eq(escaped("\xa9z"), "\\xa9z");        /* a tail without a head */
        ck_assert_str_eq(escaped("\xc0\xaf"), "\\xc0\\xaf"); /* an overlong slash */
        ck_assert_str_eq(escaped("\xe0\x80\xaf"), "\\xe0\\x80\\xaf");
        ck_assert_str_eq(escaped("\xf0\x80\x80\xaf"), "\\xf0\\x80\\x80\\xaf");
        ck_assert_str_eq(escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80");          /* half of a surrogate pair */
        ck_assert_str_eq(escaped("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
        ck_assert_str_eq(escaped("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf");
}
END_TEST

START_TEST(a_small_buffer_holds_whole_characters_and_escapes)
{
        char out[8];

        ck_assert_str_eq(log_escape(out, 8, "12345678"), "1234567");
        ck_assert_str_eq(log_escape(out, 8, "\n\n"), "\\x0a");
        ck_assert_str_eq(log_escape(out, 3, "a\xc3\xa9"), "a");
        ck_assert_str_eq(log_escape(out, 4, "a\xc3\xa9"), "a\xc3\xa9");
        ck_assert_str_eq(log_escape(out, 1, "a"), "");
        out[0] = 'x';
        log_escape(out, 0, "a");
        ck_assert_int_eq(out[0], 'x');
}
END_TEST

START_TEST(a_time_is_written_in_utc_with_milliseconds)
{
        char out[25];

        ck_assert_str_eq(clock_format(out, sizeof out, 0), "1970-01-01T00:00:00.000Z");
        ck_assert_str_eq(clock_format(out, sizeof out, INT64_C(1795316645678999999)), "2026-11-22T03:04:05.678Z");
        ck_assert_str_eq(clock_format(out, sizeof out, -1), "1969-12-31T23:59:59.999Z");
        ck_assert_int_gt(clock_wall(), INT64_C(1600000000) * CLOCK_SECOND);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "log");

        tcase_add_checked_fixture(tests, set_up, tear_down);
        tcase_add_test(tests, a_line_begins_with_the_name_of_its_program);
        tcase_add_test(tests, a_line_that_begins_with_the_name_is_not_given_it_twice);
        tcase_add_test(tests, a_line_has_one_newline_whether_it_brought_one_or_not);
        tcase_add_test(tests, lines_above_the_level_are_dropped);
        tcase_add_test(tests, the_journal_gets_priorities_instead_of_the_name);
        tcase_add_test(tests, a_journal_that_was_inherited_but_is_not_stderr_counts_for_nothing);
        tcase_add_test(tests, a_line_is_never_longer_than_a_pipe_takes_at_once);
        tcase_add_test(tests, a_program_with_an_absurd_name_still_gets_its_line);
        tcase_add_test(tests, errno_is_what_it_was);
        tcase_add_test(tests, text_that_is_fit_to_print_is_left_alone);
        tcase_add_test(tests, control_characters_are_escaped);
        tcase_add_test(tests, bytes_that_are_not_utf8_are_escaped);
        tcase_add_test(tests, a_small_buffer_holds_whole_characters_and_escapes);
        tcase_add_test(tests, a_time_is_written_in_utc_with_milliseconds);
}

SUITE_MAIN("log", add_tests)
