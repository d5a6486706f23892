/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_agent: the real stint-agent, started with pipes for `stint run` and spoken to by programs: who is let in, what a save
 * and a restore say to whom, and that it ends when its stdin does.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "control.h"
#include "deadline.h"
#include "durable.h"
#include "example_table.h"
#include "image.h"
#include "rundir.h"
#include "wire.h"

#define RUN_ID "00112233445566778899aabbccddeeff"
#define PATIENCE_MS 30000

/* ---- the agent, and this test as `stint run` ---------------------------------------------------------------------- */

static char dir[128], checkpoints[160], socket_name[CHANNEL_NAME];
static pid_t agent;
static int to_agent, from_agent;
static _Alignas(8) unsigned char message[WIRE_MOST]; /* the last one from the agent to `stint run` */

static const char *agent_path(void)
{
        static char path[4096];
        const char *build = getenv("TEST_BUILD"), *set = getenv("STINT_LIBEXEC_DIR");

        if (set)
                snprintf(path, sizeof path, "%s/stint-agent", set);
        else
                snprintf(path, sizeof path, "%s/agent/stint-agent", build ? build : ".");
        return path;
}

static void read_whole(int fd, void *bytes, size_t n)
{
        size_t have = 0;

        while (have < n) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                ssize_t got;

                ck_assert_msg(poll(&p, 1, PATIENCE_MS) == 1, "the agent says nothing");
                got = read(fd, (char *)bytes + have, n - have);
                ck_assert_msg(got > 0, "the agent's line ended");
                have += (size_t)got;
        }
}

/* The next message of this type; progress and triggers that come between are passed over. */
static const void *heard(enum wire_type type)
{
        const struct wire_header *header = (const struct wire_header *)message;

        do {
                read_whole(from_agent, message, sizeof *header);
                read_whole(from_agent, message + sizeof *header, header->size - sizeof *header);
                ck_assert_int_eq(wire_check(message, header->size, NULL), 0);
        } while (header->type != type && (header->type == WIRE_AGENT_PROGRESS || header->type == WIRE_AGENT_TRIGGER));
        ck_assert_msg(header->type == type, "%s came instead of %s", wire_name(header->type), wire_name(type));
        return message;
}

static void tell_agent(const void *m)
{
        const struct wire_header *header = m;

        ck_assert_int_eq(write(to_agent, m, header->size), header->size);
}

static void start_agent_with(const char *fault)
{
        int in[2], out[2];
        const struct wire_agent_ready *ready;

        snprintf(socket_name, sizeof socket_name, "stint-test-agent-%d", (int)getpid());
        ck_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
        agent = fork();
        if (agent == 0) {
                dup2(in[0], 0);
                dup2(out[1], 1);
                if (fault)
                        setenv("STINT_FAULT", fault, 1);
                else
                        unsetenv("STINT_FAULT");
                execl(agent_path(), "stint-agent", "--dir", dir, "--stint", "3", "--run-id", RUN_ID, "--socket", socket_name,
                      (char *)NULL);
                _exit(127);
        }
        close(in[0]);
        close(out[1]);
        to_agent = in[1];
        from_agent = out[0];
        ready = heard(WIRE_AGENT_READY);
        ck_assert_str_eq(ready->socket, socket_name);
        ck_assert_uint_eq(ready->pid, (uint32_t)agent);
}

static void start_agent(void)
{
        start_agent_with(NULL);
}

