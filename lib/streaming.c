/* SPDX-License-Identifier: BSD-3-Clause */
/* streaming: tensors in the order of the file, block by block into a window.  Snapshot calls in. */
#include "streaming.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "channel.h"
#include "clock.h"
#include "device.h"
#include "fault.h"
#include "memory.h"

#define LOOK_NS (200 * CLOCK_MS) /* between two looks whether anybody is still there who makes room */

/* ---- places and window ---------------------------------------------------------------------------------------- */

/* On a thread, while training goes on: a copy into pages that are not there takes several times as long. */
static void *populate(void *arg)
{
        struct streaming *s = arg;

        while (s->present < s->window.ring_bytes && !atomic_load(&s->stop)) {
                memory_populate(s->window.ring + s->present, WINDOW_BLOCK, MEMORY_LARGE, NULL); /* if it fails the copy finds out */
                s->present += WINDOW_BLOCK;
        }
        device_pin(s->window.ring, s->window.ring_bytes, 0, &s->stop);
        return NULL;
}

static void start_populating(struct streaming *s)
{
        sigset_t all, before;

        s->present = 0;
        atomic_store(&s->stop, 0);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        s->populating = pthread_create(&s->thread, NULL, populate, s) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop_populating(struct streaming *s)
{
        if (!s->populating)
                return;
        atomic_store(&s->stop, 1);
        pthread_join(s->thread, NULL);
        s->populating = 0;
}

static void drop_window(struct streaming *s)
{
        stop_populating(s);
        device_unpin(s->window.ring, s->window.ring_bytes);
        window_fini(&s->window);
}

void streaming_drop(struct streaming *s)
{
        drop_window(s);
        *s = (struct streaming){ 0 };
}

static int place(struct layout *layout, const struct wire_places *told, const void *table, struct stint_error *err)
{
        if (layout_check_image(table, told->image_bytes, 0, told->count, told->record_bytes, err) < 0)
                return -1;
        return layout_place(layout, told->layout, table, told->count, told->record_bytes, err);
}

int streaming_take_places(struct streaming *s, struct layout *layout, const struct wire_places *told, int fd,
                          struct stint_error *err)
{
        uint64_t bytes;
        void *table;
        int rc;

        streaming_drop(s);
        if (__builtin_mul_overflow(told->count, (uint64_t)told->record_bytes, &bytes) || bytes == 0)
                return error_set(err, EPROTO, "PLACES came without a table");
        if (channel_memory_check(fd, bytes, err) < 0)
                return -1;
        table = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
        if (table == MAP_FAILED)
                return error_system(err, errno, "the table of places cannot be mapped");
        rc = place(layout, told, table, err);
        munmap(table, bytes);
        if (rc < 0)
                return -1;
        s->layout = told->layout;
        s->image_bytes = told->image_bytes;
        return 0;
}

int streaming_take_window(struct streaming *s, const struct wire_window *told, int fd, struct stint_error *err)
{
        if (s->layout != told->layout || s->image_bytes != told->image_bytes)
                return error_set(err, EPROTO, "a window came for another layout");
        drop_window(s);
        if (window_take(&s->window, fd, told->ring_bytes, told->image_bytes, err) < 0)
                return -1;
        start_populating(s);
        return 0;
}

/* ---- the order of the file ------------------------------------------------------------------------------------ */

static int by_offset(const void *a, const void *b)
{
        const struct layout_tensor *const *x = a, *const *y = b;

        return ((*x)->offset > (*y)->offset) - ((*x)->offset < (*y)->offset);
}

/* All tensors that have bytes, as the file has them. */
static const struct layout_tensor **in_order(const struct streaming *s, const struct layout *layout, uint64_t *n,
                                             struct stint_error *err)
{
        const struct layout_tensor **list = malloc((layout->count + 1) * sizeof *list), *t;

        *n = 0;
        if (!list) {
                error_set(err, ENOMEM, "no memory to stream %llu tensors", (unsigned long long)layout->count);
                return NULL;
        }
        for (t = layout->tensors; t; t = layout_next(t)) {
                if (t->placed != s->layout) {
                        error_set(err, EPROTO, "tensor '%s' has no place in the file", t->name);
                        free(list);
                        return NULL;
                }
                if (layout_saved_bytes(t))
                        list[(*n)++] = t;
        }
        qsort(list, *n, sizeof *list, by_offset);
        return list;
}

/* ---- the copy ------------------------------------------------------------------------------------------------- */

struct stream {
        struct streaming *s;
        struct copy *copy;
        const struct streaming_watch *watch;
        const struct layout_tensor **list;
        uint64_t n, next; /* the first tensor that is not copied to its end */
        int on_device;    /* copies were begun that nobody has waited for */
};

static int fault(const char *point, struct stint_error *err)
{
        const int code = fault_point(point);

        return code ? error_system(err, code, "the copy failed at %s", point) : 0;
}

/* Until the bytes before `upto` may be written. */
static int await_room(struct stream *m, uint64_t upto, struct stint_error *err)
{
        const int64_t begun_ns = clock_now();
        int rc;

        while ((rc = window_await_room(&m->s->window, upto, LOOK_NS, err)) == 0)
                if (m->watch->go_on(m->watch->arg, err) < 0)
                        return -1;
        m->s->blocked_ns += clock_now() - begun_ns;
        if (rc < 0 && err && err->code == ECANCELED)
                error_set(err, ECANCELED, "the agent has stopped writing it; `stint run` says why");
        return rc < 0 ? -1 : 0;
}

/* What of that tensor lies in [at, end), a range that is in the ring in one piece. */
static int copy_part(struct stream *m, const struct layout_tensor *t, uint64_t at, uint64_t end,
                     struct stint_error *err)
{
        const uint64_t from = t->offset > at ? t->offset : at;
        const uint64_t to = t->offset + t->bytes < end ? t->offset + t->bytes : end;
        const char *data = (const char *)t->tensor.data + (from - t->offset);
        unsigned char *ring = window_at(&m->s->window, from);

        if (!t->device || t->device->kind == STINT_DEVICE_HOST) {
                copy_add(m->copy, ring, data, to - from);
                return 0;
        }
        m->on_device = 1;
        if (t->device->copy_out(ring, data, to - from, t->name, err) < 0)
                return error_wrap(err, "tensor '%s' could not be copied", t->name);
        return 0;
}

/* All that the tensors have in [at, end), which is one block or its beginning. */
static int copy_block(struct stream *m, uint64_t at, uint64_t end, struct stint_error *err)
{
        uint64_t i;

        /* Pages for which there was no time; one by one they cost more than the copy. */
        if (at >= m->s->present && at < m->s->window.ring_bytes)
                memory_populate(window_at(&m->s->window, at), end - at, MEMORY_LARGE, NULL);
        copy_forget(m->copy);
        for (i = m->next; i < m->n && m->list[i]->offset < end; i++) {
                if (copy_part(m, m->list[i], at, end, err) < 0)
                        return -1;
                if (m->list[i]->offset + m->list[i]->bytes <= end)
                        m->next = i + 1;
        }
        copy_run(m->copy, COPY_OUT);
        if (!m->on_device)
                return 0;
        m->on_device = 0;
        return device_sync_all(err);
}

/* Half of the bytes are on their way before the fault point in the middle, and all but the last block's at the end. */
static int stream_all(struct stream *m, struct stint_error *err)
{
        const uint64_t bytes = m->s->image_bytes, middle = bytes / 2;
        uint64_t at, end;

        if (fault("snapshot.before_copy", err) < 0)
                return -1;
        for (at = 0; at < bytes; at = end) {
                end = bytes - at < WINDOW_BLOCK ? bytes : at + WINDOW_BLOCK;
                if (await_room(m, end, err) < 0 || copy_block(m, at, end, err) < 0)
                        return -1;
                if (at <= middle && middle < end && fault("snapshot.mid_copy", err) < 0)
                        return -1;
                if (end == bytes && fault("snapshot.after_copy", err) < 0)
                        return -1;
                window_fill(&m->s->window, end);
        }
        return 0;
}

int streaming_copy(struct streaming *s, const struct layout *layout, struct copy *copy,
                   const struct streaming_watch *watch, struct stint_error *err)
{
        struct stream m = { .s = s, .copy = copy, .watch = watch };
        int rc;

        s->blocked_ns = 0;
        stop_populating(s);
        m.list = in_order(s, layout, &m.n, err);
        rc = m.list ? stream_all(&m, err) : -1;
        if (rc < 0 && m.on_device)
                device_sync_all(NULL); /* nothing is on its way into the window any more */
        free(m.list);
        drop_window(s);
        return rc;
}
