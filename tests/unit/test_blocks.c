/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_blocks: every block is taken once, who waits for some gets them or hears why not, and a window holds. */
#include <check.h>
#include <errno.h>
#include "blocks.h"
#include "suite.h"

#define MOST 64

static struct blocks b;
static atomic_int times[MOST], under_way, most_under_way;
static _Atomic uint64_t passed_blocks;
static uint64_t fail_block, last_progress;
static int progress_rises;

static int on_block(void *arg, uint64_t at, uint64_t n, struct stint_error *err)
{
        const uint64_t block = at / BLOCKS_BYTES;
        int now = atomic_fetch_add(&under_way, 1) + 1;

        ck_assert_ptr_eq(arg, &b);
        ck_assert_uint_eq(at % BLOCKS_BYTES, 0);
        ck_assert_uint_eq(n, b.bytes - at < BLOCKS_BYTES ? b.bytes - at : BLOCKS_BYTES);
        if (now > atomic_load(&most_under_way))
                atomic_store(&most_under_way, now);
        if (b.window)
                ck_assert_uint_lt(block, passed_blocks + b.window);
        atomic_fetch_add(&times[block], 1);
        atomic_fetch_sub(&under_way, 1);
        return block == fail_block ? error_set(err, EIO, "block %d fails", (int)block) : 0;
}

static void on_progress(void *arg, uint64_t upto)
{
        (void)arg;
        if (upto <= last_progress)
                progress_rises = 0;
        last_progress = upto;
}

static void set_up(void)
{
        int i;

        b = (struct blocks){ .on_block = on_block, .on_progress = on_progress, .arg = &b };
        for (i = 0; i < MOST; i++)
                atomic_store(&times[i], 0);
        atomic_store(&under_way, 0);
        atomic_store(&most_under_way, 0);
        fail_block = UINT64_MAX;
        passed_blocks = 0;
        last_progress = 0;
        progress_rises = 1;
}

static const uint64_t sizes[] = { 1, BLOCKS_BYTES - 1, BLOCKS_BYTES, BLOCKS_BYTES + 1, 3 * BLOCKS_BYTES,
                                  40 * BLOCKS_BYTES + 5 };

START_TEST(every_block_is_taken_once_and_all_are_awaited)
{
        struct stint_error err = { 0 };
        uint64_t i, n = (sizes[_i] + BLOCKS_BYTES - 1) / BLOCKS_BYTES;

        b.bytes = sizes[_i];
        ck_assert_msg(blocks_start(&b, &err) == 0, "%s", err.text);
        ck_assert_int_eq(blocks_await(&b, b.bytes - 1, 1, &err), 0);
        ck_assert_int_eq(blocks_await(&b, 0, b.bytes, &err), 0);
        ck_assert_int_eq(blocks_await(&b, b.bytes, 0, &err), 0);
        ck_assert_int_eq(blocks_join(&b, &err), 0);
        for (i = 0; i < MOST; i++)
                ck_assert_int_eq(atomic_load(&times[i]), i < n);
        ck_assert_uint_eq(last_progress, b.bytes);
        ck_assert_uint_eq(atomic_load(&b.frontier), b.bytes);
        ck_assert_int_eq(progress_rises, 1);
        ck_assert_int_le(atomic_load(&most_under_way), BLOCKS_THREADS);
        ck_assert_int_gt(b.ended_ns, 0);
}
END_TEST

START_TEST(the_first_failure_stops_all_and_is_told_to_who_waits)
{
        struct stint_error err = { 0 };
        uint64_t i;
        int taken = 0;

        b.bytes = 50 * BLOCKS_BYTES;
        fail_block = 7;
        ck_assert_int_eq(blocks_start(&b, &err), 0);
        ck_assert_int_eq(blocks_await(&b, 0, b.bytes, &err), -1);
        ck_assert_str_eq(err.text, "block 7 fails");
        error_clear(&err);
        ck_assert_int_eq(blocks_join(&b, &err), -1);
        ck_assert_int_eq(err.code, EIO);
        ck_assert_str_eq(err.text, "block 7 fails");
        for (i = 0; i < MOST; i++)
                taken += atomic_load(&times[i]);
        ck_assert_int_ge(taken, 8);
        ck_assert_uint_le(last_progress, 7 * BLOCKS_BYTES);
}
END_TEST

/* Nothing is passed at first, so no more than the window is begun however long the threads have. */
START_TEST(no_block_beyond_the_window_is_begun)
{
        struct stint_error err = { 0 };
        uint64_t at;

        b.bytes = 30 * BLOCKS_BYTES;
        b.window = 3;
        ck_assert_int_eq(blocks_start(&b, &err), 0);
        for (at = 0; at < b.bytes; at += BLOCKS_BYTES) {
                ck_assert_int_eq(blocks_await(&b, at, BLOCKS_BYTES, &err), 0);
                passed_blocks = at / BLOCKS_BYTES + 1;
                blocks_pass(&b, at + BLOCKS_BYTES);
        }
        ck_assert_int_eq(blocks_join(&b, &err), 0);
        ck_assert_uint_eq(last_progress, b.bytes);
}
END_TEST

START_TEST(threads_that_wait_for_the_window_end_when_they_are_stopped)
{
        const struct stint_error why = { .code = ECANCELED, .text = "enough" };
        struct stint_error err = { 0 };

        b.bytes = 30 * BLOCKS_BYTES;
        b.window = 2;
        ck_assert_int_eq(blocks_start(&b, &err), 0);
        ck_assert_int_eq(blocks_await(&b, 0, 2 * BLOCKS_BYTES, &err), 0);
        blocks_stop(&b, &why);
        ck_assert_int_eq(blocks_await(&b, 5 * BLOCKS_BYTES, 1, &err), -1);
        ck_assert_int_eq(blocks_await(&b, 0, BLOCKS_BYTES, &err), 0);
        ck_assert_int_eq(blocks_join(&b, &err), -1);
        ck_assert_str_eq(err.text, "enough");
        ck_assert_int_eq(atomic_load(&times[2]), 0);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "blocks");

        tcase_add_checked_fixture(all, set_up, NULL);
        tcase_add_loop_test(all, every_block_is_taken_once_and_all_are_awaited, 0,
                            (int)(sizeof sizes / sizeof sizes[0]));
        tcase_add_test(all, the_first_failure_stops_all_and_is_told_to_who_waits);
        tcase_add_test(all, no_block_beyond_the_window_is_begun);
        tcase_add_test(all, threads_that_wait_for_the_window_end_when_they_are_stopped);
}

SUITE_MAIN("blocks", add_tests)
