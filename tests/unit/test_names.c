/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_names: the words for enums, and which names a tensor may have. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include "names.h"
#include "suite.h"

START_TEST(every_dtype_has_its_own_word_and_its_size)
{
        static const size_t sizes[] = {0, 1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8, 8, 16, 1};

        for (int i = STINT_U8; i <= STINT_BOOL; i++) {
                ck_assert_ptr_nonnull(dtype_name((enum stint_dtype)i));
                ck_assert_uint_eq(dtype_size((enum stint_dtype)i), sizes[i]);
                for (int j = STINT_U8; j < i; j++)
                        ck_assert_str_ne(dtype_name((enum stint_dtype)i), dtype_name((enum stint_dtype)j));
        }
        ck_assert_str_eq(dtype_name(STINT_BF16), "bfloat16");
        ck_assert_str_eq(dtype_name(STINT_F64), "float64");
        ck_assert_str_eq(dtype_name(STINT_C64), "complex64");
        ck_assert_str_eq(dtype_name(STINT_BOOL), "bool");
}
END_TEST

START_TEST(a_value_that_is_no_dtype_has_no_word_and_no_size)
{
        static const int values[] = {0, STINT_BOOL + 1, -1, 0x7fffffff};

        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
                ck_assert_ptr_null(dtype_name((enum stint_dtype)values[i]));
                ck_assert_uint_eq(dtype_size((enum stint_dtype)values[i]), 0);
        }
}
END_TEST

START_TEST(a_role_is_the_first_component_of_a_name)
{
        ck_assert_int_eq(role_from_name("model/layer0/weight"), STINT_ROLE_MODEL);
        ck_assert_int_eq(role_from_name("model"), STINT_ROLE_MODEL);
        ck_assert_int_eq(role_from_name("loss/x"), STINT_ROLE_LOSS);
        ck_assert_int_eq(role_from_name("optimizer/m"), STINT_ROLE_OPTIMIZER);
        ck_assert_int_eq(role_from_name("rng"), STINT_ROLE_RNG);
        ck_assert_int_eq(role_from_name("data/position"), STINT_ROLE_DATA);
        ck_assert_int_eq(role_from_name("metrics/best"), STINT_ROLE_METRICS);
        ck_assert_int_eq(role_from_name("models/w"), STINT_ROLE_OTHER);
        ck_assert_int_eq(role_from_name("mode/w"), STINT_ROLE_OTHER);
        ck_assert_int_eq(role_from_name("x/model"), STINT_ROLE_OTHER);
        ck_assert_int_eq(role_from_name("other"), STINT_ROLE_OTHER);
        ck_assert_int_eq(role_from_name(""), STINT_ROLE_OTHER);
}
END_TEST

START_TEST(every_role_and_device_has_a_word)
{
        ck_assert_str_eq(role_name(STINT_ROLE_MODEL), "model");
        ck_assert_str_eq(role_name(STINT_ROLE_RNG), "rng");
        ck_assert_str_eq(role_name(STINT_ROLE_RNG_DEVICE), "rng_device");
        ck_assert_str_eq(role_name(STINT_ROLE_AUTO), "other");
        ck_assert_str_eq(role_name(STINT_ROLE_OTHER), "other");
        ck_assert_str_eq(role_name((enum stint_role)99), "other");
        ck_assert_str_eq(role_name((enum stint_role) - 1), "other");
        for (int i = STINT_ROLE_MODEL; i <= STINT_ROLE_OTHER; i++)
                if (i != STINT_ROLE_RNG_DEVICE)
                        ck_assert_int_eq(role_from_name(role_name((enum stint_role)i)), i);
        ck_assert_str_eq(device_name(STINT_DEVICE_HOST), "host");
        ck_assert_str_eq(device_name(STINT_DEVICE_SIM), "sim");
        ck_assert_str_eq(device_name(STINT_DEVICE_CUDA), "cuda");
        ck_assert_str_eq(device_name(STINT_DEVICE_AUTO), "?");
        ck_assert_str_eq(device_name((enum stint_device)77), "?");
        ck_assert_str_eq(device_name((enum stint_device) - 1), "?");
}
END_TEST

