/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_safepoint: one training process and its agent, from stint_open to stint_close, with the agent played by a
 * thread. */
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include "fake_agent.h"
#include "fault.h"
#include "safepoint.h"
#include "suite.h"

static struct fake_agent agent;
static char log_text[8192];

static void keep_log(void *arg, enum stint_log_level level, const char *line)
{
        size_t have = strlen(log_text);

        (void)arg;
        (void)level;
        snprintf(log_text + have, sizeof log_text - have, "%s\n", line);
}

static struct stint *open_one(void)
{
        struct stint_options options = STINT_OPTIONS;
        struct stint *s;

        options.log = keep_log;
        s = stint_open(&options, NULL);
        ck_assert_ptr_nonnull(s);
        return s;
}

static void setup(void)
{
        log_text[0] = '\0';
        fault_reset();
        fake_start(&agent, 1);
}

static void teardown(void)
{
        fake_stop(&agent);
}

/* The state of most tests: 1000 weights whose values follow from the step. */
static float weights[1000];

static void train_to(int step)
{
        int i;

        for (i = 0; i < 1000; i++)
                weights[i] = (float)(step * 1000 + i);
}

static int trained_to(int step)
{
        int i;

        for (i = 0; i < 1000; i++)
                if (weights[i] != (float)(step * 1000 + i))
                        return 0;
        return 1;
}

static struct stint *begin(void)
{
        struct stint *s = open_one();

        train_to(0);
        ck_assert_int_eq(stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000)), 0);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_FRESH);
        return s;
}

static int step(struct stint *s, int n)
{
        train_to(n);
        return stint_step(s, n);
}

/* A run of its own that ends at `last` with everything saved. */
static void run_to(int last)
{
        struct stint *s = begin();

        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, last), STINT_STOP);
        stint_close(s);
        fake_await(&agent, &agent.byes, 1);
        agent.byes = agent.snapshots = agent.restores = agent.layouts = 0;
        memset(weights, 0, sizeof weights);
}

START_TEST(nothing_to_do_goes_on)
{
        struct stint *s = begin();
        int i;

        for (i = 1; i <= 100; i++)
                ck_assert_int_eq(step(s, i), STINT_CONTINUE);
        ck_assert_int_eq(agent.at[0].page->step, 100);
        ck_assert_int_gt(agent.at[0].page->safe_ns, 0);
        ck_assert_uint_eq(histogram_count(&agent.at[0].page->steps), 99);
        ck_assert_str_eq(stint_dir(s), "/tmp/fake.stint");
        stint_close(s);
        fake_await(&agent, &agent.byes, 1);
        ck_assert_int_eq(agent.snapshots, 0);
}
END_TEST

START_TEST(a_wanted_save_is_taken_once_at_the_next_safe_point)
{
        struct stint *s = begin();

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        fake_want(&agent, 0);
        ck_assert_int_eq(stint_poll(s), 1);
        ck_assert_int_eq(step(s, 2), STINT_SAVED);
        ck_assert_int_eq(stint_poll(s), 0);
        train_to(99);
        ck_assert_int_eq(stint_step(s, 3), STINT_CONTINUE);
        fake_await(&agent, &agent.snapshots, 1);
        ck_assert_int_eq(agent.at[0].last.step, 2);
        ck_assert_int_eq(agent.at[0].last.checkpoint_step, 2);
        ck_assert_int_gt(agent.at[0].last.delay_ns, 0);
        stint_close(s);
}
END_TEST

START_TEST(a_final_save_stops_training_when_it_landed)
{
        struct stint *s = begin();

        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 7), STINT_STOP);
        ck_assert_int_eq(agent.landed_step, 7);
        stint_close(s);
}
END_TEST

START_TEST(a_final_save_that_does_not_land_lets_training_go_on)
{
        struct stint *s = begin();

        agent.fail_saves = 1;
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 7), STINT_CONTINUE);
        ck_assert_ptr_nonnull(strstr(log_text, "the disk is full"));
        ck_assert_int_eq(step(s, 8), STINT_CONTINUE);
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 9), STINT_STOP);
        stint_close(s);
}
END_TEST

START_TEST(what_was_saved_is_put_back)
{
        struct stint *s;
        int64_t at = -5;

        run_to(7);
        s = open_one();
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, &at), STINT_RESTORED);
        ck_assert_int_eq(at, 7);
        ck_assert(trained_to(7));
        fake_await(&agent, &agent.restores_done, 1);
        ck_assert_int_eq(agent.restore_code, 0);
        ck_assert_int_eq(stint_restore(s, &at), -1);
        stint_close(s);
}
END_TEST

