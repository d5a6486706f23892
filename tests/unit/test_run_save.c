/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_run_save: a save lands when all ranks sealed and the commit held, and every other way ends in a failure that is said. */
#include <check.h>
#include <string.h>
#include "run_save.h"
#include "suite.h"

static struct save begun(enum save_reason reason, uint32_t ranks)
{
        struct save s = { 0 };
        enum saving_act act;

        ck_assert_int_eq(save_begin(&s, reason, -1, ranks, 1, &act, NULL), 0);
        ck_assert_int_eq(act, SAVING_ASK);
        return s;
}

static enum saving_act seal(struct save *s, int32_t rank, int64_t step)
{
        struct wire_agent_sealed m = { .save_id = s->id, .attempt = s->attempt, .rank = rank, .ranks = s->ranks, .step = step,
                                       .checkpoint_step = step, .file_bytes = 10, .copy_ns = rank + 1 };

        return save_sealed(s, &m, 5);
}

static enum saving_act break_off(struct save *s, int32_t rank)
{
        struct wire_agent_save_failed m = { .save_id = s->id, .attempt = s->attempt, .rank = rank, .code = 28, .text = "disk full" };

        return save_failed(s, &m);
}

START_TEST(lands_when_all_ranks_sealed_and_the_commit_held)
{
        struct save s = begun(SAVE_INTERVAL, 2);

        ck_assert_int_eq(seal(&s, 1, 100), SAVING_NOTHING);
        ck_assert_int_eq(s.state, SAVING_SEALING);
        ck_assert_int_eq(seal(&s, 1, 100), SAVING_NOTHING); /* told twice counts once */
        ck_assert_int_eq(seal(&s, 0, 100), SAVING_COMMIT);
        ck_assert_int_eq(s.bytes, 20);
        ck_assert_int_eq(s.copy_ns, 2);
        ck_assert_int_eq(save_committed(&s, 0, ""), SAVING_LAND);
        ck_assert_int_eq(s.state, SAVING_IDLE);
        ck_assert_int_eq(s.dirty, 0);
        save_fini(&s);
}
END_TEST

START_TEST(an_interval_save_fails_at_the_first_error)
{
        struct save s = begun(SAVE_INTERVAL, 2);

        seal(&s, 0, 100);
        ck_assert_int_eq(break_off(&s, 1), SAVING_FAIL);
        ck_assert_int_eq(s.state, SAVING_IDLE);
        ck_assert_ptr_nonnull(strstr(s.text, "disk full"));
        ck_assert_int_eq(s.dirty, 1);
        save_fini(&s);
}
END_TEST

START_TEST(what_a_failed_save_left_goes_before_the_next)
{
        struct save s = begun(SAVE_INTERVAL, 1);
        enum saving_act act;

        break_off(&s, 0);
        ck_assert_int_eq(save_begin(&s, SAVE_USER, -1, 1, 2, &act, NULL), 0);
        ck_assert_int_eq(act, SAVING_CLEAR);
        ck_assert_int_eq(seal(&s, 0, 100), SAVING_NOTHING); /* nobody was asked yet */
        ck_assert_int_eq(save_cleared(&s), SAVING_ASK);
        ck_assert_uint_eq(s.attempt, 1);
        ck_assert_int_eq(seal(&s, 0, 101), SAVING_COMMIT);
        save_fini(&s);
}
END_TEST

START_TEST(a_final_save_is_tried_twice_and_no_more)
{
        struct save s = begun(SAVE_LIMIT, 1);
        struct wire_agent_sealed late = { .save_id = s.id, .attempt = 1, .rank = 0, .ranks = 1, .checkpoint_step = 100 };

        ck_assert_int_eq(break_off(&s, 0), SAVING_CLEAR);
        ck_assert_uint_eq(s.attempt, 2);
        ck_assert_int_eq(save_cleared(&s), SAVING_ASK);
        ck_assert_int_eq(save_sealed(&s, &late, 9), SAVING_NOTHING); /* of the first attempt */
        ck_assert_int_eq(seal(&s, 0, 100), SAVING_COMMIT);
        ck_assert_int_eq(save_committed(&s, 1, "the manifest cannot be written"), SAVING_FAIL);
        ck_assert_str_eq(s.text, "the manifest cannot be written");
        save_fini(&s);
}
END_TEST

