/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fake_agent: an agent and its coordinator in one thread of a test, without files: its images are plain memory, its
 * checkpoint is the image of the save that landed last.  It speaks wire.h as the real ones do, and breaks on demand.
 */
#ifndef FAKE_AGENT_H
#define FAKE_AGENT_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "control.h"
#include "deadline.h"
#include "stint.h"
#include "table.h"
#include "window.h"
#include "wire.h"

#define FAKE_RANKS 4
#define FAKE_HEAD 4096 /* bytes of an image before its first tensor */

struct fake_rank {
        int fd; /* -1: not connected */
        int rank;
        struct control_page *page;
        int staging_fd, image_fd; /* of its layout; of the checkpoint that it restores from */
        int second_fd;            /* another image of its layout */
        struct wire_staging staging, image;
        int snapshot, failed; /* of the save in progress: it has come, it was declined */
        struct wire_snapshot last;
};

struct fake_agent {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        pthread_t thread;
        char name[CHANNEL_NAME];
        int listener, alarm[2], ending, lost;
        int ranks, connected;
        struct fake_rank at[FAKE_RANKS];

        uint32_t save_id; /* the save in progress, or the last */
        int final, in_progress;
        int again; /* a rank that had given its snapshot already asked for another save */
        int64_t landed_step; /* -1: none */

        /* What the test asks for. */
        int refuse_saves;  /* ASK_SAVE is answered with RESULT 0 */
        int fail_saves;    /* so many saves do not land */
        int hold_results;  /* saves stay in progress */
        int second_image;  /* there is memory for it */
        int end_at_ask;    /* ASK_SAVE ends a save in progress, which lands, once the next has been asked for */
        int retry;         /* a final save that a rank declined is asked for again, so many times */
        int drop_at_snapshot; /* the agent dies when so many snapshots have come in all, without a word */
        int save_before_done; /* COMPLETE is answered only after one more save */
        int restore_fails; /* RESTORE is answered with FAILED */
        const char *best_name;
        double best_value;
        /*
         * RESTORE is answered with streams, one a character: '+' holds, '-' is given up half-way, '!' is given up with the
         * connection.  Behind the last one it is answered as without; with '-' that is at once, and it says so.
         */
        const char *streams;
        const char *later_lack; /* a tensor that only the first of them has */
        uint64_t ring_bytes;

        /* What the test looks at. */
        int layouts, snapshots, unchanged, declined, asked, completes, byes, restores, restores_done, restore_code,
                connects, devices;
        uint32_t asked_reason;
        char declined_text[WIRE_TEXT];
        struct wire_devices told;
        int streamed; /* streams that the program has passed whole */
        pthread_t feeder;
        int feeding;  /* that thread is there */
};

static void *fake_map(int fd, size_t bytes)
{
        void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        ck_assert_ptr_ne(p, MAP_FAILED);
        return p;
}

static void fake_send(struct fake_rank *r, const void *message, size_t n, int fd)
{
        uint64_t word = r->page->word;

        if (r->fd < 0)
                return;
        channel_send(r->fd, message, n, &fd, fd >= 0, NULL);
        r->page->word = (word & ~CONTROL_MAIL_MASK) | ((word + 1) & CONTROL_MAIL_MASK);
}

static void fake_hang_up(struct fake_rank *r)
{
        if (r->fd >= 0)
                close(r->fd);
        if (r->page)
                munmap(r->page, sizeof *r->page);
        if (r->staging_fd >= 0)
                close(r->staging_fd);
        if (r->second_fd >= 0)
                close(r->second_fd);
        r->fd = r->staging_fd = r->second_fd = -1;
        r->page = NULL;
}

/* ---- saves ---------------------------------------------------------------------------------------------------- */

static void fake_result(struct fake_rank *r, uint32_t save_id, int landed)
{
        struct wire_result m = { 0 };

        WIRE_INIT(&m, WIRE_RESULT);
        m.save_id = save_id;
        m.landed = landed;
        m.step = r->last.checkpoint_step;
        m.bytes = r->staging.image_bytes;
        m.took_ns = CLOCK_MS;
        wire_text(m.text, sizeof m.text, landed ? "" : "the disk is full");
        fake_send(r, &m, sizeof m, -1);
}

