/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_fed: a state that is streamed: every byte comes to its place as it passes, and what turns out not to hold, or
 * comes to no end, is not trained with.  The agent is played by threads.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "fake_agent.h"
#include "fault.h"
#include "safepoint.h"
#include "suite.h"

#define TENSORS 6

static struct fake_agent agent;

/* Across blocks, tiny and at odd places behind one another, and nothing at all. */
static const uint64_t sizes[TENSORS] = { 3, (5 << 20) + 3, 0, 1, 9 << 20, 100 };
static const char *const names[TENSORS] = { "first", "model/a", "model/none", "model/tiny", "model/b", "last" };
static unsigned char *state[TENSORS];

static unsigned char byte_of(int tensor, uint64_t at, int step)
{
        return (unsigned char)(at * 131 + at / 4099 + (uint64_t)(tensor * 7 + step));
}

static void train_to(int step)
{
        uint64_t at;
        int i;

        for (i = 0; i < TENSORS; i++)
                for (at = 0; at < sizes[i]; at++)
                        state[i][at] = byte_of(i, at, step);
}

static void wipe(void)
{
        int i;

        for (i = 0; i < TENSORS; i++)
                memset(state[i], 0, sizes[i] + 1);
}

static int holds(int tensor, int step)
{
        uint64_t at;

        for (at = 0; at < sizes[tensor]; at++)
                if (state[tensor][at] != byte_of(tensor, at, step))
                        return 0;
        return state[tensor][sizes[tensor]] == 0; /* and nothing behind it was touched */
}

static int all_hold(int step)
{
        int i;

        for (i = 0; i < TENSORS; i++)
                if (!holds(i, step))
                        return 0;
        return 1;
}

static int is_wiped(void)
{
        uint64_t at;
        int i;

        for (i = 0; i < TENSORS; i++)
                for (at = 0; at < sizes[i]; at++)
                        if (state[i][at])
                                return 0;
        return 1;
}

static int attach(struct stint *s, int i)
{
        return stint_attach(s, names[i], STINT_ARRAY(state[i], STINT_U8, (int64_t)sizes[i]));
}

static struct stint *open_with(int first, int behind)
{
        struct stint_options options = STINT_OPTIONS;
        struct stint *s;

        options.log = NULL;
        s = stint_open(&options, NULL);
        ck_assert_ptr_nonnull(s);
        for (; first < behind; first++)
                ck_assert_int_eq(attach(s, first), 0);
        return s;
}

/* A run that ended at step 7 with everything saved, whose memory is wiped. */
static void setup(void)
{
        struct stint *s;
        int i;

        fake_start(&agent, 1);
        fault_reset();
        agent.ring_bytes = 2 * WINDOW_BLOCK;
        for (i = 0; i < TENSORS; i++)
                state[i] = calloc(sizes[i] + 1, 1);
        s = open_with(0, TENSORS);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_FRESH);
        train_to(7);
        fake_want(&agent, 1);
        ck_assert_int_eq(stint_step(s, 7), STINT_STOP);
        stint_close(s);
        fake_await(&agent, &agent.byes, 1);
        agent.byes = agent.restores = 0;
        wipe();
}

static void teardown(void)
{
        int i;

        fake_stop(&agent);
        for (i = 0; i < TENSORS; i++)
                free(state[i]);
}

static void arm(const char *fault)
{
        fake_set("STINT_FAULT", fault);
        fault_reset();
}

static const uint64_t rings[] = { WINDOW_BLOCK, 2 * WINDOW_BLOCK, 8 * WINDOW_BLOCK };

START_TEST(every_byte_comes_to_its_place)
{
        struct stint *s = open_with(0, TENSORS);
        int64_t at = -5;

        agent.ring_bytes = rings[_i];
        agent.streams = "+";
        ck_assert_int_eq(stint_restore(s, &at), STINT_RESTORED);
        ck_assert_int_eq(at, 7);
        ck_assert(all_hold(7));
        ck_assert_ptr_null(s->restored.image);
        fake_await(&agent, &agent.restores_done, 1);
        ck_assert_int_eq(agent.restore_code, 0);
        ck_assert_int_eq(agent.streamed, 1);
        stint_close(s);
}
END_TEST

