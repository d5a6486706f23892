/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_duration: which words are a time or a size, which are not, and how both are shown. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include "clock.h"
#include "duration.h"
#include "suite.h"

#define S CLOCK_SECOND
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static int64_t ns_of(const char *text)
{
        struct stint_error err = {0};
        int64_t ns = -7;

        ck_assert_msg(duration_parse(text, &ns, &err) == 0, "'%s' was refused: %s", text, err.text);
        return ns;
}

static void refuses_duration(const char *text)
{
        struct stint_error err = {0};
        int64_t ns = -7;

        ck_assert_msg(duration_parse(text, &ns, &err) == -1, "'%s' was taken as %lld ns", text, (long long)ns);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_msg(strstr(err.text, text) != NULL, "'%s' is not named in: %s", text, err.text);
        ck_assert_int_eq(ns, -7);
}

START_TEST(a_bare_number_is_seconds)
{
        ck_assert_int_eq(ns_of("90"), 90 * S);
        ck_assert_int_eq(ns_of("0"), 0);
        ck_assert_int_eq(ns_of("0.25"), S / 4);
}
END_TEST

START_TEST(every_unit_is_known)
{
        ck_assert_int_eq(ns_of("2d"), 172800 * S);
        ck_assert_int_eq(ns_of("3h"), 10800 * S);
        ck_assert_int_eq(ns_of("5m"), 300 * S);
        ck_assert_int_eq(ns_of("90s"), 90 * S);
        ck_assert_int_eq(ns_of("250ms"), S / 4);
}
END_TEST

START_TEST(units_add_up_from_large_to_small)
{
        ck_assert_int_eq(ns_of("1h30m"), 5400 * S);
        ck_assert_int_eq(ns_of("1d2h3m4s5ms"), 93784 * S + 5 * CLOCK_MS);
        ck_assert_int_eq(ns_of("1m500ms"), 60 * S + S / 2);
}
END_TEST

START_TEST(a_fraction_is_exact)
{
        ck_assert_int_eq(ns_of("1.5s"), 3 * S / 2);
        ck_assert_int_eq(ns_of("0.1s"), S / 10);
        ck_assert_int_eq(ns_of("1.000000001s"), S + 1);
        ck_assert_int_eq(ns_of("0.1h"), 360 * S);
        ck_assert_int_eq(ns_of("1.5h0.5m"), 5430 * S);
        ck_assert_int_eq(ns_of("0.00000000000000000000001s"), 0);
}
END_TEST

START_TEST(slurms_forms_are_read_as_slurm_does)
{
        ck_assert_int_eq(ns_of("10:30"), 630 * S);
        ck_assert_int_eq(ns_of("90:00"), 5400 * S);
        ck_assert_int_eq(ns_of("1:02:03"), 3723 * S);
        ck_assert_int_eq(ns_of("100:00:00"), 360000 * S);
        ck_assert_int_eq(ns_of("2-03:04:05"), 183845 * S);
        ck_assert_int_eq(ns_of("2-03:04"), 183840 * S);
        ck_assert_int_eq(ns_of("2-03"), 183600 * S);
        ck_assert_int_eq(ns_of("0-0"), 0);
}
END_TEST

START_TEST(what_is_no_duration_is_refused_and_changes_nothing)
{
        static const char *const words[] = {
                "",        " ",       "s",    "1x",    "1 s",    "1s ",   " 1s",   "1S",      "1sec",
                "5min",    "1.s",     ".5s",  "1.",    "1.5.5s", "1e3",   "+5",    "0x10",    "1s1s",
                "1s1m",    "1ms1s",   "1h30", "1m30",  "1:",     ":1",    "1:60",  "1:2:3:4", "1:60:00",
                "1:00:60", "1-24:00", "1-",   "1-2-3", "1-2:60", "1:2-3", "1:030", "1:1.5",   "1-1h",
                "1:00s",   "inf",     "nan",  "never", "1:-1",
        };

        for (size_t i = 0; i < COUNT(words); i++)
                refuses_duration(words[i]);
}
END_TEST

