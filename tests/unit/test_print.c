/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_print: how the verbs show tables, JSON, times and sizes, and what they make of members that are not there. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "print.h"
#include "suite.h"

#define S CLOCK_SECOND

/* A stream into memory. */
struct sink {
        char *text;
        size_t n;
        FILE *out;
};

static struct sink *sink_open(void)
{
        struct sink *s = calloc(1, sizeof *s);

        ck_assert_ptr_nonnull(s);
        s->out = open_memstream(&s->text, &s->n);
        ck_assert_ptr_nonnull(s->out);
        return s;
}

static void sink_is(struct sink *s, const char *expected)
{
        fclose(s->out);
        ck_assert_str_eq(s->text, expected);
        free(s->text);
        free(s);
}

START_TEST(columns_are_as_wide_as_their_widest_cell)
{
        static const char *const titles[] = {"NAME", ">STEP", "WHY", NULL};
        struct print_table *t = print_table_new(titles);
        struct sink *s = sink_open();

        print_row(t, (const char *[]){"a-long-name", "7", "short"});
        print_row(t, (const char *[]){"b", "1200", "a longer reason"});
        ck_assert_int_eq(print_table_end(t, s->out), 0);
        sink_is(s, "NAME         STEP  WHY\n"
                   "a-long-name     7  short\n"
                   "b            1200  a longer reason\n");
}
END_TEST

START_TEST(a_cell_that_is_not_known_is_a_dash)
{
        static const char *const titles[] = {"A", ">B", NULL};
        struct print_table *t = print_table_new(titles);
        struct sink *s = sink_open();

        print_row(t, (const char *[]){NULL, NULL});
        ck_assert_int_eq(print_table_end(t, s->out), 0);
        sink_is(s, "A  B\n-  -\n");
}
END_TEST

START_TEST(a_table_without_rows_is_nothing)
{
        static const char *const titles[] = {"A", NULL};
        struct sink *s = sink_open();

        ck_assert_int_eq(print_table_end(print_table_new(titles), s->out), 0);
        sink_is(s, "");
}
END_TEST

START_TEST(many_rows_fit)
{
        static const char *const titles[] = {">N", NULL};
        struct print_table *t = print_table_new(titles);
        struct sink *s = sink_open();
        char number[16];

        for (int i = 0; i < 1000; i++) {
                snprintf(number, sizeof number, "%d", i);
                print_row(t, (const char *[]){number});
        }
        ck_assert_int_eq(print_table_end(t, s->out), 0);
        fclose(s->out);
        ck_assert_uint_eq(s->n, 1001 * 4);
        ck_assert_str_eq(s->text + s->n - 8, "998\n999\n");
        free(s->text);
        free(s);
}
END_TEST

START_TEST(names_of_others_cannot_steer_the_terminal)
{
        static const char *const titles[] = {"NAME", "X", NULL};
        struct print_table *t = print_table_new(titles);
        struct sink *s = sink_open();

        print_row(t, (const char *[]){"a\033[2Jb\n", "y"});
        ck_assert_int_eq(print_table_end(t, s->out), 0);
        sink_is(s, "NAME           X\na\\x1b[2Jb\\x0a  y\n");
}
END_TEST

START_TEST(letters_of_two_bytes_take_one_place)
{
        static const char *const titles[] = {"NAME", "X", NULL};
        struct print_table *t = print_table_new(titles);
        struct sink *s = sink_open();

        print_row(t, (const char *[]){"läufer", "y"});
        print_row(t, (const char *[]){"runner", "z"});
        ck_assert_int_eq(print_table_end(t, s->out), 0);
        sink_is(s, "NAME    X\nläufer  y\nrunner  z\n");
}
END_TEST

START_TEST(without_memory_for_a_table_nothing_is_shown)
{
        print_row(NULL, (const char *[]){"a"});
        ck_assert_int_eq(print_table_end(NULL, stdout), -1);
}
END_TEST

START_TEST(json_ends_with_a_newline_and_one_that_could_not_be_made_is_an_error)
{
        struct sink *s = sink_open();
        struct stint_error err = {0};

        ck_assert_int_eq(print_json(json_pack("{s:i}", "a", 1), s->out, &err), 0);
        sink_is(s, "{\n  \"a\": 1\n}\n");
        ck_assert_int_eq(print_json(NULL, stdout, &err), -1);
        ck_assert_int_eq(err.code, ENOMEM);
}
END_TEST

