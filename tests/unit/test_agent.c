/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_agent: the real stint-agent, started with pipes for `stint run` and spoken to by programs: who is let in, when a save
 * is triggered, what signals do, and that it ends when its stdin does.
 */
#include "agent_restores.h"
#include "suite.h"

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

/* A program that will tell its devices, and has been let in. */
static void let_in(struct program *p, int32_t rank)
{
        const struct wire_welcome *welcome;

        takes = HELLO_TELLS_DEVICES;
        say_hello(p, rank, 2);
        takes = 0;
        welcome = program_heard(p, WIRE_WELCOME);
        ck_assert_uint_ne(welcome->takes & WELCOME_TAKES_DEVICES, 0);
        close(p->received);
}

START_TEST(what_a_rank_sees_is_told_before_the_rank_is)
{
        struct wire_devices m = { .rank = 77, .count = 1, .certainty = 1, .driver = "535", .uuids = "GPU-1" };
        struct wire_ask_save ask = { .reason = SAVE_PROGRAM };
        const struct wire_devices *told;
        struct program first, second;

        start_agent();
        let_in(&first, 0);
        WIRE_INIT(&m, WIRE_DEVICES);
        program_says(&first, &m, -1);
        told = heard(WIRE_AGENT_DEVICES);
        ck_assert_int_eq(told->rank, 0);
        ck_assert_int_eq(told->ranks, 2);
        ck_assert_uint_eq(told->count, 1);
        ck_assert_str_eq(told->uuids, "GPU-1");
        ck_assert_int_eq(((const struct wire_agent_rank *)heard(WIRE_AGENT_RANK))->rank, 0);
        /* Another one says something else first: the rank is told of, and its devices come too late. */
        let_in(&second, 1);
        WIRE_INIT(&ask, WIRE_ASK_SAVE);
        program_says(&second, &ask, -1);
        ck_assert_int_eq(((const struct wire_agent_rank *)heard(WIRE_AGENT_RANK))->rank, 1);
        heard(WIRE_AGENT_ASK_SAVE);
        program_says(&second, &m, -1);
        ck_assert_int_eq(((const struct wire_agent_gone *)heard(WIRE_AGENT_GONE))->rank, 1);
        close(first.fd);
        close(second.fd);
        heard(WIRE_AGENT_GONE);
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

static void save_once(struct program *p, int64_t step)
{
        struct wire_run_result landed = { .save_id = 1, .landed = 1, .step = step, .rank = -1 };

        ask_save(1, 1, SAVE_CALIBRATE);
        wake_up(p, 1, 0);
        snapshot(p, 1, step, 0);
        heard(WIRE_AGENT_SEALED);
        WIRE_INIT(&landed, WIRE_RUN_RESULT);
        tell_agent(&landed);
        program_heard(p, WIRE_RESULT);
}

/* A requeue ends the batch script first, and tells the steps of the job one by one. */
START_TEST(a_task_waits_for_the_sigterm_that_follows_the_end_of_its_line)
{
        struct program p;
        struct seal seal;

        armoured = 1;
        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        save_once(&p, 6);
        close(to_agent);
        to_agent = -1;
        /* When it has answered twice, it has seen the end of the line. */
        must_be_refused(0, 1, EEXIST);
        must_be_refused(0, 1, EEXIST);
        kill(agent, SIGTERM);
        wake_up(&p, 2, 0);
        snapshot(&p, 2, 9, 0);
        ck_assert_int_eq(end_agent(), 0);
        read_seal(&seal, 9, 0, 1);
        close_program(&p);
}
END_TEST

START_TEST(a_task_whose_programs_are_gone_waits_for_nothing)
{
        struct program p;

        armoured = 1;
        start_agent();
        connect_program(&p, 0, 1);
        lay_out(&p, 1);
        save_once(&p, 6);
        close_program(&p);
        heard(WIRE_AGENT_GONE);
        ck_assert_int_eq(end_agent(), 0);
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
        tcase_add_test(all, a_rank_is_let_in_once_and_ranks_that_cannot_be_never);
        tcase_add_test(all, a_program_that_does_not_say_hello_is_cut_off);
        tcase_add_test(all, what_a_rank_sees_is_told_before_the_rank_is);
        tcase_add_test(all, a_layout_that_is_no_layout_is_refused_and_the_program_stays);
        tcase_add_test(all, the_final_save_is_triggered_a_lead_before_the_deadline);
        tcase_add_test(all, a_preemption_is_triggered_at_once);
        tcase_add_test(all, progress_is_reported_while_a_program_is_there);
        tcase_add_test(all, sigterm_is_reported_and_ends_nothing);
        tcase_add_test(all, at_the_end_of_stdin_programs_are_let_go_and_a_write_in_progress_is_sealed);
        tcase_add_test(all, a_task_waits_for_the_sigterm_that_follows_the_end_of_its_line);
        tcase_add_test(all, a_task_whose_programs_are_gone_waits_for_nothing);
        tcase_add_test(all, nonsense_from_stint_run_ends_the_agent_with_125);
}

int main(void)
{
        signal(SIGPIPE, SIG_IGN);
        return suite_run("agent", add_tests);
}
