/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_where: what stint_place() answers a program that has allocated nothing yet, and what is refused when it attaches
 * something else.
 */
#include "example_generation.h"
#include "sim_stint.h"

/* A checkpoint with a model of n floats and its moments on sim:1, a step counter, a generator and data on the host. */
static void save_on_disk(int64_t n)
{
        struct example_table t = example_new(8, GENERATION_NAME);
        const struct example_generation g = { .step = 12 };
        char path[GENERATION_PATH];

        generation_tensor(&t, "model/w", STINT_ROLE_MODEL, n, STINT_DEVICE_SIM, 1);
        generation_tensor(&t, "optimizer/m", STINT_ROLE_OPTIMIZER, n, STINT_DEVICE_SIM, 1);
        generation_tensor(&t, "optimizer/step", STINT_ROLE_OPTIMIZER, -1, STINT_DEVICE_HOST, -1);
        generation_tensor(&t, "rng", STINT_ROLE_RNG, 16, STINT_DEVICE_HOST, -1);
        generation_tensor(&t, "data/order", STINT_ROLE_DATA, 64, STINT_DEVICE_HOST, -1);
        generation_make(path, run, &g, &t);
        free(t.bytes);
}

/* ---- the answer ----------------------------------------------------------------------------------------------- */

START_TEST(the_checkpoint_tells_role_and_size_where_the_program_does_not)
{
        struct stint *s = open_with(NULL, NULL, 0);

        save_on_disk(N);
        ck_assert_str_eq(place_of(s, "model/w", NULL, NULL), "sim:0");
        ck_assert_str_eq(place_of(s, "optimizer/m", NULL, NULL), "sim:0");
        ck_assert_str_eq(place_of(s, "optimizer/step", NULL, NULL), "host memory");
        ck_assert_str_eq(place_of(s, "rng", NULL, NULL), "host memory");
        ck_assert_str_eq(place_of(s, "data/order", NULL, NULL), "host memory");
        ck_assert_ptr_nonnull(strstr(place_of(s, "model/v", NULL, NULL), "no checkpoint has a tensor 'model/v'"));
        ck_assert_int_eq(s->why.code, ENOENT);
        stint_close(s);
}
END_TEST

START_TEST(h43_names_stand_for_their_rows)
{
        static const char *const rows[][2] = {
                { "model/layer0/weight", "sim:1" },
                { "loss/weights", "sim:1" },
                { "optimizer/m", "sim:1" },
                { "evaluator/loss/w", "host memory" },
                { "data/arrays", "host memory" },
                { "metrics/best", "host memory" },
                { "rng/torch", "host memory" },
                { "metric_tracker", "host memory" },
        };
        struct stint *s = open_with("sim:1", NULL, 0);
        const struct stint_tensor t = vector(NULL, N);
        size_t i;

        for (i = 0; i < sizeof rows / sizeof *rows; i++)
                ck_assert_str_eq(place_of(s, rows[i][0], &t, NULL), rows[i][1]);
        stint_close(s);
}
END_TEST

START_TEST(h44_a_moment_goes_where_its_parameter_was_attached)
{
        struct stint *s = open_with(NULL, NULL, 0);
        const struct stint_tensor moment = vector(NULL, N), counter = { .dtype = STINT_F32 };
        struct stint_tensor w = vector(stint_sim_alloc(1, sizeof host), N), bias = vector(host, N);

        ck_assert_ptr_nonnull(strstr(place_of(s, "optimizer/w/m", &moment, "model/w"), "attach that first"));
        ck_assert_int_eq(s->why.code, ENOENT);
        ck_assert_int_eq(stint_attach(s, "model/w", &w), 0);
        ck_assert_int_eq(stint_attach(s, "model/bias", &bias), 0);
        ck_assert_str_eq(place_of(s, "optimizer/w/m", &moment, "model/w"), "sim:1");
        ck_assert_str_eq(place_of(s, "optimizer/bias/m", &moment, "model/bias"), "host memory");
        ck_assert_str_eq(place_of(s, "optimizer/w/step", &counter, NULL), "host memory");
        ck_assert_str_eq(place_of(s, "optimizer/w/step", &counter, "model/w"), "host memory");
        stint_close(s);
}
END_TEST

