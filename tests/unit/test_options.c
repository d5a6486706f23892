/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_options: how the command line of `stint run` is read, what is refused, and which name is meant by a mistyped
 * one. */
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "flags.h"
#include "nearest.h"
#include "options.h"
#include "suite.h"

#define S CLOCK_SECOND
#define MOST_WORDS 16

/* The words of one command line, behind "run". */
struct line {
        char *argv[MOST_WORDS + 2];
        int argc;
};

static struct line line_of(const char *const *words)
{
        struct line l = {.argv = {strdup("run")}, .argc = 1};

        while (*words)
                l.argv[l.argc++] = strdup(*words++);
        return l;
}

static void line_free(struct line *l)
{
        while (l->argc)
                free(l->argv[--l->argc]);
}

/* Keeps its words until the next call, because the options point into them. */
static const struct run_options *parsed_of(const char *const *words)
{
        static struct run_options o;
        static struct line l;
        struct stint_error err = {0};

        line_free(&l);
        l = line_of(words);
        ck_assert_msg(run_options_parse(&o, l.argc, l.argv, &err) == 0, "refused: %s", err.text);
        return &o;
}

static void refused_with(const char *const *words, const char *part)
{
        struct line l = line_of(words);
        struct stint_error err = {0};
        struct run_options o;

        ck_assert_msg(run_options_parse(&o, l.argc, l.argv, &err) == -1, "'%s' was taken", words[0]);
        ck_assert_msg(strstr(err.text, part) != NULL, "'%s' is not in: %s", part, err.text);
        line_free(&l);
}

#define PARSED(...) parsed_of((const char *const[]){__VA_ARGS__, NULL})
#define REFUSED(part, ...) refused_with((const char *const[]){__VA_ARGS__, NULL}, part)

START_TEST(without_options_everything_has_its_default)
{
        const struct run_options *o = PARSED("train");
        char expected[PATH_MAX + 16];

        ck_assert_ptr_nonnull(getcwd(expected, PATH_MAX));
        strcat(expected, "/run.stint");
        ck_assert_str_eq(o->dir, expected);
        ck_assert_str_eq(o->name, "run");
        ck_assert_int_eq(o->keep, 3);
        ck_assert_int_eq(o->interval_ns, 0);
        ck_assert_int_eq(o->mtbf_ns, 0);
        ck_assert_int_eq(o->margin_ns, S);
        ck_assert_int_eq(o->grace_ns, 10 * S);
        ck_assert_int_eq(o->kill_wait_ns, 5 * S);
        ck_assert_int_eq(o->requeues, -1);
        ck_assert_int_eq(o->outlive, 0);
        ck_assert_int_eq(o->attend_fd, -1);
        ck_assert_int_eq(o->local, 0);
        ck_assert_int_eq(o->limit_ns, 0);
        ck_assert(!o->take_over && !o->adopt && !o->exit0_done && !o->quiet);
}
END_TEST

START_TEST(a_value_stands_behind_an_equals_sign_or_is_the_next_word)
{
        ck_assert_int_eq(PARSED("--stint-keep=7", "train")->keep, 7);
        ck_assert_int_eq(PARSED("--stint-keep", "7", "train")->keep, 7);
        ck_assert_int_eq(PARSED("--stint-margin=0", "train")->margin_ns, 0);
}
END_TEST

START_TEST(the_first_word_ends_the_options)
{
        const struct run_options *o = PARSED("--stint-quiet", "train", "--stint-keep=9", "--help");

        ck_assert_int_eq(o->quiet, 1);
        ck_assert_int_eq(o->keep, 3);
        ck_assert_str_eq(o->command[0], "train");
        ck_assert_str_eq(o->command[1], "--stint-keep=9");
        ck_assert_str_eq(o->command[2], "--help");
        ck_assert_ptr_null(o->command[3]);
}
END_TEST

START_TEST(two_dashes_end_the_options)
{
        const struct run_options *o = PARSED("--stint-keep=2", "--", "--odd-program", "--", "x");

        ck_assert_str_eq(o->command[0], "--odd-program");
        ck_assert_str_eq(o->command[1], "--");
        ck_assert_str_eq(o->command[2], "x");
        ck_assert_ptr_null(o->command[3]);
}
END_TEST

