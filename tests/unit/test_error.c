/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_error: what struct stint_error holds after each way of filling it. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include "error.h"
#include "suite.h"

START_TEST(a_failure_is_minus_one_with_its_code_its_sentence_and_errno)
{
        struct stint_error err = {0};

        errno = 0;
        ck_assert_int_eq(error_set(&err, EBADMSG, "the seal of rank %d does not hold", 3), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        ck_assert_str_eq(err.text, "the seal of rank 3 does not hold");
        ck_assert_int_eq(errno, EBADMSG);
}
END_TEST

START_TEST(a_failed_system_call_ends_with_the_words_of_its_errno)
{
        struct stint_error err;

        ck_assert_int_eq(error_system(&err, ENOSPC, "cannot write %s", "x.h5"), -1);
        ck_assert_int_eq(err.code, ENOSPC);
        ck_assert_str_eq(err.text, "cannot write x.h5: No space left on device");
}
END_TEST

START_TEST(a_prefix_goes_before_the_sentence_and_keeps_the_code)
{
        struct stint_error err;

        error_set(&err, ENOENT, "there is no manifest");
        ck_assert_int_eq(error_wrap(&err, "step %d", 12), -1);
        ck_assert_str_eq(err.text, "step 12: there is no manifest");
        ck_assert_int_eq(err.code, ENOENT);
}
END_TEST

START_TEST(a_sentence_may_be_made_of_the_one_before)
{
        struct stint_error err;

        error_set(&err, EIO, "disk");
        error_set(&err, err.code, "%s and %s", err.text, err.text);
        ck_assert_str_eq(err.text, "disk and disk");
        error_wrap(&err, "<%s>", err.text);
        ck_assert_str_eq(err.text, "<disk and disk>: disk and disk");
}
END_TEST

START_TEST(nobody_need_listen)
{
        errno = 0;
        ck_assert_int_eq(error_set(NULL, EINVAL, "x"), -1);
        ck_assert_int_eq(errno, EINVAL);
        ck_assert_int_eq(error_system(NULL, EIO, "x"), -1);
        ck_assert_int_eq(errno, EIO);
        ck_assert_int_eq(error_wrap(NULL, "x"), -1);
        ck_assert_int_eq(errno, EIO);
        error_clear(NULL);
}
END_TEST

START_TEST(a_lost_errno_never_reads_as_a_success)
{
        struct stint_error err = {0};

        error_set(&err, 0, "x");
        ck_assert_int_eq(err.code, EIO);
        error_system(&err, 0, "x");
        ck_assert_str_eq(err.text, "x: Input/output error");
}
END_TEST

START_TEST(a_long_sentence_is_cut_and_terminated)
{
        struct stint_error err;
        char text[2000];

        memset(text, 'a', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        error_set(&err, EINVAL, "%s", text);
        ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
        error_wrap(&err, "prefix");
        ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
        ck_assert_int_eq(strncmp(err.text, "prefix: aaa", 11), 0);
}
END_TEST

START_TEST(a_cut_never_halves_a_character)
{
        struct stint_error err;
        char text[600];

        /* Characters of 2, 3 and 4 bytes, at each place where the end of the buffer can fall. */
        for (int shift = 0; shift < 4; shift++) {
                for (int length = 2; length <= 4; length++) {
                        const char *one = length == 2 ? "\xc3\xa9" : length == 3 ? "\xe2\x80\xa6" : "\xf0\x9f\x98\x80";
                        size_t n = (size_t)shift, end;

                        memset(text, 'a', n);
                        for (; n + (size_t)length < sizeof text; n += (size_t)length)
                                memcpy(text + n, one, (size_t)length);
                        text[n] = '\0';
                        error_set(&err, EINVAL, "%s", text);
                        end = strlen(err.text);
                        ck_assert_uint_eq((end - (size_t)shift) % (size_t)length, 0);
                        ck_assert_uint_gt(end + (size_t)length, sizeof err.text - 1);
                }
        }
}
END_TEST

START_TEST(a_whole_character_at_the_end_of_a_cut_sentence_stays)
{
        struct stint_error err;
        char text[600];

        memset(text, 'a', sizeof text);
        memcpy(text + 497, "\xc3\xa9", 2); /* ends with the last byte that has room */
        text[520] = '\0';
        error_set(&err, EINVAL, "%s", text);
        ck_assert_uint_eq(strlen(err.text), 499);
        ck_assert_str_eq(err.text + 497, "\xc3\xa9");
}
END_TEST

START_TEST(clearing_empties_it)
{
        struct stint_error err;

        error_set(&err, EINVAL, "x");
        error_clear(&err);
        ck_assert_int_eq(err.code, 0);
        ck_assert_str_eq(err.text, "");
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "error");

        tcase_add_test(tests, a_failure_is_minus_one_with_its_code_its_sentence_and_errno);
        tcase_add_test(tests, a_failed_system_call_ends_with_the_words_of_its_errno);
        tcase_add_test(tests, a_prefix_goes_before_the_sentence_and_keeps_the_code);
        tcase_add_test(tests, a_sentence_may_be_made_of_the_one_before);
        tcase_add_test(tests, nobody_need_listen);
        tcase_add_test(tests, a_lost_errno_never_reads_as_a_success);
        tcase_add_test(tests, a_long_sentence_is_cut_and_terminated);
        tcase_add_test(tests, a_cut_never_halves_a_character);
        tcase_add_test(tests, a_whole_character_at_the_end_of_a_cut_sentence_stays);
        tcase_add_test(tests, clearing_empties_it);
}

SUITE_MAIN("error", add_tests)