START_TEST(what_cannot_be_a_question_is_none)
{
        struct stint *s = open_with(NULL, NULL, 0);
        struct stint_tensor t = vector(NULL, N);
        struct stint_place place = { STINT_DEVICE_AUTO, -7 };

        ck_assert_int_eq(stint_place(s, NULL, &t, NULL, &place), -1);
        ck_assert_int_eq(stint_place(s, "model/w", &t, NULL, NULL), -1);
        ck_assert_int_eq(stint_place(s, "a//b", &t, NULL, &place), -1);
        t.dtype = 99;
        ck_assert_int_eq(stint_place(s, "model/w", &t, NULL, &place), -1);
        t = vector(NULL, -4);
        ck_assert_int_eq(stint_place(s, "model/w", &t, NULL, &place), -1);
        t = vector(NULL, N);
        t.ndim = STINT_MAX_DIMS + 1;
        ck_assert_int_eq(stint_place(s, "model/w", &t, NULL, &place), -1);
        t.ndim = 1;
        t.role = 77;
        ck_assert_int_eq(stint_place(s, "model/w", &t, NULL, &place), -1);
        ck_assert_int_eq(s->why.code, EINVAL);
        ck_assert_int_eq(place.index, -7);
        stint_close(s);
}
END_TEST

START_TEST(no_stint_answers_from_the_table_alone)
{
        const struct stint_tensor t = vector(NULL, N);
        struct stint_place place;

        ck_assert_int_eq(stint_place(NULL, "model/w", &t, NULL, &place), 0);
        ck_assert_int_eq(place.device, STINT_DEVICE_SIM);
        ck_assert_int_eq(place.index, 0);
        ck_assert_int_eq(stint_place(NULL, "rng", &t, NULL, &place), 0);
        ck_assert_int_eq(place.device, STINT_DEVICE_HOST);
        ck_assert_int_eq(place.index, -1);
        ck_assert_int_eq(stint_place(NULL, "model/w", NULL, NULL, &place), -1);
}
END_TEST

START_TEST(a_checkpoint_that_cannot_be_read_is_no_reason_to_answer_nothing)
{
        struct stint *s = open_with(NULL, NULL, 0);
        const struct stint_tensor t = vector(NULL, N);
        char path[GENERATION_PATH];

        save_on_disk(N);
        snprintf(path, sizeof path, "%s/checkpoints/step-000000000012", run);
        part_write(path, "rank-00000-of-00001.h5", "", 0);
        ck_assert_str_eq(place_of(s, "model/w", &t, NULL), "sim:0");
        ck_assert_int_eq(said("told without the newest checkpoint"), 1);
        ck_assert_str_eq(place_of(s, "model/w", &t, NULL), "sim:0");
        ck_assert_int_eq(said("told without the newest checkpoint"), 1);
        stint_close(s);
}
END_TEST

START_TEST(h34_saved_is_told_by_the_checkpoint)
{
        struct stint *s = open_with(NULL, "saved", 0);

        save_on_disk(N);
        ck_assert_str_eq(place_of(s, "model/w", NULL, NULL), "sim:1");
        stint_close(s);
        devices_are("sim:devices=1");
        s = open_with(NULL, "saved", 0);
        ck_assert_ptr_nonnull(strstr(place_of(s, "model/w", NULL, NULL), "there is no sim:1"));
        stint_close(s);
}
END_TEST

START_TEST(h37_a_node_without_a_device_is_refused_before_anything_is_allocated)
{
        const struct stint_tensor t = vector(NULL, N);
        struct stint *s;

        save_on_disk(N);
        devices_are("");
        s = open_with(NULL, NULL, 0);
        ck_assert_ptr_nonnull(strstr(place_of(s, "model/w", &t, NULL), "it was on sim:1"));
        ck_assert_int_eq(s->why.code, ENODEV);
        stint_close(s);
        s = open_with(NULL, NULL, 1);
        ck_assert_str_eq(place_of(s, "model/w", &t, NULL), "host memory");
        stint_close(s);
        s = open_with("cpu", NULL, 0);
        ck_assert_str_eq(place_of(s, "model/w", &t, NULL), "host memory");
        stint_close(s);
}
END_TEST

