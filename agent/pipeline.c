/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pipeline: hashing runs at the speed of memory and writing at that of the disk, so the one is done beside the other.
 * The pages that hold the hashes wait for them and are written last: two, as a rule.  Called by writer.
 */
#include "pipeline.h"

#include <errno.h>
#include <pthread.h>
#include "blocks.h"
#include "clock.h"
#include "fault.h"
#include "image.h"

/* One image under way. */
struct run {
        struct image_source hashed_from; /* what the hashing takes its bytes from */
        struct pipeline *p;
        struct blocks blocks;
        uint64_t late_at, late_end; /* the pages that hold hashes */
        uint64_t end_at;            /* the bytes of the last page, where the file ends within it */
        pthread_mutex_t lock;       /* of what follows, and of the calls to release */
        uint64_t written, hashed, released;
};

/* ---- an image in memory ------------------------------------------------------------------------------------------ */

static const unsigned char *get_memory(struct source *s, uint64_t at, uint64_t n, struct stint_error *err)
{
        (void)n;
        (void)err;
        return ((struct source_memory *)s)->image + at;
}

void source_memory_init(struct source_memory *m, const void *image)
{
        m->source = (struct source){ .get = get_memory, .whole = 1, .hashers = image_threads() };
        m->image = image;
}

/* ---- letting go -------------------------------------------------------------------------------------------------- */

static void release(struct run *r, uint64_t written, uint64_t hashed)
{
        struct source *s = r->p->source;
        uint64_t both;

        if (!s->release)
                return;
        pthread_mutex_lock(&r->lock);
        r->written = written > r->written ? written : r->written;
        r->hashed = hashed > r->hashed ? hashed : r->hashed;
        both = r->written < r->hashed ? r->written : r->hashed;
        if (both > r->released) {
                r->released = both;
                s->release(s, both);
        }
        pthread_mutex_unlock(&r->lock);
}