START_TEST(a_rank_that_goes_without_a_seal_ends_the_save)
{
        struct save s = begun(SAVE_LIMIT, 2);

        ck_assert_int_eq(seal(&s, 0, 100), SAVING_NOTHING);
        ck_assert_int_eq(save_rank_gone(&s, 0), SAVING_NOTHING); /* it had done its part */
        ck_assert_int_eq(save_rank_gone(&s, 1), SAVING_FAIL);    /* and a second attempt would miss it too */
        save_fini(&s);
}
END_TEST

START_TEST(what_breaks_during_the_commit_is_too_late)
{
        struct save s = begun(SAVE_INTERVAL, 1);

        seal(&s, 0, 100);
        ck_assert_int_eq(save_rank_gone(&s, 0), SAVING_NOTHING);
        ck_assert_int_eq(save_broken(&s, "the agent died", 1), SAVING_NOTHING);
        ck_assert_int_eq(save_committed(&s, 0, ""), SAVING_LAND);
        save_fini(&s);
}
END_TEST

START_TEST(a_save_that_breaks_while_clearing_fails_when_that_is_done)
{
        struct save s = begun(SAVE_LIMIT, 1);

        break_off(&s, 0);
        ck_assert_int_eq(save_rank_gone(&s, 0), SAVING_NOTHING);
        ck_assert_int_eq(s.state, SAVING_DOOMED);
        ck_assert_int_eq(save_cleared(&s), SAVING_FAIL);
        save_fini(&s);
}
END_TEST

START_TEST(ranks_at_different_steps_make_no_checkpoint)
{
        struct save s = begun(SAVE_INTERVAL, 2);

        seal(&s, 0, 100);
        ck_assert_int_eq(seal(&s, 1, 101), SAVING_FAIL);
        save_fini(&s);
}
END_TEST

START_TEST(one_save_at_a_time_and_a_final_one_waits)
{
        struct save s = begun(SAVE_INTERVAL, 1);
        int64_t step;

        ck_assert_int_eq(save_wish(&s, SAVE_INTERVAL, -1, 2), SAVING_DROPPED);
        ck_assert_int_eq(save_wish(&s, SAVE_USER, -1, 2), SAVING_WAITS);
        ck_assert_int_eq(save_wish(&s, SAVE_LIMIT, -1, 2), SAVING_WAITS);
        ck_assert_int_eq(save_wish(&s, SAVE_USER, -1, 2), SAVING_JOINS);
        ck_assert_int_eq(save_take_pending(&s, &step), SAVE_NONE);
        break_off(&s, 0);
        ck_assert_int_eq(save_take_pending(&s, &step), SAVE_LIMIT);
        ck_assert_int_eq(save_take_pending(&s, &step), SAVE_NONE);
        save_fini(&s);
}
END_TEST

START_TEST(everybody_joins_a_final_save)
{
        struct save s = begun(SAVE_PREEMPTED, 1);

        ck_assert_int_eq(save_wish(&s, SAVE_LIMIT, -1, 2), SAVING_JOINS);
        ck_assert_int_eq(save_wish(&s, SAVE_PROGRAM, 9, 2), SAVING_JOINS);
        save_fini(&s);
}
END_TEST

START_TEST(all_ranks_wish_once_and_a_later_step_is_another_wish)
{
        struct save s = { 0 };
        enum saving_act act;
        int64_t step;

        ck_assert_int_eq(save_wish(&s, SAVE_BEST, 10, 1), SAVING_BEGINS);
        ck_assert_int_eq(save_begin(&s, SAVE_BEST, 10, 2, 1, &act, NULL), 0);
        ck_assert_int_eq(save_wish(&s, SAVE_BEST, 10, 2), SAVING_JOINS);
        ck_assert_int_eq(save_wish(&s, SAVE_BEST, 11, 3), SAVING_WAITS); /* its snapshot of step 10 may be taken already */
        ck_assert_int_eq(save_wish(&s, SAVE_BEST, 12, 3), SAVING_JOINS); /* of what waits */
        break_off(&s, 0);
        ck_assert_int_eq(save_take_pending(&s, &step), SAVE_BEST);
        ck_assert_int_eq(step, 12);
        save_fini(&s);
}
END_TEST

