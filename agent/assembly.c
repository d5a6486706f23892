/* SPDX-License-Identifier: GPL-2.0-or-later */
/* assembly: from the files of all ranks to one image.  restoring starts it, on a thread; reader_free ends it. */
#include "assembly.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "channel.h"
#include "checksum.h"
#include "clock.h"
#include "disk.h"
#include "durable.h"
#include "fault.h"
#include "memory.h"
#include "plan.h"

#define HANDS 4                     /* threads that read; as for a file as a whole (blocks.h) */
#define PART (UINT64_C(4) << 20)    /* of a piece, read at a time */

/* What the threads share: each takes the next piece. */
struct pile {
        struct reader *reader;
        const struct plan *plan;
        unsigned char *image;
        _Atomic uint64_t next;
        atomic_int stopped;
        pthread_mutex_t lock; /* of err */
        struct stint_error err;
};

/* One of them, with the file that it had open last. */
struct hand {
        struct pile *pile;
        pthread_t thread;
        unsigned char *part; /* PART bytes, and what an aligned read has around them */
        struct disk disk;    /* its fd -1: none is open */
        int32_t rank;
        char path[RUNDIR_PATH + 256];
};

/* ---- one piece ------------------------------------------------------------------------------------------------- */

static int open_file(struct hand *h, int32_t rank, struct stint_error *err)
{
        const struct gathered *g = h->pile->reader->assembly->gathered;
        char name[RUNDIR_NAME];

        int fd;

        if (h->disk.fd >= 0 && h->rank == rank)
                return 0;
        if (h->disk.fd >= 0)
                close(h->disk.fd);
        h->rank = rank;
        h->disk.fd = -1;
        rundir_rank_file(name, (uint32_t)rank, g->told.saved);
        if (rundir_join(h->path, sizeof h->path, g->checkpoint, name, NULL, err) < 0)
                return -1;
        fd = durable_open(h->path, NULL, err);
        if (fd < 0)
                return -1;
        disk_to_read(&h->disk, fd, h->path, g->contents[rank].seal.file_bytes);
        /* What more ranks than there were have of one piece is read once, and then found in the page cache. */
        if (h->pile->reader->assembly->ranks > g->told.saved)
                disk_share(&h->disk);
        return 0;
}

static int is_unwanted(const struct pile *pile, struct stint_error *err)
{
        if (atomic_load_explicit(&pile->reader->unwanted, memory_order_relaxed))
                return error_set(err, ECANCELED, "nobody wants it any more");
        return 0;
}

/* From its first byte to its last, for its hash is that of all; from where the disk can begin. */
static int read_parts(struct hand *h, const struct plan_copy *c, struct checksum *sum, struct stint_error *err)
{
        const struct table_record *r = c->piece.record;
        const uint64_t skip = r->file_offset % DISK_UNIT;
        struct box_cursor cursor;
        uint64_t at, n;

        box_begin(&cursor, &c->copy);
        for (at = 0; at < r->bytes; at += n) {
                n = r->bytes - at < PART ? r->bytes - at : PART;
                if (is_unwanted(h->pile, err) < 0 ||
                    disk_read(&h->disk, h->part, skip + n, r->file_offset - skip + at, err) < 0)
                        return -1;
                checksum_add(sum, h->part + skip, n);
                box_take(&cursor, h->part + skip, at, n, h->pile->image);
        }
        return 0;
}

