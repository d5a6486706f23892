/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_pending: which parts of earlier stints are waited for, and for how long. */
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "durable.h"
#include "log.h"
#include "run_pending.h"
#include "rundir.h"
#include "seal.h"
#include "suite.h"

static char run[64];

static void set_up(void)
{
        char path[128];

        log_init("test", STINT_LOG_ERROR);
        strcpy(run, "/tmp/stint-test-pending.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(run));
        snprintf(path, sizeof path, "%s/checkpoints", run);
        ck_assert_int_eq(mkdir(path, 0700), 0);
}

static void clean_up(void)
{
        durable_remove_tree(run, NULL);
}

enum what { EMPTY, SEALED, PENDING, PAST, FAR, JUNK };

/* What stands in the seal of a rank of the part of step 1200, of this stint. */
static void put(uint32_t stint, uint32_t rank, uint32_t ranks, enum what what)
{
        const int64_t left_ns = what == PAST ? -CLOCK_SECOND : what == FAR ? 7200 * CLOCK_SECOND : 1800 * CLOCK_SECOND;
        const struct seal_pending mark = { .until_wall_ns = clock_wall() + left_ns, .node = "n1" };
        const struct seal seal = { .rank = rank, .ranks = ranks };
        char part[RUNDIR_NAME], name[RUNDIR_NAME], path[512];
        unsigned char bytes[SEAL_BYTES] = { 1 };
        int fd;

        rundir_part(part, 1200, stint);
        snprintf(path, sizeof path, "%s/checkpoints/%s", run, part);
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s/checkpoints/%s/%s", run, part, rundir_rank_seal(name, rank, ranks));
        if (what == SEALED)
                seal_encode(&seal, bytes);
        else if (what != JUNK)
                seal_pending_encode(&mark, bytes);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        if (what != EMPTY)
                ck_assert_int_eq(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
        close(fd);
}

static void *seal_later(void *arg)
{
        const struct timespec moment = { 0, 200 * CLOCK_MS };

        (void)arg;
        nanosleep(&moment, NULL);
        put(1, 0, 2, SEALED);
        return NULL;
}

START_TEST(what_is_promised_is_waited_for_and_no_longer)
{
        pthread_t thread;
        int64_t waited_ns;

        put(1, 0, 2, PENDING);
        put(1, 1, 2, SEALED);
        ck_assert_int_eq(pthread_create(&thread, NULL, seal_later, NULL), 0);
        waited_ns = pending_await(run, 2, NULL, NULL);
        ck_assert_int_ge(waited_ns, 150 * CLOCK_MS);
        ck_assert_int_lt(waited_ns, 600 * CLOCK_SECOND); /* which is far less than was promised */
        pthread_join(thread, NULL);
}
END_TEST

/* In none of these can the part of two ranks become whole, or is it anybody's to wait for. */
static const struct {
        enum what first, second;
        uint32_t own;
} never[] = {
        { PENDING, EMPTY, 2 }, { PENDING, JUNK, 2 }, { SEALED, SEALED, 2 }, { EMPTY, EMPTY, 2 },
        { PAST, SEALED, 2 },   { PENDING, PAST, 2 }, { FAR, SEALED, 2 },    { PENDING, PENDING, 1 },
};

START_TEST(what_nobody_promises_is_not)
{
        put(1, 0, 2, never[_i].first);
        put(1, 1, 2, never[_i].second);
        ck_assert_int_eq(pending_await(run, never[_i].own, NULL, NULL), 0);
}
END_TEST

START_TEST(a_rank_without_a_seal_is_not_waited_for)
{
        put(1, 0, 2, PENDING);
        ck_assert_int_eq(pending_await(run, 2, NULL, NULL), 0);
}
END_TEST

START_TEST(a_run_without_parts_is_not_either)
{
        ck_assert_int_eq(pending_await(run, 1, NULL, NULL), 0);
        ck_assert_int_eq(pending_await("/nowhere", 1, NULL, NULL), 0);
}
END_TEST

static int third_time(void *arg)
{
        return ++*(int *)arg == 3;
}

START_TEST(a_stint_that_nobody_wants_any_more_does_not_wait)
{
        int asked = 0;

        put(1, 0, 1, PENDING);
        ck_assert_int_eq(pending_await(run, 2, third_time, &asked), -1);
        ck_assert_int_eq(asked, 3);
        put(1, 0, 1, SEALED);
        ck_assert_int_eq(pending_await(run, 2, third_time, &asked), 0);
        ck_assert_int_eq(asked, 3);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tcase = suite_case(suite, "pending");

        tcase_add_checked_fixture(tcase, set_up, clean_up);
        tcase_add_test(tcase, what_is_promised_is_waited_for_and_no_longer);
        tcase_add_loop_test(tcase, what_nobody_promises_is_not, 0, (int)(sizeof never / sizeof never[0]));
        tcase_add_test(tcase, a_rank_without_a_seal_is_not_waited_for);
        tcase_add_test(tcase, a_run_without_parts_is_not_either);
        tcase_add_test(tcase, a_stint_that_nobody_wants_any_more_does_not_wait);
}

SUITE_MAIN("pending", add_tests)
