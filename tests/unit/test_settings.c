/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_settings: stintd's settings: what a file may say, and what is said about one that does not hold. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "settings.h"
#include "suite.h"

static char path[64];

/* A file with this text in it; its name is in `path`. */
static void write_file(const char *text)
{
        int fd;

        strcpy(path, "/tmp/stint-test-settings.XXXXXX");
        fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
}

static int read_text(struct settings *s, const char *text, struct stint_error *err)
{
        int rc;

        settings_default(s);
        write_file(text);
        rc = settings_read(s, path, err);
        unlink(path);
        return rc;
}

START_TEST(without_a_file_the_defaults_hold)
{
        struct settings s;
        struct stint_error err = { 0 };

        settings_default(&s);
        ck_assert_int_eq(settings_check(&s, &err), 0);
        ck_assert_str_eq(s.socket, "/run/stint/stintd.sock");
        ck_assert_int_eq(s.staging_bytes, 0);
        ck_assert_int_eq(s.ask_every_ns, 300 * CLOCK_SECOND);
        ck_assert_int_eq(s.log_level, STINT_LOG_NOTICE);
        ck_assert_int_eq(s.outlive, 1);
        ck_assert_int_eq(s.keep_ns, 600 * CLOCK_SECOND);
        ck_assert_int_eq(settings_read(&s, "/nowhere/stint.conf", &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
}
END_TEST

START_TEST(values_have_their_units)
{
        struct settings s;
        struct stint_error err = { 0 };

        ck_assert_int_eq(read_text(&s,
                                   "# a comment\n\n; another\nStagingMemory = 64G\nStagingMemoryPerUser=1.5G\nAskEvery=2m\n"
                                   "Margin=250ms\nMaxJobs=12\nLogLevel=debug\nSocket=/run/stint/%n.sock\nNodeName=n1\n",
                                   &err),
                         0);
        ck_assert_int_eq(s.staging_bytes, INT64_C(64) << 30);
        ck_assert_int_eq(s.staging_user_bytes, INT64_C(3) << 29);
        ck_assert_int_eq(s.ask_every_ns, 120 * CLOCK_SECOND);
        ck_assert_int_eq(s.margin_ns, 250 * CLOCK_MS);
        ck_assert_int_eq(s.jobs, 12);
        ck_assert_int_eq(s.log_level, STINT_LOG_DEBUG);
        ck_assert_str_eq(s.socket, "/run/stint/%n.sock");
        ck_assert_str_eq(s.node, "n1");
        ck_assert_int_eq(read_text(&s, "StagingMemory=off\nStagingMemoryPerUser=all\nAskAs=owner\n", &err), 0);
        ck_assert_int_eq(s.staging_bytes, 0);
        ck_assert_int_eq(s.staging_user_bytes, SETTINGS_ALL);
        ck_assert_int_eq(read_text(&s, "KeepStaging=off\nOutliveJobs=no\nOutliveLimit=90s\n", &err), 0);
        ck_assert_int_eq(s.keep_ns, 0);
        ck_assert_int_eq(s.outlive, 0);
        ck_assert_int_eq(s.outlive_ns, 90 * CLOCK_SECOND);
}
END_TEST

/* Every text here is wrong, and what is said of it has all of the words. */
static const struct {
        const char *text, *words[3];
} wrong[] = {
        { "MaxJobs=5\nStagingMemry=1G\n", { "line 2", "StagingMemry", "did you mean StagingMemory" } },
        { "Xyzzyplugh=1\n", { "line 1", "Xyzzyplugh", "--help" } },
        { "\n\nMaxJobs=many\n", { "line 3", "MaxJobs", "many" } },
        { "MaxJobs=0\n", { "line 1", "MaxJobs", "too small" } },
        { "MaxConnections=99999999\n", { "line 1", "MaxConnections", "too large" } },
        { "AskEvery=soon\n", { "line 1", "AskEvery", "soon" } },
        { "StagingMemory=lots\n", { "line 1", "StagingMemory", "lots" } },
        { "LogLevel=loud\n", { "line 1", "LogLevel", "notice" } },
        { "AskAs=service\n", { "line 1", "AskAs=service", "owner" } },
        { "[daemon]\nMaxJobs=5\n", { "line 2", "section", "daemon" } },
        { "MaxJobs\n", { "line 1", "Name=value", "" } },
        { "MaxJobs=5\nSocket=run/stint.sock\n", { "Socket", "absolute", "run/stint.sock" } },
        { "Socket=/run/%x\n", { "/run/%x", "stands for the node", "" } },
};

START_TEST(what_does_not_hold_is_named_with_its_line)
{
        struct settings s, before;
        struct stint_error err = { 0 };
        unsigned i;

        settings_default(&before);
        ck_assert_int_eq(read_text(&s, wrong[_i].text, &err), -1);
        for (i = 0; i < 3; i++)
                ck_assert_msg(strstr(err.text, wrong[_i].words[i]) != NULL, "'%s' is not in: %s", wrong[_i].words[i],
                              err.text);
        ck_assert_msg(memcmp(&s, &before, sizeof s) == 0, "settings changed although the file does not hold");
}
END_TEST

START_TEST(the_first_mistake_is_the_one_that_is_told)
{
        struct settings s;
        struct stint_error err = { 0 };

        ck_assert_int_eq(read_text(&s, "MaxJobs=x\nMargin=y\n", &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "line 1"));
        ck_assert_ptr_null(strstr(err.text, "Margin"));
}
END_TEST

START_TEST(what_is_printed_can_be_read_again)
{
        struct settings s, again;
        struct stint_error err = { 0 };
        char *text = NULL;
        size_t n = 0;
        FILE *out;

        ck_assert_int_eq(read_text(&s, "StagingMemory=3G\nMargin=1500ms\nNodeName=n2\nLogLevel=warning\n", &err), 0);
        out = open_memstream(&text, &n);
        settings_print(&s, out);
        fclose(out);
        ck_assert_int_eq(read_text(&again, text, &err), 0);
        ck_assert_int_eq(memcmp(&s, &again, sizeof s), 0);
        free(text);
}
END_TEST

START_TEST(a_running_daemon_keeps_its_socket_and_its_name)
{
        struct settings s, fresh;

        settings_default(&s);
        settings_default(&fresh);
        ck_assert_int_eq(settings_set(&fresh, "MaxJobs", "7", NULL), 0);
        ck_assert_ptr_null(settings_renew(&s, &fresh));
        ck_assert_int_eq(s.jobs, 7);
        ck_assert_int_eq(settings_set(&fresh, "NodeName", "n9", NULL), 0);
        ck_assert_str_eq(settings_renew(&s, &fresh), "NodeName");
        ck_assert_str_eq(s.node, "");
        ck_assert_int_eq(settings_set(&fresh, "Socket", "/elsewhere", NULL), 0);
        ck_assert_str_eq(settings_renew(&s, &fresh), "Socket");
        ck_assert_str_eq(s.socket, "/run/stint/stintd.sock");
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "settings");

        tcase_add_test(all, without_a_file_the_defaults_hold);
        tcase_add_test(all, values_have_their_units);
        tcase_add_loop_test(all, what_does_not_hold_is_named_with_its_line, 0, sizeof wrong / sizeof wrong[0]);
        tcase_add_test(all, the_first_mistake_is_the_one_that_is_told);
        tcase_add_test(all, what_is_printed_can_be_read_again);
        tcase_add_test(all, a_running_daemon_keeps_its_socket_and_its_name);
}

SUITE_MAIN("settings", add_tests)