START_TEST(a_restored_state_is_not_written_again)
{
        struct stint *s;

        run_to(7);
        s = open_one();
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        fake_want(&agent, 1);
        ck_assert_int_eq(stint_step(s, 7), STINT_STOP);
        ck_assert_int_eq(agent.unchanged, 1);
        stint_close(s);
}
END_TEST

START_TEST(a_restore_that_does_not_fit_names_the_tensor_and_copies_nothing)
{
        static double other[1000];
        struct stint *s;

        run_to(7);
        s = open_one();
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        stint_attach(s, "model/x", STINT_ARRAY(other, STINT_F64, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert_int_eq(s->why.code, EPROTO);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "model/x"));
        ck_assert(weights[1] == 0);
        fake_await(&agent, &agent.restores_done, 1);
        ck_assert_int_eq(agent.restore_code, EPROTO);
        stint_close(s);

        s = open_one();
        stint_attach(s, "model/w", STINT_ARRAY(other, STINT_F64, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "float64"));
        ck_assert_ptr_nonnull(strstr(stint_why(s), "float32"));
        ck_assert(other[1] == 0);

        /* What could not be restored must not be buried under a newer state. */
        fake_want(&agent, 0);
        ck_assert_int_eq(stint_step(s, 1), STINT_CONTINUE);
        fake_await(&agent, &agent.declined, 1);
        ck_assert_int_eq(stint_save(s, 2), -1);
        ck_assert_int_eq(stint_complete(s), -1);
        ck_assert_int_eq(agent.completes, 0);
        stint_close(s);
}
END_TEST

START_TEST(a_tensor_may_be_missing_where_the_program_allows_it)
{
        struct stint_options options = STINT_OPTIONS;
        static double other[3] = { 1, 2, 3 };
        struct stint *s;

        run_to(7);
        options.allow_missing = 1;
        options.log = NULL;
        s = stint_open(&options, NULL);
        stint_attach(s, "model/x", STINT_ARRAY(other, STINT_F64, 3));
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert(trained_to(7));
        ck_assert(other[2] == 3);
        stint_close(s);
}
END_TEST

START_TEST(a_tensor_nobody_attached_is_carried_along_until_it_is)
{
        static float again[1000];
        static int counter = 41;
        struct stint *s;

        run_to(7);
        s = open_one();
        stint_attach(s, "data/position", STINT_OBJECT(&counter));
        ck_assert_int_eq(stint_restore(s, NULL), -1); /* not in the checkpoint */
        stint_close(s);

        s = open_one();
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        stint_attach(s, "data/position", STINT_OBJECT(&counter));
        fake_want(&agent, 1);
        ck_assert_int_eq(stint_step(s, 8), STINT_STOP); /* with model/w from the checkpoint */
        stint_close(s);

        counter = 0;
        s = open_one();
        stint_attach(s, "data/position", STINT_OBJECT(&counter));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert_int_eq(counter, 41);
        ck_assert_ptr_nonnull(s->restored.image);
        ck_assert_int_eq(stint_attach(s, "model", STINT_OBJECT(&counter)), -1);
        ck_assert_int_eq(s->why.code, EEXIST);
        ck_assert_int_eq(stint_attach(s, "model/w", STINT_ARRAY(again, STINT_F32, 999)), -1);
        ck_assert_int_eq(s->why.code, EPROTO);
        ck_assert_int_eq(stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000)), STINT_RESTORED);
        ck_assert(trained_to(7));
        ck_assert_ptr_null(s->restored.image);
        ck_assert_int_eq(stint_attach(s, "model/w", STINT_ARRAY(again, STINT_F32, 1000)), 0);
        ck_assert(again[5] == 0);
        stint_close(s);
}
END_TEST

START_TEST(checkpoints_that_cannot_be_used_are_no_fresh_start)
{
        struct stint *s = open_one();

        agent.restore_fails = 1;
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "the disk does not answer"));
        fake_want(&agent, 1);
        ck_assert_int_eq(stint_step(s, 1), STINT_CONTINUE);
        fake_await(&agent, &agent.declined, 1);
        stint_close(s);
}
END_TEST

