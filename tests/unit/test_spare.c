/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_spare: a window's memory that is made before anybody asks: for a run with a checkpoint that fills it and for no
 * other, whole and present when its thread is done, and gone when nobody takes it.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"
#include "feed.h"
#include "memory.h"
#include "spare.h"
#include "suite.h"

#define BYTES (FEED_BLOCKS * WINDOW_BLOCK)

static char dir[64];
static uv_loop_t loop;
static struct spare spare;

static void set_up(void)
{
        strcpy(dir, "/tmp/stint-test-spare.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        ck_assert_int_eq(uv_loop_init(&loop), 0);
        spare = (struct spare){ 0 };
        spare_open(&spare, &loop);
}

static void clean_up(void)
{
        spare_close(&spare);
        uv_run(&loop, UV_RUN_DEFAULT);
        ck_assert_ptr_null(spare.memory);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
        durable_remove_tree(dir, NULL);
}

/* A file of that size in a folder of that name, without a byte on the disk. */
static void add(const char *checkpoint, uint64_t bytes)
{
        char path[300];
        int fd;

        snprintf(path, sizeof path, "%s/checkpoints", dir);
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s/checkpoints/%s", dir, checkpoint);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        snprintf(path, sizeof path, "%s/checkpoints/%s/rank-00000-of-00001.h5", dir, checkpoint);
        fd = open(path, O_WRONLY | O_CREAT, 0600);
        ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
        close(fd);
}

/* Until the thread is done; the timer is no reason to wait. */
static void await_made(void)
{
        while (spare.memory)
                ck_assert_int_ge(uv_run(&loop, UV_RUN_ONCE), 0);
}

START_TEST(a_run_without_a_checkpoint_needs_none)
{
        spare_make(&spare, dir);
        ck_assert_int_eq(spare_take(&spare), -1);
        add("step-000000000012.s1.part", BYTES);
        spare_make(&spare, dir);
        ck_assert_int_eq(spare_take(&spare), -1);
}
END_TEST

START_TEST(a_small_state_needs_none)
{
        add("step-000000000012", BYTES - 1);
        spare_make(&spare, dir);
        ck_assert_int_eq(spare_take(&spare), -1);
}
END_TEST

START_TEST(a_large_one_has_all_its_pages_before_it_is_asked_for)
{
        struct window w;
        struct stat status;
        int fd;

        add("step-000000000012", BYTES);
        spare_make(&spare, dir);
        await_made();
        fd = spare_take(&spare);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(spare_take(&spare), -1);
        ck_assert_int_eq(window_make_in(&w, fd, BYTES, BYTES, NULL), 0);
        ck_assert_int_eq(fstat(w.fd, &status), 0);
        /* Where the kernel makes no large pages they come with their bytes. */
        if (memory_make_large(w.ring, MEMORY_LARGE_PAGE) == 0)
                ck_assert_int_ge(status.st_blocks * 512, (long)BYTES);
        window_fini(&w);
}
END_TEST

START_TEST(it_may_be_taken_while_it_is_being_made)
{
        struct window w;
        int fd;

        add("step-000000000012", 2 * BYTES);
        spare_make(&spare, dir);
        fd = spare_take(&spare);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(window_make_in(&w, fd, BYTES, 2 * BYTES, NULL), 0);
        memset(w.ring, 7, BYTES);
        await_made();
        ck_assert_int_eq(w.ring[0], 7);
        ck_assert_int_eq(w.ring[BYTES - 1], 7);
        window_fini(&w);
}
END_TEST

START_TEST(what_nobody_takes_is_given_back)
{
        int fd;

        add("step-000000000012", BYTES);
        spare_make(&spare, dir);
        fd = spare.fd;
        ck_assert_int_ge(fd, 0);
        spare_drop(&spare);
        ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
        ck_assert_int_eq(spare_take(&spare), -1);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "spare");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, a_run_without_a_checkpoint_needs_none);
        tcase_add_test(all, a_small_state_needs_none);
        tcase_add_test(all, a_large_one_has_all_its_pages_before_it_is_asked_for);
        tcase_add_test(all, it_may_be_taken_while_it_is_being_made);
        tcase_add_test(all, what_nobody_takes_is_given_back);
}

SUITE_MAIN("spare", add_tests)
