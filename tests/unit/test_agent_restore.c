/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_agent_restore: what the real stint-agent says, to whom, when a program asks for its state: read from the file when it is
 * asked for, streamed, or still in staging.
 */
#include "agent_restores.h"
#include "suite.h"
#include "window.h"

START_TEST(a_restore_hands_over_the_very_bytes_once_every_rank_has_read)
{
        struct wire_run_use use = { .rank = 0, .has_best = 1, .best_value = 0.5, .best_goal = STINT_GOAL_MIN };
        struct wire_restore_done done = { .code = 0, .step = 77 };
        const struct wire_agent_restore_read *read_report;
        const struct wire_restore_image *image;
        unsigned char *bytes;
        struct program p;
        struct seal seal;

        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        save_whole(&p, 1, 77, &seal);
        ask_restore(&p);
        order_restore(RESTORE_IMAGE, 77, &seal);
        read_report = heard(WIRE_AGENT_RESTORE_READ);
        ck_assert_msg(read_report->code == 0, "%s", read_report->text);
        WIRE_INIT(&use, WIRE_RUN_USE);
        strcpy(use.best_name, "loss");
        tell_agent(&use);
        image = program_heard(&p, WIRE_RESTORE_IMAGE);
        ck_assert_uint_eq(image->status, RESTORE_IMAGE);
        ck_assert_int_eq(image->step, 77);
        ck_assert_uint_eq(image->image_bytes, p.staging.image_bytes);
        ck_assert_uint_eq(image->table_offset, p.staging.table_offset);
        ck_assert_str_eq(image->best_name, "loss");
        ck_assert_int_eq(channel_memory_check(p.received, image->image_bytes, NULL), 0);
        bytes = mmap(NULL, image->image_bytes, PROT_READ, MAP_SHARED, p.received, 0);
        close(p.received);
        ck_assert_mem_eq(bytes, p.image, image->image_bytes);
        munmap(bytes, image->image_bytes);
        WIRE_INIT(&done, WIRE_RESTORE_DONE);
        program_says(&p, &done, -1);
        ck_assert_int_eq(((const struct wire_agent_restore_done *)heard(WIRE_AGENT_RESTORE_DONE))->step, 77);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(a_damaged_checkpoint_is_reported_and_the_next_one_can_be_read)
{
        const struct wire_agent_restore_read *report;
        struct program p;
        struct seal first, second;
        char name[RUNDIR_NAME], path[512];
        unsigned char byte;
        int fd;

        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        save_whole(&p, 1, 10, &first);
        save_whole(&p, 2, 20, &second);
        snprintf(path, sizeof path, "%s/step-000000000020/%s", checkpoints, rundir_rank_file(name, 0, 1));
        fd = open(path, O_RDWR);
        ck_assert_int_eq(pread(fd, &byte, 1, (off_t)second.file_bytes / 2), 1);
        byte ^= 4;
        ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)second.file_bytes / 2), 1);
        close(fd);
        ask_restore(&p);
        order_restore(RESTORE_IMAGE, 20, &second);
        report = heard(WIRE_AGENT_RESTORE_READ);
        ck_assert_int_eq(report->code, EBADMSG);
        ck_assert_str_ne(report->text, "");
        order_restore(RESTORE_IMAGE, 10, &first);
        report = heard(WIRE_AGENT_RESTORE_READ);
        ck_assert_int_eq(report->code, 0);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