START_TEST(a_program_that_never_restores_saves_only_where_there_is_nothing_to_lose)
{
        struct stint *s = open_one();

        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 3), STINT_STOP);
        stint_close(s);

        s = open_one();
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        train_to(50);
        fake_want(&agent, 0);
        ck_assert_int_eq(stint_step(s, 1), STINT_CONTINUE);
        ck_assert(trained_to(50));
        fake_await(&agent, &agent.declined, 1);
        ck_assert_ptr_nonnull(strstr(agent.declined_text, "stint_restore"));
        stint_close(s);
}
END_TEST

START_TEST(a_new_address_is_no_new_layout_and_a_new_shape_is)
{
        static float elsewhere[1000];
        struct stint *s = begin();

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        fake_await(&agent, &agent.layouts, 1);
        stint_attach(s, "model/w", STINT_ARRAY(elsewhere, STINT_F32, 1000));
        ck_assert_int_eq(stint_step(s, 2), STINT_CONTINUE);
        elsewhere[3] = 33;
        fake_want(&agent, 0);
        ck_assert_int_eq(stint_step(s, 3), STINT_SAVED);
        fake_await(&agent, &agent.snapshots, 1);
        ck_assert_int_eq(agent.layouts, 1);
        stint_attach(s, "model/w", STINT_ARRAY(elsewhere, STINT_F32, 500));
        ck_assert_int_eq(stint_save(s, 4), STINT_SAVED);
        ck_assert_int_eq(agent.layouts, 2);
        ck_assert_int_eq(stint_detach(s, "model/w"), 0);
        ck_assert_int_eq(stint_detach(s, "model/w"), -1);
        ck_assert_int_eq(s->why.code, ENOENT);
        ck_assert_int_eq(stint_save(s, 5), -1); /* nothing is attached */
        stint_close(s);
}
END_TEST

START_TEST(a_save_of_the_programs_own_waits_until_it_landed)
{
        struct stint *s = begin();

        train_to(1);
        ck_assert_int_eq(stint_save(s, 1), STINT_SAVED);
        ck_assert_int_eq(agent.landed_step, 1);
        ck_assert_uint_eq(agent.asked_reason, SAVE_PROGRAM);
        agent.fail_saves = 1;
        ck_assert_int_eq(stint_save(s, 2), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "the disk is full"));
        agent.refuse_saves = 1;
        ck_assert_int_eq(stint_save(s, 3), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "saves are refused"));
        stint_close(s);
}
END_TEST

START_TEST(a_better_metric_saves_and_a_worse_one_does_not)
{
        struct stint *s = begin();

        ck_assert_int_eq(stint_metric(s, "loss", 2.0, STINT_GOAL_MIN), 0);
        ck_assert_int_eq(step(s, 1), STINT_SAVED);
        fake_await(&agent, &agent.snapshots, 1);
        ck_assert_uint_eq(agent.asked_reason, SAVE_BEST);
        ck_assert_uint_eq(agent.at[0].last.metric_count, 1);
        ck_assert_str_eq(agent.at[0].last.metrics[0].name, "loss");
        stint_metric(s, "loss", 3.0, STINT_GOAL_MIN);
        ck_assert_int_eq(step(s, 2), STINT_CONTINUE);
        stint_metric(s, "loss", (double)NAN, STINT_GOAL_MIN);
        ck_assert_int_eq(step(s, 3), STINT_CONTINUE);
        stint_metric(s, "accuracy", 1.0, STINT_GOAL_MAX); /* not the first with a goal */
        ck_assert_int_eq(step(s, 4), STINT_CONTINUE);
        agent.fail_saves = 1;
        stint_metric(s, "loss", 1.0, STINT_GOAL_MIN);
        ck_assert_int_eq(stint_save(s, 5), -1); /* did not land, so 1.5 is still better */
        stint_metric(s, "loss", 1.5, STINT_GOAL_MIN);
        ck_assert_int_eq(step(s, 6), STINT_SAVED);
        ck_assert_int_eq(stint_metric(s, "a name that is much longer than forty bytes are", 1, STINT_GOAL_NONE), -1);
        stint_close(s);
}
END_TEST