static void fake_keep_image(struct fake_rank *r)
{
        if (r->image_fd >= 0)
                close(r->image_fd);
        r->image_fd = channel_memory("fake-image", r->staging.image_bytes, NULL);
        ck_assert_int_ge(r->image_fd, 0);
        void *from = fake_map(r->staging_fd, r->staging.image_bytes),
             *to = fake_map(r->image_fd, r->staging.image_bytes);
        memcpy(to, from, r->staging.image_bytes);
        munmap(from, r->staging.image_bytes);
        munmap(to, r->staging.image_bytes);
        r->image = r->staging;
}

/* As a second attempt: only those are asked that have no snapshot. */
static void fake_ask_again(struct fake_agent *a)
{
        struct wire_wake m = { 0 };
        int i;

        a->retry--;
        WIRE_INIT(&m, WIRE_WAKE);
        m.save_id = a->save_id;
        m.flags = a->final;
        for (i = 0; i < a->ranks; i++) {
                if (a->at[i].failed)
                        fake_send(&a->at[i], &m, sizeof m, -1);
                a->at[i].failed = 0;
        }
}

/* Ends the save in progress once every rank has said something. */
static void fake_want_locked(struct fake_agent *a, int final);

static void fake_conclude(struct fake_agent *a)
{
        int i, said = 0, failed = 0, landed;

        for (i = 0; i < a->ranks; i++) {
                said += a->at[i].snapshot || a->at[i].failed;
                failed |= a->at[i].failed;
        }
        if (!a->in_progress || said < a->ranks || a->hold_results)
                return;
        if (failed && a->final && a->retry > 0) {
                fake_ask_again(a);
                return;
        }
        a->in_progress = 0;
        landed = !failed && a->fail_saves == 0;
        a->fail_saves -= a->fail_saves > 0;
        for (i = 0; i < a->ranks; i++) {
                if (landed && a->at[i].last.flags != SNAPSHOT_UNCHANGED)
                        fake_keep_image(&a->at[i]);
                if (landed)
                        a->landed_step = a->at[i].last.checkpoint_step;
                fake_result(&a->at[i], a->save_id, landed);
        }
        if (a->again)
                fake_want_locked(a, 0);
}

static void fake_want_locked(struct fake_agent *a, int final)
{
        struct wire_wake m = { 0 };
        int i;

        a->save_id++;
        a->again = 0;
        a->final = final;
        a->in_progress = 1;
        WIRE_INIT(&m, WIRE_WAKE);
        m.save_id = a->save_id;
        m.flags = final;
        for (i = 0; i < a->ranks; i++) {
                a->at[i].snapshot = a->at[i].failed = 0;
                if (!a->at[i].page)
                        continue;
                a->at[i].page->request_ns = clock_now();
                a->at[i].page->word = CONTROL_WORD(a->save_id, final ? CONTROL_FINAL : 0, a->at[i].page->word);
                fake_send(&a->at[i], &m, sizeof m, -1);
        }
}

static void fake_on_ask(struct fake_agent *a, struct fake_rank *r, const struct wire_ask_save *m)
{
        struct wire_result no = { 0 };

        a->asked++;
        a->asked_reason = m->reason;
        if (!a->refuse_saves) {
                /* One save at a time, as `stint run` does it: a rank that is still to come takes part in that one. */
                if (a->end_at_ask) {
                        a->hold_results = a->end_at_ask = 0;
                        fake_want_locked(a, 0);
                        fake_result(r, a->save_id - 1, 1);
                } else if (!a->in_progress || a->hold_results)
                        fake_want_locked(a, 0);
                else
                        a->again |= r->snapshot;
                return;
        }
        WIRE_INIT(&no, WIRE_RESULT);
        wire_text(no.text, sizeof no.text, "saves are refused");
        fake_send(r, &no, sizeof no, -1);
}

/* ---- layouts and images --------------------------------------------------------------------------------------- */

/* As empty as its frame may be: the program looks at nothing in it. */
static void fake_send_second(struct fake_rank *r)
{
        struct wire_staging m = r->staging;

        if (r->second_fd >= 0)
                close(r->second_fd);
        r->second_fd = channel_memory("fake-second", m.image_bytes, NULL);
        m.image = 1;
        fake_send(r, &m, sizeof m, r->second_fd);
}

