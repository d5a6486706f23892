/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_sbatch_words: where sbatch's options end and its script begins, what each of them says, and what is kept for
 * later. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include "sbatch_words.h"
#include "suite.h"

#define WORDS(...) ((char *const[]){__VA_ARGS__, NULL})

static struct sbatch_words w;

static void read_words(char *const *words)
{
        struct stint_error err = {0};

        sbatch_words_fini(&w);
        ck_assert_msg(!sbatch_words_read(&w, words, &err), "refused: %s", err.text);
}

static void refused(char *const *words, const char *part)
{
        struct stint_error err = {0};

        sbatch_words_fini(&w);
        ck_assert_msg(sbatch_words_read(&w, words, &err) == -1, "'%s' was taken", words[0]);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_msg(strstr(err.text, part) != NULL, "'%s' is not in: %s", part, err.text);
        ck_assert_uint_eq(w.n, 0);
}

static const char *value(const char *name)
{
        const struct sbatch_option *o = sbatch_words_find(&w, name);

        ck_assert_msg(o != NULL, "--%s was not found", name);
        return o->value ? o->value : "";
}

START_TEST(the_script_is_the_first_word_that_is_no_option)
{
        read_words(WORDS("job.sh"));
        ck_assert_int_eq(w.script, 0);
        read_words(WORDS("--time=10", "-n", "4", "job.sh", "--time=20", "x"));
        ck_assert_int_eq(w.script, 3);
        ck_assert_str_eq(value("time"), "10");
        read_words(WORDS("--time", "10"));
        ck_assert_int_eq(w.script, 2);
        read_words(WORDS("-t", "10", "--", "--odd.sh"));
        ck_assert_int_eq(w.script, 3);
        read_words(WORDS("-"));
        ck_assert_int_eq(w.script, 0);
}
END_TEST

START_TEST(a_value_is_attached_or_the_next_word)
{
        read_words(WORDS("-N2", "-c", "3", "--mem", "4G", "--gres=gpu:1", "job.sh"));
        ck_assert_str_eq(value("nodes"), "2");
        ck_assert_str_eq(value("cpus-per-task"), "3");
        ck_assert_str_eq(value("mem"), "4G");
        ck_assert_str_eq(value("gres"), "gpu:1");
        ck_assert_int_eq(w.script, 6);
        read_words(WORDS("--comment=", "job.sh"));
        ck_assert_str_eq(value("comment"), "");
        ck_assert_int_eq(w.script, 1);
}
END_TEST

START_TEST(a_value_that_may_be_left_out_is_never_the_next_word)
{
        read_words(WORDS("--exclusive", "job.sh"));
        ck_assert_int_eq(w.script, 1);
        ck_assert_ptr_null(sbatch_words_find(&w, "exclusive")->value);
        read_words(WORDS("--exclusive=user", "--nice", "-k", "job.sh"));
        ck_assert_str_eq(value("exclusive"), "user");
        ck_assert_int_eq(w.script, 3);
        read_words(WORDS("-koff", "job.sh"));
        ck_assert_str_eq(value("no-kill"), "off");
}
END_TEST

START_TEST(letters_may_be_bundled)
{
        read_words(WORDS("-HQp", "main", "job.sh"));
        ck_assert_int_eq(w.script, 2);
        ck_assert_str_eq(value("partition"), "main");
        ck_assert_ptr_nonnull(sbatch_words_find(&w, "hold"));
        ck_assert_ptr_nonnull(sbatch_words_find(&w, "quiet"));
        read_words(WORDS("-Hpmain", "job.sh"));
        ck_assert_str_eq(value("partition"), "main");
        refused(WORDS("-Z", "job.sh"), "-Z");
}
END_TEST

START_TEST(abbreviations_count_when_only_one_option_begins_so)
{
        read_words(WORDS("--no-req", "--parti", "main", "job.sh"));
        ck_assert_ptr_nonnull(sbatch_words_find(&w, "no-requeue"));
        ck_assert_str_eq(value("partition"), "main");
        read_words(WORDS("--mem", "1", "job.sh"));
        ck_assert_int_eq(w.script, 2);
        refused(WORDS("--mem-p", "1", "job.sh"), "--mem-p");
        refused(WORDS("--stint-d", "x", "job.sh"), "--stint-d");
}
END_TEST

START_TEST(what_is_not_known_is_not_guessed)
{
        refused(WORDS("--of-a-plugin", "job.sh"), "job.sh");
        read_words(WORDS("--of-a-plugin=5", "job.sh"));
        ck_assert_int_eq(w.script, 1);
        ck_assert_str_eq(value("of-a-plugin"), "5");
        read_words(WORDS("--of-a-plugin", "--", "job.sh"));
        ck_assert_int_eq(w.script, 2);
        read_words(WORDS("--of-a-plugin", "-n1", "job.sh"));
        ck_assert_int_eq(w.script, 2);
        refused(WORDS("--time"), "--time needs a value");
        refused(WORDS("-t"), "-t needs a value");
        refused(WORDS("--hold=yes", "job.sh"), "takes no value");
        refused(WORDS("--stint-nmae=x", "job.sh"), "--stint-nmae");
}
END_TEST

