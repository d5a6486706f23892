/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_run_follow: two saves in flight: when another may be asked for behind the one that is written, how it takes that
 * one's place, and when that one is given up for a final save.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "run_save.h"
#include "suite.h"

static struct save begun(enum save_reason reason, uint32_t ranks)
{
        struct save s = { 0 };
        enum saving_act act;

        ck_assert_int_eq(save_begin(&s, reason, -1, ranks, 1, &act, NULL), 0);
        return s;
}

static void take(struct save *s, int32_t rank, uint32_t free_images, int64_t now_ns)
{
        struct wire_agent_taken m = { .save_id = s->id, .attempt = s->attempt, .rank = rank, .checkpoint_step = 100 };

        m.free_images = free_images;
        m.wait_ns = rank + 1;
        save_taken(s, &m, now_ns);
}

static enum saving_act seal(struct save *s, int32_t rank, int64_t step)
{
        struct wire_agent_sealed m = { .save_id = s->id, .attempt = s->attempt, .rank = rank, .ranks = s->ranks };

        m.step = m.checkpoint_step = step;
        return save_sealed(s, &m, 5);
}

START_TEST(another_save_may_follow_when_all_ranks_gave_their_snapshot_and_have_an_image_free)
{
        struct save s = begun(SAVE_INTERVAL, 2), behind = { 0 };

        ck_assert(!save_may_follow(&s, &behind));
        take(&s, 0, 1, 10);
        ck_assert(!save_may_follow(&s, &behind));
        take(&s, 1, 0, 11);
        ck_assert(!save_may_follow(&s, &behind));
        take(&s, 1, 1, 12); /* it was made meanwhile */
        ck_assert(save_may_follow(&s, &behind));
        ck_assert_int_eq(s.taken_ns, 11);
        ck_assert_int_eq(s.taken_step, 100);
        ck_assert_int_eq(s.wait_ns, 2);
        ck_assert_int_eq(seal(&s, 0, 100), SAVING_NOTHING);
        ck_assert(save_may_follow(&s, &behind));
        ck_assert_int_eq(seal(&s, 1, 100), SAVING_COMMIT);
        ck_assert(save_may_follow(&s, &behind));
        save_committed(&s, 0, "");
        ck_assert(!save_may_follow(&s, &behind)); /* nothing is in flight: it may simply begin */
        save_fini(&s);
}
END_TEST

START_TEST(nothing_follows_a_save_that_must_land_or_what_a_failed_one_left)
{
        struct save final = begun(SAVE_LIMIT, 1), s = begun(SAVE_INTERVAL, 1), behind = { 0 };
        enum saving_act act;

        take(&final, 0, 1, 10);
        ck_assert(!save_may_follow(&final, &behind));
        take(&s, 0, 1, 10);
        s.dirty = 1;
        ck_assert(!save_may_follow(&s, &behind));
        s.dirty = 0;
        ck_assert_int_eq(save_begin(&behind, SAVE_USER, -1, 1, 2, &act, NULL), 0);
        ck_assert(!save_may_follow(&s, &behind)); /* one is there already */
        save_fini(&final);
        save_fini(&s);
        save_fini(&behind);
}
END_TEST

/* The state is whole in staging: that the process is gone matters no more. */
START_TEST(a_rank_that_goes_after_its_snapshot_has_done_its_part)
{
        struct save s = begun(SAVE_INTERVAL, 2);

        take(&s, 0, 0, 10);
        ck_assert_int_eq(save_rank_gone(&s, 0), SAVING_NOTHING);
        ck_assert_int_eq(save_rank_gone(&s, 1), SAVING_FAIL);
        save_fini(&s);
}
END_TEST

START_TEST(the_one_behind_takes_the_place_of_the_one_that_is_over)
{
        struct save s = begun(SAVE_INTERVAL, 1), behind = { 0 };
        enum saving_act act;
        int64_t step;

        s.too_soon_ns = 7;
        take(&s, 0, 1, 10);
        behind.id = s.id;
        save_begin(&behind, SAVE_USER, -1, 1, 20, &act, NULL);
        ck_assert_int_eq(act, SAVING_ASK);
        ck_assert_uint_eq(behind.id, s.id + 1);
        ck_assert_int_eq(save_wish(&s, SAVE_LIMIT, -1, 21), SAVING_WAITS);
        seal(&s, 0, 100);
        save_committed(&s, 0, "");
        s.finished_ns = 30;
        ck_assert_int_eq(save_promote(&s, &behind), SAVING_NOTHING);
        ck_assert_uint_eq(s.id, 2);
        ck_assert_int_eq(s.reason, SAVE_USER);
        ck_assert_int_eq(s.state, SAVING_WANTED);
        ck_assert_int_eq(s.finished_ns, 30);
        ck_assert_int_eq(s.too_soon_ns, 7);
        ck_assert(!save_is_behind(&behind));
        ck_assert_int_eq(s.pending_ns, 21);
        ck_assert_int_eq(save_take_next(&s, &step), SAVE_LIMIT);
        ck_assert_int_eq(seal(&s, 0, 101), SAVING_COMMIT);
        save_fini(&s);
}
END_TEST

