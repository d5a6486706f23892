/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_agent: the real stint-agent, started with pipes for `stint run` and spoken to by programs: who is let in, what a save
 * and a restore say to whom, and that it ends when its stdin does.
 */
#include "agent_talk.h"
#include "suite.h"
#include "window.h"

/* ---- a save ------------------------------------------------------------------------------------------------------- */

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

/* ---- a restore ---------------------------------------------------------------------------------------------------- */

static void save_whole(struct program *p, uint32_t save_id, int64_t step, struct seal *seal)
{
        ask_save(save_id, 1, SAVE_INTERVAL);
        wake_up(p, save_id, 0);
        snapshot(p, save_id, step, 0);
        heard(WIRE_AGENT_SEALED);
        read_seal(seal, step, 0, 1);
        commit(step);
        result(save_id, 1);
        program_heard(p, WIRE_RESULT);
}

static void order_restore(enum restore_status status, int64_t step, const struct seal *seal)
{
        struct wire_run_restore m = { .rank = 0, .status = status, .ranks = 1, .checkpoint_step = step };

        WIRE_INIT(&m, WIRE_RUN_RESTORE);
        if (seal) {
                m.file_bytes = seal->file_bytes;
                m.root = seal->root;
                rundir_whole(m.checkpoint, step);
        }
        tell_agent(&m);
}

static void ask_restore(struct program *p)
{
        struct wire_restore m = { .which = RESTORE_NEWEST };
        const struct wire_agent_restore_ask *ask;

        WIRE_INIT(&m, WIRE_RESTORE);
        program_says(p, &m, -1);
        ask = heard(WIRE_AGENT_RESTORE_ASK);
        ck_assert_int_eq(ask->rank, 0);
        ck_assert_uint_eq(ask->ranks, 1);
}

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

static void order_prefetch(int64_t step, const struct seal *seal)
{
        struct wire_run_prefetch m = { .rank = 0, .ranks = 1, .checkpoint_step = step };

        WIRE_INIT(&m, WIRE_RUN_PREFETCH);
        m.file_bytes = seal->file_bytes;
        m.root = seal->root;
        rundir_whole(m.checkpoint, step);
        tell_agent(&m);
}

static void rename_checkpoint(int64_t step, int64_t to)
{
        char name[RUNDIR_NAME], from_path[512], to_path[512];

        snprintf(from_path, sizeof from_path, "%s/%s", checkpoints, rundir_whole(name, step));
        snprintf(to_path, sizeof to_path, "%s/%s", checkpoints, rundir_whole(name, to));
        ck_assert_int_eq(rename(from_path, to_path), 0);
}

