/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_moved: the way of a state from one stint to the next, whose devices are others: where it comes back to, where it
 * is refused, and what does not move.
 */
#include "sim_stint.h"

static float *fill(float *to, float first)
{
        int i;

        for (i = 0; i < N; i++)
                to[i] = first + (float)i;
        return to;
}

static float rng[N];

/* A state on sim:1 beside a generator on the host, attached; the model's memory is answered. */
static void *attach_on(struct stint *s, int device)
{
        void *memory = device < 0 ? back : stint_sim_alloc(device, sizeof host);
        struct stint_tensor w = vector(memory, N), r = vector(rng, N);

        ck_assert_ptr_nonnull(memory);
        ck_assert_int_eq(stint_attach(s, "model/w", &w), 0);
        ck_assert_int_eq(stint_attach(s, "rng", &r), 0);
        return memory;
}

static void save_from_sim1(void)
{
        struct stint *s = open_with(NULL, NULL, 0);
        void *w = attach_on(s, 1);

        ck_assert_int_eq(stint_sim_write(w, fill(host, 5), sizeof host), 0);
        fill(rng, 900);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_FRESH);
        fake_want(&agent, 1);
        ck_assert_int_eq(stint_step(s, 1), STINT_STOP);
        stint_close(s);
        memset(rng, 0, sizeof rng);
        memset(back, 0, sizeof back);
}

START_TEST(h42_state_of_one_device_comes_back_to_the_one_that_was_answered)
{
        struct stint_place place;
        const struct stint_tensor t = vector(NULL, N);
        struct stint *s;
        void *w;

        save_from_sim1();
        devices_are("sim:devices=1");
        s = open_with("auto", NULL, 0);
        ck_assert_int_eq(stint_place(s, "model/w", &t, NULL, &place), 0);
        ck_assert_int_eq(place.index, 0);
        w = attach_on(s, place.index);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert_int_eq(stint_sim_read(back, w, sizeof back), 0);
        ck_assert_mem_eq(back, host, sizeof host);
        stint_close(s);
}
END_TEST

START_TEST(h45_the_evaluators_loss_is_on_the_host_wherever_the_model_is)
{
        static float loss[N];
        const struct stint_tensor l = vector(loss, N);
        const char *const devices[] = { "sim:1", "sim:0" };
        struct stint *s;
        int i;

        for (i = 0; i < 2; i++) {
                s = open_with(devices[i], NULL, 0);
                ck_assert_str_eq(place_of(s, "model/w", &l, NULL), devices[i]);
                ck_assert_str_eq(place_of(s, "evaluator/loss/w", &l, NULL), "host memory");
                attach_on(s, 1 - i);
                ck_assert_int_eq(stint_attach(s, "evaluator/loss/w", &l), 0);
                ck_assert_int_eq(stint_restore(s, NULL), i == 0 ? STINT_FRESH : STINT_RESTORED);
                if (i == 1)
                        break;
                fill(loss, 70);
                fake_want(&agent, 1);
                ck_assert_int_eq(stint_step(s, 1), STINT_STOP);
                stint_close(s);
                memset(loss, 0, sizeof loss);
        }
        ck_assert(loss[N - 1] == 70 + N - 1);
        stint_close(s);
}
END_TEST

START_TEST(h49_a_full_restore_puts_the_generator_back)
{
        struct stint *s;

        save_from_sim1();
        s = open_with(NULL, NULL, 0);
        attach_on(s, 0);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert_mem_eq(rng, fill(back, 900), sizeof rng);
        stint_close(s);
}
END_TEST

/* stint_restore draws no numbers, so the order in it is nobody's affair; what the program draws after it is. */
START_TEST(rng_of_the_cpu_that_is_attached_last_is_restored_last)
{
        struct stint *s;
        struct stint_tensor w = vector(NULL, N), r = vector(rng, N);

        save_from_sim1();
        s = open_with(NULL, NULL, 0);
        w.data = stint_sim_alloc(0, sizeof host);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        fill(rng, -1); /* a tensor that comes late is filled at random before it is attached */
        ck_assert_int_eq(stint_attach(s, "model/w", &w), STINT_RESTORED);
        ck_assert_int_eq(stint_attach(s, "rng", &r), STINT_RESTORED);
        ck_assert(rng[3] == 903);
        stint_close(s);
}
END_TEST

