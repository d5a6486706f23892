/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_model: stint_restore_model() takes the weights of a checkpoint, the newest or the best, and nothing else,
 * without an agent, and not before every byte of the file has held.
 */
#include <math.h>
#include "durable.h"
#include "suite.h"
#include "example_generation.h"
#include "training.h"

#define N 300

static const char *run;
static float w[N], v[N], moments[N], rng[16];
static char path[GENERATION_PATH]; /* of the checkpoint made last */

static void setup_run(void)
{
        setup();
        run = part_folder();
        memset(w, 0, sizeof w);
        memset(v, 0, sizeof v);
        memset(moments, 0, sizeof moments);
        memset(rng, 0, sizeof rng);
}

static void teardown_run(void)
{
        fake_set("STINT_DEVICE", "");
        device_sim_reset();
        durable_remove_tree(run, NULL);
        teardown();
}

static void make(const struct example_generation *g)
{
        struct example_table t = example_new(8, GENERATION_NAME);

        generation_tensor(&t, "optimizer/m", STINT_ROLE_OPTIMIZER, N, STINT_DEVICE_HOST, -1);
        generation_tensor(&t, "model/w", STINT_ROLE_MODEL, N, STINT_DEVICE_HOST, -1);
        generation_tensor(&t, "model/v", STINT_ROLE_MODEL, N, STINT_DEVICE_HOST, -1);
        generation_tensor(&t, "rng", STINT_ROLE_RNG, 16, STINT_DEVICE_HOST, -1);
        generation_make(path, run, g, &t);
        free(t.bytes);
}

static void make_step(int64_t step)
{
        make(&(struct example_generation){ .step = step });
}

static void make_loss(int64_t step, double loss)
{
        make(&(struct example_generation){ .step = step, .metric = "loss", .value = loss, .goal = STINT_GOAL_MIN });
}

/* A handle without an agent, and everything of such a run attached. */
static struct stint *open_evaluation(void)
{
        struct stint *s;

        fake_set("STINT_DIR", "off");
        s = open_one();
        fake_set("STINT_DIR", "");
        stint_attach(s, "rng", STINT_ARRAY(rng, STINT_F32, 16));
        stint_attach(s, "model/v", STINT_ARRAY(v, STINT_F32, N));
        stint_attach(s, "optimizer/m", STINT_ARRAY(moments, STINT_F32, N));
        stint_attach(s, "model/w", STINT_ARRAY(w, STINT_F32, N));
        return s;
}

/* The step that this model is of; -1: of none, or not all of it. */
static int64_t model_is_of(void)
{
        const int64_t step = (int64_t)(w[0] / 1000);
        int i;

        for (i = 0; i < N; i++)
                if (w[i] != generation_value(step, 0, 1) || v[i] != generation_value(step, 0, 2))
                        return -1;
        return step;
}

START_TEST(h28_the_model_alone_is_put_back)
{
        struct stint *s = open_evaluation();
        int64_t step = -3;

        make_step(12);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, &step), STINT_RESTORED);
        ck_assert_int_eq(step, 12);
        ck_assert_int_eq(model_is_of(), 12);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), STINT_RESTORED);
        stint_close(s);
}
END_TEST

START_TEST(h49_generators_optimizer_and_data_are_left_alone)
{
        struct stint *s = open_evaluation();

        make_step(12);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), STINT_RESTORED);
        ck_assert(rng[0] == 0 && rng[15] == 0);
        ck_assert(moments[0] == 0 && moments[N - 1] == 0);
        stint_close(s);
}
END_TEST

START_TEST(the_newest_is_the_highest_by_lineage_and_step)
{
        struct stint *s = open_evaluation();

        make_step(50);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), STINT_RESTORED);
        ck_assert_int_eq(model_is_of(), 50);
        make(&(struct example_generation){ .step = 40, .lineage = 1 });
        make_step(60);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), STINT_RESTORED);
        ck_assert_int_eq(model_is_of(), 40);
        stint_close(s);
}
END_TEST

START_TEST(the_best_is_that_of_the_metric_whatever_came_later)
{
        struct stint *s = open_evaluation();
        int64_t step = 0;

        make_loss(10, 3.0);
        make_loss(20, 1.5);
        make_loss(30, 1.5);
        make_loss(40, 2.0);
        make_loss(50, NAN);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_BEST, &step), STINT_RESTORED);
        ck_assert_int_eq(step, 20);
        ck_assert_int_eq(model_is_of(), 20);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, &step), STINT_RESTORED);
        ck_assert_int_eq(step, 50);

        /* By the metric that counts now. */
        make(&(struct example_generation){ .step = 60, .metric = "accuracy", .value = .5, .goal = STINT_GOAL_MAX });
        make(&(struct example_generation){ .step = 70, .metric = "accuracy", .value = .4, .goal = STINT_GOAL_MAX });
        ck_assert_int_eq(stint_restore_model(s, run, STINT_BEST, &step), STINT_RESTORED);
        ck_assert_int_eq(step, 60);
        stint_close(s);
}
END_TEST