START_TEST(the_best_of_earlier_stints_is_the_one_to_beat)
{
        struct stint *s;

        run_to(7);
        agent.best_name = "loss";
        agent.best_value = 1.0;
        s = open_one();
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        stint_metric(s, "loss", 1.5, STINT_GOAL_MIN);
        ck_assert_int_eq(stint_step(s, 8), STINT_CONTINUE);
        stint_metric(s, "loss", 0.5, STINT_GOAL_MIN);
        ck_assert_int_eq(stint_step(s, 9), STINT_SAVED);
        stint_close(s);
}
END_TEST

START_TEST(completing_saves_the_last_state_unless_it_has_landed)
{
        struct stint *s = begin();

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        ck_assert_int_eq(stint_complete(s), 0);
        ck_assert_uint_eq(agent.asked_reason, SAVE_COMPLETE);
        ck_assert_int_eq(agent.landed_step, 1);
        ck_assert_int_eq(agent.completes, 1);
        stint_close(s);

        s = open_one();
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        train_to(2);
        ck_assert_int_eq(stint_save(s, 2), STINT_SAVED);
        agent.asked = 0;
        ck_assert_int_eq(stint_complete(s), 0);
        ck_assert_int_eq(agent.asked, 0);
        stint_close(s);
}
END_TEST

START_TEST(a_save_asked_for_while_the_run_is_being_marked_done_is_answered)
{
        struct stint *s = begin();

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        agent.save_before_done = 1;
        ck_assert_int_eq(stint_complete(s), 0);
        fake_await(&agent, &agent.unchanged, 1);
        stint_close(s);
}
END_TEST

START_TEST(memory_of_a_device_is_saved_and_restored_by_copies)
{
        static int32_t host[256], back[256];
        struct stint_tensor t = { .dtype = STINT_I32, .ndim = 1, .shape = { 256 } };
        struct stint *s = open_one();
        int i;

        fake_set("STINT_DEVICE", "sim:devices=2,memory=64K,fail_copy=1");
        device_sim_reset();
        t.data = stint_sim_alloc(1, sizeof host);
        for (i = 0; i < 256; i++)
                host[i] = i * i;
        ck_assert_int_eq(stint_sim_write(t.data, host, sizeof host), 0);
        ck_assert_int_eq(stint_attach(s, "model/w", &t), 0);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_FRESH);
        fake_want(&agent, 1);
        ck_assert_int_eq(stint_step(s, 1), -1); /* the first copy fails */
        ck_assert_ptr_nonnull(strstr(stint_why(s), "model/w"));
        fake_want(&agent, 1);
        ck_assert_int_eq(stint_step(s, 2), STINT_STOP);
        stint_close(s);

        memset(back, 0xff, sizeof back);
        ck_assert_int_eq(stint_sim_write(t.data, back, sizeof back), 0);
        s = open_one();
        ck_assert_int_eq(stint_attach(s, "model/w", &t), 0);
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert_int_eq(stint_sim_read(back, t.data, sizeof back), 0);
        ck_assert_mem_eq(back, host, sizeof host);
        stint_close(s);
        fake_set("STINT_DEVICE", "");
        device_sim_reset();
}
END_TEST

START_TEST(training_is_not_complete_when_its_last_state_did_not_land)
{
        struct stint *s = begin();

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        agent.fail_saves = 1;
        ck_assert_int_eq(stint_complete(s), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "the disk is full"));
        ck_assert_int_eq(agent.completes, 0);
        stint_close(s);

        s = begin();
        ck_assert_int_eq(stint_complete(s), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "never called"));
        stint_close(s);
}
END_TEST

START_TEST(a_restored_state_may_be_complete_as_it_is)
{
        struct stint *s;

        run_to(7);
        s = open_one();
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert_int_eq(stint_complete(s), 0);
        ck_assert_int_eq(agent.completes, 1);
        ck_assert_int_eq(agent.snapshots, 0);
        stint_close(s);
}
END_TEST

/* Steps until the connection that broke has been noticed, or made again. */
static int step_until(struct stint *s, int n, int usable)
{
        struct timespec t = { .tv_nsec = 10000000 };
        int i;

        for (i = 0; i < 1000 && session_usable(&s->session) != usable; i++, n++) {
                ck_assert_int_eq(step(s, n), STINT_CONTINUE);
                nanosleep(&t, NULL);
        }
        ck_assert_int_eq(session_usable(&s->session), usable);
        return n;
}

