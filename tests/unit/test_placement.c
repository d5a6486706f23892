/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_placement: the rows of the destination table, and what hippynn's manual and code say of devices on load, each by
 * its number in docs/placement.md.  The device is the simulated one.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "device.h"
#include "layout.h"
#include "placement.h"
#include "suite.h"

static struct placement placement;
static struct stint_error err;

/* The environment and the options of the tests; NULL: not set. */
static void devices_are(const char *setting)
{
        if (setting)
                setenv("STINT_DEVICE", setting, 1);
        else
                unsetenv("STINT_DEVICE");
        device_sim_reset();
}

static int say(const char *model_device, const char *map_location)
{
        struct stint_options o = STINT_OPTIONS;

        o.model_device = model_device;
        o.map_location = map_location;
        return placement_init(&placement, &o, &err);
}

static void setup(void)
{
        unsetenv("STINT_MODEL_DEVICE");
        devices_are("sim:devices=3,current=1,memory=64K");
        ck_assert_int_eq(say(NULL, NULL), 0);
}

static void teardown(void)
{
        devices_are(NULL);
}

/* "sim:1", "host memory", or "refused". */
static const char *place_of_saved(enum stint_role role, int ndim, const struct stint_place *parameter,
                                  const struct stint_place *saved)
{
        static char text[PLACE_TEXT];
        const struct placement_question q = { role, ndim, parameter, parameter ? 1 : 0, saved };
        struct stint_place place = { STINT_DEVICE_AUTO, -7 };

        if (placement_of(&placement, &q, &place, &err) < 0) {
                ck_assert_int_eq(place.index, -7);
                return "refused";
        }
        return place_format(text, &place);
}

static const char *place_of(enum stint_role role, int ndim)
{
        return place_of_saved(role, ndim, NULL, NULL);
}

static int allows(enum stint_role role, int ndim, enum stint_device device, int index)
{
        struct stint_tensor t = { .data = &placement, .role = role, .device = device, .ndim = ndim };

        return placement_allows(&placement, "the/tensor", &t, index, &err);
}

static const struct stint_place on_host = { STINT_DEVICE_HOST, -1 }, on_sim0 = { STINT_DEVICE_SIM, 0 },
                                on_sim2 = { STINT_DEVICE_SIM, 2 }, on_sim9 = { STINT_DEVICE_SIM, 9 };

/* ---- the rows ------------------------------------------------------------------------------------------------- */

START_TEST(model_goes_to_the_model_device)
{
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 2), "sim:1");
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 0), "sim:1");
        ck_assert_int_eq(say("sim:2", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 2), "sim:2");
}
END_TEST

START_TEST(loss_goes_to_the_model_device)
{
        ck_assert_int_eq(say("sim:2", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_LOSS, 0), "sim:2");
}
END_TEST

START_TEST(optimizer_goes_where_its_parameter_is)
{
        ck_assert_str_eq(place_of_saved(STINT_ROLE_OPTIMIZER, 1, &on_sim2, NULL), "sim:2");
        ck_assert_str_eq(place_of_saved(STINT_ROLE_OPTIMIZER, 1, &on_host, NULL), "host memory");
        ck_assert_str_eq(place_of(STINT_ROLE_OPTIMIZER, 1), "sim:1");
}
END_TEST

START_TEST(step_counters_and_other_scalars_of_the_optimizer_stay_on_the_host)
{
        const struct placement_question of_a_scalar = { STINT_ROLE_OPTIMIZER, 0, &on_sim2, 0, NULL };
        struct stint_place place;

        ck_assert_str_eq(place_of(STINT_ROLE_OPTIMIZER, 0), "host memory");
        ck_assert_str_eq(place_of_saved(STINT_ROLE_OPTIMIZER, 0, &on_sim2, NULL), "host memory");
        ck_assert_int_eq(say(NULL, "sim:2"), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_OPTIMIZER, 0), "host memory");

        /* The moment of a parameter without dimensions has none either. */
        ck_assert_int_eq(say(NULL, NULL), 0);
        ck_assert_int_eq(placement_of(&placement, &of_a_scalar, &place, &err), 0);
        ck_assert_int_eq(place.index, 2);
}
END_TEST