START_TEST(without_a_metric_there_is_no_best)
{
        struct stint *s = open_evaluation();
        int64_t step = -3;

        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, &step), STINT_FRESH);
        make_step(10);
        make(&(struct example_generation){ .step = 20, .metric = "loss", .value = 1, .goal = STINT_GOAL_NONE });
        ck_assert_int_eq(stint_restore_model(s, run, STINT_BEST, &step), STINT_FRESH);
        ck_assert_int_eq(step, -3);
        ck_assert_int_eq(model_is_of(), -1);
        stint_close(s);
}
END_TEST

START_TEST(what_is_not_named_whole_does_not_count)
{
        struct stint *s = open_evaluation();
        char to[2048];

        make_step(10);
        make_step(20);
        snprintf(to, sizeof to, "%s/checkpoints/step-000000000020.s2.part", run);
        ck_assert_int_eq(rename(path, to), 0);
        make_step(30);
        snprintf(to, sizeof to, "%s/%s", path, RUNDIR_MANIFEST);
        ck_assert_int_eq(unlink(to), 0);
        make_step(40);
        part_write(path, "rank-00000-of-00001.seal", "", 0);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), STINT_RESTORED);
        ck_assert_int_eq(model_is_of(), 10);
        stint_close(s);
}
END_TEST

/* Whatever byte of it is not what was sealed. */
START_TEST(of_one_that_does_not_hold_nothing_is_copied_and_the_next_older_is_taken)
{
        struct stint *s = open_evaluation();
        struct stat st;
        char file[2200];
        off_t at;

        make_loss(20, 1.0);
        snprintf(file, sizeof file, "%s/rank-00000-of-00001.h5", path);
        ck_assert_int_eq(stat(file, &st), 0);
        for (at = 0; at < st.st_size; at += at < 300 ? 7 : 97) {
                part_flip(path, "rank-00000-of-00001.h5", at);
                ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), -1);
                ck_assert_msg(w[0] == 0 && v[N - 1] == 0, "byte %ld", (long)at);
                part_flip(path, "rank-00000-of-00001.h5", at);
        }
        make_loss(10, 2.0);
        log_text[0] = '\0';
        snprintf(path, sizeof path, "%s/checkpoints/step-000000000020", run);
        part_flip(path, "rank-00000-of-00001.h5", st.st_size - 1);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), STINT_RESTORED);
        ck_assert_int_eq(model_is_of(), 10);
        ck_assert_int_eq(said("step-000000000020, the next older is tried"), 1);

        /* The best one has no substitute. */
        memset(w, 0, sizeof w);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_BEST, NULL), -1);
        ck_assert_int_eq(s->why.code, EBADMSG);
        ck_assert(w[0] == 0);
        stint_close(s);
}
END_TEST

START_TEST(what_is_no_file_is_neither_followed_nor_waited_for)
{
        struct stint *s = open_evaluation();
        char file[2048], elsewhere[2048];

        make_step(10);
        snprintf(elsewhere, sizeof elsewhere, "%s/rank-00000-of-00001.h5", path);
        make_step(20);
        snprintf(file, sizeof file, "%s/rank-00000-of-00001.seal", path);
        ck_assert_int_eq(unlink(file), 0);
        ck_assert_int_eq(mkfifo(file, 0600), 0);
        make_step(30);
        snprintf(file, sizeof file, "%s/rank-00000-of-00001.h5", path);
        ck_assert_int_eq(unlink(file), 0);
        ck_assert_int_eq(mkfifo(file, 0600), 0);
        make_step(40);
        snprintf(file, sizeof file, "%s/rank-00000-of-00001.h5", path);
        ck_assert_int_eq(unlink(file), 0);
        ck_assert_int_eq(symlink(elsewhere, file), 0);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), STINT_RESTORED);
        ck_assert_int_eq(model_is_of(), 10);
        ck_assert_int_eq(said("the next older is tried"), 2);
        stint_close(s);
}
END_TEST

START_TEST(a_model_that_does_not_fit_is_refused_by_its_name)
{
        static double other[N];
        struct stint *s = open_evaluation();

        make_step(10);
        make_step(20);
        stint_attach(s, "model/w", STINT_ARRAY(other, STINT_F64, N));
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), -1);
        ck_assert_int_eq(s->why.code, EPROTO);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "model/w"));
        stint_attach(s, "model/w", STINT_ARRAY(w, STINT_F32, N));
        stint_attach(s, "model/x", STINT_ARRAY(w, STINT_F32, N));
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "model/x"));
        ck_assert(v[0] == 0);
        s->allow_missing = 1;
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), STINT_RESTORED);
        stint_detach(s, "model/x");
        stint_detach(s, "model/w");
        stint_detach(s, "model/v");
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), -1);
        ck_assert_int_eq(s->why.code, EINVAL);
        stint_close(s);
}
END_TEST