START_TEST(training_goes_on_while_the_agent_is_gone_and_saves_when_it_is_back)
{
        struct stint *s = begin();
        int n;

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        fake_await(&agent, &agent.layouts, 1);
        fake_die(&agent);
        n = step_until(s, 2, 0);
        ck_assert_ptr_nonnull(strstr(log_text, "the agent is gone"));
        ck_assert_int_eq(stint_save(s, n++), -1);
        fake_revive(&agent);
        n = step_until(s, n, 1);
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, n), STINT_STOP);
        ck_assert_int_eq(agent.landed_step, n);
        stint_close(s);
}
END_TEST


/* Plays the coordinator that asks the agent started anew for the final save again. */
static void *revive_and_want(void *arg)
{
        (void)arg;
        fake_await(&agent, &agent.connects, 2);
        fake_await(&agent, &agent.layouts, 2);
        fake_want(&agent, 1);
        return NULL;
}

START_TEST(an_agent_lost_during_a_final_save_may_come_back_and_ask_again)
{
        struct stint *s = begin();
        pthread_t thread;

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        ck_assert_int_eq(pthread_create(&thread, NULL, revive_and_want, NULL), 0);
        agent.drop_at_snapshot = 1;
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 2), STINT_STOP);
        pthread_join(thread, NULL);
        ck_assert_int_eq(agent.snapshots, 2);
        ck_assert_int_eq(agent.landed_step, 2);
        stint_close(s);
}
END_TEST

START_TEST(without_an_agent_training_goes_on_and_one_line_says_so)
{
        struct stint *s;
        int64_t at = 5;

        fake_die(&agent);
        s = open_one();
        ck_assert_ptr_nonnull(strstr(log_text, "without checkpoints"));
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, &at), STINT_FRESH);
        ck_assert_int_eq(at, 5);
        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        ck_assert_int_eq(step(s, 2), STINT_CONTINUE);
        ck_assert_int_eq(stint_poll(s), 0);
        ck_assert(isinf(stint_time_left(s)));
        ck_assert_int_eq(stint_fits(s, 1e9), 1);
        ck_assert_str_eq(stint_dir(s), "");
        ck_assert_int_eq(stint_complete(s), 0);
        stint_close(s);

        fake_set("STINT_DIR", "off");
        s = open_one();
        ck_assert_int_eq(stint_attach(s, "model/w", STINT_ARRAY(NULL, STINT_F32, 1000)), -1);
        ck_assert_ptr_nonnull(strstr(log_text, "stint_attach refused 'model/w'"));
        ck_assert_int_eq(stint_restore(s, &at), STINT_FRESH); /* there is nothing that it could harm */
        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        stint_close(s);
}
END_TEST

START_TEST(no_handle_means_no_stint)
{
        int64_t at = 5;

        ck_assert_int_eq(stint_attach(NULL, "x", NULL), 0);
        ck_assert_int_eq(stint_restore(NULL, &at), STINT_FRESH);
        ck_assert_int_eq(stint_step(NULL, 1), STINT_CONTINUE);
        ck_assert_int_eq(stint_poll(NULL), 0);
        ck_assert(isinf(stint_time_left(NULL)));
        ck_assert_int_eq(stint_complete(NULL), 0);
        ck_assert_str_eq(stint_why(NULL), "");
        stint_close(NULL);
}
END_TEST

START_TEST(steps_only_grow)
{
        struct stint *s = begin();

        ck_assert_int_eq(step(s, -1), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "0 at least"));
        ck_assert_int_eq(step(s, 5), STINT_CONTINUE);
        ck_assert_int_eq(step(s, 5), STINT_CONTINUE);
        ck_assert_int_eq(step(s, 4), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "steps only grow"));
        ck_assert_int_eq(step(s, 6), STINT_CONTINUE);
        ck_assert_int_eq(stint_complete(s), 0);
        ck_assert_int_eq(agent.landed_step, 6);
        stint_close(s);
}
END_TEST

static int said(const char *what)
{
        const char *at;
        int n = 0;

        for (at = strstr(log_text, what); at; at = strstr(at + 1, what))
                n++;
        return n;
}