static int take_piece(struct hand *h, const struct plan_copy *c, struct stint_error *err)
{
        struct checksum *sum;
        uint64_t hash;
        int rc;

        if (open_file(h, c->piece.rank, err) < 0)
                return -1;
        sum = checksum_begin();
        if (!sum)
                return error_set(err, ENOMEM, "no memory to hash %s", h->path);
        rc = read_parts(h, c, sum, err);
        hash = checksum_end(sum);
        if (rc == 0 && (rc = piece_prove(&c->piece, hash, err)) < 0)
                error_wrap(err, "%s", h->path);
        return rc;
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

static void stop(struct pile *pile, const struct stint_error *why)
{
        pthread_mutex_lock(&pile->lock);
        if (!atomic_exchange(&pile->stopped, 1))
                pile->err = *why;
        pthread_mutex_unlock(&pile->lock);
}

static void *take_pieces(void *arg)
{
        struct hand *h = arg;
        struct pile *pile = h->pile;
        struct stint_error err;
        void *part = NULL;
        uint64_t i;

        h->disk.fd = -1;
        if (posix_memalign(&part, DISK_UNIT, PART + 2 * DISK_UNIT) != 0) {
                error_set(&err, ENOMEM, "no memory to read the pieces of a checkpoint");
                stop(pile, &err);
                return NULL;
        }
        h->part = part;
        while (!atomic_load(&pile->stopped) && (i = atomic_fetch_add(&pile->next, 1)) < pile->plan->copy_count)
                if (take_piece(h, &pile->plan->copies[i], &err) < 0)
                        stop(pile, &err);
        if (h->disk.fd >= 0)
                close(h->disk.fd);
        free(h->part);
        return NULL;
}

/* The caller's thread is one of them; where others cannot be had, it goes alone. */
static int take_all(struct reader *r, const struct plan *plan, unsigned char *image, struct stint_error *err)
{
        struct pile pile = { .reader = r, .plan = plan, .image = image, .lock = PTHREAD_MUTEX_INITIALIZER };
        struct hand hands[HANDS] = { { .pile = &pile } };
        unsigned n = 1, i;

        while (n < HANDS && n < plan->copy_count) {
                hands[n].pile = &pile;
                if (pthread_create(&hands[n].thread, NULL, take_pieces, &hands[n]) != 0)
                        break;
                n++;
        }
        take_pieces(&hands[0]);
        for (i = 1; i < n; i++)
                pthread_join(hands[i].thread, NULL);
        pthread_mutex_destroy(&pile.lock);
        return atomic_load(&pile.stopped) ? error_set(err, pile.err.code, "%s", pile.err.text) : 0;
}

/* ---- the image ------------------------------------------------------------------------------------------------- */

static int fill_image(struct reader *r, const struct plan *plan, int fd, struct stint_error *err)
{
        unsigned char *image = memory_map(fd, 0, plan->image_bytes, PROT_READ | PROT_WRITE);
        int rc;

        if (!image)
                return error_system(err, errno, "cannot map %" PRIu64 " bytes", plan->image_bytes);
        rc = memory_populate(image, plan->image_bytes, MEMORY_LARGE, err);
        if (rc == 0) {
                memcpy(image, plan->table, plan->count * plan->record_bytes);
                rc = take_all(r, plan, image, err);
        }
        munmap(image, plan->image_bytes);
        return rc;
}

/* Memory for the image, filled.  Answers the memfd. */
static int make_image(struct reader *r, const struct plan *plan, struct stint_error *err)
{
        int fd, code;

        if (staging_room(plan->image_bytes, err) < 0)
                return -1;
        fd = channel_memory("stint-restore", plan->image_bytes, err);
        if (fd < 0)
                return -1;
        if (fill_image(r, plan, fd, err) == 0) {
                code = fault_point("restore.after_read");
                if (!code)
                        return fd;
                error_system(err, code, "cannot read %s (fault restore.after_read)", r->checkpoint);
        }
        close(fd);
        return -1;
}

/* What of the state of ranks themselves has no place. */
static void say(struct assembly *a, uint32_t rank, const struct plan *plan)
{
        char more[48] = "";
        const uint64_t n = plan->kept ? plan->kept : plan->left;

        if (n > 1)
                snprintf(more, sizeof more, " and %" PRIu64 " more", n - 1);
        if (plan->kept)
                snprintf(a->said, sizeof a->said,
                         "rank %u was not among them, and keeps '%.*s'%s as the program made it", rank, 200, plan->kept_name, more);
        else if (plan->left)
                snprintf(a->said, sizeof a->said, "nobody takes over '%.*s'%s of the ranks from %u on", 200,
                         plan->left_name, more, a->ranks);
}

/* What is handed over is described as a file's seal would. */
static void describe(struct reader *r, const struct plan *plan)
{
        const struct gathered *g = r->assembly->gathered;

        r->seal = g->contents[0].seal;
        r->seal.rank = r->rank;
        r->seal.table_offset = 0;
        r->seal.table_count = plan->count;
        r->seal.record_bytes = plan->record_bytes;
        r->seal.file_bytes = plan->image_bytes;
        r->file_bytes = plan->read_bytes;
        say(r->assembly, r->rank, plan);
}

/* ---- what the program wants ------------------------------------------------------------------------------------ */

/* Memory of our own: what the program could still do to its memfd must not matter. */
static void *read_wanted(const struct assembly *a, struct stint_error *err)
{
        const struct wire_wanted *w = &a->attached.told;
        const uint64_t bytes = w->count * w->record_bytes;
        void *table;

        if (w->count > TABLE_MOST || w->record_bytes < table_record_bytes(0) ||
            w->record_bytes > table_record_bytes(STINT_MAX_NAME) || a->attached.fd < 0 ||
            channel_memory_check(a->attached.fd, bytes, NULL) < 0) {
                error_set(err, EPROTO, "the program did not say what it has attached");
                return NULL;
        }
        table = malloc(bytes + 1);
        if (!table) {
                error_set(err, ENOMEM, "no memory for a layout of %" PRIu64 " tensors", w->count);
                return NULL;
        }
        if (durable_pread(a->attached.fd, table, bytes, 0, "the layout", err) == 0 &&
            table_check(table, w->count, w->record_bytes, 0, err) == 0)
                return table;
        err->code = EPROTO; /* nothing of the checkpoint is damaged */
        free(table);
        return NULL;
}

/* Of as many ranks as there were, each is who it was. */
static const struct contents *own_contents(const struct reader *r)
{
        const struct gathered *g = r->assembly->gathered;

        return g->told.saved == r->assembly->ranks ? &g->contents[r->rank] : NULL;
}

static int make_plan(const struct reader *r, struct plan *plan, void **table, struct stint_error *err)
{
        const struct assembly *a = r->assembly;
        struct plan_wanted wanted = { .own = own_contents(r),
                                      .rank = r->rank,
                                      .ranks = a->ranks,
                                      .saved = a->gathered->told.saved,
                                      .count = a->attached.told.count,
                                      .record_bytes = a->attached.told.record_bytes };

        if (wanted.count > 0) {
                *table = read_wanted(a, err);
                if (!*table)
                        return -1;
        }
        wanted.table = *table;
        return plan_make(plan, &a->gathered->pieces, &wanted, err);
}

/* ---- the job --------------------------------------------------------------------------------------------------- */

/* The story: all seals and tables, the plan, the pieces. */
static int assemble(struct reader *r, struct stint_error *err)
{
        const int code = fault_point("restore.before_read");
        struct plan plan;
        void *table = NULL;
        int fd = -1;

        if (code)
                return error_system(err, code, "cannot read %s (fault restore.before_read)", r->checkpoint);
        if (gathered_read(r->assembly->gathered, err) == 0 && make_plan(r, &plan, &table, err) == 0) {
                fd = make_image(r, &plan, err);
                if (fd >= 0)
                        describe(r, &plan);
                plan_fini(&plan);
        }
        free(table);
        return fd;
}

void assembly_run(struct work *work)
{
        struct reader *r = (struct reader *)work;
        const int64_t begin_ns = clock_now();

        atomic_store(&r->at_disk, 1);
        r->fd = assemble(r, &r->err);
        r->took_ns = clock_now() - begin_ns;
}

/* ---- beginning and end ----------------------------------------------------------------------------------------- */

int assembly_prepare(struct reader *reader, struct gathered **known, const struct wire_run_pieces *told, uint32_t ranks,
                     const struct attached *attached, struct stint_error *err)
{
        struct assembly *a = calloc(1, sizeof *a);

        if (!a)
                return error_set(err, ENOMEM, "no memory to put a checkpoint together");
        a->ranks = ranks;
        a->attached = *attached;
        a->attached.fd = attached->fd < 0 ? -1 : fcntl(attached->fd, F_DUPFD_CLOEXEC, 0);
        if (attached->fd >= 0 && a->attached.fd < 0)
                error_system(err, errno, "cannot keep what the program wants");
        else
                a->gathered = gathered_hold(known, reader->checkpoint, reader->run_id, reader->checkpoint_step, told,
                                            err);
        if (!a->gathered) {
                assembly_free(a);
                return -1;
        }
        reader->assembly = a;
        return 0;
}

void assembly_free(struct assembly *a)
{
        if (!a)
                return;
        gathered_drop(a->gathered);
        attached_drop(&a->attached);
        free(a);
}
