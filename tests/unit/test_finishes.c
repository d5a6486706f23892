/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_finishes: writes that were handed over, on their threads: each is told once, in time, and one whose filesystem
 * hangs is in nobody's way but its user's.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "finishes.h"
#include "log.h"
#include "suite.h"

#define PLENTY (600 * CLOCK_SECOND)

static uv_loop_t loop;
static struct finishes all;
static struct user alice, bob;
static int gate[2]; /* a write that hangs waits until a byte can be read here */
static int told, sealed;

static int write_well(struct finish *f, struct stint_error *err)
{
        (void)f;
        (void)err;
        return 0;
}

static int write_badly(struct finish *f, struct stint_error *err)
{
        (void)f;
        return error_set(err, EDQUOT, "no more room for this user");
}

/* Alice's hang; whoever else writes, writes well. */
static int hang(struct finish *f, struct stint_error *err)
{
        char byte;

        (void)err;
        if (f->user == &alice && read(gate[0], &byte, 1) != 1)
                return -1;
        return 0;
}

static void on_over(void *arg, struct finish *f)
{
        ck_assert_ptr_eq(arg, &told);
        told++;
        sealed += f->sealed;
}

static int some_fd(void)
{
        const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        return fd;
}

static struct finish *hold(struct user *user)
{
        struct finish *f = finishes_hold(&all, user, some_fd(), some_fd());

        ck_assert_ptr_nonnull(f);
        strcpy(f->label, "job 4711");
        return f;
}

static void begin(struct user *user, int64_t within_ns)
{
        const int fd = some_fd();
        struct finish *f = hold(user);

        f->until_ns = clock_now() + within_ns;
        finishes_begin(f, fd, on_over, &told);
        close(fd);
}

static void set_up(void)
{
        told = sealed = 0;
        alice = (struct user){ .uid = 1001, .lines_ns = PLENTY };
        bob = (struct user){ .uid = 1002, .lines_ns = PLENTY };
        log_init("test", STINT_LOG_ERROR);
        ck_assert_int_eq(uv_loop_init(&loop), 0);
        ck_assert_int_eq(finishes_open(&all, &loop, NULL), 0);
        ck_assert_int_eq(pipe2(gate, O_CLOEXEC), 0);
}

/* Turns the loop until so many were told of; the limit of the test is the limit of this. */
static void turn(int n)
{
        while (told < n)
                uv_run(&loop, UV_RUN_ONCE);
}