START_TEST(an_interval_right_after_a_save_is_dropped)
{
        struct save s = { .finished_ns = 10, .too_soon_ns = SAVING_TOO_SOON };

        ck_assert_int_eq(save_wish(&s, SAVE_INTERVAL, -1, 10 + SAVING_TOO_SOON / 2), SAVING_DROPPED);
        ck_assert_int_eq(save_wish(&s, SAVE_LIMIT, -1, 10 + SAVING_TOO_SOON / 2), SAVING_BEGINS);
        ck_assert_int_eq(save_wish(&s, SAVE_INTERVAL, -1, 10 + SAVING_TOO_SOON), SAVING_BEGINS);
}
END_TEST

/* Whatever happens in whatever order, nothing but a commit that held lands. */
START_TEST(only_a_commit_lands)
{
        int state, event, retry;

        for (state = 0; state < SAVING_STATES; state++)
                for (event = 0; event < SAVING_EVENTS; event++)
                        for (retry = 0; retry < 2; retry++) {
                                enum saving_state now = (enum saving_state)state;
                                enum saving_act act = save_next(&now, (enum saving_event)event, retry);

                                ck_assert(act != SAVING_LAND || (state == SAVING_COMMITTING && event == SAVING_COMMITTED));
                                ck_assert(act != SAVING_COMMIT || event == SAVING_ALL_SEALED);
                                ck_assert((act != SAVING_LAND && act != SAVING_FAIL) || now == SAVING_IDLE);
                        }
}
END_TEST

/* Ranks of other nodes hold their part: it is the same save, as often as agents die. */
START_TEST(an_agent_that_dies_in_a_final_save_costs_no_attempt)
{
        struct save s = begun(SAVE_PREEMPTED, 2);
        const uint32_t id = s.id;
        unsigned round;

        for (round = 0; round < 3; round++) {
                ck_assert_int_eq(seal(&s, 0, 100), SAVING_NOTHING);
                ck_assert_int_eq(save_agent_lost(&s, "an agent died"), SAVING_CLEAR);
                ck_assert_int_eq(save_agent_lost(&s, "another died too"), SAVING_NOTHING);
                ck_assert_int_eq(save_cleared(&s), SAVING_ASK);
                ck_assert_uint_eq(s.attempt, round + 2);
                s.unasked_ns = 7; /* nobody is asked before the ranks are back: one more loss changes nothing */
                ck_assert_int_eq(save_agent_lost(&s, "another died too"), SAVING_NOTHING);
                s.unasked_ns = 0;
        }
        ck_assert_uint_eq(s.id, id);
        ck_assert_int_eq(seal(&s, 0, 100), SAVING_NOTHING);
        ck_assert_int_eq(seal(&s, 1, 100), SAVING_COMMIT);
        ck_assert_int_eq(save_agent_lost(&s, "too late to harm"), SAVING_NOTHING);
        ck_assert_int_eq(save_committed(&s, 0, ""), SAVING_LAND);
        save_fini(&s);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "run_save");

        tcase_add_test(all, lands_when_all_ranks_sealed_and_the_commit_held);
        tcase_add_test(all, an_interval_save_fails_at_the_first_error);
        tcase_add_test(all, what_a_failed_save_left_goes_before_the_next);
        tcase_add_test(all, a_final_save_is_tried_twice_and_no_more);
        tcase_add_test(all, a_rank_that_goes_without_a_seal_ends_the_save);
        tcase_add_test(all, what_breaks_during_the_commit_is_too_late);
        tcase_add_test(all, a_save_that_breaks_while_clearing_fails_when_that_is_done);
        tcase_add_test(all, ranks_at_different_steps_make_no_checkpoint);
        tcase_add_test(all, one_save_at_a_time_and_a_final_one_waits);
        tcase_add_test(all, everybody_joins_a_final_save);
        tcase_add_test(all, all_ranks_wish_once_and_a_later_step_is_another_wish);
        tcase_add_test(all, an_interval_right_after_a_save_is_dropped);
        tcase_add_test(all, only_a_commit_lands);
        tcase_add_test(all, an_agent_that_dies_in_a_final_save_costs_no_attempt);
}

SUITE_MAIN("run_save", add_tests)
