/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_copy: every byte arrives and no other is touched, whoever helps; helpers come and go as they should. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "copy.h"
#include "cores.h"
#include "stream.h"
#include "suite.h"

#define ARENA ((size_t)24 << 20)
#define GUARD 0xa5
#define PIECES_MOST 4096

static struct stint_error err;
static struct copy copy;
static char *arena, *mirror, *expected;
static uint64_t dice_state;

static int threads_before; /* a sanitizer may have one of its own */

static void use_threads(const char *threads)
{
        setenv("STINT_COPY_THREADS", threads, 1);
        ck_assert_int_eq(copy_init(&copy, &err), 0);
}

static uint64_t dice(uint64_t sides)
{
        dice_state = dice_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (dice_state >> 33) % sides;
}

/* The threads of this process. */
static int threads_now(void)
{
        DIR *d = opendir("/proc/self/task");
        struct dirent *e;
        int n = 0;

        ck_assert_ptr_nonnull(d);
        while ((e = readdir(d)))
                n += e->d_name[0] != '.';
        closedir(d);
        return n;
}

/* A thread that was joined may be on its way out of the kernel still. */
static void await_threads(int helpers)
{
        while (threads_now() != threads_before + helpers)
                sched_yield();
}

static void setup(void)
{
        size_t i;

        dice_state = 1;
        threads_before = threads_now();
        arena = malloc(ARENA);
        mirror = malloc(ARENA);
        expected = malloc(ARENA);
        ck_assert(arena && mirror && expected);
        for (i = 0; i < ARENA; i++)
                arena[i] = (char)(i * 2654435761u >> 13);
        memset(mirror, GUARD, ARENA);
        memset(expected, GUARD, ARENA);
}

static void teardown(void)
{
        unsetenv("STINT_COPY_THREADS");
        free(arena);
        free(mirror);
        free(expected);
}

/* Lists pieces of these sizes at any alignment of either side, with gaps in between, until the arena is full. */
static void list_pieces(const size_t *sizes, size_t n_sizes)
{
        size_t at = 0, bytes, from;
        int n;

        for (n = 0; n < PIECES_MOST; n++) {
                bytes = sizes[dice(n_sizes)];
                at += dice(130);
                if (at + bytes > ARENA)
                        break;
                from = dice(ARENA - bytes);
                copy_add(&copy, mirror + at, arena + from, bytes);
                memcpy(expected + at, arena + from, bytes);
                at += bytes;
        }
        ck_assert_int_gt(n, 4);
}

static const size_t mixed[] = { 0, 1, 7, 63, 64, 1000, 4095, 4096, 4097, 5000, 8191, 65537, 300000, 3 << 20 };
static const size_t large[] = { (2 << 20) + 1, (2 << 20) - 1, 5 << 20 };
static const size_t small[] = { 1, 8, 64, 1024 };

START_TEST(every_byte_arrives_and_no_other_is_touched)
{
        static const char *const threads[] = { "1", "2", "5" };
        static const struct {
                const size_t *sizes;
                size_t count;
        } kinds[] = { { mixed, sizeof mixed / sizeof mixed[0] },
                      { large, sizeof large / sizeof large[0] },
                      { small, sizeof small / sizeof small[0] } };
        int way;

        use_threads(threads[_i / 3]);
        copy_hire(&copy, ARENA);
        ck_assert_int_eq(copy.helpers, atoi(threads[_i / 3]) - 1);
        for (way = COPY_OUT; way <= COPY_BACK; way++) {
                list_pieces(kinds[_i % 3].sizes, kinds[_i % 3].count);
                copy_run(&copy, (enum copy_way)way);
                ck_assert(memcmp(mirror, expected, ARENA) == 0);
                copy_run(&copy, (enum copy_way)way); /* the list is empty: nothing is copied again */
        }
        copy_fini(&copy);
}
END_TEST

