/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_where: what stint_place() answers a program that has allocated nothing yet, what is refused at stint_attach and
 * stint_restore, and the way of a state from one device to another in between.
 */
#include "durable.h"
#include "suite.h"
#include "example_generation.h"
#include "training.h"

#define N 256

static const char *run;
static float host[N], back[N];

static void devices_are(const char *setting)
{
        fake_set("STINT_DEVICE", setting);
        device_sim_reset();
}

static void setup_devices(void)
{
        setup();
        run = part_folder();
        devices_are("sim:devices=2,memory=64K");
}

static void teardown_devices(void)
{
        devices_are("");
        durable_remove_tree(run, NULL);
        teardown();
}

/* A handle with these words, in the run of this test. */
static struct stint *open_with(const char *model_device, const char *map_location, int allow_host)
{
        struct stint_options options = STINT_OPTIONS;
        struct stint *s;

        options.log = keep_log;
        options.model_device = model_device;
        options.map_location = map_location;
        options.allow_host = allow_host;
        s = stint_open(&options, NULL);
        ck_assert_ptr_nonnull(s);
        strcpy(s->session.dir, run);
        return s;
}

static struct stint_tensor vector(void *data, int64_t n)
{
        return (struct stint_tensor){ .data = data, .dtype = STINT_F32, .ndim = 1, .shape = { n } };
}

/* The place as text, or why there is none. */
static const char *place_of(struct stint *s, const char *name, const struct stint_tensor *t, const char *parameter)
{
        static char text[PLACE_TEXT];
        struct stint_place place;

        return stint_place(s, name, t, parameter, &place) < 0 ? stint_why(s) : place_format(text, &place);
}

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

/* ---- from one stint to the next ------------------------------------------------------------------------------- */

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
        tcase_add_test(all, a_checkpoint_that_is_too_large_for_the_device_is_refused_with_the_numbers);
        tcase_add_test(all, a_tensor_that_is_larger_than_what_is_free_is_refused_with_the_numbers);
        tcase_add_test(all, what_is_attached_already_is_not_counted_again);
        tcase_add_test(all, a_tensor_that_the_host_has_no_room_for_is_refused_with_the_numbers);
        tcase_add_test(all, h39_both_words_open_nothing);
        tcase_add_test(all, h48_a_generator_of_the_cpu_in_device_memory_is_refused_when_it_is_attached);
        tcase_add_test(all, h38_a_model_that_lies_elsewhere_than_was_said_is_refused_when_it_is_attached);
        tcase_add_test(all, h42_state_of_one_device_comes_back_to_the_one_that_was_answered);
        tcase_add_test(all, h45_the_evaluators_loss_is_on_the_host_wherever_the_model_is);
        tcase_add_test(all, h49_a_full_restore_puts_the_generator_back);
        tcase_add_test(all, rng_of_the_cpu_that_is_attached_last_is_restored_last);
        tcase_add_test(all, h36_a_checkpoint_of_a_device_comes_back_to_the_host_when_that_was_said);
        tcase_add_test(all, h37_a_checkpoint_of_a_device_does_not_come_back_to_the_host_unnoticed);
        tcase_add_test(all, h34_saved_is_enforced_by_the_checkpoint_that_came);
}

SUITE_MAIN("where", add_tests)