START_TEST(a_goal_is_read_back_from_its_word)
{
        for (int i = STINT_GOAL_NONE; i <= STINT_GOAL_MAX; i++)
                ck_assert_int_eq(goal_from_name(goal_name((enum stint_goal)i)), i);
        ck_assert_str_eq(goal_name(STINT_GOAL_MIN), "min");
        ck_assert_str_eq(goal_name((enum stint_goal)9), "none");
        ck_assert_int_eq(goal_from_name("minimum"), -1);
        ck_assert_int_eq(goal_from_name("mi"), -1);
        ck_assert_int_eq(goal_from_name("MIN"), -1);
        ck_assert_int_eq(goal_from_name(""), -1);
}
END_TEST

START_TEST(a_name_has_components_of_utf8)
{
        static const char *const names[] = {"a",
                                            "rng",
                                            "model/layer0/weight",
                                            "model/layer 0/weight",
                                            "a/.b",
                                            "...",
                                            "a/b..",
                                            "..a",
                                            "a\\b",
                                            "\xce\xb8/\xf0\x9f\x98\x80",
                                            "a:b",
                                            "x/1/2/3/4"};
        struct stint_error err = {0};

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
                ck_assert_msg(tensor_name_check(names[i], &err) == 0, "'%s' was refused: %s", names[i], err.text);
}
END_TEST

static void refuses(const char *name, const char *rule)
{
        struct stint_error err = {0};

        ck_assert_msg(tensor_name_check(name, &err) == -1, "'%s' was taken", name);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_msg(strstr(err.text, rule) != NULL, "'%s' is not in: %s", rule, err.text);
}

START_TEST(a_name_that_breaks_a_rule_is_refused_with_that_rule)
{
        refuses(NULL, "empty");
        refuses("", "empty");
        refuses("/", "slash");
        refuses("/a", "slash");
        refuses("a/", "slash");
        refuses("a//b", "slash");
        refuses(".", "'.'");
        refuses("..", "'.'");
        refuses("a/./b", "'.'");
        refuses("a/..", "'.'");
        refuses("../a", "'.'");
        refuses("a\nb", "control character, U+000A, at byte 1");
        refuses("a\x7f", "control character");
        refuses("\xc2\x85", "control character, U+0085"); /* C1 */
        refuses("ab\xff", "byte 2 is 0xff");
        refuses("a\xc3", "not UTF-8");
        refuses("\xc0\xae\xc0\xae", "not UTF-8"); /* ".." in an overlong form */
        refuses("\xed\xa0\x80", "not UTF-8");
        ck_assert_int_eq(tensor_name_check("", NULL), -1);
}
END_TEST

START_TEST(a_name_has_at_most_255_bytes)
{
        char name[400];

        memset(name, 'a', sizeof name);
        name[STINT_MAX_NAME] = '\0';
        ck_assert_int_eq(tensor_name_check(name, NULL), 0);
        name[STINT_MAX_NAME] = 'a';
        name[STINT_MAX_NAME + 1] = '\0';
        refuses(name, "longer than 255 bytes");
        name[STINT_MAX_NAME + 1] = 'a';
        name[sizeof name - 1] = '\0';
        refuses(name, "longer than 255 bytes");
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "names");

        tcase_add_test(tests, every_dtype_has_its_own_word_and_its_size);
        tcase_add_test(tests, a_value_that_is_no_dtype_has_no_word_and_no_size);
        tcase_add_test(tests, a_role_is_the_first_component_of_a_name);
        tcase_add_test(tests, every_role_and_device_has_a_word);
        tcase_add_test(tests, a_goal_is_read_back_from_its_word);
        tcase_add_test(tests, a_name_has_components_of_utf8);
        tcase_add_test(tests, a_name_that_breaks_a_rule_is_refused_with_that_rule);
        tcase_add_test(tests, a_name_has_at_most_255_bytes);
}

SUITE_MAIN("names", add_tests)