/* Everything closed, nothing left open: what stintd needs at its end. */
static void stop(void)
{
        finishes_stop(&all);
        while (uv_run(&loop, UV_RUN_DEFAULT))
                ;
        ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void end(void)
{
        while (alice.handed + bob.handed > 0)
                uv_run(&loop, UV_RUN_ONCE);
        stop();
        close(gate[0]);
        close(gate[1]);
}

START_TEST(one_that_is_written_is_told_once_and_lets_its_descriptors_go)
{
        all.write = write_well;
        begin(&alice, PLENTY);
        ck_assert_int_eq(alice.handed, 1);
        turn(1);
        while (alice.handed > 0)
                uv_run(&loop, UV_RUN_ONCE);
        ck_assert_int_eq(all.count, 0);
        ck_assert_int_eq(told, 1);
        ck_assert_int_eq(sealed, 1);
        end();
}
END_TEST

START_TEST(one_that_cannot_be_written_is_told_as_such)
{
        all.write = write_badly;
        begin(&alice, PLENTY);
        turn(1);
        ck_assert_int_eq(sealed, 0);
        end();
}
END_TEST

START_TEST(a_user_has_more_than_run_at_once)
{
        int i;

        all.write = write_well;
        for (i = 0; i < 3 * FINISHES_RUNNING; i++)
                begin(&alice, PLENTY);
        turn(3 * FINISHES_RUNNING);
        ck_assert_int_eq(sealed, 3 * FINISHES_RUNNING);
        end();
}
END_TEST

START_TEST(one_that_hangs_is_given_up_and_delays_nobody_else)
{
        struct finish *f;
        int i;

        all.write = hang;
        for (i = 0; i < FINISHES_RUNNING; i++)
                begin(&alice, PLENTY);
        begin(&bob, PLENTY);
        turn(1);
        ck_assert_int_eq(sealed, 1);
        for (f = all.first; f; f = f->next)
                f->until_ns = 0; /* now */
        uv_async_send(&all.news);
        turn(1 + FINISHES_RUNNING);
        ck_assert_int_eq(sealed, 1);
        ck_assert_int_eq(alice.handed, FINISHES_RUNNING);
        /* Until they come back, no further write of hers begins; others' do. */
        begin(&alice, 0);
        begin(&bob, PLENTY);
        turn(3 + FINISHES_RUNNING);
        ck_assert_int_eq(sealed, 2);
        ck_assert_int_eq(write(gate[1], "xxxx", FINISHES_RUNNING), FINISHES_RUNNING);
        while (alice.handed > 0)
                uv_run(&loop, UV_RUN_ONCE);
        begin(&alice, PLENTY);
        ck_assert_int_eq(write(gate[1], "x", 1), 1);
        turn(4 + FINISHES_RUNNING);
        ck_assert_int_eq(sealed, 3);
        ck_assert_int_eq(told, 4 + FINISHES_RUNNING);
        end();
}
END_TEST

START_TEST(an_end_waits_for_what_is_written_and_not_for_what_hangs)
{
        struct finish *f;

        all.write = hang;
        begin(&bob, PLENTY);
        turn(1);
        while (bob.handed > 0)
                uv_run(&loop, UV_RUN_ONCE);
        begin(&alice, 300 * CLOCK_MS);
        stop();
        ck_assert_int_eq(told, 2);
        ck_assert_int_eq(sealed, 1);
        f = all.first;
        ck_assert_ptr_eq(f->user, &alice);
        ck_assert_int_eq(write(gate[1], "x", 1), 1); /* its thread comes back when nobody listens any more */
        while (!atomic_load(&f->closed))
                sched_yield();
        pthread_mutex_lock(&all.lock); /* and has done with the lock too */
        pthread_mutex_unlock(&all.lock);
        free(f);
        close(gate[0]);
        close(gate[1]);
}
END_TEST

START_TEST(a_user_cannot_hand_over_without_end)
{
        struct finish *held[FINISHES_OF_USER];
        int i;

        for (i = 0; i < FINISHES_OF_USER; i++) {
                ck_assert(finishes_take_more(&all, &alice));
                held[i] = hold(&alice);
        }
        ck_assert(!finishes_take_more(&all, &alice));
        ck_assert(finishes_take_more(&all, &bob));
        for (i = 0; i < FINISHES_OF_USER; i++)
                finishes_let_go(held[i]);
        while (alice.handed > 0)
                uv_run(&loop, UV_RUN_ONCE);
        ck_assert(finishes_take_more(&all, &alice));
        end(); /* after which nothing is taken any more */
        ck_assert(!finishes_take_more(&all, &bob));
}
END_TEST

START_TEST(what_nobody_asked_for_is_closed)
{
        int fds[5], i;

        for (i = 0; i < 5; i++)
                fds[i] = some_fd();
        finishes_close(&all, &bob, fds, 5);
        while (bob.handed > 0)
                uv_run(&loop, UV_RUN_ONCE);
        for (i = 0; i < 5; i++)
                ck_assert(fcntl(fds[i], F_GETFD) < 0 && errno == EBADF);
        end();
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tcase = suite_case(suite, "finishes");

        tcase_add_checked_fixture(tcase, set_up, NULL);
        tcase_add_test(tcase, one_that_is_written_is_told_once_and_lets_its_descriptors_go);
        tcase_add_test(tcase, one_that_cannot_be_written_is_told_as_such);
        tcase_add_test(tcase, a_user_has_more_than_run_at_once);
        tcase_add_test(tcase, one_that_hangs_is_given_up_and_delays_nobody_else);
        tcase_add_test(tcase, an_end_waits_for_what_is_written_and_not_for_what_hangs);
        tcase_add_test(tcase, a_user_cannot_hand_over_without_end);
        tcase_add_test(tcase, what_nobody_asked_for_is_closed);
}

SUITE_MAIN("finishes", add_tests)