START_TEST(h36_a_checkpoint_of_a_device_comes_back_to_the_host_when_that_was_said)
{
        static const struct {
                const char *model_device, *map_location;
                int allow_host;
        } said_so[] = { { "cpu", NULL, 0 }, { NULL, "cpu", 0 }, { NULL, "model=cpu", 0 }, { NULL, NULL, 1 } };
        size_t i;

        save_from_sim1();
        for (i = 0; i < sizeof said_so / sizeof *said_so; i++) {
                struct stint *s = open_with(said_so[i].model_device, said_so[i].map_location, said_so[i].allow_host);

                memset(back, 0, sizeof back);
                attach_on(s, -1);
                ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
                ck_assert_mem_eq(back, host, sizeof host);
                stint_close(s);
        }
}
END_TEST

START_TEST(h37_a_checkpoint_of_a_device_does_not_come_back_to_the_host_unnoticed)
{
        struct stint *s;
        struct stint_tensor w = vector(back, N);
        int streamed;

        save_from_sim1();
        for (streamed = 0; streamed < 2; streamed++) {
                agent.streams = streamed ? "+" : NULL;
                agent.ring_bytes = 4 * WINDOW_BLOCK;
                s = open_with(NULL, NULL, 0);
                attach_on(s, -1);
                ck_assert_int_eq(stint_restore(s, NULL), -1);
                ck_assert_int_eq(s->why.code, ENODEV);
                ck_assert_ptr_nonnull(strstr(stint_why(s), "tensor 'model/w' was on sim:1"));
                ck_assert(back[1] == 0);
                ck_assert(rng[1] == 0);
                ck_assert_int_eq(stint_save(s, 2), -1); /* nor is it buried under a state of the host */
                stint_close(s);
        }

        /* Nor by an attach that comes late. */
        agent.streams = NULL;
        s = open_with(NULL, NULL, 0);
        w.data = rng;
        ck_assert_int_eq(stint_attach(s, "rng", &w), 0);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert_int_eq(layout_find(&s->layout, "model/w")->device_index, 1); /* history stays */
        w.data = back;
        ck_assert_int_eq(stint_attach(s, "model/w", &w), -1);
        ck_assert_int_eq(s->why.code, ENODEV);
        ck_assert(back[1] == 0);
        w.data = stint_sim_alloc(0, sizeof back);
        ck_assert_int_eq(stint_attach(s, "model/w", &w), STINT_RESTORED);
        stint_close(s);
}
END_TEST

START_TEST(h34_saved_is_enforced_by_the_checkpoint_that_came)
{
        struct stint *s;

        save_from_sim1();
        s = open_with(NULL, "saved", 0);
        attach_on(s, 0);
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "was in sim:1"));
        stint_close(s);
        s = open_with(NULL, "saved", 0);
        attach_on(s, 1);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        stint_close(s);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "moved");

        tcase_add_checked_fixture(all, setup_devices, teardown_devices);
        tcase_add_test(all, h42_state_of_one_device_comes_back_to_the_one_that_was_answered);
        tcase_add_test(all, h45_the_evaluators_loss_is_on_the_host_wherever_the_model_is);
        tcase_add_test(all, h49_a_full_restore_puts_the_generator_back);
        tcase_add_test(all, rng_of_the_cpu_that_is_attached_last_is_restored_last);
        tcase_add_test(all, h36_a_checkpoint_of_a_device_comes_back_to_the_host_when_that_was_said);
        tcase_add_test(all, h37_a_checkpoint_of_a_device_does_not_come_back_to_the_host_unnoticed);
        tcase_add_test(all, h34_saved_is_enforced_by_the_checkpoint_that_came);
}

SUITE_MAIN("moved", add_tests)