static void on_progress(void *arg, uint64_t upto)
{
        struct run *r = arg;

        if (r->p->on_progress)
                r->p->on_progress(r->p->arg, upto);
        release(r, upto, 0);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static int point(const struct run *r, struct stint_error *err)
{
        const int code = fault_point("save.mid_write");

        return code ? error_system(err, code, "cannot write %s (fault save.mid_write)", r->p->disk->path) : 0;
}

/* What of [from, to) lies before `most` and not before `least`. */
static int write_within(struct run *r, const unsigned char *bytes, uint64_t at, uint64_t n, uint64_t least,
                        uint64_t most, struct stint_error *err)
{
        const uint64_t from = at > least ? at : least, to = at + n < most ? at + n : most;

        return from < to ? disk_write(r->p->disk, bytes + (from - at), to - from, from, err) : 0;
}

/* A block but for what waits for the hashes, and for an end that is no whole page. */
static int write_block(struct run *r, uint64_t at, uint64_t n, struct stint_error *err)
{
        const uint64_t middle = r->p->image_bytes / 2;
        const unsigned char *bytes;

        if (at <= middle && middle < at + n && point(r, err) < 0)
                return -1;
        bytes = r->p->source->get(r->p->source, at, n, err);
        if (bytes && r->p->given_up && atomic_load(r->p->given_up))
                return error_set(err, ECANCELED, "the save was given up");
        if (!bytes || write_within(r, bytes, at, n, 0, r->late_at, err) < 0)
                return -1;
        return write_within(r, bytes, at, n, r->late_end, r->end_at, err);
}

static int on_block(void *arg, uint64_t at, uint64_t n, struct stint_error *err)
{
        struct run *r = arg;
        struct source *s = r->p->source;
        const int rc = write_block(r, at, n, err);

        if (rc == 0)
                return 0;
        blocks_stop(&r->blocks, err); /* first: who is woken by the source fails too, and is not the reason */
        if (s->stop)
                s->stop(s);
        return -1;
}

/* Pages of the hashes, block by block, since that is how a source has them. */
static int write_late(struct run *r, struct stint_error *err)
{
        struct source *s = r->p->source;
        uint64_t at, n;

        for (at = r->late_at; at < r->late_end; at += n) {
                const unsigned char *bytes;

                n = BLOCKS_BYTES - at % BLOCKS_BYTES;
                n = r->late_end - at < n ? r->late_end - at : n;
                bytes = s->get(s, at, n, err);
                if (!bytes || disk_write(r->p->disk, bytes, n, at, err) < 0)
                        return -1;
        }
        return 0;
}

static int write_end(struct run *r, struct stint_error *err)
{
        const uint64_t n = r->p->image_bytes - r->end_at;
        const unsigned char *bytes;

        if (n == 0)
                return 0;
        bytes = r->p->source->get(r->p->source, r->end_at, n, err);
        return bytes ? disk_write_end(r->p->disk, bytes, n, r->end_at, err) : -1;
}

/* ---- hashing ----------------------------------------------------------------------------------------------------- */

/* As much as is there at once: a block of what arrives one after another, or all that is asked for. */
static const unsigned char *take(struct image_source *source, uint64_t at, uint64_t most, uint64_t *n,
                                 struct stint_error *err)
{
        struct run *r = (struct run *)source;
        struct source *s = r->p->source;
        const uint64_t block = BLOCKS_BYTES - at % BLOCKS_BYTES;

        release(r, 0, at);
        if (atomic_load(&r->blocks.stopped)) {
                error_set(err, ECANCELED, "writing has failed");
                return NULL;
        }
        *n = most < block || s->whole ? most : block;
        return s->get(s, at, *n, err);
}

static int hash(struct run *r, struct stint_error *err)
{
        struct pipeline *p = r->p;

        r->hashed_from.take = take;
        r->hashed_from.threads = p->source->hashers;
        if (image_hash_from(&r->hashed_from, p->table, p->hashes, p->image_bytes, p->seal, err) < 0)
                return -1;
        release(r, 0, p->image_bytes);
        return 0;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void set_out(struct run *r, struct pipeline *p)
{
        const uint64_t bytes = p->image_bytes, begin = p->seal->hashes_offset,
                       end = begin + p->seal->table_count * 8;

        *r = (struct run){ .p = p, .lock = PTHREAD_MUTEX_INITIALIZER };
        r->end_at = bytes - bytes % DISK_UNIT;
        r->late_at = begin - begin % DISK_UNIT;
        r->late_end = (end + DISK_UNIT - 1) / DISK_UNIT * DISK_UNIT;
        /* Hashes in the last page are written with it; hashes that cannot be there at all are refused by hashing. */
        r->late_end = r->late_end < r->end_at ? r->late_end : r->end_at;
        r->late_at = r->late_at < r->late_end ? r->late_at : r->late_end;
        r->blocks = (struct blocks){ .bytes = bytes, .on_block = on_block, .on_progress = on_progress, .arg = r };
}

/* Blocks and hashes side by side; what both say, the disk first: of its failures the other's follow. */
static int write_and_hash(struct run *r, struct stint_error *err)
{
        struct source *s = r->p->source;
        struct stint_error why = { 0 };
        int64_t hashed_ns;

        if (blocks_start(&r->blocks, err) < 0)
                return -1;
        if (hash(r, &why) < 0) {
                blocks_stop(&r->blocks, &why);
                if (s->stop)
                        s->stop(s);
        }
        hashed_ns = clock_now();
        if (blocks_join(&r->blocks, err) < 0)
                return -1;
        r->p->hash_ns = hashed_ns > r->blocks.ended_ns ? hashed_ns - r->blocks.ended_ns : 0;
        return 0;
}

int pipeline_run(struct pipeline *p, struct stint_error *err)
{
        struct run r;
        int rc;

        set_out(&r, p);
        rc = write_and_hash(&r, err);
        pthread_mutex_destroy(&r.lock);
        return rc == 0 && (write_late(&r, err) < 0 || write_end(&r, err) < 0) ? -1 : rc;
}