START_TEST(json_that_cannot_be_written_is_an_error)
{
        FILE *full = fopen("/dev/full", "w");
        struct stint_error err = {0};

        ck_assert_ptr_nonnull(full);
        ck_assert_int_eq(print_json(json_pack("{s:i}", "a", 1), full, &err), -1);
        ck_assert_int_eq(err.code, EIO);
        fclose(full);
}
END_TEST

START_TEST(an_age_is_never_negative)
{
        char out[32];

        ck_assert_str_eq(print_age(out, sizeof out, 5 * S, 17 * S), "12.0s");
        ck_assert_str_eq(print_age(out, sizeof out, 17 * S, 5 * S), "0.00s");
        ck_assert_str_eq(print_age(out, sizeof out, 0, 5 * S), "-");
}
END_TEST

START_TEST(a_size_that_is_not_known_is_a_dash)
{
        char out[32];

        ck_assert_str_eq(print_size(out, sizeof out, 3 << 19), "1.5 MiB");
        ck_assert_str_eq(print_size(out, sizeof out, 0), "0 B");
        ck_assert_str_eq(print_size(out, sizeof out, -1), "-");
}
END_TEST

START_TEST(a_time_is_read_back_as_it_was_written)
{
        const int64_t ns = INT64_C(1795316645) * S + 678 * CLOCK_MS;
        char text[32];

        ck_assert_int_eq(print_time_read(clock_format(text, sizeof text, ns)), ns);
        ck_assert_int_eq(print_time_read("2026-11-22T03:04:05.678Zx"), 0);
        ck_assert_int_eq(print_time_read("2026-11-22"), 0);
        ck_assert_int_eq(print_time_read(""), 0);
}
END_TEST

START_TEST(no_colour_goes_to_what_is_no_terminal)
{
        struct sink *s = sink_open();
        FILE *file = tmpfile();
        char text[64];
        size_t n;

        ck_assert_ptr_nonnull(file);
        setenv("TERM", "xterm", 1);
        print_coloured(file, PRINT_BAD, "word");
        rewind(file);
        n = fread(text, 1, sizeof text - 1, file);
        text[n] = '\0';
        fclose(file);
        ck_assert_str_eq(text, "word");
        print_coloured(s->out, PRINT_GOOD, "word");
        sink_is(s, "word");
}
END_TEST

START_TEST(a_member_that_is_missing_or_of_another_kind_is_what_was_assumed)
{
        json_t *o = json_pack("{s:s, s:I, s:f}", "text", "x", "int", (json_int_t)7, "real", 0.5);

        ck_assert_str_eq(print_member_text(o, "text", "-"), "x");
        ck_assert_str_eq(print_member_text(o, "int", "-"), "-");
        ck_assert_str_eq(print_member_text(NULL, "text", "-"), "-");
        ck_assert_int_eq(print_member_int(o, "int", -1), 7);
        ck_assert_int_eq(print_member_int(o, "text", -1), -1);
        ck_assert_int_eq(print_member_int(o, "nothing", -1), -1);
        ck_assert_double_eq(print_member_real(o, "real", -1), 0.5);
        ck_assert_double_eq(print_member_real(o, "int", -1), 7);
        ck_assert_double_eq(print_member_real(o, "nothing", -1), -1);
        json_decref(o);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "print");

        tcase_add_test(tests, columns_are_as_wide_as_their_widest_cell);
        tcase_add_test(tests, a_cell_that_is_not_known_is_a_dash);
        tcase_add_test(tests, a_table_without_rows_is_nothing);
        tcase_add_test(tests, many_rows_fit);
        tcase_add_test(tests, names_of_others_cannot_steer_the_terminal);
        tcase_add_test(tests, letters_of_two_bytes_take_one_place);
        tcase_add_test(tests, without_memory_for_a_table_nothing_is_shown);
        tcase_add_test(tests, json_ends_with_a_newline_and_one_that_could_not_be_made_is_an_error);
        tcase_add_test(tests, json_that_cannot_be_written_is_an_error);
        tcase_add_test(tests, an_age_is_never_negative);
        tcase_add_test(tests, a_size_that_is_not_known_is_a_dash);
        tcase_add_test(tests, a_time_is_read_back_as_it_was_written);
        tcase_add_test(tests, no_colour_goes_to_what_is_no_terminal);
        tcase_add_test(tests, a_member_that_is_missing_or_of_another_kind_is_what_was_assumed);
}

SUITE_MAIN("print", add_tests)