START_TEST(h40_a_training_that_begins_without_a_device_says_so_once)
{
        const struct stint_tensor t = vector(NULL, N);
        struct stint *s = open_with(NULL, NULL, 0);

        ck_assert_str_eq(place_of(s, "model/w", &t, NULL), "sim:0");
        ck_assert_int_eq(said("goes to host memory"), 0);
        stint_close(s);
        devices_are("");
        s = open_with("cpu", NULL, 0);
        ck_assert_str_eq(place_of(s, "model/w", &t, NULL), "host memory");
        ck_assert_int_eq(said("goes to host memory"), 0);
        stint_close(s);
        s = open_with("auto", NULL, 0);
        ck_assert_str_eq(place_of(s, "data/order", &t, NULL), "host memory");
        ck_assert_int_eq(said("goes to host memory"), 0);
        ck_assert_str_eq(place_of(s, "model/w", &t, NULL), "host memory");
        ck_assert_str_eq(place_of(s, "model/v", &t, NULL), "host memory");
        ck_assert_int_eq(said("the model goes to host memory, as there is no device: "), 1);
        stint_close(s);
}
END_TEST

/* ---- memory --------------------------------------------------------------------------------------------------- */

START_TEST(a_checkpoint_that_is_too_large_for_the_device_is_refused_with_the_numbers)
{
        struct stint *s = open_with(NULL, NULL, 0);
        const struct stint_tensor other = vector(NULL, 16);
        const char *why;

        save_on_disk(10000); /* 39.1 KiB, and the same again */
        why = place_of(s, "model/w", NULL, NULL);
        ck_assert_int_eq(s->why.code, ENOMEM);
        ck_assert_msg(strstr(why, "step-000000000012") && strstr(why, "78.1 KiB on sim:0") &&
                      strstr(why, "model 39.1 KiB, optimizer 39.1 KiB") && strstr(why, "64.0 KiB"), "%s", why);
        /* It stays refused, however small the tensor is that is asked for next. */
        ck_assert_ptr_nonnull(strstr(place_of(s, "model/tiny", &other, NULL), "78.1 KiB"));
        stint_close(s);
        s = open_with(NULL, "model=sim:0,optimizer=sim:1", 0);
        ck_assert_str_eq(place_of(s, "model/w", NULL, NULL), "sim:0");
        ck_assert_str_eq(place_of(s, "optimizer/m", NULL, NULL), "sim:1");
        stint_close(s);
}
END_TEST

START_TEST(a_tensor_that_is_larger_than_what_is_free_is_refused_with_the_numbers)
{
        struct stint *s = open_with(NULL, NULL, 0);
        const struct stint_tensor t = vector(NULL, 5000); /* 19.5 KiB */
        void *before = stint_sim_alloc(0, 48 << 10);
        const char *why = place_of(s, "model/w", &t, NULL);

        ck_assert_msg(strstr(why, "'model/w' has 19.5 KiB, and is to be on sim:0, of whose 64.0 KiB are 16.0 KiB free"),
                      "%s", why);
        ck_assert_int_eq(s->why.code, ENOMEM);
        stint_sim_free(before);
        ck_assert_str_eq(place_of(s, "model/w", &t, NULL), "sim:0");
        stint_close(s);
}
END_TEST

START_TEST(what_is_attached_already_is_not_counted_again)
{
        struct stint *s = open_with(NULL, NULL, 0);
        struct stint_tensor t = vector(stint_sim_alloc(0, 32000), 8000);

        save_on_disk(8000); /* 31.3 KiB each: both fit when nothing is there yet, and the second beside the first */
        ck_assert_int_eq(stint_attach(s, "model/w", &t), 0);
        ck_assert_str_eq(place_of(s, "optimizer/m", NULL, "model/w"), "sim:0");
        stint_close(s);
}
END_TEST