START_TEST(h42_it_goes_to_the_device_where_the_model_is_now)
{
        struct stint *s = open_evaluation();
        struct stint_tensor t = { .dtype = STINT_F32, .ndim = 1, .shape = { N } };

        make_step(12);
        fake_set("STINT_DEVICE", "sim:devices=2");
        device_sim_reset();
        t.data = stint_sim_alloc(1, sizeof w);
        ck_assert_int_eq(stint_attach(s, "model/w", &t), 0);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), STINT_RESTORED);
        ck_assert_int_eq(stint_sim_read(w, t.data, sizeof w), 0);
        ck_assert_int_eq(model_is_of(), 12);
        stint_close(s);
}
END_TEST

START_TEST(a_device_that_fails_leaves_a_part_and_says_so)
{
        struct stint *s = open_evaluation();
        struct stint_tensor t = { .dtype = STINT_F32, .ndim = 1, .shape = { N } };

        make_step(12);
        fake_set("STINT_DEVICE", "sim:fail_copy=1");
        device_sim_reset();
        t.data = stint_sim_alloc(0, sizeof w);
        ck_assert_int_eq(stint_attach(s, "model/w", &t), 0);
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "in part only"));
        stint_close(s);
}
END_TEST

START_TEST(a_rank_reads_its_own_file_or_that_of_rank_0)
{
        struct stint *s = open_evaluation();

        make(&(struct example_generation){ .step = 10, .ranks = 3 });
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), STINT_RESTORED);
        ck_assert(w[0] == generation_value(10, 0, 1));
        s->session.rank = 2;
        s->session.ranks = 3;
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), STINT_RESTORED);
        ck_assert(w[0] == generation_value(10, 2, 1));
        s->session.ranks = 4;
        ck_assert_int_eq(stint_restore_model(s, run, STINT_NEWEST, NULL), STINT_RESTORED);
        ck_assert(w[0] == generation_value(10, 0, 1));
        stint_close(s);
}
END_TEST

START_TEST(it_does_not_stand_for_the_restore_of_the_run)
{
        struct stint *s;

        run_to(7);
        s = open_one();
        strcpy(s->session.dir, run);
        make_step(12);
        stint_attach(s, "model/w", STINT_ARRAY(w, STINT_F32, N));
        ck_assert_int_eq(stint_restore_model(s, NULL, STINT_NEWEST, NULL), STINT_RESTORED);
        ck_assert(w[0] == generation_value(12, 0, 1));
        ck_assert_int_eq(agent.restores, 0);
        fake_want(&agent, 0);
        ck_assert_int_eq(stint_step(s, 1), STINT_CONTINUE);
        fake_await(&agent, &agent.declined, 1); /* the run's own checkpoints are not buried */
        stint_close(s);
}
END_TEST

START_TEST(what_cannot_be_meant_is_refused)
{
        struct stint *s = open_evaluation();

        ck_assert_int_eq(stint_restore_model(s, NULL, STINT_NEWEST, NULL), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "no run directory"));
        ck_assert_int_eq(stint_restore_model(s, run, 7, NULL), -1);
        ck_assert_int_eq(s->why.code, EINVAL);
        ck_assert_int_eq(stint_restore_model(NULL, run, STINT_NEWEST, NULL), STINT_FRESH);
        stint_close(s);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "model");

        tcase_add_checked_fixture(all, setup_run, teardown_run);
        tcase_add_test(all, h28_the_model_alone_is_put_back);
        tcase_add_test(all, h49_generators_optimizer_and_data_are_left_alone);
        tcase_add_test(all, the_newest_is_the_highest_by_lineage_and_step);
        tcase_add_test(all, the_best_is_that_of_the_metric_whatever_came_later);
        tcase_add_test(all, without_a_metric_there_is_no_best);
        tcase_add_test(all, what_is_not_named_whole_does_not_count);
        tcase_add_test(all, of_one_that_does_not_hold_nothing_is_copied_and_the_next_older_is_taken);
        tcase_add_test(all, what_is_no_file_is_neither_followed_nor_waited_for);
        tcase_add_test(all, a_model_that_does_not_fit_is_refused_by_its_name);
        tcase_add_test(all, h42_it_goes_to_the_device_where_the_model_is_now);
        tcase_add_test(all, a_device_that_fails_leaves_a_part_and_says_so);
        tcase_add_test(all, a_rank_reads_its_own_file_or_that_of_rank_0);
        tcase_add_test(all, it_does_not_stand_for_the_restore_of_the_run);
        tcase_add_test(all, what_cannot_be_meant_is_refused);
}

SUITE_MAIN("model", add_tests)
