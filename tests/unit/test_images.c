/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_images: a training process with two images, and its agent played by a thread: a save takes the one that is free,
 * and waits only when it must.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "fake_agent.h"
#include "fault.h"
#include "safepoint.h"
#include "suite.h"

static struct fake_agent agent;
static float weights[1000];

static void setup(void)
{
        fault_reset();
        fake_start(&agent, 1);
        agent.second_image = agent.hold_results = 1;
}

static void teardown(void)
{
        fake_stop(&agent);
}

static struct stint *begin(void)
{
        struct stint_options options = STINT_OPTIONS;
        struct stint *s = stint_open(&options, NULL);

        ck_assert_ptr_nonnull(s);
        ck_assert_int_eq(stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000)), 0);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_FRESH);
        return s;
}

static int step(struct stint *s, int n)
{
        int i;

        for (i = 0; i < 1000; i++)
                weights[i] = (float)(n * 1000 + i);
        return stint_step(s, n);
}

/* The step that the weights in that memory are of. */
static int step_in(int fd)
{
        size_t bytes = agent.at[0].staging.image_bytes;
        char *image = fake_map(fd, bytes);
        float first;

        memcpy(&first, image + FAKE_HEAD, sizeof first);
        munmap(image, bytes);
        return (int)first / 1000;
}

/* A save that is asked for, taken at that step, and not over yet. */
static void fly(struct stint *s, int n)
{
        const int snapshots = agent.snapshots;

        fake_want(&agent, 0);
        ck_assert_int_eq(step(s, n), STINT_SAVED);
        fake_await(&agent, &agent.snapshots, snapshots + 1);
        ck_assert_int_eq(agent.at[0].last.step, n);
}

START_TEST(a_second_save_takes_the_other_image_while_the_first_is_written)
{
        struct stint *s = begin();

        fly(s, 1);
        ck_assert_uint_eq(agent.at[0].last.image, 0);
        fly(s, 2);
        ck_assert_uint_eq(agent.at[0].last.image, 1);
        ck_assert(snapshot_flies(&s->snapshot, 1));
        ck_assert_uint_eq(snapshot_flying(&s->snapshot), 2);
        ck_assert_int_eq(step_in(agent.at[0].staging_fd), 1);
        ck_assert_int_eq(step_in(agent.at[0].second_fd), 2);
        fake_end(&agent, 1, 1);
        fake_end(&agent, 2, 1);
        stint_close(s);
}
END_TEST

START_TEST(an_image_is_free_again_when_its_save_is_over)
{
        struct stint *s = begin();

        fly(s, 1);
        fly(s, 2);
        fake_end(&agent, 1, 0);
        fly(s, 3);
        ck_assert_uint_eq(agent.at[0].last.image, 0);
        fake_end(&agent, 2, 1);
        fly(s, 4);
        ck_assert_uint_eq(agent.at[0].last.image, 1);
        ck_assert_int_eq(step_in(agent.at[0].staging_fd), 3);
        ck_assert_int_eq(step_in(agent.at[0].second_fd), 4);
        ck_assert_int_eq(s->snapshot.landed_step, 2);
        fake_end(&agent, 3, 1);
        fake_end(&agent, 4, 1);
        stint_close(s);
}
END_TEST

START_TEST(both_results_at_once_are_both_heard)
{
        struct stint *s = begin();

        fly(s, 1);
        fly(s, 2);
        fake_end(&agent, 1, 1);
        fake_end(&agent, 2, 0);
        ck_assert_int_eq(step(s, 3), STINT_CONTINUE);
        ck_assert(snapshot_is_over(&s->snapshot, 1));
        ck_assert(snapshot_is_over(&s->snapshot, 2));
        ck_assert_int_eq(snapshot_await_result(&s->snapshot, 1, NULL), 1);
        ck_assert_int_eq(snapshot_await_result(&s->snapshot, 2, NULL), 0);
        ck_assert_int_eq(s->snapshot.landed_step, 1);
        ck_assert_uint_eq(snapshot_flying(&s->snapshot), 0);
        stint_close(s);
}
END_TEST

