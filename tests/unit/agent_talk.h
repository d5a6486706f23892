/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agent_talk: the real stint-agent, started with pipes for `stint run`, and what `stint run` and programs say to it and
 * hear from it, for the tests that play both.
 */
#ifndef AGENT_TALK_H
#define AGENT_TALK_H

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
#include "armour.h"
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
#define TALK __attribute__((unused)) static

/* ---- the agent, and the test as `stint run` ------------------------------------------------------------------------ */

static char dir[128], checkpoints[160], socket_name[CHANNEL_NAME];
static pid_t agent, guard; /* guard: its parent, when it is armoured */
static int to_agent, from_agent;
static int armoured; /* set before it is started: it is a task of a step, and its lines are text */
static _Alignas(8) unsigned char message[WIRE_MOST]; /* the last one from the agent to `stint run` */

TALK const char *agent_path(void)
{
        static char path[4096];
        const char *build = getenv("TEST_BUILD"), *set = getenv("STINT_LIBEXEC_DIR");

        if (set)
                snprintf(path, sizeof path, "%s/stint-agent", set);
        else
                snprintf(path, sizeof path, "%s/agent/stint-agent", build ? build : ".");
        return path;
}

TALK void read_whole(int fd, void *bytes, size_t n)
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

TALK int is_by_the_way(const struct wire_header *header)
{
        return header->type == WIRE_AGENT_PROGRESS || header->type == WIRE_AGENT_TRIGGER ||
               header->type == WIRE_AGENT_TAKEN;
}

/* One message, in as many lines as it takes. */
TALK void read_armoured(void)
{
        struct armour_message whole = { 0 };
        struct armour_piece piece;
        char line[ARMOUR_LINE];
        size_t n;

        do {
                for (n = 0; n < sizeof line; n++) {
                        read_whole(from_agent, line + n, 1);
                        if (line[n] == '\n')
                                break;
                }
                ck_assert_int_eq(armour_read(line, n, &piece), 0);
        } while (armour_add(&whole, &piece, NULL) == 0);
        memcpy(message, whole.bytes, sizeof message);
}

/* The next message of this type; progress, triggers and snapshots taken that come between are passed over. */
TALK const void *heard(enum wire_type type)
{
        const struct wire_header *header = (const struct wire_header *)message;

        do {
                if (armoured) {
                        read_armoured();
                        continue;
                }
                read_whole(from_agent, message, sizeof *header);
                read_whole(from_agent, message + sizeof *header, header->size - sizeof *header);
                ck_assert_int_eq(wire_check(message, header->size, NULL), 0);
        } while (header->type != type && is_by_the_way(header));
        ck_assert_msg(header->type == type, "%s came instead of %s", wire_name(header->type), wire_name(type));
        return message;
}

TALK void tell_agent(const void *m)
{
        const struct wire_header *header = m;
        char line[ARMOUR_LINE];
        unsigned piece;
        size_t n;

        if (!armoured)
                ck_assert_int_eq(write(to_agent, m, header->size), header->size);
        for (piece = 0; armoured && (n = armour_line(line, 0, m, header->size, piece)) > 0; piece++)
                ck_assert_int_eq(write(to_agent, line, n), (ssize_t)n);
}

TALK void start_agent_with(const char *fault)
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
                      armoured ? "--armour" : (char *)NULL, (char *)NULL);
                _exit(127);
        }
        close(in[0]);
        close(out[1]);
        to_agent = in[1];
        from_agent = out[0];
        ready = heard(WIRE_AGENT_READY);
        ck_assert_str_eq(ready->socket, socket_name);
        guard = armoured ? agent : 0;
        agent = armoured ? (pid_t)ready->pid : agent;
        ck_assert_uint_eq(ready->pid, (uint32_t)agent);
}

TALK void start_agent(void)
{
        start_agent_with(NULL);
}