START_TEST(a_negative_duration_is_refused)
{
        refuses_duration("-1");
        refuses_duration("-1s");
        refuses_duration("-1:00");
        refuses_duration("-");
}
END_TEST

START_TEST(more_than_a_hundred_years_are_refused_and_never_overflow)
{
        ck_assert_int_eq(ns_of("36525d"), INT64_C(36525) * 86400 * S);
        ck_assert_int_eq(ns_of("36525-00:00:00"), INT64_C(36525) * 86400 * S);
        refuses_duration("36525d1ms");
        refuses_duration("36525.00001d");
        refuses_duration("36525-00:00:01");
        refuses_duration("36526d");
        refuses_duration("9223372036854775807");
        refuses_duration("9223372036854775808ms");
        refuses_duration("99999999999999999999999999999999999d");
        refuses_duration("99999999999999999999:00");
        refuses_duration("20000d20000h999999999m");
}
END_TEST

START_TEST(nobody_need_hear_why)
{
        int64_t ns;

        ck_assert_int_eq(duration_parse("x", &ns, NULL), -1);
        ck_assert_int_eq(size_parse("x", &ns, NULL), -1);
}
END_TEST

static void shows(int64_t ns, const char *expected)
{
        char out[40];

        ck_assert_str_eq(duration_format(out, sizeof out, ns), expected);
}

START_TEST(a_duration_is_shown_with_two_units_at_most)
{
        shows(0, "0.00s");
        shows(350 * CLOCK_MS, "0.35s");
        shows(12300 * CLOCK_MS, "12.3s");
        shows(250 * S, "4m 10s");
        shows(245 * S, "4m 05s");
        shows(7500 * S, "2h 05m");
        shows(273600 * S, "3d 04h");
        shows(CLOCK_NEVER, "-");
        shows(CLOCK_NEVER - 1, "106752d 00h");
}
END_TEST

START_TEST(rounding_never_shows_sixty_of_anything)
{
        shows(9994 * CLOCK_MS, "9.99s");
        shows(9996 * CLOCK_MS, "10.0s");
        shows(59940 * CLOCK_MS, "59.9s");
        shows(59970 * CLOCK_MS, "1m 00s");
        shows(3599400 * CLOCK_MS, "59m 59s");
        shows(3599600 * CLOCK_MS, "1h 00m");
        shows(86399 * S, "1d 00h");
        shows(2 * 86400 * S - 1, "2d 00h");
}
END_TEST

START_TEST(a_negative_duration_is_shown_with_a_minus)
{
        shows(-350 * CLOCK_MS, "-0.35s");
        shows(-250 * S, "-4m 10s");
        shows(-1, "0.00s");
        shows(INT64_MIN, "-106752d 00h");
}
END_TEST

static int64_t bytes_of(const char *text)
{
        struct stint_error err = {0};
        int64_t bytes = -7;

        ck_assert_msg(size_parse(text, &bytes, &err) == 0, "'%s' was refused: %s", text, err.text);
        return bytes;
}

START_TEST(a_size_is_a_number_and_a_power_of_1024)
{
        ck_assert_int_eq(bytes_of("0"), 0);
        ck_assert_int_eq(bytes_of("4096"), 4096);
        ck_assert_int_eq(bytes_of("4096B"), 4096);
        ck_assert_int_eq(bytes_of("64K"), 65536);
        ck_assert_int_eq(bytes_of("64KB"), 65536);
        ck_assert_int_eq(bytes_of("64KiB"), 65536);
        ck_assert_int_eq(bytes_of("3M"), 3 << 20);
        ck_assert_int_eq(bytes_of("1.5G"), INT64_C(3) << 29);
        ck_assert_int_eq(bytes_of("2T"), INT64_C(2) << 40);
        ck_assert_int_eq(bytes_of("0.0009765625M"), 1023); /* of a fraction, six digits count */
        ck_assert_int_eq(bytes_of("0.999999T"), INT64_C(1099510528264));
}
END_TEST