/* As where a program counts the batches of each epoch: the last one of the second has the number of the first's. */
START_TEST(steps_counted_from_the_beginning_again_are_not_complete)
{
        struct stint *s = begin();
        int epoch, batch;

        for (epoch = 0; epoch < 2; epoch++)
                for (batch = 1; batch <= 3; batch++)
                        ck_assert_int_eq(step(s, batch), epoch ? -1 : STINT_CONTINUE);
        ck_assert_int_eq(said("stint_step was given step 1 after step 3"), 1);
        ck_assert_int_eq(said("was given step"), 1);
        ck_assert_int_eq(said("count steps over the whole training, all epochs included"), 1);
        fake_want(&agent, 0);
        ck_assert_int_eq(step(s, 3), -1);
        fake_await(&agent, &agent.declined, 1);
        ck_assert_int_eq(stint_save(s, 2), -1);
        ck_assert_int_eq(stint_complete(s), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "not complete: stint_save was given step 2 after step 3"));
        ck_assert_int_eq(said("the run is not complete"), 1);
        ck_assert_int_eq(agent.completes, 0);
        ck_assert_int_eq(agent.snapshots, 0);
        stint_close(s);
}
END_TEST

START_TEST(a_program_that_trains_on_after_its_stint_is_told_once)
{
        struct stint *s = begin();

        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 7), STINT_STOP);
        ck_assert_int_eq(said("trained on"), 0);
        ck_assert_int_eq(step(s, 8), STINT_CONTINUE);
        ck_assert_int_eq(said("answered STINT_STOP at step 7 and the program trained on"), 1);
        ck_assert_int_eq(step(s, 9), STINT_CONTINUE);
        ck_assert_int_eq(said("trained on"), 1);
        stint_close(s);
}
END_TEST

START_TEST(an_attach_that_was_refused_stands_until_the_name_is_attached_or_detached)
{
        static double loss;
        struct stint *s = begin();

        ck_assert_int_eq(stint_attach(s, "loss", STINT_SCALAR(NULL, STINT_F64)), -1);
        ck_assert_int_eq(stint_attach(s, "model", STINT_SCALAR(&loss, STINT_F64)), -1);
        ck_assert_int_eq(said("stint_attach refused 'loss': tensor 'loss' has 8 bytes"), 1);
        ck_assert_int_eq(said("stint_attach refused 'model'"), 1);
        fake_want(&agent, 0);
        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        fake_await(&agent, &agent.declined, 1);
        ck_assert_ptr_nonnull(strstr(agent.declined_text, "'loss'"));
        ck_assert_int_eq(stint_attach(s, "loss", STINT_SCALAR(&loss, STINT_F64)), 0);
        ck_assert_int_eq(stint_save(s, 2), -1); /* the other one stands */
        ck_assert_ptr_nonnull(strstr(stint_why(s), "'model'"));
        ck_assert_int_eq(stint_detach(s, "model"), 0);
        ck_assert_int_eq(stint_detach(s, "model"), -1);
        ck_assert_int_eq(stint_save(s, 3), STINT_SAVED);
        ck_assert_int_eq(stint_complete(s), 0);
        stint_close(s);
}
END_TEST

START_TEST(nothing_is_complete_without_a_tensor_that_was_refused)
{
        struct stint *s = begin();

        ck_assert_int_eq(stint_save(s, 1), STINT_SAVED);
        ck_assert_int_eq(stint_attach(s, "data//position", STINT_OBJECT(&weights)), -1);
        ck_assert_int_eq(stint_complete(s), -1);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "data//position"));
        ck_assert_int_eq(agent.completes, 0);
        stint_close(s);
}
END_TEST

START_TEST(an_attach_that_was_refused_fails_the_restore)
{
        struct stint *s = open_one(); /* with nothing to restore */

        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        stint_attach(s, "model/w/bias", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert_int_eq(s->why.code, EEXIST);
        ck_assert_ptr_nonnull(strstr(stint_why(s), "model/w/bias"));
        ck_assert_int_eq(stint_save(s, 1), -1);
        stint_close(s);
        fake_await(&agent, &agent.byes, 1);
        agent.byes = 0;

        run_to(7);
        s = open_one();
        stint_attach(s, "model/w/bias", STINT_ARRAY(NULL, STINT_F32, 1000));
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert(weights[1] == 0);
        fake_await(&agent, &agent.restores_done, 1);
        ck_assert_int_eq(agent.restore_code, EINVAL);
        stint_close(s);
}
END_TEST

START_TEST(a_late_attach_that_does_not_fit_is_not_trained_over)
{
        struct stint *s;

        run_to(7);
        s = open_one();
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert_int_eq(stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 999)), -1);
        ck_assert_int_eq(s->why.code, EPROTO);
        ck_assert_int_eq(stint_save(s, 8), -1);
        ck_assert_int_eq(stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000)), STINT_RESTORED);
        ck_assert(trained_to(7));
        ck_assert_int_eq(stint_save(s, 9), STINT_SAVED);
        stint_close(s);
}
END_TEST