/* Closes its stdin and answers its exit status. */
TALK int end_agent(void)
{
        int status;

        if (to_agent >= 0)
                close(to_agent);
        to_agent = -1;
        ck_assert_int_gt(waitpid(guard > 0 ? guard : agent, &status, 0), 0);
        close(from_agent);
        agent = guard = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TALK void set_up(void)
{
        strcpy(dir, "/tmp/stint-test-agent.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", dir);
        agent = guard = 0;
        armoured = 0;
}

TALK void clean_up(void)
{
        if (agent > 0) {
                kill(guard > 0 ? guard : agent, SIGKILL); /* an agent dies with its guard */
                waitpid(guard > 0 ? guard : agent, NULL, 0);
        }
        durable_remove_tree(dir, NULL);
}

/* ---- the test as a program ----------------------------------------------------------------------------------------- */

struct program {
        int fd;
        struct control_page *page;
        unsigned char *image;
        struct wire_staging staging;
        int received; /* descriptor that came with the last message, or -1 */
        _Alignas(8) unsigned char bytes[WIRE_MOST];
};

TALK const void *next_heard(struct program *p, enum wire_type type)
{
        struct stint_error err = { 0 };
        int fds[CHANNEL_FDS], n_fds;
        ssize_t n;

        ck_assert_int_eq(channel_wait(p->fd, PATIENCE_MS * CLOCK_MS), 1);
        n = channel_receive(p->fd, p->bytes, sizeof p->bytes, fds, &n_fds, &err);
        ck_assert_msg(n > 0, "the agent closed the connection instead of saying %s: %s", wire_name(type), err.text);
        ck_assert_msg(wire_check(p->bytes, (size_t)n, &err) == 0, "%s", err.text);
        p->received = n_fds > 0 ? fds[0] : -1;
        return p->bytes;
}

/* Another image comes whenever it has been made; here the first is enough. */
TALK const void *program_heard(struct program *p, enum wire_type type)
{
        const struct wire_staging *staging = (const struct wire_staging *)p->bytes;
        const struct wire_header *header = &staging->header;

        while (next_heard(p, type) && header->type == WIRE_STAGING && staging->image > 0)
                close(p->received);
        ck_assert_msg(header->type == type, "%s came instead of %s", wire_name(header->type), wire_name(type));
        return p->bytes;
}

TALK void program_says(struct program *p, const void *m, int fd)
{
        const struct wire_header *header = m;
        struct stint_error err = { 0 };

        ck_assert_msg(channel_send(p->fd, m, header->size, &fd, fd >= 0, &err) == 0, "%s", err.text);
}

static uint32_t takes; /* what its HELLO says */

TALK void say_hello(struct program *p, int32_t rank, int32_t ranks)
{
        struct wire_hello hello = { .rank = rank, .ranks = ranks, .oldest = 1, .newest = 1, .agree_every = 1 };
        struct stint_error err = { 0 };
        pid_t pid;

        memset(p, 0, sizeof *p);
        p->fd = channel_connect(socket_name, &pid, &err);
        ck_assert_msg(p->fd >= 0, "%s", err.text);
        ck_assert_int_eq(pid, agent);
        hello.takes = takes;
        WIRE_INIT(&hello, WIRE_HELLO);
        strcpy(hello.program, "test \"program\"");
        program_says(p, &hello, -1);
}

TALK void connect_program(struct program *p, int32_t rank, int32_t ranks)
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

TALK void lay_out(struct program *p, uint32_t layout)
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

TALK void close_program(struct program *p)
{
        close(p->fd);
        munmap(p->page, sizeof *p->page);
        if (p->image)
                munmap(p->image, p->staging.image_bytes);
}

/* ---- a save ------------------------------------------------------------------------------------------------------- */

TALK void ask_save(uint32_t save_id, uint32_t attempt, enum save_reason reason)
{
        struct wire_run_save m = { .save_id = save_id, .attempt = attempt, .reason = reason, .lineage = 2 };

        WIRE_INIT(&m, WIRE_RUN_SAVE);
        tell_agent(&m);
}

TALK void wake_up(struct program *p, uint32_t save_id, int final)
{
        const struct wire_wake *wake = program_heard(p, WIRE_WAKE);
        uint64_t word = atomic_load(&p->page->word);

        ck_assert_uint_eq(wake->save_id, save_id);
        ck_assert_uint_eq(wake->flags, (uint32_t)final);
        ck_assert_uint_eq(CONTROL_SAVE_ID(word), save_id);
        ck_assert_int_eq((word & CONTROL_FINAL) != 0, final);
        ck_assert_int_gt(atomic_load(&p->page->request_ns), 0);
}

TALK void snapshot(struct program *p, uint32_t save_id, int64_t step, uint32_t flags)
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

TALK void result(uint32_t save_id, int landed)
{
        struct wire_run_result m = { .save_id = save_id, .landed = (uint32_t)landed, .rank = -1 };

        WIRE_INIT(&m, WIRE_RUN_RESULT);
        tell_agent(&m);
}

/* What `stint run` does when every seal is there, without the manifest. */
TALK void commit(int64_t step)
{
        char part[RUNDIR_NAME], whole[RUNDIR_NAME], from[512], to[512];

        snprintf(from, sizeof from, "%s/%s", checkpoints, rundir_part(part, step, 3));
        snprintf(to, sizeof to, "%s/%s", checkpoints, rundir_whole(whole, step));
        ck_assert_int_eq(rename(from, to), 0);
}

TALK void read_seal(struct seal *seal, int64_t step, uint32_t rank, uint32_t ranks)
{
        char part[RUNDIR_NAME], name[RUNDIR_NAME], path[512];
        struct stint_error err;

        snprintf(path, sizeof path, "%s/%s/%s", checkpoints, rundir_part(part, step, 3), rundir_rank_seal(name, rank, ranks));
        ck_assert_msg(seal_read(seal, path, &err) == 0, "%s", err.text);
}

#endif