START_TEST(a_tensor_that_the_host_has_no_room_for_is_refused_with_the_numbers)
{
        struct stint *s = open_with("cpu", NULL, 0);
        const struct stint_tensor t = vector(NULL, INT64_C(1) << 56);

        ck_assert_ptr_nonnull(strstr(place_of(s, "model/w", &t, NULL), "of host memory are needed"));
        ck_assert_int_eq(s->why.code, ENOMEM);
        stint_close(s);
}
END_TEST

/* ---- what is refused ------------------------------------------------------------------------------------------ */

START_TEST(h39_both_words_open_nothing)
{
        struct stint_options options = STINT_OPTIONS;
        struct stint_error err;

        options.model_device = "cpu";
        options.map_location = "cpu";
        ck_assert_ptr_null(stint_open(&options, &err));
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_ptr_nonnull(strstr(err.text, "map_location"));
}
END_TEST

START_TEST(h48_a_generator_of_the_cpu_in_device_memory_is_refused_when_it_is_attached)
{
        struct stint *s = open_with(NULL, NULL, 0);
        struct stint_tensor t = vector(stint_sim_alloc(0, sizeof host), N);

        ck_assert_int_eq(stint_attach(s, "rng", &t), -1);
        ck_assert_int_eq(s->why.code, EINVAL);
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "STINT_ROLE_RNG_DEVICE"));
        stint_close(s);
        s = open_with(NULL, NULL, 0);
        t.role = STINT_ROLE_RNG_DEVICE;
        ck_assert_int_eq(stint_attach(s, "rng", &t), 0);
        stint_close(s);
}
END_TEST

START_TEST(h38_a_model_that_lies_elsewhere_than_was_said_is_refused_when_it_is_attached)
{
        struct stint *s = open_with("sim:1", NULL, 0);
        struct stint_tensor t = vector(stint_sim_alloc(0, sizeof host), N);

        ck_assert_int_eq(stint_attach(s, "model/w", &t), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "model_device says sim:1"));
        t.data = stint_sim_alloc(1, sizeof host);
        ck_assert_int_eq(stint_attach(s, "model/w", &t), 0);
        t.data = host;
        ck_assert_int_eq(stint_attach(s, "optimizer/m", &t), -1);
        ck_assert_int_eq(stint_attach(s, "data/order", &t), 0);
        t.shape[0] = 0;
        t.data = NULL;
        ck_assert_int_eq(stint_attach(s, "model/none", &t), 0);
        stint_close(s);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "where");

        tcase_add_checked_fixture(all, setup_devices, teardown_devices);
        tcase_add_test(all, the_checkpoint_tells_role_and_size_where_the_program_does_not);
        tcase_add_test(all, h43_names_stand_for_their_rows);
        tcase_add_test(all, h44_a_moment_goes_where_its_parameter_was_attached);
        tcase_add_test(all, what_cannot_be_a_question_is_none);
        tcase_add_test(all, no_stint_answers_from_the_table_alone);
        tcase_add_test(all, a_checkpoint_that_cannot_be_read_is_no_reason_to_answer_nothing);
        tcase_add_test(all, h34_saved_is_told_by_the_checkpoint);
        tcase_add_test(all, h37_a_node_without_a_device_is_refused_before_anything_is_allocated);
        tcase_add_test(all, h40_a_training_that_begins_without_a_device_says_so_once);
        tcase_add_test(all, a_checkpoint_that_is_too_large_for_the_device_is_refused_with_the_numbers);
        tcase_add_test(all, a_tensor_that_is_larger_than_what_is_free_is_refused_with_the_numbers);
        tcase_add_test(all, what_is_attached_already_is_not_counted_again);
        tcase_add_test(all, a_tensor_that_the_host_has_no_room_for_is_refused_with_the_numbers);
        tcase_add_test(all, h39_both_words_open_nothing);
        tcase_add_test(all, h48_a_generator_of_the_cpu_in_device_memory_is_refused_when_it_is_attached);
        tcase_add_test(all, h38_a_model_that_lies_elsewhere_than_was_said_is_refused_when_it_is_attached);
}

SUITE_MAIN("where", add_tests)
