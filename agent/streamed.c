/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * streamed: the template between the tensors.  A block that has come is completed by whoever asks for it first, one that
 * writes or the one that hashes; the pages that pipeline wants once more at the end are set aside meanwhile.
 */
#include "streamed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "blocks.h"
#include "channel.h"
#include "clock.h"
#include "durable.h"
#include "extents.h"
#include "memory.h"

_Static_assert(WINDOW_BLOCK == BLOCKS_BYTES, "a block of the writer lies in the window in one piece");

/* ---- what is no tensor's ----------------------------------------------------------------------------------------- */

/* [at, end) belongs to no tensor: what the template has of it, and the holes between. */
static void add_gap(struct streamed *x, const struct staging *s, int64_t *next, uint64_t at, uint64_t end)
{
        while (at < end) {
                const struct template_extent *e = NULL;
                struct streamed_piece piece = { .at = at, .bytes = end - at, .is_zero = 1 };

                while (*next < s->n_extents && s->extents[*next].at + s->extents[*next].bytes <= at)
                        (*next)++;
                if (*next < s->n_extents)
                        e = &s->extents[*next];
                if (e && e->at <= at) {
                        piece.is_zero = 0;
                        piece.bytes = e->at + e->bytes < end ? e->at + e->bytes - at : end - at;
                } else if (e && e->at < end) {
                        piece.bytes = e->at - at;
                }
                x->pieces[x->n++] = piece;
                at += piece.bytes;
        }
}

static int find_pieces(struct streamed *x, const struct staging *s, struct stint_error *err)
{
        const struct seal places = { .table_offset = s->table_offset, .table_count = s->count,
                                     .record_bytes = s->record_bytes, .hashes_offset = s->hashes_offset };
        struct extents all;
        uint64_t at = 0;
        int64_t next = 0;
        size_t i;

        if (extents_init(&all, s->image + s->table_offset, s->image_bytes, &places, err) < 0)
                return -1;
        /* Each gap, and each stretch of the template within one, begins a piece and may end another. */
        x->pieces = calloc(all.n + 1 + 2 * (uint64_t)s->n_extents, sizeof *x->pieces);
        for (i = 0; x->pieces && i < all.n; i++)
                if (all.at[i].kind == EXTENT_TENSOR) {
                        add_gap(x, s, &next, at, all.at[i].begin);
                        at = all.at[i].begin + all.at[i].bytes;
                }
        if (x->pieces)
                add_gap(x, s, &next, at, s->image_bytes);
        extents_fini(&all);
        return x->pieces ? 0 : error_set(err, ENOMEM, "no memory for the layout of a streamed image");
}

/* Sealed against writing: programs of a node may be handed the same one again. */
static int table_memory(const struct staging *s, struct stint_error *err)
{
        const uint64_t bytes = s->count * s->record_bytes;
        const int fd = channel_memory("stint-places", bytes, err);

        if (fd < 0)
                return -1;
        if (durable_pwrite(fd, s->image + s->table_offset, bytes, 0, "the table of places", err) == 0 &&
            fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0)
                return fd;
        error_system(err, errno, "the table of places cannot be sealed");
        close(fd);
        return -1;
}

uint64_t streamed_window(uint64_t image_bytes, uint64_t limit, int64_t available)
{
        uint64_t room = STREAMED_MOST;

        if (limit && limit < room)
                room = limit;
        if (available >= 0 && (uint64_t)available / 2 < room)
                room = (uint64_t)available / 2;
        room -= room % WINDOW_BLOCK;
        return room < STREAMED_LEAST || room >= image_bytes ? 0 : room;
}

/* Pages are made here, on a thread, and large: by the program they would be made in its first save. */
static int make_first(struct streamed *x, uint64_t image_bytes, struct stint_error *err)
{
        x->first = passage_new(x->window_bytes, image_bytes, err);
        if (!x->first)
                return -1;
        return memory_populate(x->first->window.ring, x->first->window.ring_bytes, MEMORY_LARGE, err);
}

struct streamed *streamed_new(const struct staging *s, uint64_t window_bytes, struct stint_error *err)
{
        struct streamed *x = calloc(1, sizeof *x);

        if (!x) {
                error_set(err, ENOMEM, "no memory for the layout of a streamed image");
                return NULL;
        }
        x->window_bytes = window_bytes;
        x->table_fd = table_memory(s, err);
        if (x->table_fd >= 0 && find_pieces(x, s, err) == 0 && make_first(x, s->image_bytes, err) == 0)
                return x;
        streamed_free(x);
        return NULL;
}

void streamed_free(struct streamed *x)
{
        if (!x)
                return;
        if (x->table_fd >= 0)
                close(x->table_fd);
        passage_free(x->first);
        free(x->pieces);
        free(x);
}

/* ---- one save ---------------------------------------------------------------------------------------------------- */

struct passage *passage_new(uint64_t window_bytes, uint64_t image_bytes, struct stint_error *err)
{
        struct passage *p = calloc(1, sizeof *p);

        if (!p)
                error_set(err, ENOMEM, "no memory for a window");
        if (p && window_make(&p->window, window_bytes, image_bytes, err) == 0)
                return p;
        free(p);
        return NULL;
}

void passage_free(struct passage *p)
{
        if (!p)
                return;
        window_fini(&p->window);
        free(p);
}