START_TEST(the_last_of_a_name_counts)
{
        read_words(WORDS("--time=1", "-t2", "--time", "3", "job.sh"));
        ck_assert_str_eq(value("time"), "3");
}
END_TEST

START_TEST(the_parts_of_a_heterogeneous_job_are_passed_over)
{
        read_words(WORDS("-n1", ":", "-n4", "--gres=gpu:2", "job.sh"));
        ck_assert_int_eq(w.script, 4);
}
END_TEST

START_TEST(stints_own_are_told_apart)
{
        read_words(WORDS("--stint-dir", "x", "-n1", "--stint-anywhere", "job.sh"));
        ck_assert_str_eq(value("stint-dir"), "x");
        ck_assert_int_eq(sbatch_words_find(&w, "stint-dir")->ours, 1);
        ck_assert_int_eq(sbatch_words_find(&w, "stint-dir")->words, 2);
        ck_assert_int_eq(sbatch_words_find(&w, "ntasks")->ours, 0);
        ck_assert_int_eq(w.script, 4);
}
END_TEST

START_TEST(for_later_each_option_is_one_word_and_what_was_meant_once_is_left_out)
{
        const char *const expected[] = {"--nodes=2", "--partition=main", "--exclusive", "--wrap=a b", "--plug=1"};
        char **line;
        size_t n = 0;

        read_words(WORDS("-N2", "-Wp", "main", "--exclusive", "--begin=now+1hour", "-d", "afterok:1", "--hold",
                         "--wrap", "a b", "--plug=1", "--stint-name=x", "--parsable", "-Q", "--test-only"));
        line = sbatch_words_again(&w);
        ck_assert_ptr_nonnull(line);
        for (; line[n]; n++) {
                ck_assert_uint_lt(n, sizeof expected / sizeof *expected);
                ck_assert_str_eq(line[n], expected[n]);
        }
        ck_assert_uint_eq(n, sizeof expected / sizeof *expected);
        sbatch_words_free_line(line);
}
END_TEST

START_TEST(the_tasks_of_an_array_are_counted)
{
        int tasks[8];

        ck_assert_int_eq(sbatch_array_read("3", tasks, 8), 1);
        ck_assert_int_eq(tasks[0], 3);
        ck_assert_int_eq(sbatch_array_read("0-2,7,10-20:5%2", tasks, 8), 7);
        ck_assert_int_eq(tasks[3], 7);
        ck_assert_int_eq(tasks[4], 10);
        ck_assert_int_eq(tasks[6], 20);
        ck_assert_int_eq(sbatch_array_read("1-100", tasks, 8), 100);
        ck_assert_int_eq(sbatch_array_read("", tasks, 8), -1);
        ck_assert_int_eq(sbatch_array_read("3-1", tasks, 8), -1);
        ck_assert_int_eq(sbatch_array_read("1-", tasks, 8), -1);
        ck_assert_int_eq(sbatch_array_read("1-9:0", tasks, 8), -1);
        ck_assert_int_eq(sbatch_array_read("1,", tasks, 8), -1);
        ck_assert_int_eq(sbatch_array_read("1%", tasks, 8), -1);
        ck_assert_int_eq(sbatch_array_read("1x", tasks, 8), -1);
        ck_assert_int_eq(sbatch_array_read("99999999999", tasks, 8), -1);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *words = suite_case(suite, "words");

        tcase_add_test(words, the_script_is_the_first_word_that_is_no_option);
        tcase_add_test(words, a_value_is_attached_or_the_next_word);
        tcase_add_test(words, a_value_that_may_be_left_out_is_never_the_next_word);
        tcase_add_test(words, letters_may_be_bundled);
        tcase_add_test(words, abbreviations_count_when_only_one_option_begins_so);
        tcase_add_test(words, what_is_not_known_is_not_guessed);
        tcase_add_test(words, the_last_of_a_name_counts);
        tcase_add_test(words, the_parts_of_a_heterogeneous_job_are_passed_over);
        tcase_add_test(words, stints_own_are_told_apart);
        tcase_add_test(words, for_later_each_option_is_one_word_and_what_was_meant_once_is_left_out);
        tcase_add_test(words, the_tasks_of_an_array_are_counted);
}

int main(void)
{
        int failed;

        failed = suite_run("sbatch_words", add_tests);
        sbatch_words_fini(&w);
        return failed;
}