/* As a program takes what is streamed to it: the bytes of the image, which is smaller than the window. */
static void take_stream(struct program *p, const struct seal *seal)
{
        const struct wire_restore_table *table;
        struct wire_restore_stream stream;
        struct window w;
        unsigned char *bytes;

        table = program_heard(p, WIRE_RESTORE_TABLE);
        ck_assert_uint_eq(table->image_bytes, seal->file_bytes);
        ck_assert_uint_eq(table->count, seal->table_count);
        ck_assert_str_eq(table->checkpoint, "step-000000000077");
        bytes = malloc(table->count * table->record_bytes);
        ck_assert_int_eq(pread(p->received, bytes, table->count * table->record_bytes, 0),
                         (ssize_t)(table->count * table->record_bytes));
        ck_assert_mem_eq(bytes, p->image + p->staging.table_offset, table->count * table->record_bytes);
        free(bytes);
        close(p->received);
        memcpy(&stream, program_heard(p, WIRE_RESTORE_STREAM), sizeof stream);
        ck_assert_int_eq(window_take(&w, p->received, stream.ring_bytes, stream.image_bytes, NULL), 0);
        close(p->received);
        ck_assert_int_eq(window_await_filled(&w, seal->file_bytes, PATIENCE_MS * CLOCK_MS, NULL), 1);
        ck_assert_mem_eq(window_at(&w, 0), p->image, seal->file_bytes);
        window_pass(&w, seal->file_bytes);
        window_fini(&w);
}

