/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_window: every byte of an image comes through a ring that is smaller, in whatever steps; and nobody waits for ever. */
#include <check.h>
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>
#include "clock.h"
#include "suite.h"
#include "window.h"

#define RING (2 * WINDOW_BLOCK)

static struct window mine;
static struct stint_error err;

static unsigned char byte_of(uint64_t at)
{
        return (unsigned char)(at * 7 + at / 4099);
}

static void set_up(void)
{
        err = (struct stint_error){ 0 };
        ck_assert_int_eq(window_make(&mine, RING, 5 * WINDOW_BLOCK + 4711, &err), 0);
}

static void tear_down(void)
{
        window_fini(&mine);
}

/* How far one goes at a time: never across a block, in steps of all kinds. */
static uint64_t step_at(uint64_t at, uint64_t most, unsigned seed)
{
        const uint64_t steps[] = { 1, 4096, 65535, WINDOW_BLOCK, 300007 };
        uint64_t n = steps[(at / 3 + seed) % 5], block = WINDOW_BLOCK - at % WINDOW_BLOCK;

        n = n < block ? n : block;
        return n < most - at ? n : most - at;
}

/* The other process: 0 when every byte was right. */
static int empty_all(int fd, uint64_t image_bytes)
{
        struct window w;
        uint64_t at, n, i;

        if (window_take(&w, fd, RING, image_bytes, &err) < 0)
                return 2;
        for (at = 0; at < image_bytes; at += n) {
                n = step_at(at, image_bytes, 2);
                if (window_await_filled(&w, at + n, CLOCK_NEVER, &err) != 1)
                        return 3;
                for (i = at; i < at + n; i++)
                        if (*window_at(&w, i) != byte_of(i))
                                return 4;
                window_pass(&w, at + n);
        }
        window_fini(&w);
        return 0;
}

START_TEST(every_byte_of_an_image_comes_through)
{
        const uint64_t image_bytes = mine.image_bytes;
        uint64_t at, n, i;
        int status;
        pid_t pid = fork();

        if (pid == 0)
                _exit(empty_all(mine.fd, image_bytes));
        for (at = 0; at < image_bytes; at += n) {
                n = step_at(at, image_bytes, 0);
                ck_assert_int_eq(window_await_room(&mine, at + n, CLOCK_NEVER, &err), 1);
                for (i = at; i < at + n; i++)
                        *window_at(&mine, i) = byte_of(i);
                window_fill(&mine, at + n);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
        ck_assert_uint_eq(window_filled(&mine), image_bytes);
}
END_TEST

START_TEST(what_is_not_passed_is_not_overwritten)
{
        ck_assert_int_eq(window_await_room(&mine, RING, 0, &err), 1);
        ck_assert_int_eq(window_await_room(&mine, RING + 1, CLOCK_MS, &err), 0);
        window_fill(&mine, RING);
        ck_assert_int_eq(window_await_filled(&mine, RING, 0, &err), 1);
        ck_assert_int_eq(window_await_filled(&mine, RING + 1, CLOCK_MS, &err), 0);
        window_pass(&mine, 10);
        ck_assert_int_eq(window_await_room(&mine, RING + 10, 0, &err), 1);
        ck_assert_int_eq(window_await_room(&mine, RING + 11, 0, &err), 0);
}
END_TEST

START_TEST(a_stop_ends_whoever_waits_and_leaves_what_is_there)
{
        struct window other;
        int status;
        pid_t pid;

        ck_assert_int_eq(window_take(&other, mine.fd, RING, mine.image_bytes, &err), 0);
        window_fill(&mine, RING);
        pid = fork();
        if (pid == 0)
                _exit(window_await_room(&mine, RING + 1, CLOCK_NEVER, &err) == -1 && err.code == ECANCELED ? 0 : 1);
        window_stop(&other);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
        ck_assert_int_eq(window_await_filled(&other, RING, CLOCK_NEVER, &err), 1);
        ck_assert_int_eq(window_await_filled(&other, RING + 1, CLOCK_NEVER, &err), -1);
        ck_assert_int_eq(err.code, ECANCELED);
        window_fini(&other);
}
END_TEST

START_TEST(counters_that_cannot_be_are_not_believed)
{
        window_fill(&mine, 100);
        atomic_store(&mine.page->passed, 101);
        ck_assert_int_eq(window_await_room(&mine, 200, 0, &err), -1);
        ck_assert_int_eq(err.code, EPROTO);
        atomic_store(&mine.page->filled, mine.image_bytes + 1);
        ck_assert_int_eq(window_await_filled(&mine, 1, 0, &err), -1);
        ck_assert_int_eq(err.code, EPROTO);
        ck_assert_uint_eq(window_filled(&mine), mine.image_bytes);
}
END_TEST

START_TEST(one_that_is_renewed_is_as_new)
{
        window_fill(&mine, 100);
        window_pass(&mine, 50);
        window_stop(&mine);
        window_renew(&mine);
        ck_assert_uint_eq(window_filled(&mine), 0);
        ck_assert_int_eq(window_await_filled(&mine, 1, 0, &err), 0); /* neither there nor stopped */
        ck_assert_int_eq(window_await_room(&mine, RING, 0, &err), 1);
        ck_assert_int_eq(window_await_room(&mine, RING + 1, 0, &err), 0);
}
END_TEST

START_TEST(sizes_that_cannot_be_are_refused)
{
        struct window w;
        int fd[2];

        ck_assert_int_eq(window_make(&w, WINDOW_BLOCK - 1, UINT64_C(1) << 30, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(window_make(&w, RING, 0, &err), -1);
        ck_assert_int_eq(window_take(&w, mine.fd, RING + WINDOW_BLOCK, mine.image_bytes, &err), -1);
        ck_assert_int_eq(err.code, EMSGSIZE);
        ck_assert_int_eq(pipe(fd), 0);
        ck_assert_int_eq(window_take(&w, fd[0], RING, mine.image_bytes, &err), -1);
        ck_assert_int_eq(err.code, EPERM);
        close(fd[0]);
        close(fd[1]);
        ck_assert_int_eq(window_make(&w, 16 * WINDOW_BLOCK, 5, &err), 0);
        ck_assert_uint_eq(w.ring_bytes, WINDOW_BLOCK);
        window_fini(&w);
        window_fini(&w);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "window");

        tcase_add_checked_fixture(all, set_up, tear_down);
        tcase_add_test(all, every_byte_of_an_image_comes_through);
        tcase_add_test(all, what_is_not_passed_is_not_overwritten);
        tcase_add_test(all, a_stop_ends_whoever_waits_and_leaves_what_is_there);
        tcase_add_test(all, counters_that_cannot_be_are_not_believed);
        tcase_add_test(all, one_that_is_renewed_is_as_new);
        tcase_add_test(all, sizes_that_cannot_be_are_refused);
}

SUITE_MAIN("window", add_tests)