START_TEST(a_stream_is_right_at_every_alignment)
{
        static const size_t lengths[] = { STREAM_LEAST, STREAM_LEAST + 1, STREAM_LEAST + 127, STREAM_LEAST + 200 };
        size_t to, from, i;

        for (i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
                for (to = 0; to < 65; to++)
                        for (from = 0; from < 65; from += 3) {
                                memset(mirror, GUARD, 8192);
                                stream_copy(mirror + to, arena + from, lengths[i]);
                                stream_fence();
                                ck_assert(memcmp(mirror + to, arena + from, lengths[i]) == 0);
                                ck_assert(to == 0 || (unsigned char)mirror[to - 1] == GUARD);
                                ck_assert((unsigned char)mirror[to + lengths[i]] == GUARD);
                        }
}
END_TEST

START_TEST(helpers_end_when_it_is_closed)
{
        use_threads("4");
        await_threads(0);
        copy_hire(&copy, ARENA);
        await_threads(3);
        copy_hire(&copy, ARENA);
        await_threads(3);
        copy_fini(&copy);
        await_threads(0);
}
END_TEST

START_TEST(few_bytes_hire_nobody)
{
        use_threads("4");
        copy_hire(&copy, COPY_ALONE - 1);
        await_threads(0);
        copy_fini(&copy);
}
END_TEST

/* The signals that a thread blocks, as /proc says. */
static unsigned long long blocked_by(const char *thread)
{
        unsigned long long mask = 0;
        char path[300], line[200];
        FILE *f;

        snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
        f = fopen(path, "re");
        ck_assert_ptr_nonnull(f);
        while (fgets(line, sizeof line, f))
                sscanf(line, "SigBlk: %llx", &mask);
        fclose(f);
        return mask;
}

static int is_helper(const char *thread)
{
        char path[300], name[32] = "";
        FILE *f;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", thread);
        f = fopen(path, "re");
        ck_assert_ptr_nonnull(f);
        ck_assert_ptr_nonnull(fgets(name, sizeof name, f));
        fclose(f);
        return !strcmp(name, "stint-copy\n");
}

/* The helpers that have begun to run. */
static int helpers_named(void)
{
        DIR *d = opendir("/proc/self/task");
        struct dirent *e;
        int n = 0;

        ck_assert_ptr_nonnull(d);
        while ((e = readdir(d)))
                n += e->d_name[0] != '.' && is_helper(e->d_name);
        closedir(d);
        return n;
}

START_TEST(helpers_take_no_signal_of_the_program)
{
        DIR *d;
        struct dirent *e;
        int helpers = 0;

        use_threads("3");
        copy_hire(&copy, ARENA);
        while (helpers_named() < 2)
                sched_yield();
        d = opendir("/proc/self/task");
        ck_assert_ptr_nonnull(d);
        while ((e = readdir(d))) {
                if (e->d_name[0] == '.' || !is_helper(e->d_name))
                        continue;
                helpers++;
                ck_assert(blocked_by(e->d_name) & 1ull << (SIGTERM - 1));
                ck_assert(blocked_by(e->d_name) & 1ull << (SIGUSR1 - 1));
        }
        closedir(d);
        ck_assert_int_eq(helpers, 2);
        copy_fini(&copy);
}
END_TEST

START_TEST(a_forked_child_ends_by_itself_and_its_parent_copies_on)
{
        int status;
        pid_t pid;

        use_threads("3");
        copy_hire(&copy, ARENA);
        list_pieces(mixed, sizeof mixed / sizeof mixed[0]);
        copy_run(&copy, COPY_OUT);
        pid = fork();
        if (pid == 0)
                _exit(threads_now() <= threads_before ? 0 : 1);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
        memset(expected, GUARD, ARENA);
        memset(mirror, GUARD, ARENA);
        list_pieces(mixed, sizeof mixed / sizeof mixed[0]);
        copy_run(&copy, COPY_OUT);
        ck_assert(memcmp(mirror, expected, ARENA) == 0);
        copy_fini(&copy);
}
END_TEST

START_TEST(copies_are_right_while_it_learns)
{
        int i;

        ck_assert_int_eq(copy_init(&copy, &err), 0);
        copy_learn(&copy);
        copy_learn(&copy);
        for (i = 0; i < 20; i++) {
                memset(mirror, GUARD, ARENA);
                memset(expected, GUARD, ARENA);
                list_pieces(mixed, sizeof mixed / sizeof mixed[0]);
                copy_run(&copy, COPY_OUT);
                ck_assert(memcmp(mirror, expected, ARENA) == 0);
        }
        copy_fini(&copy);
        await_threads(0);
}
END_TEST

START_TEST(what_was_learned_keeps_no_more_helpers_than_pay)
{
        ck_assert_int_eq(copy_init(&copy, &err), 0);
        copy_learn(&copy);
        pthread_join(copy.learner, NULL);
        copy.learning = 0;
        ck_assert_int_lt(copy.helpers, cores_usable());
        ck_assert_int_eq(copy.crew.hired, copy.helpers);
        await_threads(copy.helpers);
        copy_fini(&copy);
}
END_TEST

START_TEST(a_process_with_one_core_has_no_helpers)
{
        cpu_set_t one, before;

        ck_assert_int_eq(sched_getaffinity(0, sizeof before, &before), 0);
        CPU_ZERO(&one);
        CPU_SET(sched_getcpu(), &one);
        ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
        ck_assert_int_eq(cores_usable(), 1);
        ck_assert_int_eq(copy_init(&copy, &err), 0);
        copy_hire(&copy, ARENA);
        ck_assert_int_eq(copy.helpers, 0);
        copy_learn(&copy);
        pthread_join(copy.learner, NULL);
        copy.learning = 0;
        ck_assert_int_eq(copy.helpers, 0);
        await_threads(0);
        copy_fini(&copy);
        ck_assert_int_eq(sched_setaffinity(0, sizeof before, &before), 0);
}
END_TEST

START_TEST(the_number_of_threads_can_be_asked_for)
{
        use_threads("3");
        copy_learn(&copy);
        pthread_join(copy.learner, NULL);
        copy.learning = 0;
        ck_assert_int_eq(copy.helpers, 2);
        copy_fini(&copy);
}
END_TEST

START_TEST(a_number_of_threads_that_cannot_be_is_refused_and_does_not_count)
{
        static const char *const wrong[] = { "0", "17", "-1", "two", "2x", "99999999999999999999" };

        setenv("STINT_COPY_THREADS", wrong[_i], 1);
        ck_assert_int_eq(copy_init(&copy, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_ptr_nonnull(strstr(err.text, "STINT_COPY_THREADS"));
        ck_assert_int_eq(copy.asked, 0);
        copy_fini(&copy);
}
END_TEST

START_TEST(a_quota_is_cores_rounded_up)
{
        ck_assert_int_eq(cores_of_quota("max 100000\n"), 0);
        ck_assert_int_eq(cores_of_quota("100000 100000\n"), 1);
        ck_assert_int_eq(cores_of_quota("150000 100000\n"), 2);
        ck_assert_int_eq(cores_of_quota("1000 100000\n"), 1);
        ck_assert_int_eq(cores_of_quota("1600000 100000"), 16);
        ck_assert_int_eq(cores_of_quota(""), 0);
        ck_assert_int_eq(cores_of_quota("-1 100000"), 0);
        ck_assert_int_eq(cores_of_quota("100000 0"), 0);
        ck_assert_int_eq(cores_of_quota("9223372036854775807 1"), 0);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "all");

        tcase_add_checked_fixture(all, setup, teardown);
        tcase_set_timeout(all, 120);
        tcase_add_loop_test(all, every_byte_arrives_and_no_other_is_touched, 0, 9);
        tcase_add_test(all, a_stream_is_right_at_every_alignment);
        tcase_add_test(all, helpers_end_when_it_is_closed);
        tcase_add_test(all, few_bytes_hire_nobody);
        tcase_add_test(all, helpers_take_no_signal_of_the_program);
        tcase_add_test(all, a_forked_child_ends_by_itself_and_its_parent_copies_on);
        tcase_add_test(all, copies_are_right_while_it_learns);
        tcase_add_test(all, what_was_learned_keeps_no_more_helpers_than_pay);
        tcase_add_test(all, a_process_with_one_core_has_no_helpers);
        tcase_add_test(all, the_number_of_threads_can_be_asked_for);
        tcase_add_loop_test(all, a_number_of_threads_that_cannot_be_is_refused_and_does_not_count, 0, 6);
        tcase_add_test(all, a_quota_is_cores_rounded_up);
}

SUITE_MAIN("copy", add_tests)