START_TEST(the_run_directory_is_absolute_and_follows_the_name)
{
        char here[PATH_MAX], expected[PATH_MAX + 32];

        ck_assert_ptr_nonnull(getcwd(here, sizeof here));
        ck_assert_str_eq(PARSED("--stint-dir=/a/b//", "train")->dir, "/a/b");
        ck_assert_str_eq(PARSED("--stint-dir=/", "train")->dir, "/");
        snprintf(expected, sizeof expected, "%s/c/d", here);
        ck_assert_str_eq(PARSED("--stint-dir", "c/d", "train")->dir, expected);
        snprintf(expected, sizeof expected, "%s/night.stint", here);
        ck_assert_str_eq(PARSED("--stint-name=night", "train")->dir, expected);
        ck_assert_str_eq(PARSED("--stint-name=night", "--stint-dir=/x", "train")->dir, "/x");
}
END_TEST

START_TEST(the_interval_is_a_duration_or_off_or_automatic)
{
        ck_assert_int_eq(PARSED("--stint-interval=off", "train")->interval_ns, CLOCK_NEVER);
        ck_assert_int_eq(PARSED("--stint-interval=auto", "train")->interval_ns, 0);
        ck_assert_int_eq(PARSED("--stint-interval=90s", "train")->interval_ns, 90 * S);
        REFUSED("longer than 0", "--stint-interval=0", "train");
        REFUSED("neither 'auto' nor 'off'", "--stint-interval=of", "train");
}
END_TEST

START_TEST(staging_has_a_least_size_and_the_environment_names_it_too)
{
        ck_assert_int_eq(PARSED("train")->staging_bytes, 0);
        REFUSED("--stint-staging", "--stint-staging=4M", "train");
        setenv("STINT_STAGING", "512M", 1);
        ck_assert_int_eq(PARSED("train")->staging_bytes, INT64_C(512) << 20);
        ck_assert_int_eq(PARSED("--stint-staging=9M", "train")->staging_bytes, INT64_C(9) << 20);
        setenv("STINT_STAGING", "4M", 1);
        REFUSED("STINT_STAGING=4M", "train");
        setenv("STINT_STAGING", "", 1);
        ck_assert_int_eq(PARSED("train")->staging_bytes, 0);
        unsetenv("STINT_STAGING");
}
END_TEST

START_TEST(any_option_of_the_local_scheduler_asks_for_it)
{
        ck_assert_int_eq(PARSED("--stint-limit=20s", "train")->local, 1);
        ck_assert_int_eq(PARSED("--stint-limit=20s", "train")->limit_ns, 20 * S);
        ck_assert_int_eq(PARSED("--stint-grace=0", "train")->local, 1);
        ck_assert_int_eq(PARSED("--stint-kill-wait=1s", "train")->local, 1);
        ck_assert_int_eq(PARSED("--stint-preempt-after=1s", "train")->local, 1);
        ck_assert_int_eq(PARSED("--stint-requeues=0", "train")->local, 1);
        ck_assert_int_eq(PARSED("--stint-keep=1", "train")->local, 0);
        REFUSED("longer than 0", "--stint-limit=0", "train");
}
END_TEST

START_TEST(each_stint_of_an_invocation_may_be_preempted_at_its_own_time)
{
        const struct run_options *o = PARSED("--stint-preempt-after=7s,-,500ms", "train");

        ck_assert_int_eq(o->preempt_count, 3);
        ck_assert_int_eq(o->preempt_after_ns[0], 7 * S);
        ck_assert_int_eq(o->preempt_after_ns[1], 0);
        ck_assert_int_eq(o->preempt_after_ns[2], S / 2);
        REFUSED("longer than 0", "--stint-preempt-after=0", "train");
        REFUSED("no", "--stint-preempt-after=7s,", "train");
        REFUSED("more than 16", "--stint-preempt-after=-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-", "train");
        REFUSED("leaves one stint", "--stint-preempt-after=1s,2s", "--stint-requeues=0", "train");
}
END_TEST

START_TEST(what_cannot_be_is_refused_with_the_options_name)
{
        REFUSED("--stint-keep", "--stint-keep=0", "train");
        REFUSED("--stint-keep", "--stint-keep=3x", "train");
        REFUSED("--stint-keep", "--stint-keep=99999999999", "train");
        REFUSED("--stint-keep needs a value", "--stint-keep");
        REFUSED("--stint-quiet takes no value", "--stint-quiet=1", "train");
        REFUSED("--stint-name", "--stint-name=a/b", "train");
        REFUSED("--stint-name", "--stint-name=..", "train");
        REFUSED("--stint-name", "--stint-name=", "train");
        REFUSED("--stint-dir", "--stint-dir=", "train");
        REFUSED("--stint-mtbf", "--stint-mtbf=0", "train");
        REFUSED("only value is 'done'", "--stint-exit0=yes", "train");
        REFUSED("neither 'yes' nor 'no'", "--stint-outlive=maybe", "train");
        REFUSED("no program", "--stint-quiet");
        REFUSED("no program", "--");
}
END_TEST

