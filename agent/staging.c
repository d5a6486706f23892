/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging: makes the image of a checkpoint file in shared memory, and all of its pages, before the first snapshot: a
 * copy into memory that is not there yet runs at a tenth of the speed.  Where there is no memory for the image, what is
 * no tensor's is kept and the rest is streamed.  Called by ranks when a layout arrives.
 */
#include "staging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "daemon_memory.h"
#include "durable.h"
#include "duration.h"
#include "log.h"
#include "memory.h"
#include "streamed.h"
#include "table.h"

struct staging *staging_hold(struct staging *s)
{
        s->references++;
        return s;
}

void staging_drop(struct staging *s)
{
        if (!s || --s->references > 0)
                return;
        if (s->image)
                munmap(s->image, s->image_bytes);
        if (s->fd >= 0)
                close(s->fd);
        if (s->line >= 0)
                close(s->line);
        streamed_free(s->streamed);
        free(s->extents);
        free(s);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/*
 * Shared memory is granted without a question, and who touches the page too many is killed: by the kernel, and it may
 * choose the training.  So ask first.  What the kernel says is what it could give without swapping.
 */
int staging_room(uint64_t bytes, struct stint_error *err)
{
        const int64_t available = memory_available();
        char need[32], have[32];

        if (available < 0 || bytes < (uint64_t)available)
                return 0;
        return error_set(err, ENOMEM,
                         "staging needs %s of memory and this node has %s left; ask the scheduler for more memory",
                         size_format(need, sizeof need, (int64_t)bytes), size_format(have, sizeof have, available));
}

static uint64_t limit; /* of what staging takes from the job; 0: none */

void staging_limit(uint64_t bytes)
{
        limit = bytes;
}

/* Whether there may be so many bytes of our own beside those that we `have`. */
static int within_limit(uint64_t bytes, uint64_t have, struct stint_error *err)
{
        char leaves[32];

        if (limit == 0 || bytes + have <= limit)
                return 0;
        return error_set(err, ENOMEM, "--stint-staging leaves %s",
                         size_format(leaves, sizeof leaves, limit > have ? (int64_t)(limit - have) : 0));
}

/* ---- one job ----------------------------------------------------------------------------------------------------- */

/* The layout as memory of our own: what the program could still do to its memfd must not matter. */
static void *read_table(const struct staging_job *job, struct stint_error *err)
{
        const uint64_t bytes = job->count * job->record_bytes;
        void *table;
        int seals;

        if (job->count > TABLE_MOST || job->record_bytes < table_record_bytes(0) ||
            job->record_bytes > table_record_bytes(STINT_MAX_NAME)) {
                error_set(err, EBADMSG, "the layout has %llu records of %u bytes, which cannot be",
                          (unsigned long long)job->count, job->record_bytes);
                return NULL;
        }
        seals = fcntl(job->table_fd, F_GET_SEALS);
        if (seals < 0 || !(seals & F_SEAL_WRITE) || channel_memory_check(job->table_fd, bytes, NULL) < 0) {
                error_set(err, EBADMSG, "the layout does not come in sealed memory of %llu bytes",
                          (unsigned long long)bytes);
                return NULL;
        }
        table = malloc(bytes ? bytes : 1);
        if (!table) {
                error_set(err, ENOMEM, "no memory for a layout of %llu tensors", (unsigned long long)job->count);
                return NULL;
        }
        if (durable_pread(job->table_fd, table, bytes, 0, "the layout", err) < 0 ||
            table_check(table, job->count, job->record_bytes, 0, err) < 0) {
                free(table);
                return NULL;
        }
        return table;
}

static uint64_t state_bytes(void *table, uint64_t count, uint32_t record_bytes)
{
        uint64_t i, sum = 0;

        for (i = 0; i < count; i++)
                sum += table_at(table, record_bytes, i)->bytes;
        return sum;
}

/* The tables are the same but for the offsets, which only the old one has yet. */
static int same_layout(const struct staging_job *job, const unsigned char *table)
{
        const struct staging *old = job->old;
        const size_t skip = sizeof(uint64_t); /* file_offset is the first field */
        uint64_t i;

        if (!old || old->streamed || old->count != job->count || old->record_bytes != job->record_bytes)
                return 0;
        for (i = 0; i < job->count; i++) {
                const uint64_t at = i * job->record_bytes;
                const unsigned char *before = old->image + old->table_offset;

                if (memcmp(table + at + skip, before + at + skip, job->record_bytes - skip) != 0)
                        return 0;
        }
        return 1;
}

/*
 * Out of stintd's budget, or of the job's own memory when it has `spare` beside it.  Why it is not stintd's is said
 * once: an admin who gives staging wants to know, and where nobody gives any there is nothing to say; nor of a second
 * image, which is more than anybody needs.
 */
static int get_memory(uint64_t bytes, uint64_t spare, uint64_t have, int *line, int64_t *outlive_ns,
                      struct stint_error *err)
{
        static atomic_int said;
        struct stint_error why = { 0 };
        int fd = daemon_memory(bytes, line, outlive_ns, &why);

        if (fd >= 0)
                return fd;
        *line = -1;
        if (spare == 0 && why.code != ENOENT && why.code != ECONNREFUSED && why.code != EOPNOTSUPP &&
            !atomic_exchange(&said, 1))
                log_notice("staging is made of the job's own memory: %s", why.text);
        if (within_limit(bytes, have, err) < 0 || staging_room(bytes + spare, err) < 0)
                return -1;
        return channel_memory("stint-staging", bytes, err);
}

/* New memory with all of its pages; `have` bytes are ours already. */
static struct staging *new_staging(uint64_t image_bytes, uint64_t spare, uint64_t have, struct stint_error *err)
{
        struct staging *s = calloc(1, sizeof *s);

        if (!s) {
                error_set(err, ENOMEM, "no memory for staging");
                return NULL;
        }
        s->references = 1;
        s->image_bytes = image_bytes;
        s->fd = get_memory(image_bytes, spare, have, &s->line, &s->outlive_ns, err);
        if (s->fd < 0) {
                free(s);
                return NULL;
        }
        s->image = memory_map(s->fd, 0, image_bytes, PROT_READ | PROT_WRITE);
        if (!s->image)
                error_system(err, errno, "cannot map %llu bytes of staging", (unsigned long long)image_bytes);
        if (!s->image || memory_populate(s->image, image_bytes, MEMORY_LARGE, err) < 0) {
                staging_drop(s);
                return NULL;
        }
        return s;
}

/*
 * Takes the old staging when its size is right, its pages being there already; else lets it go before a new one is
 * made, so that there are never two where one is needed.
 */
static struct staging *memory_for(struct staging_job *job, uint64_t image_bytes, struct stint_error *err)
{
        struct staging *s = job->old;

        job->old = NULL;
        if (s && s->image_bytes == image_bytes && !s->streamed) {
                memset(s->image, 0, image_bytes);
                return s;
        }
        staging_drop(s);
        return new_staging(image_bytes, 0, 0, err);
}

/* What its bytes are, whatever memory there is for them. */
static void describe(struct staging *s, const struct staging_job *job, const struct template *t, const void *table)
{
        s->table_offset = t->at.table_offset;
        s->hashes_offset = t->at.hashes_offset;
        s->meta_offset = t->at.meta_offset;
        s->count = job->count;
        s->record_bytes = job->record_bytes;
        memcpy(s->image + t->at.table_offset, table, job->count * job->record_bytes);
}

/* The image of this template with its table filled in. */
static struct staging *make(struct staging_job *job, const struct template *t, void *table, struct stint_error *err)
{
        struct staging *s = memory_for(job, t->image_bytes, err);

        if (!s)
                return NULL;
        free(s->extents);
        s->extents = NULL;
        s->n_extents = template_copy(t, s->image, &s->extents, err);
        if (s->n_extents < 0) {
                staging_drop(s);
                return NULL;
        }
        describe(s, job, t, table);
        s->state_bytes = state_bytes(table, job->count, job->record_bytes);
        return s;
}

/* ---- without memory for it --------------------------------------------------------------------------------------- */

/* The template as it is, with the table in it; only pages that have something in them are there. */
static int map_template(struct staging *s, const struct staging_job *job, const struct template *t, const void *table,
                        struct stint_error *err)
{
        s->fd = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);
        if (s->fd < 0)
                return error_system(err, errno, "cannot keep the template");
        s->image = mmap(NULL, s->image_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
        if (s->image == MAP_FAILED) {
                s->image = NULL;
                return error_system(err, errno, "cannot map the template");
        }
        describe(s, job, t, table);
        memset(s->image + s->meta_offset, 0, STORE_META_BYTES); /* filled in at each save: its pages are to be there */
        s->n_extents = template_copy(t, NULL, &s->extents, err);
        return s->n_extents < 0 ? -1 : 0;
}

static struct staging *make_streamed(const struct staging_job *job, const struct template *t, void *table,
                                     uint64_t window_bytes, struct stint_error *err)
{
        struct staging *s = calloc(1, sizeof *s);

        if (!s) {
                error_set(err, ENOMEM, "no memory for staging");
                return NULL;
        }
        s->references = 1;
        s->fd = s->line = -1;
        s->image_bytes = t->image_bytes;
        s->state_bytes = state_bytes(table, job->count, job->record_bytes);
        if (map_template(s, job, t, table, err) == 0)
                s->streamed = streamed_new(s, window_bytes, err);
        if (s->streamed)
                return s;
        staging_drop(s);
        return NULL;
}

/* An image of the whole; else what a window needs, when the program knows of windows, and in *err why. */
static struct staging *make_what_fits(struct staging_job *job, const struct template *t, void *table,
                                      struct stint_error *err)
{
        struct staging *s = make(job, t, table, err);
        uint64_t window_bytes;

        if (s || err->code != ENOMEM || !job->may_stream)
                return s;
        window_bytes = streamed_window(t->image_bytes, limit, memory_available());
        if (window_bytes == 0)
                return NULL;
        return make_streamed(job, t, table, window_bytes, err);
}

void staging_job_run(struct work *work)
{
        struct staging_job *job = (struct staging_job *)work;
        const int64_t begin_ns = clock_now();
        struct template t;
        void *table = read_table(job, &job->err);

        if (table && same_layout(job, table)) {
                job->made = job->old;
                job->old = NULL;
        } else if (table && template_build(&t, table, job->count, job->record_bytes, &job->err) == 0) {
                job->made = make_what_fits(job, &t, table, &job->err);
                template_close(&t);
        }
        free(table);
        job->took_ns = clock_now() - begin_ns;
}

void staging_job_free(struct staging_job *job)
{
        if (job->table_fd >= 0)
                close(job->table_fd);
        staging_drop(job->old);
        staging_drop(job->made);
        free(job);
}

/* ---- a second image ---------------------------------------------------------------------------------------------- */

/*
 * What a save does not fill in.  The program may be copying into the first image meanwhile: what is torn by that are
 * bytes of tensors that share a page with the frame, and the next snapshot writes them anew.
 */
static void copy_frame(struct staging *to, const struct staging *from)
{
        int64_t i;

        for (i = 0; i < from->n_extents; i++)
                memcpy(to->image + from->extents[i].at, from->image + from->extents[i].at, from->extents[i].bytes);
        memcpy(to->image + from->table_offset, from->image + from->table_offset, from->count * from->record_bytes);
        to->state_bytes = from->state_bytes;
        to->table_offset = from->table_offset;
        to->hashes_offset = from->hashes_offset;
        to->meta_offset = from->meta_offset;
        to->count = from->count;
        to->record_bytes = from->record_bytes;
}

void staging_twin_run(struct work *work)
{
        struct staging_twin *twin = (struct staging_twin *)work;
        const struct staging *first = twin->first;
        const uint64_t have = first->streamed || first->line >= 0 ? 0 : first->image_bytes;

        twin->made = new_staging(first->image_bytes, 2 * first->image_bytes, have, &twin->err);
        if (twin->made)
                copy_frame(twin->made, first);
}

void staging_twin_free(struct staging_twin *twin)
{
        staging_drop(twin->first);
        staging_drop(twin->made);
        free(twin);
}