START_TEST(what_the_one_behind_is_owed_comes_when_it_is_its_turn)
{
        struct save s = begun(SAVE_INTERVAL, 1), behind = { 0 };
        enum saving_act act;

        behind.id = s.id;
        save_begin(&behind, SAVE_USER, -1, 1, 20, &act, NULL);
        behind.owed = save_broken(&behind, "the disk is full", 0);
        ck_assert_int_eq(behind.owed, SAVING_FAIL);
        ck_assert(save_is_behind(&behind)); /* its place is not free yet */
        save_broken(&s, "and so was the other", 0);
        ck_assert_int_eq(save_promote(&s, &behind), SAVING_FAIL);
        ck_assert_str_eq(s.text, "the disk is full");
        ck_assert_int_eq(s.dirty, 1);
        ck_assert(!save_in_flight(&s));
        save_fini(&s);
}
END_TEST

/* What the failed one left may be of the same step. */
START_TEST(behind_a_failed_save_it_starts_over_unless_a_snapshot_is_there)
{
        struct save s = begun(SAVE_USER, 2), other = begun(SAVE_USER, 2);

        ck_assert_int_eq(save_start_over(&s), SAVING_CLEAR);
        ck_assert_uint_eq(s.attempt, 2);
        ck_assert_int_eq(save_cleared(&s), SAVING_ASK);
        take(&other, 1, 0, 10);
        ck_assert_int_eq(save_start_over(&other), SAVING_NOTHING);
        save_fini(&s);
        save_fini(&other);
}
END_TEST

START_TEST(a_write_gives_way_to_a_final_save_only_when_there_is_no_time_for_both)
{
        struct deadline_measured cost = { .snapshot_ns = 1 * CLOCK_SECOND, .write_ns = 10 * CLOCK_SECOND,
                                          .commit_ns = CLOCK_SECOND / 2, .saves = 3 };
        struct save s = begun(SAVE_INTERVAL, 1), must = begun(SAVE_LIMIT, 1);
        const int64_t s_ns = CLOCK_SECOND, took = 100 * CLOCK_SECOND;

        take(&s, 0, 1, took);
        take(&must, 0, 1, took);
        /* Six of ten seconds are left to write, then ten, and two for all the rest. */
        ck_assert(!save_gives_way(&s, &cost, 19 * s_ns, 2 * s_ns, took + 4 * s_ns));
        ck_assert(save_gives_way(&s, &cost, 18 * s_ns, 2 * s_ns, took + 4 * s_ns));
        /* It takes longer than ever: so will the next. */
        ck_assert(save_gives_way(&s, &cost, 30 * s_ns, 0, took + 20 * s_ns));
        ck_assert(!save_gives_way(&s, &cost, CLOCK_NEVER, 0, took + 20 * s_ns));
        ck_assert(!save_gives_way(&must, &cost, s_ns, 0, took));
        cost.saves = 0; /* nothing is known but what it took so far */
        ck_assert(save_gives_way(&s, &cost, 11 * s_ns, 0, took + 6 * s_ns));
        ck_assert(!save_gives_way(&s, &cost, 13 * s_ns, 0, took + 6 * s_ns));
        seal(&s, 0, 100);
        ck_assert(!save_gives_way(&s, &cost, s_ns, 0, took + 6 * s_ns)); /* it is being committed */
        save_fini(&s);
        save_fini(&must);
}
END_TEST

START_TEST(wishes_join_the_one_behind_as_they_join_the_first)
{
        struct save behind = begun(SAVE_LIMIT, 1), idle = { 0 };

        ck_assert(save_joins(&behind, SAVE_USER, -1));
        ck_assert(!save_joins(&idle, SAVE_USER, -1));
        save_fini(&behind);
        behind = begun(SAVE_USER, 1);
        ck_assert(!save_joins(&behind, SAVE_USER, -1)); /* it may have its snapshot already */
        save_fini(&behind);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "run_follow");

        tcase_add_test(all, another_save_may_follow_when_all_ranks_gave_their_snapshot_and_have_an_image_free);
        tcase_add_test(all, nothing_follows_a_save_that_must_land_or_what_a_failed_one_left);
        tcase_add_test(all, a_rank_that_goes_after_its_snapshot_has_done_its_part);
        tcase_add_test(all, the_one_behind_takes_the_place_of_the_one_that_is_over);
        tcase_add_test(all, what_the_one_behind_is_owed_comes_when_it_is_its_turn);
        tcase_add_test(all, behind_a_failed_save_it_starts_over_unless_a_snapshot_is_there);
        tcase_add_test(all, a_write_gives_way_to_a_final_save_only_when_there_is_no_time_for_both);
        tcase_add_test(all, wishes_join_the_one_behind_as_they_join_the_first);
}

SUITE_MAIN("run_follow", add_tests)