START_TEST(an_attending_coordinator_has_no_program_of_its_own)
{
        const struct run_options *o = PARSED("--stint-dir=/x", "--attend", "7");

        ck_assert_int_eq(o->attend_fd, 7);
        ck_assert_ptr_null(o->command[0]);
        REFUSED("--attend", "--attend", "7", "train");
        REFUSED("--attend", "--attend", "1");
}
END_TEST

START_TEST(a_mistyped_option_is_answered_with_the_nearest)
{
        REFUSED("did you mean --stint-limit?", "--stint-limt=3s", "train");
        REFUSED("did you mean --stint-interval?", "--stint-intreval=3s", "train");
        REFUSED("did you mean --stint-keep?", "--stint-kepe", "3", "train");
        REFUSED("--help lists", "--completely-different", "train");
        REFUSED("there is no option -x", "-x", "train");
}
END_TEST

START_TEST(the_nearest_name_begins_the_same_or_differs_by_little)
{
        struct nearest n;

        nearest_begin(&n, "stat");
        nearest_see(&n, "start");
        nearest_see(&n, "status");
        ck_assert_str_eq(n.best, "status");
        nearest_begin(&n, "rnu");
        nearest_see(&n, "exec");
        nearest_see(&n, "run");
        ck_assert_str_eq(n.best, "run");
        nearest_begin(&n, "xyzzy");
        nearest_see(&n, "run");
        nearest_see(&n, "verify");
        ck_assert_ptr_null(n.best);
        nearest_begin(&n, "");
        nearest_see(&n, "status");
        ck_assert_ptr_null(n.best);
}
END_TEST

struct small {
        int json;
        const char *text;
};

static const struct flag small[] = {
        {"--json", NULL, offsetof(struct small, json), flag_switch, "h", NULL},
        {"--text", "T", offsetof(struct small, text), flag_text, "h", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

START_TEST(words_of_a_verb_may_stand_between_its_options)
{
        char a[] = "a", json[] = "--json", b[] = "b", text[] = "--text", value[] = "--x", dashes[] = "--",
             c[] = "--json", dash[] = "-";
        char *argv[] = {a, json, b, text, value, dash, dashes, c, NULL}, **words;
        struct small s = {0};
        struct stint_error err;

        ck_assert_int_eq(flags_read(small, &s, argv, FLAGS_ANYWHERE, &words, &err), 0);
        ck_assert_int_eq(s.json, 1);
        ck_assert_str_eq(s.text, "--x");
        ck_assert_str_eq(words[0], "a");
        ck_assert_str_eq(words[1], "b");
        ck_assert_str_eq(words[2], "-");
        ck_assert_str_eq(words[3], "--json");
        ck_assert_ptr_null(words[4]);
}
END_TEST

START_TEST(help_is_left_to_the_caller)
{
        char help[] = "--help", json[] = "--json";
        char *argv[] = {json, help, NULL}, **words;
        struct small s = {0};
        struct stint_error err;

        ck_assert_int_eq(flags_read(small, &s, argv, FLAGS_ANYWHERE, &words, &err), 1);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "options");

        tcase_add_test(tests, without_options_everything_has_its_default);
        tcase_add_test(tests, a_value_stands_behind_an_equals_sign_or_is_the_next_word);
        tcase_add_test(tests, the_first_word_ends_the_options);
        tcase_add_test(tests, two_dashes_end_the_options);
        tcase_add_test(tests, the_run_directory_is_absolute_and_follows_the_name);
        tcase_add_test(tests, the_interval_is_a_duration_or_off_or_automatic);
        tcase_add_test(tests, staging_has_a_least_size_and_the_environment_names_it_too);
        tcase_add_test(tests, any_option_of_the_local_scheduler_asks_for_it);
        tcase_add_test(tests, each_stint_of_an_invocation_may_be_preempted_at_its_own_time);
        tcase_add_test(tests, what_cannot_be_is_refused_with_the_options_name);
        tcase_add_test(tests, an_attending_coordinator_has_no_program_of_its_own);
        tcase_add_test(tests, a_mistyped_option_is_answered_with_the_nearest);
        tcase_add_test(tests, the_nearest_name_begins_the_same_or_differs_by_little);
        tcase_add_test(tests, words_of_a_verb_may_stand_between_its_options);
        tcase_add_test(tests, help_is_left_to_the_caller);
}

SUITE_MAIN("options", add_tests)