START_TEST(evaluator_loss_dataset_metrics_and_anything_unnamed_go_to_the_host)
{
        ck_assert_int_eq(say("sim:2", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_OTHER, 1), "host memory");
        ck_assert_str_eq(place_of(STINT_ROLE_DATA, 3), "host memory");
        ck_assert_str_eq(place_of(STINT_ROLE_METRICS, 0), "host memory");
}
END_TEST

START_TEST(rng_of_the_cpu_is_host_bytes_whatever_anybody_says)
{
        static const char *const words[] = { "auto", "sim", "sim:2", "saved", "cpu", "rng=cpu" };
        size_t i;

        for (i = 0; i < sizeof words / sizeof *words; i++) {
                ck_assert_int_eq(say(NULL, words[i]), 0);
                ck_assert_str_eq(place_of_saved(STINT_ROLE_RNG, 1, NULL, &on_sim2), "host memory");
        }
        ck_assert_int_eq(allows(STINT_ROLE_RNG, 1, STINT_DEVICE_SIM, 0), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "generator"));
        ck_assert_int_eq(allows(STINT_ROLE_RNG, 1, STINT_DEVICE_HOST, -1), 0);
}
END_TEST

START_TEST(rng_of_a_device_goes_to_the_device_that_this_rank_has_now)
{
        ck_assert_str_eq(place_of_saved(STINT_ROLE_RNG_DEVICE, 1, NULL, &on_sim9), "sim:1");
        ck_assert_int_eq(say("sim:2", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_RNG_DEVICE, 1), "sim:2");
        ck_assert_int_eq(allows(STINT_ROLE_RNG_DEVICE, 1, STINT_DEVICE_SIM, 0), -1);
        ck_assert_int_eq(allows(STINT_ROLE_RNG_DEVICE, 1, STINT_DEVICE_SIM, 2), 0);
        ck_assert_int_eq(allows(STINT_ROLE_RNG_DEVICE, 1, STINT_DEVICE_HOST, -1), 0);
}
END_TEST

/* ---- by their numbers ----------------------------------------------------------------------------------------- */

START_TEST(h34_saved_is_where_it_was_and_fails_where_that_is_absent)
{
        ck_assert_int_eq(say(NULL, "saved"), 0);
        ck_assert_str_eq(place_of_saved(STINT_ROLE_MODEL, 1, NULL, &on_sim2), "sim:2");
        ck_assert_str_eq(place_of_saved(STINT_ROLE_DATA, 1, NULL, &on_sim0), "sim:0");
        ck_assert_str_eq(place_of_saved(STINT_ROLE_OPTIMIZER, 0, NULL, &on_sim0), "sim:0");
        ck_assert_str_eq(place_of_saved(STINT_ROLE_MODEL, 1, NULL, &on_sim9), "refused");
        ck_assert_int_eq(err.code, ENODEV);
        ck_assert_ptr_nonnull(strstr(err.text, "sim:9"));
        ck_assert_int_eq(placement_returns(&placement, "m", STINT_ROLE_MODEL, &on_sim2, &on_sim0, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(placement_returns(&placement, "m", STINT_ROLE_MODEL, &on_sim2, &on_sim2, &err), 0);

        /* Where nothing was said, device numbers are history. */
        ck_assert_int_eq(say(NULL, NULL), 0);
        ck_assert_str_eq(place_of_saved(STINT_ROLE_MODEL, 1, NULL, &on_sim9), "sim:1");
        ck_assert_int_eq(placement_returns(&placement, "m", STINT_ROLE_MODEL, &on_sim9, &on_sim0, &err), 0);
}
END_TEST

START_TEST(h35_a_map_is_taken_at_its_word)
{
        ck_assert_int_eq(say(NULL, "sim:2"), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "sim:2");
        ck_assert_str_eq(place_of(STINT_ROLE_DATA, 1), "sim:2");
        ck_assert_str_eq(place_of(STINT_ROLE_OTHER, 1), "sim:2");
        ck_assert_int_eq(allows(STINT_ROLE_DATA, 1, STINT_DEVICE_HOST, -1), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "map_location says sim:2"));

        ck_assert_int_eq(say(NULL, "model=sim:0,optimizer=cpu,data=sim"), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "sim:0");
        ck_assert_str_eq(place_of(STINT_ROLE_LOSS, 1), "sim:1");
        ck_assert_str_eq(place_of_saved(STINT_ROLE_OPTIMIZER, 1, &on_sim0, NULL), "host memory");
        ck_assert_str_eq(place_of(STINT_ROLE_DATA, 1), "sim:1");
        ck_assert_str_eq(place_of(STINT_ROLE_METRICS, 1), "host memory");
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_SIM, 1), -1);
        ck_assert_int_eq(allows(STINT_ROLE_DATA, 1, STINT_DEVICE_SIM, 2), 0);
        ck_assert_int_eq(allows(STINT_ROLE_METRICS, 1, STINT_DEVICE_SIM, 2), 0);
        ck_assert_int_eq(say(NULL, "model=sim:2"), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_OPTIMIZER, 1), "sim:2");
}
END_TEST