START_TEST(what_is_carried_along_is_named_at_the_end)
{
        static const char *const names[] = { "a", "b", "c", "d", "e" };
        static int values[5];
        struct stint *s = open_one();
        int i;

        for (i = 0; i < 5; i++)
                stint_attach(s, names[i], STINT_OBJECT(&values[i]));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_FRESH);
        ck_assert_int_eq(stint_save(s, 1), STINT_SAVED);
        stint_close(s);

        s = open_one();
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        ck_assert_int_eq(stint_attach(s, "b", STINT_OBJECT(&values[1])), STINT_RESTORED);
        stint_close(s);
        ck_assert_int_eq(said("carry along: 'a', 'c', 'd' and 1 more\n"), 1);

        s = open_one();
        for (i = 1; i < 5; i++)
                stint_attach(s, names[i], STINT_OBJECT(&values[i]));
        ck_assert_int_eq(stint_restore(s, NULL), STINT_RESTORED);
        stint_close(s);
        ck_assert_int_eq(said("carry along: 'a'\n"), 1);
}
END_TEST

START_TEST(the_time_left_is_what_the_agent_says)
{
        struct stint *s = begin();

        agent.at[0].page->deadline_ns = clock_now() + 100 * CLOCK_SECOND;
        ck_assert(stint_time_left(s) > 90 && stint_time_left(s) < 101);
        agent.at[0].page->trigger_ns = clock_now() + 50 * CLOCK_SECOND;
        ck_assert(stint_time_left(s) > 40 && stint_time_left(s) < 51);
        ck_assert_int_eq(stint_fits(s, 60), 0);
        ck_assert_int_eq(stint_fits(s, 10), 1);
        stint_close(s);
}
END_TEST

START_TEST(a_copy_that_fails_is_told_to_both_sides)
{
        struct stint *s = begin();

        fake_set("STINT_FAULT", "snapshot.mid_copy:fail=EIO@1");
        fault_reset();
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 1), -1);
        fake_await(&agent, &agent.declined, 1);
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 2), STINT_STOP);
        stint_close(s);
}
END_TEST

START_TEST(another_attempt_at_a_final_save_may_succeed)
{
        struct stint *s = begin();

        fake_set("STINT_FAULT", "snapshot.mid_copy:fail=EIO@1");
        fault_reset();
        agent.retry = 1;
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 1), STINT_STOP);
        ck_assert_int_eq(agent.landed_step, 1);
        stint_close(s);
}
END_TEST

START_TEST(another_attempt_is_answered_also_by_a_program_that_cannot_save)
{
        struct stint *s = open_one();

        agent.retry = 1;
        ck_assert_int_eq(stint_restore(s, NULL), STINT_FRESH);
        fake_want(&agent, 1);
        ck_assert_int_eq(stint_step(s, 1), STINT_CONTINUE); /* nothing is attached */
        fake_await(&agent, &agent.declined, 1);
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_step(s, 2), STINT_STOP);
        ck_assert_int_eq(agent.landed_step, 2);
        stint_close(s);
}
END_TEST

START_TEST(a_restore_that_fails_before_the_copy_changes_nothing)
{
        struct stint *s;

        run_to(7);
        fake_set("STINT_FAULT", "restore.before_copy:fail=EIO");
        fault_reset();
        s = open_one();
        stint_attach(s, "model/w", STINT_ARRAY(weights, STINT_F32, 1000));
        ck_assert_int_eq(stint_restore(s, NULL), -1);
        ck_assert(weights[10] == 0);
        stint_close(s);
}
END_TEST

START_TEST(a_snapshot_waits_until_the_one_before_is_written)
{
        struct stint *s = begin();

        agent.hold_results = 1;
        fake_want(&agent, 0);
        ck_assert_int_eq(step(s, 1), STINT_SAVED);
        fake_await(&agent, &agent.snapshots, 1);
        ck_assert_uint_eq(snapshot_flying(&s->snapshot), 1);
        agent.hold_results = 0;
        pthread_mutex_lock(&agent.lock);
        fake_conclude(&agent);
        pthread_mutex_unlock(&agent.lock);
        fake_want(&agent, 1);
        ck_assert_int_eq(step(s, 2), STINT_STOP);
        stint_close(s);
}
END_TEST

