/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_agent_save: what the real stint-agent says, to whom, and does with the program's snapshot from RUN_SAVE to RUN_RESULT.
 * Two saves at a time are in test_agent_images.
 */
#include "agent_talk.h"
#include "suite.h"

START_TEST(a_save_is_asked_for_written_sealed_and_its_result_heard)
{
        const struct wire_agent_sealed *sealed;
        const struct wire_result *heard_result;
        char part[RUNDIR_NAME], name[RUNDIR_NAME], path[512];
        struct program p;
        struct seal seal;
        struct stint_error err;

        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        ask_save(7, 1, SAVE_INTERVAL);
        wake_up(&p, 7, 0);
        snapshot(&p, 7, 1200, 0);
        sealed = heard(WIRE_AGENT_SEALED);
        ck_assert_uint_eq(sealed->save_id, 7);
        ck_assert_uint_eq(sealed->attempt, 1);
        ck_assert_int_eq(sealed->checkpoint_step, 1200);
        ck_assert_uint_eq(sealed->file_bytes, p.staging.image_bytes);
        ck_assert_int_eq(sealed->delay_ns, 11);
        ck_assert_int_gt(sealed->write_ns, 0);
        read_seal(&seal, 1200, 0, 1);
        ck_assert_str_eq(seal.run_id, RUN_ID);
        ck_assert_uint_eq(seal.lineage, 2);
        ck_assert_uint_eq(seal.stint, 3);
        ck_assert_str_eq(seal.metrics[0].name, "loss");
        ck_assert_uint_eq(seal.state_bytes, sealed->state_bytes);
        snprintf(path, sizeof path, "%s/%s/%s", checkpoints, rundir_part(part, 1200, 3), rundir_rank_file(name, 0, 1));
        ck_assert_msg(image_check_file(path, &seal, NULL, NULL, &err) == 0, "%s", err.text);
        result(7, 1);
        heard_result = program_heard(&p, WIRE_RESULT);
        ck_assert_uint_eq(heard_result->save_id, 7);
        ck_assert_uint_eq(heard_result->landed, 1);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(an_unchanged_state_is_sealed_without_a_file)
{
        const struct wire_agent_sealed *sealed;
        struct program p;

        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        ask_save(1, 1, SAVE_LIMIT);
        wake_up(&p, 1, 1);
        snapshot(&p, 1, 5, SNAPSHOT_UNCHANGED);
        sealed = heard(WIRE_AGENT_SEALED);
        ck_assert_uint_eq(sealed->flags, SNAPSHOT_UNCHANGED);
        ck_assert_int_eq(access(checkpoints, F_OK), -1);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

/* The part of the first attempt is removed by `stint run`; the program is not asked again, and may even be gone. */
START_TEST(a_second_attempt_writes_what_is_in_staging_even_when_the_program_is_gone)
{
        const struct wire_agent_save_failed *failed;
        const struct wire_agent_sealed *sealed;
        struct program p;

        start_agent_with("save.mid_write:fail=ENOSPC");
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        ask_save(4, 1, SAVE_LIMIT);
        wake_up(&p, 4, 1);
        snapshot(&p, 4, 9, 0);
        failed = heard(WIRE_AGENT_SAVE_FAILED);
        ck_assert_int_eq(failed->code, ENOSPC);
        ck_assert_int_eq(failed->checkpoint_step, 9);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(durable_remove_tree(checkpoints, NULL), 0);
        ask_save(4, 2, SAVE_LIMIT);
        sealed = heard(WIRE_AGENT_SEALED);
        ck_assert_uint_eq(sealed->attempt, 2);
        ck_assert_int_eq(sealed->step, 9);
        result(4, 1);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(a_second_attempt_asks_a_program_again_that_could_not_copy)
{
        struct wire_snapshot_failed cannot = { .save_id = 2, .code = EIO, .step = 3 };
        const struct wire_agent_save_failed *failed;
        struct program p;

        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        ask_save(2, 1, SAVE_LIMIT);
        wake_up(&p, 2, 1);
        WIRE_INIT(&cannot, WIRE_SNAPSHOT_FAILED);
        strcpy(cannot.text, "the device is gone");
        program_says(&p, &cannot, -1);
        failed = heard(WIRE_AGENT_SAVE_FAILED);
        ck_assert_str_eq(failed->text, "the device is gone");
        ck_assert_int_eq(failed->checkpoint_step, -1);
        ask_save(2, 2, SAVE_LIMIT);
        wake_up(&p, 2, 1);
        snapshot(&p, 2, 4, 0);
        ck_assert_uint_eq(((const struct wire_agent_sealed *)heard(WIRE_AGENT_SEALED))->attempt, 2);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(a_program_that_ends_before_its_safe_point_fails_the_save)
{
        const struct wire_agent_save_failed *failed;
        const struct wire_agent_gone *gone;
        struct program p;

        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        ask_save(1, 1, SAVE_INTERVAL);
        wake_up(&p, 1, 0);
        atomic_store(&p.page->step, 41);
        close_program(&p);
        failed = heard(WIRE_AGENT_SAVE_FAILED);
        ck_assert_str_eq(failed->text, "the program ended before its safe point");
        gone = heard(WIRE_AGENT_GONE);
        ck_assert_uint_eq(gone->clean, 0);
        ck_assert_int_eq(gone->step, 41);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(a_snapshot_that_comes_after_its_save_was_given_up_is_not_written)
{
        const struct wire_result *r;
        struct program p;

        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        ask_save(1, 1, SAVE_INTERVAL);
        wake_up(&p, 1, 0);
        result(1, 0);
        program_heard(&p, WIRE_RESULT);
        snapshot(&p, 1, 50, 0);
        r = program_heard(&p, WIRE_RESULT);
        ck_assert_uint_eq(r->save_id, 1);
        ck_assert_uint_eq(r->landed, 0);
        ck_assert_int_eq(access(checkpoints, F_OK), -1);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "agent_save");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, a_save_is_asked_for_written_sealed_and_its_result_heard);
        tcase_add_test(all, an_unchanged_state_is_sealed_without_a_file);
        tcase_add_test(all, a_second_attempt_writes_what_is_in_staging_even_when_the_program_is_gone);
        tcase_add_test(all, a_second_attempt_asks_a_program_again_that_could_not_copy);
        tcase_add_test(all, a_program_that_ends_before_its_safe_point_fails_the_save);
        tcase_add_test(all, a_snapshot_that_comes_after_its_save_was_given_up_is_not_written);
}

int main(void)
{
        signal(SIGPIPE, SIG_IGN);
        return suite_run("agent_save", add_tests);
}