START_TEST(what_is_no_size_is_refused_and_changes_nothing)
{
        static const char *const words[] = {"",     "K",   "1.5", "1.5B", "64k",   "64 K",  "-1",
                                            "+1",   "1.K", ".5K", "1KK",  "1P",    "1iB",   "1Ki",
                                            "1KBB", "1K ", "0x1", "1e3K", "1..5K", "1.5.5K"};

        for (size_t i = 0; i < COUNT(words); i++) {
                struct stint_error err = {0};
                int64_t bytes = -7;

                ck_assert_msg(size_parse(words[i], &bytes, &err) == -1, "'%s' was taken as %lld", words[i],
                              (long long)bytes);
                ck_assert_int_eq(err.code, EINVAL);
                ck_assert_int_eq(bytes, -7);
        }
}
END_TEST

START_TEST(a_size_never_overflows)
{
        static const char *const words[] = {"524288T",
                                            "9999999999T",
                                            "9223372036854775808",
                                            "9223372036854775807K",
                                            "576460752303423488",
                                            "99999999999999999999999999999"};
        int64_t bytes;

        ck_assert_int_eq(bytes_of("576460752303423487"), (INT64_C(1) << 59) - 1);
        ck_assert_int_eq(bytes_of("524287T"), INT64_C(524287) << 40);
        for (size_t i = 0; i < COUNT(words); i++)
                ck_assert_msg(size_parse(words[i], &bytes, NULL) == -1, "'%s' was taken", words[i]);
}
END_TEST

static void shows_size(int64_t bytes, const char *expected)
{
        char out[40];

        ck_assert_str_eq(size_format(out, sizeof out, bytes), expected);
}

START_TEST(a_size_is_shown_in_the_largest_unit_that_fits)
{
        shows_size(0, "0 B");
        shows_size(512, "512 B");
        shows_size(1023, "1023 B");
        shows_size(1024, "1.0 KiB");
        shows_size(3 << 19, "1.5 MiB");
        shows_size(INT64_C(2) << 30, "2.0 GiB");
        shows_size((1 << 20) - 1, "1.0 MiB"); /* and not 1024.0 KiB */
        shows_size(INT64_C(5) << 40, "5.0 TiB");
        shows_size(INT64_MAX, "8.0 EiB");
        shows_size(-2048, "-2.0 KiB");
        shows_size(INT64_MIN, "-8.0 EiB");
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "duration");

        tcase_add_test(tests, a_bare_number_is_seconds);
        tcase_add_test(tests, every_unit_is_known);
        tcase_add_test(tests, units_add_up_from_large_to_small);
        tcase_add_test(tests, a_fraction_is_exact);
        tcase_add_test(tests, slurms_forms_are_read_as_slurm_does);
        tcase_add_test(tests, what_is_no_duration_is_refused_and_changes_nothing);
        tcase_add_test(tests, a_negative_duration_is_refused);
        tcase_add_test(tests, more_than_a_hundred_years_are_refused_and_never_overflow);
        tcase_add_test(tests, nobody_need_hear_why);
        tcase_add_test(tests, a_duration_is_shown_with_two_units_at_most);
        tcase_add_test(tests, rounding_never_shows_sixty_of_anything);
        tcase_add_test(tests, a_negative_duration_is_shown_with_a_minus);
        tcase_add_test(tests, a_size_is_a_number_and_a_power_of_1024);
        tcase_add_test(tests, what_is_no_size_is_refused_and_changes_nothing);
        tcase_add_test(tests, a_size_never_overflows);
        tcase_add_test(tests, a_size_is_shown_in_the_largest_unit_that_fits);
}

SUITE_MAIN("duration", add_tests)