/* Closes its stdin and answers its exit status. */
static int end_agent(void)
{
        int status;

        if (to_agent >= 0)
                close(to_agent);
        to_agent = -1;
        ck_assert_int_eq(waitpid(agent, &status, 0), agent);
        close(from_agent);
        agent = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void set_up(void)
{
        strcpy(dir, "/tmp/stint-test-agent.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", dir);
        agent = 0;
}

static void clean_up(void)
{
        if (agent > 0) {
                kill(agent, SIGKILL);
                waitpid(agent, NULL, 0);
        }
        durable_remove_tree(dir, NULL);
}

/* ---- this test as a program --------------------------------------------------------------------------------------- */

struct program {
        int fd;
        struct control_page *page;
        unsigned char *image;
        struct wire_staging staging;
        int received; /* descriptor that came with the last message, or -1 */
        _Alignas(8) unsigned char bytes[WIRE_MOST];
};

static const void *program_heard(struct program *p, enum wire_type type)
{
        const struct wire_header *header = (const struct wire_header *)p->bytes;
        struct stint_error err = { 0 };
        int fds[CHANNEL_FDS], n_fds;
        ssize_t n;

        ck_assert_int_eq(channel_wait(p->fd, PATIENCE_MS * CLOCK_MS), 1);
        n = channel_receive(p->fd, p->bytes, sizeof p->bytes, fds, &n_fds, &err);
        ck_assert_msg(n > 0, "the agent closed the connection instead of saying %s: %s", wire_name(type), err.text);
        ck_assert_msg(wire_check(p->bytes, (size_t)n, &err) == 0, "%s", err.text);
        ck_assert_msg(header->type == type, "%s came instead of %s", wire_name(header->type), wire_name(type));
        p->received = n_fds > 0 ? fds[0] : -1;
        return p->bytes;
}

static void program_says(struct program *p, const void *m, int fd)
{
        const struct wire_header *header = m;
        struct stint_error err = { 0 };

        ck_assert_msg(channel_send(p->fd, m, header->size, &fd, fd >= 0, &err) == 0, "%s", err.text);
}

static void say_hello(struct program *p, int32_t rank, int32_t ranks)
{
        struct wire_hello hello = { .rank = rank, .ranks = ranks, .oldest = 1, .newest = 1, .agree_every = 1 };
        struct stint_error err = { 0 };
        pid_t pid;

        memset(p, 0, sizeof *p);
        p->fd = channel_connect(socket_name, &pid, &err);
        ck_assert_msg(p->fd >= 0, "%s", err.text);
        ck_assert_int_eq(pid, agent);
        WIRE_INIT(&hello, WIRE_HELLO);
        strcpy(hello.program, "test \"program\"");
        program_says(p, &hello, -1);
}

static void connect_program(struct program *p, int32_t rank, int32_t ranks)
{
        const struct wire_welcome *welcome;
        const struct wire_agent_rank *announced;

        say_hello(p, rank, ranks);
        welcome = program_heard(p, WIRE_WELCOME);
        ck_assert_uint_eq(welcome->stint, 3);
        ck_assert_str_eq(welcome->run_id, RUN_ID);
        ck_assert_str_eq(welcome->dir, dir);
        ck_assert_int_eq(channel_memory_check(p->received, sizeof *p->page, NULL), 0);
        p->page = mmap(NULL, sizeof *p->page, PROT_READ | PROT_WRITE, MAP_SHARED, p->received, 0);
        ck_assert(p->page != MAP_FAILED);
        close(p->received);
        ck_assert_uint_eq(p->page->magic, CONTROL_MAGIC);
        ck_assert_int_eq(atomic_load(&p->page->step), -1);
        announced = heard(WIRE_AGENT_RANK);
        ck_assert_int_eq(announced->rank, rank);
        ck_assert_int_eq(announced->ranks, ranks);
        ck_assert_str_eq(announced->program, "test \"program\"");
}

static void lay_out(struct program *p, uint32_t layout)
{
        struct example_table table = example_all();
        struct wire_layout m = { .layout = layout, .record_bytes = table.record_bytes, .count = table.count };
        const struct wire_agent_layout *report;
        const uint64_t count = table.count;
        int fd = example_memory(&table);

        WIRE_INIT(&m, WIRE_LAYOUT);
        program_says(p, &m, fd);
        close(fd);
        memcpy(&p->staging, program_heard(p, WIRE_STAGING), sizeof p->staging);
        ck_assert_uint_eq(p->staging.layout, layout);
        ck_assert_uint_eq(p->staging.count, count);
        ck_assert_int_eq(channel_memory_check(p->received, p->staging.image_bytes, NULL), 0);
        p->image = mmap(NULL, p->staging.image_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, p->received, 0);
        ck_assert(p->image != MAP_FAILED);
        close(p->received);
        ck_assert_int_eq(table_check(p->image + p->staging.table_offset, count, p->staging.record_bytes,
                                     p->staging.image_bytes, NULL),
                         0);
        report = heard(WIRE_AGENT_LAYOUT);
        ck_assert_uint_eq(report->image_bytes, p->staging.image_bytes);
        ck_assert_uint_eq(report->tensors, count);
}

static void close_program(struct program *p)
{
        close(p->fd);
        munmap(p->page, sizeof *p->page);
        if (p->image)
                munmap(p->image, p->staging.image_bytes);
}

/* ---- a save ------------------------------------------------------------------------------------------------------- */

static void ask_save(uint32_t save_id, uint32_t attempt, enum save_reason reason)
{
        struct wire_run_save m = { .save_id = save_id, .attempt = attempt, .reason = reason, .lineage = 2 };

        WIRE_INIT(&m, WIRE_RUN_SAVE);
        tell_agent(&m);
}

static void wake_up(struct program *p, uint32_t save_id, int final)
{
        const struct wire_wake *wake = program_heard(p, WIRE_WAKE);
        uint64_t word = atomic_load(&p->page->word);

        ck_assert_uint_eq(wake->save_id, save_id);
        ck_assert_uint_eq(wake->flags, (uint32_t)final);
        ck_assert_uint_eq(CONTROL_SAVE_ID(word), save_id);
        ck_assert_int_eq((word & CONTROL_FINAL) != 0, final);
        ck_assert_int_gt(atomic_load(&p->page->request_ns), 0);
}

static void snapshot(struct program *p, uint32_t save_id, int64_t step, uint32_t flags)
{
        struct wire_snapshot m = { .save_id = save_id, .layout = p->staging.layout, .step = step, .checkpoint_step = step };

        WIRE_INIT(&m, WIRE_SNAPSHOT);
        m.flags = flags;
        m.delay_ns = 11;
        m.copy_ns = 22;
        m.wall_ns = clock_wall();
        m.metric_count = 1;
        strcpy(m.metrics[0].name, "loss");
        m.metrics[0].value = 0.25;
        m.metrics[0].goal = STINT_GOAL_MIN;
        if (!(flags & SNAPSHOT_UNCHANGED))
                example_fill(p->image, p->staging.table_offset, p->staging.count, p->staging.record_bytes);
        program_says(p, &m, -1);
}

static void result(uint32_t save_id, int landed)
{
        struct wire_run_result m = { .save_id = save_id, .landed = (uint32_t)landed, .rank = -1 };

        WIRE_INIT(&m, WIRE_RUN_RESULT);
        tell_agent(&m);
}

/* What `stint run` does when every seal is there, without the manifest. */
static void commit(int64_t step)
{
        char part[RUNDIR_NAME], whole[RUNDIR_NAME], from[512], to[512];

        snprintf(from, sizeof from, "%s/%s", checkpoints, rundir_part(part, step, 3));
        snprintf(to, sizeof to, "%s/%s", checkpoints, rundir_whole(whole, step));
        ck_assert_int_eq(rename(from, to), 0);
}

static void read_seal(struct seal *seal, int64_t step, uint32_t rank, uint32_t ranks)
{
        char part[RUNDIR_NAME], name[RUNDIR_NAME], path[512];
        struct stint_error err;

        snprintf(path, sizeof path, "%s/%s/%s", checkpoints, rundir_part(part, step, 3), rundir_rank_seal(name, rank, ranks));
        ck_assert_msg(seal_read(seal, path, &err) == 0, "%s", err.text);
}

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
        n = channel_receive(p.fd, p.bytes, sizeof p.bytes, fds, &n_fds, NULL);
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

int main(void)
{
        Suite *suite = suite_create("agent");
        TCase *all = tcase_create("agent");
        SRunner *runner;
        int failed;

        signal(SIGPIPE, SIG_IGN);
        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, a_save_is_asked_for_written_sealed_and_its_result_heard);
        tcase_add_test(all, an_unchanged_state_is_sealed_without_a_file);
        tcase_add_test(all, a_second_attempt_writes_what_is_in_staging_even_when_the_program_is_gone);
        tcase_add_test(all, a_second_attempt_asks_a_program_again_that_could_not_copy);
        tcase_add_test(all, a_program_that_ends_before_its_safe_point_fails_the_save);
        tcase_add_test(all, a_snapshot_that_comes_after_its_save_was_given_up_is_not_written);
        tcase_add_test(all, a_restore_hands_over_the_very_bytes_once_every_rank_has_read);
        tcase_add_test(all, a_damaged_checkpoint_is_reported_and_the_next_one_can_be_read);
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
        suite_add_tcase(suite, all);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
