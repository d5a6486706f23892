/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_fault: what STINT_FAULT arms and what it does not; each action, in a process of its own where it ends one. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>
#include "clock.h"
#include "durable.h"
#include "fault.h"
#include "suite.h"

#define LONGEST_MS 30000 /* no event of these tests takes that long, on any machine */

static char scratch[512];

static void set_up(void)
{
        const char *tmp = getenv("TMPDIR");

        snprintf(scratch, sizeof scratch, "%s/stint-test-fault.XXXXXX", tmp ? tmp : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(scratch));
        setenv("STINT_FAULT_DIR", scratch, 1);
        unsetenv("STINT_FAULT");
        fault_reset();
}

static void tear_down(void)
{
        unsetenv("STINT_FAULT");
        unsetenv("STINT_FAULT_DIR");
        fault_reset();
        durable_remove_tree(scratch, NULL);
}

static void arm(const char *setting)
{
        setenv("STINT_FAULT", setting, 1);
        fault_reset();
}

/* What a setting says on stderr when its first two points are reached; *code receives what they answered together. */
static const char *complaint(const char *setting, int *code)
{
        static char said[8192];
        char path[600];
        int kept = dup(STDERR_FILENO), file;
        ssize_t n;

        snprintf(path, sizeof path, "%s/stderr", scratch);
        file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ck_assert_int_ge(file, 0);
        dup2(file, STDERR_FILENO);
        arm(setting);
        *code = fault_point("commit.before_rename");
        *code |= fault_point("save.before_sync");
        dup2(kept, STDERR_FILENO);
        close(kept);
        n = pread(file, said, sizeof said - 1, 0);
        close(file);
        said[n < 0 ? 0 : n] = '\0';
        return said;
}

START_TEST(nothing_set_is_nothing_armed)
{
        for (int i = 0; fault_points[i]; i++)
                ck_assert_int_eq(fault_point(fault_points[i]), 0);
        arm("");
        ck_assert_int_eq(fault_point("commit.before_rename"), 0);
}
END_TEST

START_TEST(every_point_can_fail_and_no_other_fails_with_it)
{
        char setting[100];

        for (int i = 0; fault_points[i]; i++) {
                snprintf(setting, sizeof setting, "%s:fail=EIO", fault_points[i]);
                arm(setting);
                for (int j = 0; fault_points[j]; j++)
                        ck_assert_int_eq(fault_point(fault_points[j]), i == j ? EIO : 0);
        }
}
END_TEST

START_TEST(every_errno_of_the_manual_is_known)
{
        static const struct {
                const char *setting;
                int code;
        } cases[] = {
                {"save.mid_write:fail=ENOSPC", ENOSPC}, {"save.mid_write:fail=EIO", EIO},
                {"save.mid_write:fail=EDQUOT", EDQUOT}, {"save.mid_write:fail=ENOMEM", ENOMEM},
                {"save.mid_write:fail=EACCES", EACCES}, {"save.mid_write:fail=ESTALE", ESTALE},
        };

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                arm(cases[i].setting);
                ck_assert_int_eq(fault_point("save.mid_write"), cases[i].code);
                ck_assert_int_eq(fault_point("save.mid_write"), 0); /* once */
        }
}
END_TEST

START_TEST(the_nth_time_is_counted_from_one)
{
        arm("save.mid_write:fail=ENOSPC@3");
        ck_assert_int_eq(fault_point("save.mid_write"), 0);
        ck_assert_int_eq(fault_point("save.mid_write"), 0);
        ck_assert_int_eq(fault_point("save.before_sync"), 0);
        ck_assert_int_eq(fault_point("save.mid_write"), ENOSPC);
        ck_assert_int_eq(fault_point("save.mid_write"), 0);
        fault_reset(); /* and counts anew */
        for (int i = 1; i <= 3; i++)
                ck_assert_int_eq(fault_point("save.mid_write"), i == 3 ? ENOSPC : 0);
}
END_TEST

START_TEST(several_faults_count_each_for_itself)
{
        arm("save.mid_write:fail=ENOSPC,save.mid_write:fail=EIO@2,commit.after_rename:fail=ESTALE@2");
        ck_assert_int_eq(fault_point("save.mid_write"), ENOSPC);
        ck_assert_int_eq(fault_point("commit.after_rename"), 0);
        ck_assert_int_eq(fault_point("save.mid_write"), EIO);
        ck_assert_int_eq(fault_point("commit.after_rename"), ESTALE);
}
END_TEST