START_TEST(what_nobody_attached_is_carried_along_in_memory_of_the_librarys_own)
{
        struct stint *s = open_with(0, 2);

        agent.streams = "+";
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert(holds(0, 7) && holds(1, 7) && !holds(4, 7));
        ck_assert_ptr_nonnull(s->restored.image);
        fake_want(&agent, 1);
        ck_assert_int_eq(stint_step(s, 8), STINT_STOP); /* with what is carried along */
        stint_close(s);

        wipe();
        s = open_with(4, 5);
        agent.streams = "+";
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert(holds(4, 7));
        ck_assert_int_eq(attach(s, 1), STINT_RESTORED);
        ck_assert_int_eq(attach(s, 2), STINT_RESTORED);
        ck_assert_int_eq(attach(s, 3), STINT_RESTORED);
        ck_assert_int_eq(attach(s, 5), STINT_RESTORED);
        ck_assert_ptr_nonnull(s->restored.image);
        ck_assert_int_eq(attach(s, 0), STINT_RESTORED);
        ck_assert_ptr_null(s->restored.image);
        ck_assert(all_hold(7));
        stint_close(s);
}
END_TEST

START_TEST(what_does_not_fit_goes_by_without_a_byte_being_copied)
{
        static double other[10];
        struct stint *s = open_with(0, 2);

        agent.streams = "+";
        ck_assert_int_eq(stint_attach(s, "model/b", STINT_ARRAY(other, STINT_F64, 10)), 0);
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert_int_eq(s->why.code, EPROTO);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "model/b"));
        ck_assert_ptr_null(strstr(stint_why(s), "in part"));
        ck_assert(is_wiped());
        fake_await(&agent, &agent.restores_done, 1);
        ck_assert_int_eq(agent.restore_code, EPROTO);
        ck_assert_int_eq(agent.streamed, 1); /* other ranks wait until it has been read */
        ck_assert_uint_eq(s->layout.count, 3);
        stint_close(s);
}
END_TEST

START_TEST(a_program_that_does_not_restore_lets_it_go_by)
{
        struct stint *s = open_with(0, TENSORS);

        agent.streams = "+";
        ck_assert_int_eq(stint_step(s, 1), STINT_CONTINUE);
        ck_assert(is_wiped());
        ck_assert_int_eq(agent.streamed, 1);
        ck_assert_int_eq(stint_save(s, 2), -1);
        stint_close(s);
}
END_TEST

START_TEST(one_that_is_given_up_is_followed_by_another)
{
        struct stint *s = open_with(0, 2);

        agent.streams = "--+";
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert(holds(0, 7) && holds(1, 7));
        ck_assert_uint_eq(s->layout.count, TENSORS);
        ck_assert_int_eq(attach(s, 4), STINT_RESTORED);
        ck_assert(holds(4, 7));
        stint_close(s);
}
END_TEST

static struct stint *open_that_may_miss(void)
{
        struct stint_options options = STINT_OPTIONS;
        struct stint *s;
        int i;

        options.log = NULL;
        options.allow_missing = 1;
        s = stint_open(&options, NULL);
        ck_assert_ptr_nonnull(s);
        for (i = 0; i < TENSORS; i++)
                ck_assert_int_eq(attach(s, i), 0);
        return s;
}

/* Its bytes would be those of a checkpoint that does not hold, in a program that believes them to be its own. */
START_TEST(what_only_the_damaged_one_had_is_not_left_in_its_place)
{
        struct stint *s = open_that_may_miss();

        agent.streams = "-+";
        agent.later_lack = "model/a";
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "has no tensor 'model/a', into which a newer one was being copied"));
        stint_close(s);
}
END_TEST

START_TEST(what_the_damaged_one_did_not_come_to_keeps_its_value)
{
        struct stint *s = open_that_may_miss();

        agent.streams = "-+";
        agent.later_lack = "last";
        memset(state[5], 9, sizes[5]);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert(holds(1, 7) && holds(4, 7));
        ck_assert_int_eq(state[5][0], 9);
        ck_assert_int_eq(state[5][99], 9);
        stint_close(s);
}
END_TEST

START_TEST(a_whole_image_may_follow)
{
        struct stint *s = open_with(0, TENSORS);

        agent.streams = "-";
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert(all_hold(7));
        ck_assert_int_eq(agent.streamed, 0);
        stint_close(s);
}
END_TEST

START_TEST(when_none_holds_the_program_hears_that_its_state_is_there_in_part)
{
        struct stint *s = open_with(0, TENSORS);

        agent.streams = "-";
        agent.restore_fails = 1;
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "in part only, do not train with it"));
        ck_assert_ptr_nonnull(strstr(stint_why(s), "the disk does not answer"));
        ck_assert(!is_wiped());
        fake_want(&agent, 0);
        ck_assert_int_eq(stint_step(s, 1), STINT_CONTINUE);
        fake_await(&agent, &agent.declined, 1);
        stint_close(s);
}
END_TEST