/* It would be the same checkpoint twice: the one on its way is waited for, and nothing is copied. */
START_TEST(the_state_of_a_step_that_is_on_its_way_is_not_copied_again)
{
        struct stint *s = begin();

        fly(s, 1);
        agent.end_at_ask = 1;
        ck_assert_int_eq(stint_save(s, 1), STINT_SAVED);
        ck_assert_int_eq(agent.snapshots, 2);
        ck_assert_int_eq(agent.unchanged, 1);
        ck_assert_int_gt(agent.at[0].last.wait_ns, 0);
        stint_close(s);
}
END_TEST

START_TEST(a_new_layout_begins_with_new_images)
{
        static float more[10];
        struct stint *s = begin();

        fly(s, 1);
        ck_assert_int_eq(stint_attach(s, "model/more", STINT_ARRAY(more, STINT_F32, 10)), 0);
        fly(s, 2);
        ck_assert_int_eq(agent.layouts, 2);
        ck_assert_uint_eq(agent.at[0].last.layout, 2);
        ck_assert_uint_eq(agent.at[0].last.image, 0); /* the first save is in memory that is not there any more */
        fake_end(&agent, 1, 1);
        fake_end(&agent, 2, 1);
        stint_close(s);
}
END_TEST

/* Of two on their way the better one is to be beaten; one that does not land counts for nothing. */
START_TEST(the_best_is_the_better_of_two_on_their_way)
{
        struct stint *s = begin();
        static const double losses[] = { 0.5, 0.4, 0.45 };
        int i;

        for (i = 0; i < 2; i++) {
                ck_assert_int_eq(stint_metric(s, "loss", losses[i], STINT_GOAL_MIN), 0);
                ck_assert_int_eq(step(s, i + 1), STINT_SAVED);
                fake_await(&agent, &agent.asked, i + 1);
                fake_await(&agent, &agent.snapshots, i + 1);
        }
        ck_assert_int_eq(stint_metric(s, "loss", losses[2], STINT_GOAL_MIN), 0);
        ck_assert_int_eq(step(s, 3), STINT_CONTINUE);
        fake_end(&agent, 1, 1);
        fake_end(&agent, 2, 0);
        ck_assert_int_eq(step(s, 4), STINT_CONTINUE); /* hears of it */
        ck_assert_int_eq(stint_metric(s, "loss", losses[2], STINT_GOAL_MIN), 0);
        ck_assert_int_eq(step(s, 5), STINT_SAVED);
        fake_await(&agent, &agent.snapshots, 3);
        ck_assert_int_eq(agent.asked, 3);
        fake_end(&agent, 3, 1);
        stint_close(s);
}
END_TEST

START_TEST(a_second_image_that_is_not_like_the_first_is_not_used)
{
        struct stint *s = begin();
        struct wire_staging wrong;
        int fd;

        fly(s, 1);
        fake_end(&agent, 1, 1);
        pthread_mutex_lock(&agent.lock);
        wrong = agent.at[0].staging;
        wrong.image = 1;
        wrong.image_bytes += 4096;
        fd = channel_memory("fake-wrong", wrong.image_bytes, NULL);
        fake_send(&agent.at[0], &wrong, sizeof wrong, fd);
        close(fd);
        wrong.image = 7;
        fake_send(&agent.at[0], &wrong, sizeof wrong, -1);
        pthread_mutex_unlock(&agent.lock);
        fly(s, 2);
        ck_assert_uint_eq(agent.at[0].last.image, 0);
        ck_assert_uint_ne(s->snapshot.images.area[1].bytes, wrong.image_bytes);
        fake_end(&agent, 2, 1);
        stint_close(s);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "images");

        tcase_add_checked_fixture(all, setup, teardown);
        tcase_add_test(all, a_second_save_takes_the_other_image_while_the_first_is_written);
        tcase_add_test(all, an_image_is_free_again_when_its_save_is_over);
        tcase_add_test(all, both_results_at_once_are_both_heard);
        tcase_add_test(all, the_state_of_a_step_that_is_on_its_way_is_not_copied_again);
        tcase_add_test(all, a_new_layout_begins_with_new_images);
        tcase_add_test(all, the_best_is_the_better_of_two_on_their_way);
        tcase_add_test(all, a_second_image_that_is_not_like_the_first_is_not_used);
}

SUITE_MAIN("images", add_tests)