START_TEST(h36_cpu_is_the_host_for_everything_that_had_a_device)
{
        ck_assert_int_eq(say("cpu", NULL), 0);
        ck_assert_str_eq(place_of_saved(STINT_ROLE_MODEL, 1, NULL, &on_sim2), "host memory");
        ck_assert_str_eq(place_of_saved(STINT_ROLE_OPTIMIZER, 1, NULL, &on_sim2), "host memory");
        ck_assert_str_eq(place_of_saved(STINT_ROLE_RNG_DEVICE, 1, NULL, &on_sim2), "host memory");
        ck_assert_int_eq(placement_returns(&placement, "m", STINT_ROLE_MODEL, &on_sim2, &on_host, &err), 0);
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_SIM, 0), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "model_device says host memory"));
}
END_TEST

START_TEST(h37_auto_is_the_device_in_use_or_the_host)
{
        ck_assert_int_eq(say("auto", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "sim:1");
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_SIM, 2), 0);
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_HOST, -1), 0);
        devices_are(NULL);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "host memory");
}
END_TEST

START_TEST(h37_auto_does_not_leave_a_device_behind_unnoticed)
{
        struct stint_options o = STINT_OPTIONS;

        devices_are(NULL);
        ck_assert_str_eq(place_of_saved(STINT_ROLE_MODEL, 1, NULL, &on_sim2), "refused");
        ck_assert_int_eq(err.code, ENODEV);
        ck_assert_ptr_nonnull(strstr(err.text, "sim:2"));
        ck_assert_ptr_nonnull(strstr(err.text, "STINT_MODEL_DEVICE=cpu"));
        ck_assert_int_eq(placement_returns(&placement, "m", STINT_ROLE_MODEL, &on_sim2, &on_host, &err), -1);
        ck_assert_int_eq(err.code, ENODEV);
        ck_assert_int_eq(placement_returns(&placement, "m", STINT_ROLE_OTHER, &on_sim2, &on_host, &err), -1);

        /* What is at home on the host may have come back there. */
        ck_assert_int_eq(placement_returns(&placement, "m", STINT_ROLE_DATA, &on_sim2, &on_host, &err), 0);
        o.allow_host = 1;
        ck_assert_int_eq(placement_init(&placement, &o, &err), 0);
        ck_assert_str_eq(place_of_saved(STINT_ROLE_MODEL, 1, NULL, &on_sim2), "host memory");
        ck_assert_int_eq(placement_returns(&placement, "m", STINT_ROLE_MODEL, &on_sim2, &on_host, &err), 0);

        /* Nor is anything left behind where other state is on a device. */
        ck_assert_int_eq(say(NULL, NULL), 0);
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_SIM, 0), 0);
        ck_assert_int_eq(placement_returns(&placement, "o", STINT_ROLE_OPTIMIZER, &on_sim2, &on_host, &err), 0);
}
END_TEST

