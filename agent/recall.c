/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * recall: staging that outlives its program, here or with stintd, and the proof that it holds a checkpoint.  The seal is
 * read from the disk and compared with the manifest as for any restore, and every byte in memory is hashed against it: a
 * program may have begun its next snapshot there when it died, or written where it should not.  Lists belong to the
 * loop's thread.
 */
#include "recall.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "channel.h"
#include "daemon_memory.h"
#include "image.h"
#include "log.h"
#include "memory.h"

struct recalled {
        struct recalled *next;
        int32_t rank;
        struct staging *staging;
};

/* ---- what programs left ------------------------------------------------------------------------------------------ */

/* rank -1: all. */
static void drop(struct recall *r, int32_t rank)
{
        struct recalled **at = &r->first, *one;

        while ((one = *at)) {
                if (rank >= 0 && one->rank != rank) {
                        at = &one->next;
                        continue;
                }
                *at = one->next;
                staging_drop(one->staging);
                free(one);
        }
}

void recall_drop(struct recall *r, int32_t rank)
{
        if (rank >= 0)
                drop(r, rank);
}

static void on_forget(uv_timer_t *timer)
{
        drop(timer->data, -1);
}

void recall_keep(struct recall *r, int32_t rank, struct staging *staging)
{
        struct recalled *one = staging && staging->root ? calloc(1, sizeof *one) : NULL;

        if (!one) { /* nothing was ever written from it */
                staging_drop(staging);
                return;
        }
        one->rank = rank;
        one->staging = staging;
        one->next = r->first;
        r->first = one;
        uv_timer_start(&r->forget, on_forget, (uint64_t)(r->keep_ns / CLOCK_MS), 0);
}

struct staging *recall_find(const struct recall *r, int32_t rank, uint64_t root, uint64_t bytes)
{
        const struct recalled *one;

        for (one = r->first; one; one = one->next)
                if (one->rank == rank && one->staging->root == root && one->staging->image_bytes == bytes)
                        return staging_hold(one->staging);
        return NULL;
}

void recall_open(struct recall *r, uv_loop_t *loop)
{
        r->keep_ns = RECALL_KEEP;
        uv_timer_init(loop, &r->forget);
        r->forget.data = r;
}

void recall_close(struct recall *r)
{
        drop(r, -1);
        uv_close((uv_handle_t *)&r->forget, NULL);
}

/* ---- the proof: on a thread -------------------------------------------------------------------------------------- */

/* A snapshot of a stint before this one, whose job is gone: stintd has it as long as nobody else needs the memory. */
static struct staging *ask_daemon(const struct reader *reader)
{
        const struct daemon_wanted wanted = { .run_id = reader->run_id,
                                              .rank = reader->rank,
                                              .ranks = reader->ranks,
                                              .root = reader->root,
                                              .bytes = reader->file_bytes };
        struct staging *s = calloc(1, sizeof *s);
        void *image = NULL;

        if (!s)
                return NULL;
        s->references = 1;
        s->fd = daemon_memory_find(&wanted, &s->line, NULL);
        if (s->fd >= 0 && channel_memory_check(s->fd, reader->file_bytes, NULL) == 0)
                image = memory_map(s->fd, 0, reader->file_bytes, PROT_READ);
        if (!image) {
                if (s->fd < 0)
                        s->line = -1;
                staging_drop(s);
                return NULL;
        }
        s->image = image;
        s->image_bytes = reader->file_bytes;
        return s;
}

static int prove(struct reader *reader, struct stint_error *err)
{
        const struct staging *s = reader->staging;

        if (reader_read_seal(reader, err) < 0)
                return -1;
        if (s->image_bytes != reader->seal.file_bytes)
                return error_set(err, EBADMSG, "it has another size");
        return image_check(s->image, s->image_bytes, &reader->seal, err);
}

void recall_run(struct work *work)
{
        struct reader *reader = (struct reader *)work;
        const int64_t begin_ns = clock_now();
        struct stint_error err = { 0 };

        if (!reader->staging)
                reader->staging = ask_daemon(reader);
        if (reader->staging && prove(reader, &err) == 0)
                reader->fd = fcntl(reader->staging->fd, F_DUPFD_CLOEXEC, 0);
        if (reader->fd >= 0) {
                reader->recalled = 1;
                reader->took_ns = clock_now() - begin_ns;
                return;
        }
        if (reader->staging)
                log_notice("rank %u: what is left in memory is not the checkpoint (%s), and it is read from the disk",
                           reader->rank, err.text);
        reader_run(work);
}