static atomic_int failures;

static void *reach_often(void *unused)
{
        (void)unused;
        for (int i = 0; i < 1000; i++)
                if (fault_point("snapshot.mid_copy") == EIO)
                        atomic_fetch_add(&failures, 1);
        return NULL;
}

START_TEST(exactly_one_of_many_threads_is_the_nth)
{
        pthread_t threads[4];

        arm("snapshot.mid_copy:fail=EIO@3210");
        atomic_store(&failures, 0);
        for (int i = 0; i < 4; i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, reach_often, NULL), 0);
        for (int i = 0; i < 4; i++)
                pthread_join(threads[i], NULL);
        ck_assert_int_eq(atomic_load(&failures), 1);
}
END_TEST

START_TEST(a_delay_is_waited_for_and_then_it_goes_on)
{
        int64_t before = clock_now();

        arm("save.before_sync:delay=30ms");
        ck_assert_int_eq(fault_point("save.before_sync"), 0);
        ck_assert_int_ge(clock_now() - before, 30 * CLOCK_MS);
}
END_TEST

START_TEST(kill_ends_the_process_at_that_point_by_sigkill)
{
        int status;
        pid_t child;

        arm("commit.after_rename:kill@2");
        child = fork();
        if (child == 0) {
                if (fault_point("commit.before_rename") != 0 || fault_point("commit.after_rename") != 0)
                        _exit(1);
                fault_point("commit.after_rename");
                _exit(2);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it ended with status %#x", status);
}
END_TEST

/* Starts a process that reaches a point, and waits until its file appears in the scratch directory; path receives it.
 */
static pid_t reach_and_pause(char path[600])
{
        char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        const struct inotify_event *event = (const struct inotify_event *)events;
        int watch = inotify_init1(IN_CLOEXEC);
        struct pollfd ready = {.fd = watch, .events = POLLIN};
        pid_t child;

        ck_assert_int_ge(inotify_add_watch(watch, scratch, IN_MOVED_TO), 0);
        arm("seal.before_write:pause");
        child = fork();
        if (child == 0)
                _exit(fault_point("seal.before_write") == 0 ? 23 : 1);
        ck_assert_int_eq(poll(&ready, 1, LONGEST_MS), 1);
        ck_assert_int_gt(read(watch, events, sizeof events), 0);
        close(watch);
        snprintf(path, 600, "%s/seal.before_write.%d", scratch, (int)child);
        ck_assert_str_eq(event->name, strrchr(path, '/') + 1);
        return child;
}

START_TEST(pause_shows_a_whole_file_and_goes_on_when_it_is_removed)
{
        char path[600], *bytes;
        size_t n;
        int status;
        pid_t child = reach_and_pause(path);

        ck_assert_int_eq(durable_read(path, 100, &bytes, &n, NULL), 0);
        ck_assert_str_eq(bytes, "reached\n");
        free(bytes);
        ck_assert_int_eq(waitpid(child, &status, WNOHANG), 0);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 23, "it ended with status %#x", status);
        ck_assert_int_eq(rmdir(scratch), 0); /* nothing else was left in it */
}
END_TEST

static void *reach_once(void *unused)
{
        (void)unused;
        fault_point("save.mid_write");
        return NULL;
}

START_TEST(who_pauses_is_the_first_for_whoever_comes_second)
{
        char path[600];
        pthread_t first;

        arm("save.mid_write:pause,save.mid_write:fail=EIO@2");
        snprintf(path, sizeof path, "%s/save.mid_write.%d", scratch, (int)getpid());
        ck_assert_int_eq(pthread_create(&first, NULL, reach_once, NULL), 0);
        while (access(path, F_OK) < 0)
                sched_yield();
        ck_assert_int_eq(fault_point("save.mid_write"), EIO);
        ck_assert_int_eq(unlink(path), 0);
        pthread_join(first, NULL);
}
END_TEST

START_TEST(a_paused_process_can_be_killed)
{
        char path[600];
        int status;
        pid_t child = reach_and_pause(path);

        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_pause_that_cannot_be_shown_is_said_and_holds_nobody)
{
        char dir[600];
        const char *said;
        int code;

        snprintf(dir, sizeof dir, "%s/stderr/not-a-directory", scratch);
        setenv("STINT_FAULT_DIR", dir, 1);
        said = complaint("save.before_sync:pause", &code);
        ck_assert_int_eq(code, 0);
        ck_assert_msg(strstr(said, "cannot pause at save.before_sync") && strstr(said, "Not a directory"),
                      "it said: %s", said);
}
END_TEST