START_TEST(a_program_that_takes_a_stream_gets_its_state_while_it_is_read)
{
        struct wire_run_use use = { .rank = 0 };
        const struct wire_agent_restore_read *report;
        const struct wire_restore_image *image;
        struct program p;
        struct seal seal;

        start_agent();
        takes = HELLO_TAKES_STREAM;
        connect_program(&p, 0, 1);
        takes = 0;
        lay_out(&p, 1);
        save_whole(&p, 1, 77, &seal);
        ask_restore(&p);
        order_restore(RESTORE_IMAGE, 77, &seal);
        take_stream(&p, &seal);
        report = heard(WIRE_AGENT_RESTORE_READ);
        ck_assert_msg(report->code == 0, "%s", report->text);
        ck_assert_uint_eq(report->from, RESTORE_FROM_STREAM);
        ck_assert_uint_eq(report->ahead, 0);
        ck_assert_uint_eq(report->bytes, seal.file_bytes);
        WIRE_INIT(&use, WIRE_RUN_USE);
        tell_agent(&use);
        image = program_heard(&p, WIRE_RESTORE_IMAGE);
        ck_assert_uint_eq(image->status, RESTORE_IMAGE);
        ck_assert_uint_eq(image->streamed, 1);
        ck_assert_int_eq(image->step, 77);
        ck_assert_int_eq(p.received, -1);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

/* A program that saved step 77 is gone without a word, and the next one of its rank asks for its state. */
static void follow_after_a_crash(struct program *p, struct seal *seal, int spoil, unsigned char **was)
{
        start_agent();
        connect_program(p, 0, 1);
        lay_out(p, 1);
        save_whole(p, 1, 77, seal);
        *was = malloc(seal->file_bytes);
        memcpy(*was, p->image, seal->file_bytes);
        if (spoil)
                p->image[p->staging.image_bytes / 2] ^= 1;
        close_program(p);
        ck_assert_uint_eq(((const struct wire_agent_gone *)heard(WIRE_AGENT_GONE))->clean, 0);
        connect_program(p, 0, 1);
        ask_restore(p);
}

static void is_given(struct program *p, const struct seal *seal, const unsigned char *was)
{
        struct wire_run_use use = { .rank = 0 };
        const struct wire_restore_image *image;
        unsigned char *bytes;

        WIRE_INIT(&use, WIRE_RUN_USE);
        tell_agent(&use);
        image = program_heard(p, WIRE_RESTORE_IMAGE);
        ck_assert_uint_eq(image->image_bytes, seal->file_bytes);
        bytes = mmap(NULL, image->image_bytes, PROT_READ, MAP_SHARED, p->received, 0);
        close(p->received);
        ck_assert_mem_eq(bytes, was, seal->file_bytes);
        munmap(bytes, image->image_bytes);
}

static void remove_file(int64_t step)
{
        char name[RUNDIR_NAME], file[RUNDIR_NAME], path[512];

        snprintf(path, sizeof path, "%s/%s/%s", checkpoints, rundir_whole(name, step), rundir_rank_file(file, 0, 1));
        ck_assert_int_eq(unlink(path), 0);
}

START_TEST(a_snapshot_that_is_still_in_staging_is_given_without_the_file)
{
        const struct wire_agent_restore_read *report;
        struct wire_restore_done done = { .step = 77 };
        unsigned char *was;
        struct program p;
        struct seal seal;

        follow_after_a_crash(&p, &seal, 0, &was);
        remove_file(77);
        order_restore(RESTORE_IMAGE, 77, &seal);
        report = heard(WIRE_AGENT_RESTORE_READ);
        ck_assert_msg(report->code == 0, "%s", report->text);
        ck_assert_uint_eq(report->from, RESTORE_FROM_STAGING);
        is_given(&p, &seal, was);
        WIRE_INIT(&done, WIRE_RESTORE_DONE);
        program_says(&p, &done, -1);
        heard(WIRE_AGENT_RESTORE_DONE);
        lay_out(&p, 1); /* makes staging of its own */
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
        free(was);
}
END_TEST

START_TEST(staging_that_was_changed_after_the_save_is_not_believed)
{
        const struct wire_agent_restore_read *report;
        unsigned char *was;
        struct program p;
        struct seal seal;

        follow_after_a_crash(&p, &seal, 1, &was);
        order_restore(RESTORE_IMAGE, 77, &seal);
        report = heard(WIRE_AGENT_RESTORE_READ);
        ck_assert_msg(report->code == 0, "%s", report->text);
        ck_assert_uint_eq(report->from, RESTORE_FROM_DISK);
        is_given(&p, &seal, was);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
        free(was);
}
END_TEST

START_TEST(staging_does_not_hide_that_the_seal_is_damaged)
{
        char name[RUNDIR_NAME], file[RUNDIR_NAME], path[512];
        unsigned char *was;
        struct program p;
        struct seal seal;

        follow_after_a_crash(&p, &seal, 0, &was);
        snprintf(path, sizeof path, "%s/%s/%s", checkpoints, rundir_whole(name, 77), rundir_rank_seal(file, 0, 1));
        ck_assert_int_eq(truncate(path, 100), 0);
        order_restore(RESTORE_IMAGE, 77, &seal);
        ck_assert_int_eq(((const struct wire_agent_restore_read *)heard(WIRE_AGENT_RESTORE_READ))->code, EBADMSG);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
        free(was);
}
END_TEST

START_TEST(a_fresh_run_is_told_so_with_the_best_metric_there_is)
{
        struct wire_run_best best = { .goal = STINT_GOAL_MAX, .value = 2.5 };
        const struct wire_restore_image *image;
        struct program p;

        start_agent();
        connect_program(&p, 0, 1);
        WIRE_INIT(&best, WIRE_RUN_BEST);
        strcpy(best.name, "accuracy");
        tell_agent(&best);
        ask_restore(&p);
        order_restore(RESTORE_FRESH, 0, NULL);
        image = program_heard(&p, WIRE_RESTORE_IMAGE);
        ck_assert_uint_eq(image->status, RESTORE_FRESH);
        ck_assert_int_eq(p.received, -1);
        ck_assert_str_eq(image->best_name, "accuracy");
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "agent_restore");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, a_restore_hands_over_the_very_bytes_once_every_rank_has_read);
        tcase_add_test(all, a_damaged_checkpoint_is_reported_and_the_next_one_can_be_read);
        tcase_add_test(all, a_program_that_takes_a_stream_gets_its_state_while_it_is_read);
        tcase_add_test(all, a_snapshot_that_is_still_in_staging_is_given_without_the_file);
        tcase_add_test(all, staging_that_was_changed_after_the_save_is_not_believed);
        tcase_add_test(all, staging_does_not_hide_that_the_seal_is_damaged);
        tcase_add_test(all, a_fresh_run_is_told_so_with_the_best_metric_there_is);
}

int main(void)
{
        signal(SIGPIPE, SIG_IGN);
        return suite_run("agent_restore", add_tests);
}