START_TEST(h38_a_device_by_its_number_is_that_one_or_nothing)
{
        ck_assert_int_eq(say("sim:2", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "sim:2");
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_SIM, 2), 0);
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_SIM, 1), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_ptr_nonnull(strstr(err.text, "model_device says sim:2"));
        ck_assert_int_eq(say("sim:3", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "refused");
        ck_assert_int_eq(err.code, ENODEV);
        ck_assert_ptr_nonnull(strstr(err.text, "sees 3"));
        ck_assert_int_eq(say("cuda:4095", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "refused");
        devices_are(NULL);
        ck_assert_int_eq(say("sim", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "refused");
}
END_TEST

START_TEST(h39_map_location_and_model_device_together_are_an_error)
{
        ck_assert_int_eq(say("sim:0", "cpu"), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_ptr_nonnull(strstr(err.text, "map_location"));
        ck_assert_ptr_nonnull(strstr(err.text, "model_device"));
        ck_assert_int_eq(say("auto", "cpu"), -1);
        setenv("STINT_MODEL_DEVICE", "cpu", 1);
        ck_assert_int_eq(say(NULL, "model=sim:0"), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "STINT_MODEL_DEVICE"));
        setenv("STINT_MODEL_DEVICE", "", 1);
        ck_assert_int_eq(say(NULL, "model=sim:0"), 0);
}
END_TEST

START_TEST(h40_auto_and_a_device_without_a_number_are_the_one_in_use)
{
        ck_assert_int_eq(say("sim", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "sim:1");
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_SIM, 2), 0);
        devices_are("sim:devices=3,current=2");
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "sim:2");
        ck_assert_int_eq(say(NULL, NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "sim:2");
}
END_TEST

START_TEST(h41_the_only_visible_device_is_number_0_whichever_it_was)
{
        devices_are("sim");
        ck_assert_str_eq(place_of_saved(STINT_ROLE_MODEL, 1, NULL, &on_sim2), "sim:0");
}
END_TEST

START_TEST(h43_the_environment_speaks_where_the_program_does_not)
{
        setenv("STINT_MODEL_DEVICE", "sim:2", 1);
        ck_assert_int_eq(say(NULL, NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "sim:2");
        ck_assert_int_eq(say("sim:0", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "sim:0");
        setenv("STINT_MODEL_DEVICE", "gpu", 1);
        ck_assert_int_eq(say(NULL, NULL), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "STINT_MODEL_DEVICE is 'gpu'"));
}
END_TEST

START_TEST(h44_moments_follow_and_counters_are_the_programs_own_affair)
{
        ck_assert_int_eq(say("sim:2", NULL), 0);
        ck_assert_str_eq(place_of_saved(STINT_ROLE_OPTIMIZER, 2, &on_sim2, NULL), "sim:2");
        ck_assert_int_eq(allows(STINT_ROLE_OPTIMIZER, 2, STINT_DEVICE_HOST, -1), -1);
        ck_assert_int_eq(allows(STINT_ROLE_OPTIMIZER, 0, STINT_DEVICE_HOST, -1), 0);
        ck_assert_int_eq(allows(STINT_ROLE_OPTIMIZER, 0, STINT_DEVICE_SIM, 2), 0); /* a capturable optimizer */
}
END_TEST

START_TEST(h46_data_that_the_program_moved_to_a_device_is_its_own_affair)
{
        ck_assert_int_eq(say("sim:2", NULL), 0);
        ck_assert_int_eq(allows(STINT_ROLE_DATA, 2, STINT_DEVICE_SIM, 0), 0);
        ck_assert_int_eq(allows(STINT_ROLE_OTHER, 2, STINT_DEVICE_SIM, 1), 0);
}
END_TEST

START_TEST(h47_a_list_is_its_first_device_and_the_others_must_be_there)
{
        ck_assert_int_eq(say("sim:2,sim:0", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 2), "sim:2");
        ck_assert_str_eq(place_of(STINT_ROLE_LOSS, 0), "sim:2");
        ck_assert_str_eq(place_of(STINT_ROLE_OPTIMIZER, 2), "sim:2");
        ck_assert_str_eq(place_of_saved(STINT_ROLE_OPTIMIZER, 2, &on_sim0, NULL), "sim:0");
        ck_assert_str_eq(place_of(STINT_ROLE_RNG_DEVICE, 1), "sim:2");
        ck_assert_str_eq(place_of(STINT_ROLE_DATA, 2), "host memory");
        ck_assert_int_eq(say("sim:0,sim:1,sim:3", NULL), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 2), "refused");
        ck_assert_int_eq(err.code, ENODEV);
        ck_assert_ptr_nonnull(strstr(err.text, "there is no sim:3"));
}
END_TEST

START_TEST(h47_a_model_may_be_on_any_device_of_its_list_and_on_no_other)
{
        ck_assert_int_eq(say("sim:2,sim:0", NULL), 0);
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_SIM, 2), 0);
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_SIM, 0), 0);
        ck_assert_int_eq(allows(STINT_ROLE_OPTIMIZER, 1, STINT_DEVICE_SIM, 0), 0);
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_SIM, 1), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_ptr_nonnull(strstr(err.text, "model_device says sim:2,sim:0"));
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_HOST, -1), -1);
        ck_assert_int_eq(say("sim:2", NULL), 0);
        ck_assert_int_eq(allows(STINT_ROLE_MODEL, 1, STINT_DEVICE_SIM, 0), -1);
}
END_TEST