START_TEST(a_setting_that_cannot_be_read_is_said_once_and_arms_nothing)
{
        static const struct {
                const char *setting, *reason;
        } cases[] = {
                {"commit.before_renam:fail=EIO", "commit.before_renam"},
                {"commit.before_rename", "POINT:ACTION"},
                {"commit.before_rename:", "no action"},
                {"commit.before_rename:explode", "explode"},
                {"commit.before_rename:fail=EWHAT", "EWHAT"},
                {"commit.before_rename:fail=", "fail="},
                {"commit.before_rename:fail", "no action"},
                {"commit.before_rename:delay=", "duration"},
                {"commit.before_rename:delay=5x", "5x"},
                {"commit.before_rename:fail=EIO@0", "@0"},
                {"commit.before_rename:fail=EIO@", "@"},
                {"commit.before_rename:fail=EIO@-1", "@-1"},
                {"commit.before_rename:fail=EIO@1x", "@1x"},
                {"commit.before_rename:fail=EIO@4294967297", "@4294967297"},
                {"commit.before_rename:fail=EIO,", "''"},
                {",commit.before_rename:fail=EIO", "''"},
                {"commit.before_rename:fail=EIO save.before_sync:fail=EIO", "EIO save"},
                /* The first would be right by itself; half of a setting would be a test that tests something else. */
                {"commit.before_rename:fail=EIO,nowhere:kill", "nowhere"},
        };
        int code;

        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                const char *said = complaint(cases[i].setting, &code);

                ck_assert_msg(code == 0, "'%s' armed something", cases[i].setting);
                ck_assert_msg(strstr(said, "STINT_FAULT is not used") && strstr(said, cases[i].reason),
                              "'%s': it said: %s", cases[i].setting, said);
                ck_assert_msg(strchr(said, '\n') == said + strlen(said) - 1, "'%s' was said more than once: %s",
                              cases[i].setting, said);
        }
}
END_TEST

START_TEST(a_pause_without_a_directory_is_refused)
{
        const char *said;
        int code;

        unsetenv("STINT_FAULT_DIR");
        said = complaint("commit.before_rename:pause", &code);
        ck_assert_int_eq(code, 0);
        ck_assert_ptr_nonnull(strstr(said, "STINT_FAULT_DIR"));
}
END_TEST

START_TEST(a_setting_with_too_many_faults_or_bytes_is_refused)
{
        char setting[4000] = "";
        int code;

        for (int i = 0; i < 17; i++)
                strcat(setting, i ? ",save.before_sync:fail=EIO" : "save.before_sync:fail=EIO");
        ck_assert_ptr_nonnull(strstr(complaint(setting, &code), "more than 16"));
        ck_assert_int_eq(code, 0);
        memset(setting, 'x', sizeof setting - 1);
        ck_assert_ptr_nonnull(strstr(complaint(setting, &code), "longer than"));
        ck_assert_int_eq(code, 0);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "fault");

        tcase_add_checked_fixture(tests, set_up, tear_down);
        tcase_add_test(tests, nothing_set_is_nothing_armed);
        tcase_add_test(tests, every_point_can_fail_and_no_other_fails_with_it);
        tcase_add_test(tests, every_errno_of_the_manual_is_known);
        tcase_add_test(tests, the_nth_time_is_counted_from_one);
        tcase_add_test(tests, several_faults_count_each_for_itself);
        tcase_add_test(tests, exactly_one_of_many_threads_is_the_nth);
        tcase_add_test(tests, a_delay_is_waited_for_and_then_it_goes_on);
        tcase_add_test(tests, kill_ends_the_process_at_that_point_by_sigkill);
        tcase_add_test(tests, pause_shows_a_whole_file_and_goes_on_when_it_is_removed);
        tcase_add_test(tests, who_pauses_is_the_first_for_whoever_comes_second);
        tcase_add_test(tests, a_paused_process_can_be_killed);
        tcase_add_test(tests, a_pause_that_cannot_be_shown_is_said_and_holds_nobody);
        tcase_add_test(tests, a_setting_that_cannot_be_read_is_said_once_and_arms_nothing);
        tcase_add_test(tests, a_pause_without_a_directory_is_refused);
        tcase_add_test(tests, a_setting_with_too_many_faults_or_bytes_is_refused);
}

SUITE_MAIN("fault", add_tests)