static void fake_on_layout(struct fake_agent *a, struct fake_rank *r, const struct wire_layout *m, int fd)
{
        size_t table_bytes = m->count * m->record_bytes, at = FAKE_HEAD;
        struct table_record *record;
        char *table, *image;
        uint64_t i;

        ck_assert_int_eq(channel_memory_check(fd, table_bytes, NULL), 0);
        ck_assert_ptr_eq(mmap(NULL, table_bytes, PROT_WRITE, MAP_SHARED, fd, 0),
                         MAP_FAILED); /* sealed against writing */
        table = malloc(table_bytes);
        ck_assert_int_eq(pread(fd, table, table_bytes, 0), (ssize_t)table_bytes);
        for (i = 0; i < m->count; i++) {
                record = table_at(table, m->record_bytes, i);
                record->file_offset = record->bytes ? at : 0;
                at += (record->bytes + 63) / 64 * 64;
        }
        if (r->staging_fd >= 0)
                close(r->staging_fd);
        r->staging_fd = channel_memory("fake-staging", at + table_bytes, NULL);
        image = fake_map(r->staging_fd, at + table_bytes);
        memcpy(image + at, table, table_bytes);
        munmap(image, at + table_bytes);
        free(table);
        WIRE_INIT(&r->staging, WIRE_STAGING);
        r->staging.layout = m->layout;
        r->staging.record_bytes = m->record_bytes;
        r->staging.count = m->count;
        r->staging.image_bytes = at + table_bytes;
        r->staging.table_offset = at;
        a->layouts++;
        fake_send(r, &r->staging, sizeof r->staging, r->staging_fd);
        if (a->second_image)
                fake_send_second(r);
}

static void fake_restore_image(struct fake_agent *a, struct fake_rank *r, int streamed)
{
        struct wire_restore_image m = { .streamed = (uint32_t)streamed };

        WIRE_INIT(&m, WIRE_RESTORE_IMAGE);
        m.step = m.checkpoint_step = a->landed_step;
        m.status = a->restore_fails ? RESTORE_FAILED : r->image_fd >= 0 ? RESTORE_IMAGE : RESTORE_FRESH;
        if (a->restore_fails) {
                m.code = EIO;
                wire_text(m.text, sizeof m.text, "the disk does not answer");
        } else if (r->image_fd >= 0) {
                m.image_bytes = r->image.image_bytes;
                m.table_offset = r->image.table_offset;
                m.count = r->image.count;
                m.record_bytes = r->image.record_bytes;
                wire_text(m.checkpoint, sizeof m.checkpoint, "step-test");
                if (a->best_name) {
                        m.has_best = 1;
                        m.best_goal = STINT_GOAL_MIN;
                        m.best_value = a->best_value;
                        wire_text(m.best_name, sizeof m.best_name, a->best_name);
                }
        }
        fake_send(r, &m, sizeof m, m.status == RESTORE_IMAGE && !streamed ? r->image_fd : -1);
}

/* ---- an image that is streamed: by a thread of its own, as the agent's disk has ---------------------------------- */

static void fake_announce(struct fake_agent *a, struct fake_rank *r, const struct window *w, const char *image,
                          int first)
{
        struct wire_restore_table table = { .image_bytes = w->image_bytes, .count = r->image.count };
        struct wire_restore_stream stream = { .image_bytes = w->image_bytes, .ring_bytes = w->ring_bytes };
        const size_t record = r->image.record_bytes, bytes = r->image.count * record;
        const int fd = channel_memory("fake-table", bytes, NULL);
        uint64_t i, n = 0;

        for (i = 0; i < r->image.count; i++) {
                const void *from = image + r->image.table_offset + i * record;

                if (a->later_lack && !first && strcmp(((const struct table_record *)from)->name, a->later_lack) == 0)
                        continue;
                ck_assert_int_eq(pwrite(fd, from, record, (off_t)(n++ * record)), (ssize_t)record);
        }
        table.count = n;
        WIRE_INIT(&table, WIRE_RESTORE_TABLE);
        table.record_bytes = r->image.record_bytes;
        wire_text(table.checkpoint, sizeof table.checkpoint, "step-test");
        WIRE_INIT(&stream, WIRE_RESTORE_STREAM);
        pthread_mutex_lock(&a->lock);
        fake_send(r, &table, sizeof table, fd);
        fake_send(r, &stream, sizeof stream, w->fd);
        pthread_mutex_unlock(&a->lock);
        close(fd);
}

/* As much of the image as the program makes room for, up to there. */
static void fake_feed(struct window *w, const char *image, uint64_t upto)
{
        uint64_t at, n;

        for (at = 0; at < upto; at += n) {
                n = upto - at < WINDOW_BLOCK ? upto - at : WINDOW_BLOCK;
                ck_assert_int_eq(window_await_room(w, at + n, 30 * CLOCK_SECOND, NULL), 1);
                memcpy(window_at(w, at), image + at, n);
                window_fill(w, at + n);
        }
}