/* The file is not there any more when the program asks, so it cannot have been read then. */
START_TEST(what_was_read_ahead_is_handed_over_without_the_disk)
{
        struct wire_run_use use = { .rank = 0 };
        const struct wire_agent_prefetched *ahead;
        const struct wire_agent_restore_read *report;
        const struct wire_restore_image *image;
        unsigned char *bytes;
        struct program p;
        struct seal seal;

        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        save_whole(&p, 1, 77, &seal);
        order_prefetch(77, &seal);
        ahead = heard(WIRE_AGENT_PREFETCHED);
        ck_assert_msg(ahead->code == 0, "%s", ahead->text);
        ck_assert_str_eq(ahead->checkpoint, "step-000000000077");
        rename_checkpoint(77, 78);
        ask_restore(&p);
        order_restore(RESTORE_IMAGE, 77, &seal);
        report = heard(WIRE_AGENT_RESTORE_READ);
        ck_assert_msg(report->code == 0, "%s", report->text);
        ck_assert_uint_eq(report->from, RESTORE_FROM_DISK);
        ck_assert_uint_eq(report->ahead, 1);
        ck_assert_uint_eq(report->bytes, seal.file_bytes);
        WIRE_INIT(&use, WIRE_RUN_USE);
        tell_agent(&use);
        image = program_heard(&p, WIRE_RESTORE_IMAGE);
        bytes = mmap(NULL, image->image_bytes, PROT_READ, MAP_SHARED, p.received, 0);
        close(p.received);
        ck_assert_mem_eq(bytes, p.image, image->image_bytes);
        munmap(bytes, image->image_bytes);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(a_program_that_takes_it_is_shown_what_was_read_ahead)
{
        struct wire_run_use use = { .rank = 0 };
        const struct wire_image_ahead *ahead;
        struct stat shown, given;
        struct program p;
        struct seal seal;

        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        save_whole(&p, 1, 77, &seal);
        order_prefetch(77, &seal);
        heard(WIRE_AGENT_PREFETCHED);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        takes = HELLO_TAKES_AHEAD;
        connect_program(&p, 0, 1);
        takes = 0;
        ahead = program_heard(&p, WIRE_IMAGE_AHEAD);
        ck_assert_uint_eq(ahead->image_bytes, seal.file_bytes);
        ck_assert_int_eq(channel_memory_check(p.received, seal.file_bytes, NULL), 0);
        ck_assert_int_eq(fstat(p.received, &shown), 0);
        close(p.received);
        ask_restore(&p);
        order_restore(RESTORE_IMAGE, 77, &seal);
        heard(WIRE_AGENT_RESTORE_READ);
        WIRE_INIT(&use, WIRE_RUN_USE);
        tell_agent(&use);
        program_heard(&p, WIRE_RESTORE_IMAGE);
        ck_assert_int_eq(fstat(p.received, &given), 0);
        close(p.received);
        ck_assert_uint_eq(shown.st_ino, given.st_ino);
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

START_TEST(what_cannot_be_read_ahead_is_read_when_it_is_asked_for)
{
        const struct wire_agent_prefetched *ahead;
        const struct wire_agent_restore_read *report;
        struct program p;
        struct seal seal;

        start_agent_with("restore.mid_read:fail=EIO");
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        save_whole(&p, 1, 77, &seal);
        order_prefetch(77, &seal);
        ahead = heard(WIRE_AGENT_PREFETCHED);
        ck_assert_int_eq(ahead->code, EIO);
        ask_restore(&p);
        order_restore(RESTORE_IMAGE, 77, &seal);
        report = heard(WIRE_AGENT_RESTORE_READ);
        ck_assert_int_eq(report->code, 0);
        ck_assert_uint_eq(report->ahead, 0);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(damage_is_told_before_anybody_asks)
{
        const struct wire_agent_prefetched *ahead;
        struct program p;
        struct seal seal;

        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        save_whole(&p, 1, 77, &seal);
        seal.root++; /* what the manifest says is not what is there */
        order_prefetch(77, &seal);
        ahead = heard(WIRE_AGENT_PREFETCHED);
        ck_assert_int_eq(ahead->code, EBADMSG);
        ck_assert_str_ne(ahead->text, "");
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

/* ---- who is let in ------------------------------------------------------------------------------------------------ */

static void must_be_refused(int32_t rank, int32_t ranks, int code)
{
        const struct wire_refused *refused;
        struct program p;

        say_hello(&p, rank, ranks);
        refused = program_heard(&p, WIRE_REFUSED);
        ck_assert_int_eq(refused->code, code);
        ck_assert_str_ne(refused->text, "");
        close(p.fd);
}

START_TEST(a_rank_is_let_in_once_and_ranks_that_cannot_be_never)
{
        struct wire_bye bye = { .step = 8, .stopped = 1 };
        const struct wire_agent_gone *gone;
        struct program p;

        start_agent();
        connect_program(&p, 1, 2);
        must_be_refused(1, 2, EEXIST);
        must_be_refused(0, 3, EINVAL);
        must_be_refused(2, 2, EINVAL);
        must_be_refused(-1, 2, EINVAL);
        WIRE_INIT(&bye, WIRE_BYE);
        program_says(&p, &bye, -1);
        close_program(&p);
        gone = heard(WIRE_AGENT_GONE);
        ck_assert_uint_eq(gone->clean, 1);
        ck_assert_uint_eq(gone->stopped, 1);
        ck_assert_int_eq(gone->step, 8);
        connect_program(&p, 1, 4);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(a_program_that_does_not_say_hello_is_cut_off)
{
        struct wire_restore m = { .which = RESTORE_NEWEST };
        struct program p = { .fd = -1 };
        int fds[CHANNEL_FDS], n_fds;
        ssize_t n;

        start_agent();
        p.fd = channel_connect(socket_name, NULL, NULL);
        WIRE_INIT(&m, WIRE_RESTORE);
        program_says(&p, &m, -1);
        ck_assert_int_eq(channel_wait(p.fd, PATIENCE_MS * CLOCK_MS), 1);
        n = channel_receive(p.fd, p.bytes, sizeof p.bytes, fds, &n_fds, NULL);
        ck_assert_int_le(n, 0);
        close(p.fd);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(a_layout_that_is_no_layout_is_refused_and_the_program_stays)
{
        struct example_table table = example_new(2, 40);
        struct wire_layout m = { .layout = 1, .record_bytes = table.record_bytes, .count = 2 };
        const struct wire_layout_refused *refused;
        struct program p;
        int fd;

        start_agent();
        connect_program(&p, 0, 1);
        example_add(&table, "same", STINT_F32, 0, NULL);
        example_add(&table, "same", STINT_F32, 0, NULL);
        fd = example_memory(&table);
        WIRE_INIT(&m, WIRE_LAYOUT);
        program_says(&p, &m, fd);
        refused = program_heard(&p, WIRE_LAYOUT_REFUSED);
        ck_assert_uint_eq(refused->layout, 1);
        ck_assert_str_ne(refused->text, "");
        m.count = UINT64_MAX / 100;
        program_says(&p, &m, fd);
        program_heard(&p, WIRE_LAYOUT_REFUSED);
        program_says(&p, &m, -1);
        program_heard(&p, WIRE_LAYOUT_REFUSED);
        close(fd);
        lay_out(&p, 2);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

/* ---- time, signals, the end --------------------------------------------------------------------------------------- */

static void set_deadline(int64_t left_ns, enum deadline_cause cause)
{
        struct wire_run_deadline m = { .left_ns = left_ns, .cause = cause };

        WIRE_INIT(&m, WIRE_RUN_DEADLINE);
        tell_agent(&m);
}

/* The next trigger for this reason, whatever else comes before. */
static const struct wire_agent_trigger *triggered(enum save_reason reason)
{
        const struct wire_agent_trigger *trigger = (const struct wire_agent_trigger *)message;
        const struct wire_header *header = &trigger->header;

        do {
                read_whole(from_agent, message, sizeof *header);
                read_whole(from_agent, message + sizeof *header, header->size - sizeof *header);
        } while (header->type != WIRE_AGENT_TRIGGER || trigger->reason != reason);
        return trigger;
}

START_TEST(the_final_save_is_triggered_a_lead_before_the_deadline)
{
        struct wire_run_measured measured = { .write_ns = CLOCK_SECOND / 2, .saves = 3, .interval_ns = CLOCK_NEVER };
        const struct wire_agent_trigger *trigger;
        int64_t begin_ns, took_ns;
        struct program p;

        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        atomic_store(&p.page->step, 10);
        atomic_store(&p.page->safe_ns, clock_now());
        WIRE_INIT(&measured, WIRE_RUN_MEASURED);
        measured.margin_ns = CLOCK_SECOND / 2;
        measured.mtbf_ns = 24 * 3600 * CLOCK_SECOND;
        tell_agent(&measured);
        for (int i = 0; i < 100; i++)
                histogram_add(&p.page->steps, CLOCK_MS);
        begin_ns = clock_now();
        set_deadline(3 * CLOCK_SECOND, DEADLINE_LIMIT);
        trigger = triggered(SAVE_LIMIT);
        took_ns = clock_now() - begin_ns;
        ck_assert_msg(took_ns > 1500 * CLOCK_MS && took_ns < 2500 * CLOCK_MS, "after %lld ms", (long long)(took_ns / CLOCK_MS));
        ck_assert_int_ge(trigger->lead_ns, CLOCK_SECOND);
        ck_assert_int_le(trigger->lead_ns, trigger->left_ns + 100 * CLOCK_MS);
        ck_assert_int_ne(atomic_load(&p.page->deadline_ns), CLOCK_NEVER);
        close_program(&p);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(a_preemption_is_triggered_at_once)
{
        const struct wire_agent_trigger *trigger;
        struct program p;

        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        set_deadline(60 * CLOCK_SECOND, DEADLINE_PREEMPTED);
        trigger = triggered(SAVE_PREEMPTED);
        ck_assert_int_gt(trigger->left_ns, 50 * CLOCK_SECOND);
        close_program(&p);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(progress_is_reported_while_a_program_is_there)
{
        const struct wire_agent_progress *progress;
        struct program p;

        start_agent();
        connect_program(&p, 0, 1);
        atomic_store(&p.page->step, 5);
        atomic_store(&p.page->safe_ns, clock_now());
        histogram_add(&p.page->steps, 3 * CLOCK_MS);
        read_whole(from_agent, message, sizeof *progress);
        progress = (const struct wire_agent_progress *)message;
        ck_assert_uint_eq(progress->header.type, WIRE_AGENT_PROGRESS);
        ck_assert_int_eq(progress->step, 5);
        ck_assert_uint_eq(progress->steps, 1);
        ck_assert_int_ge(progress->step_p99_ns, 3 * CLOCK_MS);
        ck_assert_int_gt(progress->quiet_ns, 0);
        ck_assert_int_eq(progress->left_ns, CLOCK_NEVER);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

START_TEST(sigterm_is_reported_and_ends_nothing)
{
        struct program p;

        start_agent();
        connect_program(&p, 0, 1);
        kill(agent, SIGINT);
        kill(agent, SIGHUP);
        kill(agent, SIGTERM);
        heard(WIRE_AGENT_TERM);
        lay_out(&p, 1);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
}
END_TEST

/* A seal that is written although `stint run` is gone lets the next stint finish the part. */
START_TEST(at_the_end_of_stdin_programs_are_let_go_and_a_write_in_progress_is_sealed)
{
        struct program p;
        struct seal seal;
        int fds[CHANNEL_FDS], n_fds;
        ssize_t n;

        start_agent_with("save.mid_write:delay=300ms");
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        ask_save(1, 1, SAVE_LIMIT);
        wake_up(&p, 1, 1);
        snapshot(&p, 1, 6, 0);
        /* The agent has taken the snapshot when it answers what came behind it. */
        ask_restore(&p);
        ck_assert_int_eq(end_agent(), 0);
        while ((n = channel_receive(p.fd, p.bytes, sizeof p.bytes, fds, &n_fds, NULL)) > 0) /* another image, maybe */
                while (n_fds > 0)
                        close(fds[--n_fds]);
        ck_assert_int_le(n, 0);
        read_seal(&seal, 6, 0, 1);
        close_program(&p);
}
END_TEST

START_TEST(nonsense_from_stint_run_ends_the_agent_with_125)
{
        struct wire_hello hello = { .rank = 0, .ranks = 1 };
        int status;

        start_agent();
        WIRE_INIT(&hello, WIRE_HELLO);
        tell_agent(&hello);
        ck_assert_int_eq(waitpid(agent, &status, 0), agent);
        agent = 0;
        ck_assert(WIFEXITED(status));
        ck_assert_int_eq(WEXITSTATUS(status), 125);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "agent");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, a_save_is_asked_for_written_sealed_and_its_result_heard);
        tcase_add_test(all, an_unchanged_state_is_sealed_without_a_file);
        tcase_add_test(all, a_second_attempt_writes_what_is_in_staging_even_when_the_program_is_gone);
        tcase_add_test(all, a_second_attempt_asks_a_program_again_that_could_not_copy);
        tcase_add_test(all, a_program_that_ends_before_its_safe_point_fails_the_save);
        tcase_add_test(all, a_snapshot_that_comes_after_its_save_was_given_up_is_not_written);
        tcase_add_test(all, a_restore_hands_over_the_very_bytes_once_every_rank_has_read);
        tcase_add_test(all, a_damaged_checkpoint_is_reported_and_the_next_one_can_be_read);
        tcase_add_test(all, what_was_read_ahead_is_handed_over_without_the_disk);
        tcase_add_test(all, a_program_that_takes_it_is_shown_what_was_read_ahead);
        tcase_add_test(all, a_program_that_takes_a_stream_gets_its_state_while_it_is_read);
        tcase_add_test(all, what_cannot_be_read_ahead_is_read_when_it_is_asked_for);
        tcase_add_test(all, damage_is_told_before_anybody_asks);
        tcase_add_test(all, a_snapshot_that_is_still_in_staging_is_given_without_the_file);
        tcase_add_test(all, staging_that_was_changed_after_the_save_is_not_believed);
        tcase_add_test(all, staging_does_not_hide_that_the_seal_is_damaged);
        tcase_add_test(all, a_fresh_run_is_told_so_with_the_best_metric_there_is);
        tcase_add_test(all, a_rank_is_let_in_once_and_ranks_that_cannot_be_never);
        tcase_add_test(all, a_program_that_does_not_say_hello_is_cut_off);
        tcase_add_test(all, a_layout_that_is_no_layout_is_refused_and_the_program_stays);
        tcase_add_test(all, the_final_save_is_triggered_a_lead_before_the_deadline);
        tcase_add_test(all, a_preemption_is_triggered_at_once);
        tcase_add_test(all, progress_is_reported_while_a_program_is_there);
        tcase_add_test(all, sigterm_is_reported_and_ends_nothing);
        tcase_add_test(all, at_the_end_of_stdin_programs_are_let_go_and_a_write_in_progress_is_sealed);
        tcase_add_test(all, nonsense_from_stint_run_ends_the_agent_with_125);
}

int main(void)
{
        signal(SIGPIPE, SIG_IGN);
        return suite_run("agent", add_tests);
}