START_TEST(a_forked_child_has_no_part_in_it)
{
        struct stint *s = begin();
        int status;
        pid_t pid;

        ck_assert_int_eq(step(s, 1), STINT_CONTINUE);
        fake_want(&agent, 0);
        pid = fork();
        if (pid == 0) {
                int wrong = stint_poll(s) + (stint_step(s, 2) != STINT_CONTINUE) + (stint_save(s, 3) != -1) +
                            session_usable(&s->session);

                stint_close(s);
                _exit(wrong);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
        ck_assert_int_eq(agent.snapshots, 0);
        ck_assert_int_eq(step(s, 2), STINT_SAVED);
        stint_close(s);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "all");

        tcase_add_checked_fixture(all, setup, teardown);
        tcase_add_test(all, nothing_to_do_goes_on);
        tcase_add_test(all, a_wanted_save_is_taken_once_at_the_next_safe_point);
        tcase_add_test(all, a_final_save_stops_training_when_it_landed);
        tcase_add_test(all, a_final_save_that_does_not_land_lets_training_go_on);
        tcase_add_test(all, what_was_saved_is_put_back);
        tcase_add_test(all, a_restored_state_is_not_written_again);
        tcase_add_test(all, a_restore_that_does_not_fit_names_the_tensor_and_copies_nothing);
        tcase_add_test(all, a_tensor_may_be_missing_where_the_program_allows_it);
        tcase_add_test(all, a_tensor_nobody_attached_is_carried_along_until_it_is);
        tcase_add_test(all, checkpoints_that_cannot_be_used_are_no_fresh_start);
        tcase_add_test(all, a_program_that_never_restores_saves_only_where_there_is_nothing_to_lose);
        tcase_add_test(all, a_new_address_is_no_new_layout_and_a_new_shape_is);
        tcase_add_test(all, a_save_of_the_programs_own_waits_until_it_landed);
        tcase_add_test(all, a_better_metric_saves_and_a_worse_one_does_not);
        tcase_add_test(all, the_best_of_earlier_stints_is_the_one_to_beat);
        tcase_add_test(all, completing_saves_the_last_state_unless_it_has_landed);
        tcase_add_test(all, a_save_asked_for_while_the_run_is_being_marked_done_is_answered);
        tcase_add_test(all, memory_of_a_device_is_saved_and_restored_by_copies);
        tcase_add_test(all, training_is_not_complete_when_its_last_state_did_not_land);
        tcase_add_test(all, a_restored_state_may_be_complete_as_it_is);
        tcase_add_test(all, training_goes_on_while_the_agent_is_gone_and_saves_when_it_is_back);
        tcase_add_test(all, an_agent_lost_during_a_final_save_may_come_back_and_ask_again);
        tcase_add_test(all, without_an_agent_training_goes_on_and_one_line_says_so);
        tcase_add_test(all, no_handle_means_no_stint);
        tcase_add_test(all, steps_only_grow);
        tcase_add_test(all, steps_counted_from_the_beginning_again_are_not_complete);
        tcase_add_test(all, a_program_that_trains_on_after_its_stint_is_told_once);
        tcase_add_test(all, an_attach_that_was_refused_stands_until_the_name_is_attached_or_detached);
        tcase_add_test(all, nothing_is_complete_without_a_tensor_that_was_refused);
        tcase_add_test(all, an_attach_that_was_refused_fails_the_restore);
        tcase_add_test(all, a_late_attach_that_does_not_fit_is_not_trained_over);
        tcase_add_test(all, what_is_carried_along_is_named_at_the_end);
        tcase_add_test(all, the_time_left_is_what_the_agent_says);
        tcase_add_test(all, a_copy_that_fails_is_told_to_both_sides);
        tcase_add_test(all, another_attempt_at_a_final_save_may_succeed);
        tcase_add_test(all, another_attempt_is_answered_also_by_a_program_that_cannot_save);
        tcase_add_test(all, a_restore_that_fails_before_the_copy_changes_nothing);
        tcase_add_test(all, a_snapshot_waits_until_the_one_before_is_written);
        tcase_add_test(all, a_forked_child_has_no_part_in_it);
}

SUITE_MAIN("safepoint", add_tests)