static void fake_stream(struct fake_agent *a, struct fake_rank *r, const char *image, char how, int first)
{
        const uint64_t bytes = r->image.image_bytes, upto = how == '+' ? bytes : bytes / 2;
        struct window w;

        ck_assert_int_eq(window_make(&w, a->ring_bytes, bytes, NULL), 0);
        fake_announce(a, r, &w, image, first);
        fake_feed(&w, image, upto);
        /* Until the program has passed what there is, and waits for more. */
        ck_assert_int_eq(window_await_room(&w, upto + w.ring_bytes, 30 * CLOCK_SECOND, NULL), 1);
        if (how == '-')
                window_stop(&w);
        pthread_mutex_lock(&a->lock);
        a->streamed += how == '+';
        if (how == '+')
                fake_restore_image(a, r, 1);
        else if (how == '!')
                shutdown(r->fd, SHUT_RDWR);
        else if (*a->streams == '\0')
                fake_restore_image(a, r, 0);
        pthread_mutex_unlock(&a->lock);
        window_fini(&w);
}

static void *fake_feeder(void *arg)
{
        struct fake_agent *a = arg;
        struct fake_rank *r = &a->at[0];
        const uint64_t bytes = r->image.image_bytes;
        char *image = fake_map(r->image_fd, bytes);
        int first = 1;
        char how;

        do {
                how = *a->streams++;
                fake_stream(a, r, image, how, first);
                first = 0;
        } while (how == '-' && *a->streams);
        munmap(image, bytes);
        return NULL;
}

static void fake_on_restore(struct fake_agent *a, struct fake_rank *r)
{
        a->restores++;
        if (!a->streams || !*a->streams || r->image_fd < 0) {
                fake_restore_image(a, r, 0);
                return;
        }
        if (a->feeding)
                pthread_join(a->feeder, NULL);
        ck_assert_int_eq(pthread_create(&a->feeder, NULL, fake_feeder, a), 0);
        a->feeding = 1;
}

/* ---- the conversation ----------------------------------------------------------------------------------------- */

static void fake_on_hello(struct fake_agent *a, struct fake_rank *r, const struct wire_hello *m)
{
        struct wire_welcome welcome = { 0 };
        int i, fd;

        ck_assert_int_eq(m->ranks, a->ranks);
        for (i = 0; i < a->ranks && i != m->rank; i++)
                ;
        ck_assert_int_lt(i, a->ranks);
        a->at[i].fd = r->fd;
        r->fd = -1;
        r = &a->at[i];
        r->snapshot = r->failed = 0;
        fd = channel_memory("fake-page", sizeof *r->page, NULL);
        r->page = fake_map(fd, sizeof *r->page);
        r->page->magic = CONTROL_MAGIC;
        r->page->version = CONTROL_VERSION;
        r->page->bytes = sizeof *r->page;
        r->page->deadline_ns = r->page->trigger_ns = CLOCK_NEVER;
        r->page->step = -1;
        WIRE_INIT(&welcome, WIRE_WELCOME);
        welcome.stint = 1;
        welcome.takes = WELCOME_TAKES_DEVICES;
        wire_text(welcome.dir, sizeof welcome.dir, "/tmp/fake.stint");
        a->connects++;
        fake_send(r, &welcome, sizeof welcome, fd);
        close(fd);
}

static void fake_completed(struct fake_rank *r)
{
        struct wire_completed m = { 0 };

        WIRE_INIT(&m, WIRE_COMPLETED);
        m.done = 1;
        fake_send(r, &m, sizeof m, -1);
}

static void fake_on_message(struct fake_agent *a, struct fake_rank *r, const void *message, int fd)
{
        const struct wire_header *header = message;

        switch (header->type) {
        case WIRE_HELLO:
                fake_on_hello(a, r, message);
                break;
        case WIRE_DEVICES:
                memcpy(&a->told, message, sizeof a->told);
                a->devices++;
                break;
        case WIRE_LAYOUT:
                fake_on_layout(a, r, message, fd);
                break;
        case WIRE_RESTORE:
                fake_on_restore(a, r);
                break;
        case WIRE_RESTORE_DONE:
                a->restores_done++;
                a->restore_code = ((const struct wire_restore_done *)message)->code;
                break;
        case WIRE_SNAPSHOT:
                memcpy(&r->last, message, sizeof r->last);
                ck_assert_uint_eq(r->last.save_id, a->save_id);
                ck_assert_uint_eq(r->last.layout, r->staging.layout);
                r->snapshot = 1;
                a->snapshots++;
                a->unchanged += r->last.flags == SNAPSHOT_UNCHANGED;
                if (a->save_before_done && a->completes)
                        fake_completed(r);
                break;
        case WIRE_SNAPSHOT_FAILED:
                r->failed = 1;
                a->declined++;
                wire_text(a->declined_text, sizeof a->declined_text,
                          ((const struct wire_snapshot_failed *)message)->text);
                break;
        case WIRE_ASK_SAVE:
                fake_on_ask(a, r, message);
                break;
        case WIRE_COMPLETE:
                a->completes++;
                if (a->save_before_done)
                        fake_want_locked(a, 1);
                else
                        fake_completed(r);
                break;
        case WIRE_BYE:
                a->byes++;
                break;
        default:
                ck_abort_msg("a program sent %s", wire_name(header->type));
        }
}

