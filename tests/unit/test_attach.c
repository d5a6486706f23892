/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_attach: what a program attaches, again, late, not at all, or so that it is refused. */
#include <fcntl.h>
#include "suite.h"
#include "training.h"

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

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "attach");

        tcase_add_checked_fixture(all, setup, teardown);
        tcase_add_test(all, a_tensor_may_be_missing_where_the_program_allows_it);
        tcase_add_test(all, a_tensor_nobody_attached_is_carried_along_until_it_is);
        tcase_add_test(all, a_new_address_is_no_new_layout_and_a_new_shape_is);
        tcase_add_test(all, an_attach_that_was_refused_stands_until_the_name_is_attached_or_detached);
        tcase_add_test(all, an_attach_that_was_refused_fails_the_restore);
        tcase_add_test(all, a_late_attach_that_does_not_fit_is_not_trained_over);
}

SUITE_MAIN("attach", add_tests)