START_TEST(when_the_agent_dies_in_its_midst_it_is_asked_for_again)
{
        struct stint *s = open_with(0, TENSORS);

        agent.streams = "!+";
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert(all_hold(7));
        ck_assert_int_eq(agent.restores, 2);
        ck_assert_int_eq(agent.streamed, 1);
        stint_close(s);
}
END_TEST

static const struct {
        const char *fault;
        int touched;
} faults[] = { { "restore.before_copy:fail=EIO", 0 },
               { "restore.mid_copy:fail=EIO", 1 },
               { "restore.after_copy:fail=EIO", 1 } };

START_TEST(a_copy_that_fails_is_told_to_both_sides)
{
        struct stint *s = open_with(0, TENSORS);

        arm(faults[_i].fault);
        agent.streams = "+";
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert_int_eq(s->why.code, EIO);
        ck_assert_int_eq(strstr(stint_why(s), "in part") != NULL, faults[_i].touched);
        ck_assert_int_eq(is_wiped(), !faults[_i].touched);
        fake_await(&agent, &agent.restores_done, 1);
        ck_assert_int_eq(agent.restore_code, EIO);
        ck_assert_int_eq(agent.streamed, 1);
        arm("");
        stint_close(s);
}
END_TEST

/* Of the size of "model/b", on a device. */
static struct stint *open_with_device(const char *device, struct stint_tensor *t)
{
        struct stint *s;

        fake_set("STINT_DEVICE", device);
        device_sim_reset();
        s = open_with(0, 4);
        *t = (struct stint_tensor){ .dtype = STINT_U8, .ndim = 1, .shape = { (int64_t)sizes[4] } };
        t->data = stint_sim_alloc(0, sizes[4]);
        ck_assert_ptr_nonnull(t->data);
        ck_assert_int_eq(stint_attach(s, names[4], t), 0);
        ck_assert_int_eq(attach(s, 5), 0);
        return s;
}

START_TEST(memory_of_a_device_is_filled_piece_by_piece)
{
        struct stint_tensor t;
        struct stint *s = open_with_device("sim:memory=16M", &t);

        agent.streams = "+";
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert_int_eq(stint_sim_read(state[4], t.data, sizes[4]), 0);
        ck_assert(all_hold(7));
        stint_close(s);
        fake_set("STINT_DEVICE", "");
        device_sim_reset();
}
END_TEST

START_TEST(a_device_that_fails_in_its_midst_is_told)
{
        struct stint_tensor t;
        struct stint *s = open_with_device("sim:memory=16M,fail_copy=2", &t);

        agent.streams = "+";
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "tensor 'model/b'"));
        ck_assert_ptr_nonnull(strstr(stint_why(s), "in part"));
        fake_await(&agent, &agent.restores_done, 1);
        ck_assert_int_eq(agent.restore_code, EIO);
        ck_assert_int_eq(agent.streamed, 1);
        stint_close(s);
        fake_set("STINT_DEVICE", "");
        device_sim_reset();
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "fed");

        tcase_add_checked_fixture(all, setup, teardown);
        tcase_add_loop_test(all, every_byte_comes_to_its_place, 0, (int)(sizeof rings / sizeof rings[0]));
        tcase_add_test(all, what_nobody_attached_is_carried_along_in_memory_of_the_librarys_own);
        tcase_add_test(all, what_does_not_fit_goes_by_without_a_byte_being_copied);
        tcase_add_test(all, a_program_that_does_not_restore_lets_it_go_by);
        tcase_add_test(all, one_that_is_given_up_is_followed_by_another);
        tcase_add_test(all, what_only_the_damaged_one_had_is_not_left_in_its_place);
        tcase_add_test(all, what_the_damaged_one_did_not_come_to_keeps_its_value);
        tcase_add_test(all, a_whole_image_may_follow);
        tcase_add_test(all, when_none_holds_the_program_hears_that_its_state_is_there_in_part);
        tcase_add_test(all, when_the_agent_dies_in_its_midst_it_is_asked_for_again);
        tcase_add_loop_test(all, a_copy_that_fails_is_told_to_both_sides, 0, (int)(sizeof faults / sizeof faults[0]));
        tcase_add_test(all, memory_of_a_device_is_filled_piece_by_piece);
        tcase_add_test(all, a_device_that_fails_in_its_midst_is_told);
}

SUITE_MAIN("fed", add_tests)