static void fake_read(struct fake_agent *a, struct fake_rank *r)
{
        _Alignas(8) unsigned char message[WIRE_MOST];
        int fds[CHANNEL_FDS], n_fds = 0;
        struct stint_error err;
        ssize_t n = channel_receive(r->fd, message, sizeof message, fds, &n_fds, &err);

        if (n < 0 && err.code == EAGAIN)
                return;
        if (n <= 0) {
                fake_hang_up(r);
                return;
        }
        ck_assert_msg(wire_check(message, (size_t)n, &err) == 0, "%s", err.text);
        fake_on_message(a, r, message, n_fds ? fds[0] : -1);
        while (n_fds)
                close(fds[--n_fds]);
        if (a->drop_at_snapshot && a->snapshots == a->drop_at_snapshot) {
                a->drop_at_snapshot = 0;
                a->lost = 1;
                fake_hang_up(r);
                return;
        }
        fake_conclude(a);
}

static void *fake_main(void *arg)
{
        struct fake_agent *a = arg;
        struct fake_rank fresh = { .fd = -1, .staging_fd = -1, .second_fd = -1, .image_fd = -1 };
        struct pollfd p[FAKE_RANKS + 3];
        struct fake_rank *who[FAKE_RANKS + 3];
        int i, n;

        for (;;) {
                pthread_mutex_lock(&a->lock);
                p[0] = (struct pollfd){ .fd = a->alarm[0], .events = POLLIN };
                p[1] = (struct pollfd){ .fd = a->listener, .events = POLLIN };
                p[2] = (struct pollfd){ .fd = fresh.fd, .events = POLLIN };
                who[2] = &fresh;
                for (i = 0, n = 3; i < a->ranks; i++, n++) {
                        p[n] = (struct pollfd){ .fd = a->at[i].fd, .events = POLLIN };
                        who[n] = &a->at[i];
                }
                if (a->ending) {
                        if (fresh.fd >= 0)
                                close(fresh.fd);
                        pthread_mutex_unlock(&a->lock);
                        return NULL;
                }
                pthread_mutex_unlock(&a->lock);
                poll(p, (nfds_t)n, 1000);
                pthread_mutex_lock(&a->lock);
                if (p[1].revents && a->listener >= 0 && fresh.fd < 0)
                        fresh.fd = channel_accept(a->listener, &(uid_t){ 0 }, &(pid_t){ 0 }, NULL);
                for (i = 2; i < n; i++)
                        if (p[i].revents && who[i]->fd == p[i].fd && p[i].fd >= 0)
                                fake_read(a, who[i]);
                if (p[0].revents)
                        ck_assert_int_eq(read(a->alarm[0], &(char){ 0 }, 1), 1);
                pthread_cond_broadcast(&a->changed);
                pthread_mutex_unlock(&a->lock);
        }
}

/* ---- what tests call ------------------------------------------------------------------------------------------ */

#define FAKE_CALL __attribute__((unused)) static

FAKE_CALL void fake_alarm(struct fake_agent *a)
{
        ck_assert_int_eq(write(a->alarm[1], "x", 1), 1);
}

/*
 * Settings of stint that a test changes while the agent's thread runs.  The thread reads the environment too (Check does,
 * in its assertions), and setenv() moves what others read; so the variables are made before the thread is, and only the
 * bytes of their values change.
 */
static char fake_settings[5][160] = { "STINT_FAULT=", "STINT_DEVICE=", "STINT_DIR=", "STINT_DEVICE_ROOT=",
                                      "CUDA_VISIBLE_DEVICES=" };