START_TEST(h47_a_list_has_numbers_of_one_kind_each_once)
{
        static const char *const none[] = { "sim:0,", ",sim:0", "sim:0,,sim:1", "sim:0,cuda:1", "sim,sim:1",
                                            "sim:0,sim", "sim:0,sim:0", "sim:0,sim:1,sim:0", "auto,sim:1",
                                            "sim:0,auto", "cpu,cpu", "sim:0,cpu", "sim:0, sim:1", "sim:0;sim:1",
                                            "sim:0,saved" };
        char longest[200] = "sim:0";
        size_t i;

        for (i = 0; i < sizeof none / sizeof *none; i++) {
                ck_assert_msg(say(none[i], NULL) == -1, "'%s'", none[i]);
                ck_assert_int_eq(err.code, EINVAL);
        }
        for (i = 1; i <= WISH_MORE; i++)
                snprintf(longest + strlen(longest), sizeof longest - strlen(longest), ",sim:%zu", i);
        ck_assert_int_eq(say(longest, NULL), 0);
        strcat(longest, ",sim:16");
        ck_assert_int_eq(say(longest, NULL), -1);
        ck_assert_int_eq(say(NULL, "sim:0,sim:1"), -1); /* of a model alone: a map has a place for each role */
        ck_assert_int_eq(say(NULL, "model=sim:0,sim:1"), -1);
}
END_TEST

START_TEST(h48_a_map_of_everything_leaves_the_generator_of_the_cpu_alone)
{
        ck_assert_int_eq(say(NULL, "sim:0"), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_RNG, 1), "host memory");
        ck_assert_int_eq(allows(STINT_ROLE_RNG, 1, STINT_DEVICE_HOST, -1), 0);
        ck_assert_int_eq(say(NULL, "rng=sim:0"), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "never"));
        ck_assert_int_eq(say(NULL, "cpu"), 0);
        ck_assert_str_eq(place_of(STINT_ROLE_MODEL, 1), "host memory");
        ck_assert_str_eq(place_of(STINT_ROLE_RNG, 1), "host memory");
}
END_TEST

