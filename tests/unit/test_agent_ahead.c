/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_agent_ahead: a checkpoint that the real stint-agent reads before its program asks for it. */
#include "agent_restores.h"
#include "suite.h"

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

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "agent_ahead");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, what_was_read_ahead_is_handed_over_without_the_disk);
        tcase_add_test(all, a_program_that_takes_it_is_shown_what_was_read_ahead);
        tcase_add_test(all, what_cannot_be_read_ahead_is_read_when_it_is_asked_for);
        tcase_add_test(all, damage_is_told_before_anybody_asks);
}

int main(void)
{
        signal(SIGPIPE, SIG_IGN);
        return suite_run("agent_ahead", add_tests);
}