void passage_stop(struct passage *p, int code, const char *why)
{
        if (!atomic_load(&p->stopped)) {
                error_set(&p->why, code, "%s", why);
                atomic_store(&p->stopped, 1);
        }
        window_stop(&p->window);
}

/* ---- the source -------------------------------------------------------------------------------------------------- */

/* The first piece that reaches beyond `at`. */
static uint64_t first_piece(const struct streamed *x, uint64_t at)
{
        uint64_t low = 0, high = x->n;

        while (low < high) {
                const uint64_t middle = low + (high - low) / 2;

                if (x->pieces[middle].at + x->pieces[middle].bytes > at)
                        high = middle;
                else
                        low = middle + 1;
        }
        return low;
}

/* What of the block is to be asked for again. */
static void set_aside(unsigned char *to, uint64_t to_at, uint64_t to_bytes, const unsigned char *block, uint64_t at,
                      uint64_t end)
{
        const uint64_t from = at > to_at ? at : to_at, upto = end < to_at + to_bytes ? end : to_at + to_bytes;

        if (from < upto)
                memcpy(to + (from - to_at), block + (from - at), upto - from);
}

static void frame(struct source_streamed *s, uint64_t at, uint64_t end)
{
        const struct streamed *x = s->staging->streamed;
        unsigned char *block = window_at(&s->passage->window, at);
        uint64_t i;

        for (i = first_piece(x, at); i < x->n && x->pieces[i].at < end; i++) {
                const struct streamed_piece *piece = &x->pieces[i];
                const uint64_t from = piece->at > at ? piece->at : at;
                const uint64_t upto = piece->at + piece->bytes < end ? piece->at + piece->bytes : end;

                if (piece->is_zero)
                        memset(block + (from - at), 0, upto - from);
                else
                        memcpy(block + (from - at), s->staging->image + from, upto - from);
        }
        set_aside(s->late, s->late_at, s->late_bytes, block, at, end);
        set_aside(s->end, s->end_at, s->end_bytes, block, at, end);
}

static const unsigned char *get(struct source *source, uint64_t at, uint64_t n, struct stint_error *err)
{
        struct source_streamed *s = (struct source_streamed *)source;
        const uint64_t image_bytes = s->staging->image_bytes, block = at / WINDOW_BLOCK, begin = block * WINDOW_BLOCK;
        const uint64_t end = image_bytes - begin < WINDOW_BLOCK ? image_bytes : begin + WINDOW_BLOCK;

        if (atomic_load(&s->released) == image_bytes)
                return at >= s->late_at && at + n <= s->late_at + s->late_bytes ? s->late + (at - s->late_at)
                                                                                : s->end + (at - s->end_at);
        if (window_await_filled(&s->passage->window, end, CLOCK_NEVER, err) < 0) {
                if (atomic_load(&s->passage->stopped))
                        error_set(err, s->passage->why.code, "%s", s->passage->why.text);
                return NULL;
        }
        pthread_mutex_lock(&s->lock);
        if (!s->framed[block])
                frame(s, begin, end);
        s->framed[block] = 1;
        pthread_mutex_unlock(&s->lock);
        return window_at(&s->passage->window, at);
}

/* By whole blocks: it is a system call, and the program fills no less. */
static void release(struct source *source, uint64_t upto)
{
        struct source_streamed *s = (struct source_streamed *)source;
        const uint64_t before = atomic_load(&s->released);

        if (upto < s->staging->image_bytes)
                upto -= upto % WINDOW_BLOCK;
        if (upto <= before)
                return;
        atomic_store(&s->released, upto);
        window_pass(&s->passage->window, upto);
}

static void stop(struct source *source)
{
        window_stop(&((struct source_streamed *)source)->passage->window);
}

static uint64_t page_up(uint64_t at)
{
        return (at + DISK_UNIT - 1) / DISK_UNIT * DISK_UNIT;
}

int source_streamed_init(struct source_streamed *s, const struct staging *staging, struct passage *passage,
                         struct stint_error *err)
{
        const uint64_t bytes = staging->image_bytes, late_end = page_up(staging->hashes_offset + staging->count * 8);

        *s = (struct source_streamed){ .staging = staging, .passage = passage, .lock = PTHREAD_MUTEX_INITIALIZER };
        s->source = (struct source){ .get = get, .release = release, .stop = stop, .hashers = 1 };
        s->late_at = staging->hashes_offset - staging->hashes_offset % DISK_UNIT;
        s->late_bytes = (late_end < bytes ? late_end : bytes) - s->late_at;
        s->end_at = bytes - bytes % DISK_UNIT;
        s->end_bytes = bytes - s->end_at;
        s->framed = calloc(bytes / WINDOW_BLOCK + 1, 1);
        s->late = aligned_alloc(DISK_UNIT, page_up(s->late_bytes + 1));
        s->end = aligned_alloc(DISK_UNIT, DISK_UNIT);
        if (s->framed && s->late && s->end)
                return 0;
        source_streamed_fini(s);
        return error_set(err, ENOMEM, "no memory to stream an image");
}

void source_streamed_fini(struct source_streamed *s)
{
        free(s->framed);
        free(s->late);
        free(s->end);
        pthread_mutex_destroy(&s->lock);
        *s = (struct source_streamed){ .source = { .get = NULL } };
}

void *source_streamed_hashes(struct source_streamed *s)
{
        return s->late + (s->staging->hashes_offset - s->late_at);
}