/* ---- words ---------------------------------------------------------------------------------------------------- */

START_TEST(words_that_are_none_are_refused_by_name)
{
        static const char *const models[] = { "", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cuda 0", "cuda:0,1",
                                              "cuda:4096", "cuda:99999999999999999999", "saved", "host", "CUDA", "sim:",
                                              "simulated", " cpu" };
        static const char *const maps[] = { "", "gpu", "model", "model=", "model=gpu", "weights=cpu", "model=cpu,",
                                            "model=cpu,model=cpu", "=cpu", "model=cpu;loss=cpu", "auto=cpu" };
        size_t i;

        for (i = 0; i < sizeof models / sizeof *models; i++) {
                ck_assert_msg(say(models[i], NULL) == -1, "model_device '%s'", models[i]);
                ck_assert_int_eq(err.code, EINVAL);
        }
        for (i = 0; i < sizeof maps / sizeof *maps; i++) {
                ck_assert_msg(say(NULL, maps[i]) == -1, "map_location '%s'", maps[i]);
                ck_assert_int_eq(err.code, EINVAL);
        }
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *rows = suite_case(suite, "rows"), *numbers = suite_case(suite, "numbers"),
              *words = suite_case(suite, "words");

        tcase_add_checked_fixture(rows, setup, teardown);
        tcase_add_test(rows, model_goes_to_the_model_device);
        tcase_add_test(rows, loss_goes_to_the_model_device);
        tcase_add_test(rows, optimizer_goes_where_its_parameter_is);
        tcase_add_test(rows, step_counters_and_other_scalars_of_the_optimizer_stay_on_the_host);
        tcase_add_test(rows, evaluator_loss_dataset_metrics_and_anything_unnamed_go_to_the_host);
        tcase_add_test(rows, rng_of_the_cpu_is_host_bytes_whatever_anybody_says);
        tcase_add_test(rows, rng_of_a_device_goes_to_the_device_that_this_rank_has_now);
        tcase_add_checked_fixture(numbers, setup, teardown);
        tcase_add_test(numbers, h34_saved_is_where_it_was_and_fails_where_that_is_absent);
        tcase_add_test(numbers, h35_a_map_is_taken_at_its_word);
        tcase_add_test(numbers, h36_cpu_is_the_host_for_everything_that_had_a_device);
        tcase_add_test(numbers, h37_auto_is_the_device_in_use_or_the_host);
        tcase_add_test(numbers, h37_auto_does_not_leave_a_device_behind_unnoticed);
        tcase_add_test(numbers, h38_a_device_by_its_number_is_that_one_or_nothing);
        tcase_add_test(numbers, h39_map_location_and_model_device_together_are_an_error);
        tcase_add_test(numbers, h40_auto_and_a_device_without_a_number_are_the_one_in_use);
        tcase_add_test(numbers, h41_the_only_visible_device_is_number_0_whichever_it_was);
        tcase_add_test(numbers, h43_the_environment_speaks_where_the_program_does_not);
        tcase_add_test(numbers, h44_moments_follow_and_counters_are_the_programs_own_affair);
        tcase_add_test(numbers, h46_data_that_the_program_moved_to_a_device_is_its_own_affair);
        tcase_add_test(numbers, h47_a_list_is_its_first_device_and_the_others_must_be_there);
        tcase_add_test(numbers, h47_a_model_may_be_on_any_device_of_its_list_and_on_no_other);
        tcase_add_test(numbers, h47_a_list_has_numbers_of_one_kind_each_once);
        tcase_add_test(numbers, h48_a_map_of_everything_leaves_the_generator_of_the_cpu_alone);
        tcase_add_checked_fixture(words, setup, teardown);
        tcase_add_test(words, words_that_are_none_are_refused_by_name);
}

SUITE_MAIN("placement", add_tests)
