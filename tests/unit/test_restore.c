/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_restore: what stint_restore() gives a program, and what it leaves alone. */
#include "suite.h"
#include "training.h"

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

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "restore");

        tcase_add_checked_fixture(all, setup, teardown);
        tcase_add_test(all, what_was_saved_is_put_back);
        tcase_add_test(all, a_restored_state_is_not_written_again);
        tcase_add_test(all, a_restore_that_does_not_fit_names_the_tensor_and_copies_nothing);
        tcase_add_test(all, checkpoints_that_cannot_be_used_are_no_fresh_start);
        tcase_add_test(all, a_program_that_never_restores_saves_only_where_there_is_nothing_to_lose);
        tcase_add_test(all, memory_of_a_device_is_saved_and_restored_by_copies);
        tcase_add_test(all, a_restore_that_fails_before_the_copy_changes_nothing);
}

SUITE_MAIN("restore", add_tests)
