/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_script_lines: the #SBATCH lines of a script as sbatch reads them, and the `stint run` in it. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include "script_lines.h"
#include "suite.h"

static struct script_lines s;

static void read_text(const char *text)
{
        struct stint_error err = {0};

        script_lines_fini(&s);
        ck_assert_msg(!script_lines_read(&s, text, strlen(text), &err), "refused: %s", err.text);
}

static void words_are(const char *const *expected)
{
        size_t n = 0;

        for (; expected[n]; n++) {
                ck_assert_msg(s.words[n] != NULL, "'%s' is missing", expected[n]);
                ck_assert_str_eq(s.words[n], expected[n]);
        }
        ck_assert_ptr_null(s.words[n]);
        ck_assert_uint_eq(s.n, n);
}

START_TEST(options_are_taken_from_the_lines_before_the_first_command)
{
        read_text("#!/bin/bash\n#SBATCH --time=10 -n 2\n\n# a comment\n#SBATCH\t-J name\nmodule load x\n#SBATCH "
                  "--late\n");
        words_are((const char *const[]){"--time=10", "-n", "2", "-J", "name", NULL});
        ck_assert_int_eq(s.is_script, 1);
}
END_TEST

START_TEST(what_only_looks_like_an_option_line_is_none)
{
        read_text("#!/bin/sh\n##SBATCH --a\n # SBATCH --b\n#SBATCHER --c\n #SBATCH --d\n#sbatch --e\n");
        words_are((const char *const[]){NULL});
}
END_TEST

START_TEST(words_are_quoted_and_end_at_a_comment)
{
        read_text("#!/bin/sh\n#SBATCH --comment=\"a b\" -J 'c d' --x=e\\ f # --not\n#SBATCH --output=a#b\n");
        words_are((const char *const[]){"--comment=a b", "-J", "c d", "--x=e f", "--output=a#b", NULL});
}
END_TEST

START_TEST(a_quote_that_is_not_closed_is_told_with_its_line)
{
        const char *text = "#!/bin/sh\n#SBATCH -n1\n#SBATCH --comment=\"a b\n";
        struct stint_error err = {0};

        script_lines_fini(&s);
        ck_assert_int_eq(script_lines_read(&s, text, strlen(text), &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_ptr_nonnull(strstr(err.text, "line 3"));
        ck_assert_ptr_null(s.words);
}
END_TEST

START_TEST(the_stint_run_of_a_script_is_found)
{
        read_text("#!/bin/sh\nset -e\nstint run -- srun ./train\n");
        ck_assert_int_eq(s.has_run, 1);
        ck_assert_int_eq(s.runs, 1);
        ck_assert_ptr_null(s.name);
        read_text("#!/bin/sh\nexec /opt/stint/bin/stint \\\n  run -- ./train\n");
        ck_assert_int_eq(s.has_run, 1);
        read_text("#!/bin/sh\n# stint run -- ./train\necho \"stint run\"; stint save\n./stinting run\n");
        ck_assert_int_eq(s.has_run, 0);
        read_text("stint run -- a\nstint run --stint-name=b -- b\n");
        ck_assert_int_eq(s.runs, 2);
        ck_assert_ptr_null(s.name);
        ck_assert_int_eq(s.is_script, 0);
}
END_TEST

START_TEST(it_says_which_run_it_is)
{
        read_text("#!/bin/sh\nstint run --stint-keep 5 --stint-name=small -- ./train --stint-name=not\n");
        ck_assert_str_eq(s.name, "small");
        ck_assert_ptr_null(s.dir);
        ck_assert_int_eq(s.hidden, 0);
        read_text("#!/bin/sh\nstint run --stint-dir \"/a b/c\" -- ./train\n");
        ck_assert_str_eq(s.dir, "/a b/c");
        read_text("#!/bin/sh\nstint run -- stint run --stint-name=x\n");
        ck_assert_ptr_null(s.name);
}
END_TEST

START_TEST(what_only_the_shell_knows_is_not_guessed)
{
        static const char *const hidden[] = {"stint run --stint-dir=$HOME/x -- a\n",
                                             "stint run --stint-dir \"$HOME/x\" -- a\n",
                                             "stint run --stint-name=`date` -- a\n", "stint run --stint-dir ~/x -- a\n",
                                             "stint run --stint-name=task-${N} -- a\n"};

        for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
                read_text(hidden[i]);
                ck_assert_msg(s.hidden == 1 && !s.dir && !s.name, "%s", hidden[i]);
        }
        read_text("stint run --stint-name='$N' -- a\n");
        ck_assert_str_eq(s.name, "$N");
        ck_assert_int_eq(s.hidden, 0);
}
END_TEST

START_TEST(a_script_may_be_empty_or_end_anywhere)
{
        read_text("");
        words_are((const char *const[]){NULL});
        read_text("#!");
        ck_assert_int_eq(s.is_script, 1);
        read_text("#!/bin/sh\n#SBATCH --time=5");
        words_are((const char *const[]){"--time=5", NULL});
        read_text("#!/bin/sh\nstint run --stint-dir");
        ck_assert_int_eq(s.has_run, 1);
        ck_assert_ptr_null(s.dir);
        read_text("#!/bin/sh\nstint run \\");
        ck_assert_int_eq(s.has_run, 1);
        read_text("cat <<'END'\nit's\nEND\nstint run -- a\n");
        ck_assert_int_eq(s.has_run, 1);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *lines = suite_case(suite, "lines");

        tcase_add_test(lines, options_are_taken_from_the_lines_before_the_first_command);
        tcase_add_test(lines, what_only_looks_like_an_option_line_is_none);
        tcase_add_test(lines, words_are_quoted_and_end_at_a_comment);
        tcase_add_test(lines, a_quote_that_is_not_closed_is_told_with_its_line);
        tcase_add_test(lines, the_stint_run_of_a_script_is_found);
        tcase_add_test(lines, it_says_which_run_it_is);
        tcase_add_test(lines, what_only_the_shell_knows_is_not_guessed);
        tcase_add_test(lines, a_script_may_be_empty_or_end_anywhere);
}

int main(void)
{
        int failed;

        failed = suite_run("script_lines", add_tests);
        script_lines_fini(&s);
        return failed;
}