FAKE_CALL void fake_set(const char *name, const char *value)
{
        size_t i, n = strlen(name);

        for (i = 0; i < sizeof fake_settings / sizeof fake_settings[0]; i++)
                if (strncmp(fake_settings[i], name, n) == 0 && fake_settings[i][n] == '=') {
                        ck_assert_uint_lt(n + 1 + strlen(value), sizeof fake_settings[i]);
                        strcpy(fake_settings[i] + n + 1, value);
                        return;
                }
        ck_abort_msg("%s is not among fake_settings", name);
}

FAKE_CALL void fake_settings_make(void)
{
        size_t i;

        for (i = 0; i < sizeof fake_settings / sizeof fake_settings[0]; i++) {
                strchr(fake_settings[i], '=')[1] = '\0';
                putenv(fake_settings[i]);
        }
}

FAKE_CALL void fake_start(struct fake_agent *a, int ranks)
{
        static int count;
        int i;

        memset(a, 0, sizeof *a);
        pthread_mutex_init(&a->lock, NULL);
        pthread_cond_init(&a->changed, NULL);
        snprintf(a->name, sizeof a->name, "stint-fake-agent.%d.%d", (int)getpid(), count++);
        a->ranks = ranks;
        a->landed_step = -1;
        for (i = 0; i < FAKE_RANKS; i++)
                a->at[i] = (struct fake_rank){ .fd = -1, .rank = i, .staging_fd = -1, .second_fd = -1, .image_fd = -1 };
        a->listener = channel_listen(a->name, NULL);
        ck_assert_int_ge(a->listener, 0);
        ck_assert_int_eq(pipe2(a->alarm, O_CLOEXEC), 0);
        fake_settings_make();
        setenv("STINT_AGENT", a->name, 1);
        ck_assert_int_eq(pthread_create(&a->thread, NULL, fake_main, a), 0);
}

FAKE_CALL void fake_stop(struct fake_agent *a)
{
        int i;

        pthread_mutex_lock(&a->lock);
        a->ending = 1;
        pthread_mutex_unlock(&a->lock);
        fake_alarm(a);
        pthread_join(a->thread, NULL);
        if (a->feeding)
                pthread_join(a->feeder, NULL);
        for (i = 0; i < FAKE_RANKS; i++) {
                fake_hang_up(&a->at[i]);
                if (a->at[i].image_fd >= 0)
                        close(a->at[i].image_fd);
        }
        if (a->listener >= 0)
                close(a->listener);
        close(a->alarm[0]);
        close(a->alarm[1]);
        unsetenv("STINT_AGENT");
}

/* All connections break, and nobody listens any more; and again. */
FAKE_CALL void fake_die(struct fake_agent *a)
{
        int i;

        pthread_mutex_lock(&a->lock);
        close(a->listener);
        a->listener = -1;
        for (i = 0; i < a->ranks; i++)
                fake_hang_up(&a->at[i]);
        pthread_mutex_unlock(&a->lock);
        fake_alarm(a);
}

FAKE_CALL void fake_revive(struct fake_agent *a)
{
        pthread_mutex_lock(&a->lock);
        a->listener = channel_listen(a->name, NULL);
        ck_assert_int_ge(a->listener, 0);
        pthread_mutex_unlock(&a->lock);
        fake_alarm(a);
}

FAKE_CALL void fake_want(struct fake_agent *a, int final)
{
        pthread_mutex_lock(&a->lock);
        while (a->in_progress && !a->hold_results && !a->lost)
                pthread_cond_wait(&a->changed, &a->lock);
        fake_want_locked(a, final);
        pthread_mutex_unlock(&a->lock);
}

/* Of saves whose results are held: one has ended. */
FAKE_CALL void fake_end(struct fake_agent *a, uint32_t save_id, int landed)
{
        int i;

        pthread_mutex_lock(&a->lock);
        for (i = 0; i < a->ranks; i++)
                fake_result(&a->at[i], save_id, landed);
        pthread_mutex_unlock(&a->lock);
}

/* Waits until a counter has that value; the agent's thread is only a moment behind what a program sent. */
FAKE_CALL void fake_await(struct fake_agent *a, const int *counter, int value)
{
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 20;
        pthread_mutex_lock(&a->lock);
        while (*counter < value)
                ck_assert_msg(pthread_cond_timedwait(&a->changed, &a->lock, &until) == 0,
                              "the program sent nothing (%d of %d)", *counter, value);
        ck_assert_int_eq(*counter, value);
        pthread_mutex_unlock(&a->lock);
}

#endif
