/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fed: from the window to the tensors.  What is there is listed and copied by as many threads as pay, and then its
 * place in the window is given back.  restore calls in.
 */
#include "fed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "safepoint.h"
#include "where.h"

#define LOOK_NS (100 * CLOCK_MS)   /* how often it is seen whether the agent is still there, while nothing comes */
#define STRETCH (2 * WINDOW_BLOCK) /* copied in one go: with more of it the disk would wait for its place */

/* ---- the table ------------------------------------------------------------------------------------------------ */

static int check_table(const struct wire_restore_table *told, int fd, struct stint_error *err)
{
        if (fd < 0 || told->record_bytes <= TABLE_RECORD_FIXED || told->count > TABLE_MOST)
                return error_set(err, EPROTO, "the agent gave an image without its table of tensors");
        return channel_memory_check(fd, told->count * told->record_bytes, err);
}

/* A copy that nobody else can change: what it says has been checked then. */
static int read_table(struct fed *f, const struct wire_restore_table *told, int fd, struct stint_error *err)
{
        const size_t bytes = (size_t)told->count * told->record_bytes;
        size_t have = 0;
        ssize_t n;

        if (check_table(told, fd, err) < 0)
                return -1;
        f->table = malloc(bytes + 1);
        if (!f->table)
                return error_set(err, ENOMEM, "no memory for a table of %zu bytes", bytes);
        while (have < bytes) {
                n = pread(fd, (char *)f->table + have, bytes - have, (off_t)have);
                if (n == 0 || (n < 0 && errno != EINTR))
                        return error_system(err, n < 0 ? errno : EPROTO, "the table of tensors cannot be read");
                have += n > 0 ? (size_t)n : 0;
        }
        f->fit = (struct fit){ f->table, told->count, told->record_bytes, f->checkpoint, 0 };
        return table_check(f->table, told->count, told->record_bytes, told->image_bytes, err);
}

/* ---- where it goes -------------------------------------------------------------------------------------------- */

/* Memory of the library's own for what nobody attached: in the window it does not stay. */
static int carry(struct stint *s, struct fed *f, struct stint_error *err)
{
        void *memory;

        f->carried_bytes = fit_carried_bytes(&s->layout, &f->fit);
        if (f->carried_bytes) {
                if (where_room(f->carried_bytes, err) < 0)
                        return error_wrap(err, "the tensors of checkpoint %s that are not attached", f->checkpoint);
                memory = mmap(NULL, f->carried_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (memory == MAP_FAILED)
                        return error_system(err, errno,
                                            "no memory for the tensors of checkpoint %s that are not attached",
                                            f->checkpoint);
                f->carried = memory;
        }
        return fit_carry(&s->layout, &f->fit, f->carried ? f->carried : f->table, 1, err);
}

static int by_begin(const void *a, const void *b)
{
        const struct fed_piece *x = a, *y = b;

        return (x->begin > y->begin) - (x->begin < y->begin);
}

static int list_pieces(struct stint *s, struct fed *f, struct stint_error *err)
{
        struct layout_tensor *t;

        f->pieces = calloc(f->fit.count + 1, sizeof *f->pieces);
        if (!f->pieces)
                return error_set(err, ENOMEM, "no memory for a list of %llu tensors", (unsigned long long)f->fit.count);
        for (t = s->layout.tensors; t; t = layout_next(t)) {
                if (!t->record || !t->bytes)
                        continue;
                f->on_device |= t->device && t->device->kind != STINT_DEVICE_HOST;
                f->pieces[f->count++] = (struct fed_piece){.begin = t->record->file_offset,
                                                           .bytes = t->bytes,
                                                           .to = t->tensor.data,
                                                           .device = t->device,
                                                           .tensor = t};
        }
        qsort(f->pieces, f->count, sizeof *f->pieces, by_begin);
        return 0;
}

/* Everything that can be known before the first byte is copied. */
static int prepare(struct stint *s, struct fed *f, const struct stint_error *forgone, struct stint_error *err)
{
        int code;

        if (s->refused)
                return error_set(err, s->refused->why.code, "%s", s->refused->why.text);
        if (forgone)
                return error_set(err, forgone->code, "%s", forgone->text);
        if (fit_check(&s->layout, &f->fit, s->allow_missing, err) < 0 || carry(s, f, err) < 0 ||
            list_pieces(s, f, err) < 0)
                return -1;
        code = fault_point("restore.before_copy");
        return code ? error_system(err, code, "the restore failed at restore.before_copy") : 0;
}

/* ---- the copy ------------------------------------------------------------------------------------------------- */

/* Bytes of the image that lie in the window in one piece. */
static int copy_part(struct stint *s, struct fed *f, const struct fed_piece *p, uint64_t at, uint64_t bytes,
                     struct stint_error *err)
{
        const void *from = window_at(&f->window, at);
        char *to = p->to + (at - p->begin);

        if (!p->device || p->device->kind == STINT_DEVICE_HOST)
                copy_add(&s->snapshot.copy, to, from, bytes);
        else if (p->device->copy_in(to, from, bytes, p->tensor->name, err) < 0)
                return error_wrap(err, "tensor '%s' could not be restored", p->tensor->name);
        return 0;
}

static int copy_piece(struct stint *s, struct fed *f, const struct fed_piece *p, uint64_t at, uint64_t end,
                      struct stint_error *err)
{
        uint64_t n;

        for (; at < end; at += n) {
                n = WINDOW_BLOCK - at % WINDOW_BLOCK;
                n = n < end - at ? n : end - at;
                if (copy_part(s, f, p, at, n, err) < 0)
                        return -1;
        }
        return 0;
}

static int copy_pieces(struct stint *s, struct fed *f, uint64_t from, uint64_t upto, struct stint_error *err)
{
        const struct fed_piece *p;
        uint64_t end;

        for (; f->next < f->count && f->pieces[f->next].begin < upto; f->next++) {
                p = &f->pieces[f->next];
                end = p->begin + p->bytes;
                p->tensor->touched = 1;
                if (copy_piece(s, f, p, p->begin > from ? p->begin : from, end < upto ? end : upto, err) < 0)
                        return -1;
                if (end > upto)
                        break;
        }
        copy_run(&s->snapshot.copy, COPY_BACK);
        return f->on_device ? device_sync_all(err) : 0;
}

static int at_point(const char *point, struct stint_error *err)
{
        const int code = fault_point(point);

        return code ? error_system(err, code, "the restore failed at %s", point) : 0;
}

/* What lies between these two; half of the bytes are there when the fault point in the middle is reached. */
static int copy_stretch(struct stint *s, struct fed *f, uint64_t from, uint64_t upto, struct stint_error *err)
{
        const uint64_t all = f->window.image_bytes, middle = all / 2;
        const int64_t began_ns = clock_now();
        int rc;

        copy_forget(&s->snapshot.copy);
        rc = copy_pieces(s, f, from, upto, err);
        f->copy_ns += clock_now() - began_ns;
        if (rc == 0 && from <= middle && middle < upto)
                rc = at_point("restore.mid_copy", err);
        if (rc == 0 && upto == all)
                rc = at_point("restore.after_copy", err);
        if (rc < 0 && f->on_device)
                device_sync_all(NULL); /* nothing is read from the window any more */
        return rc;
}

/* ---- as it comes ---------------------------------------------------------------------------------------------- */

static int nothing(void *arg)
{
        (void)arg;
        return 0;
}

/* Until there is more than `passed`.  -1 with ENOTCONN when nothing will come, ECANCELED when the agent gave it up. */
static int await_more(struct stint *s, struct fed *f, uint64_t passed, struct stint_error *err)
{
        int rc;

        while ((rc = window_await_filled(&f->window, passed + 1, LOOK_NS, err)) == 0)
                if (session_await(&s->session, nothing, NULL, clock_now(), err) < 0)
                        return -1;
        if (rc == 1 || err->code == ECANCELED)
                return rc == 1 ? 0 : -1;
        session_hang_up(&s->session); /* who says what cannot be, is not believed any more */
        return error_set(err, ENOTCONN, "%s", err->text);
}

/* To its end, whatever happens here: the other ranks wait until the agent has read it. */
static int go_along(struct stint *s, struct fed *f, int *touched, struct stint_error *err)
{
        uint64_t passed = 0, upto;

        while (passed < f->window.image_bytes) {
                if (await_more(s, f, passed, err) < 0)
                        return -1;
                upto = window_filled(&f->window);
                upto = upto - passed < STRETCH ? upto : passed + STRETCH;
                *touched |= !f->why.code;
                if (!f->why.code)
                        copy_stretch(s, f, passed, upto, &f->why);
                window_pass(&f->window, upto);
                passed = upto;
        }
        f->complete = 1;
        return 0;
}

static int take_window(struct fed *f, const struct wire_restore_table *table, const struct wire_restore_stream *told,
                       int fd, struct stint_error *err)
{
        memcpy(f->checkpoint, table->checkpoint, sizeof f->checkpoint);
        if (fd < 0 || table->image_bytes != told->image_bytes)
                return error_set(err, EPROTO, "the agent streams an image without its memory");
        return window_take(&f->window, fd, told->ring_bytes, told->image_bytes, err);
}

static void close_both(int table_fd, int ring_fd)
{
        if (table_fd >= 0)
                close(table_fd);
        if (ring_fd >= 0)
                close(ring_fd);
}

static void get_ready(struct stint *s, struct fed *f, int table_fd, const struct stint_error *forgone)
{
        if (read_table(f, &s->session.inbox.table, table_fd, &f->why) == 0 && prepare(s, f, forgone, &f->why) == 0)
                copy_hire(&s->snapshot.copy, s->layout.bytes);
        if (f->on_device)
                device_pin(f->window.ring, f->window.ring_bytes, 0, NULL);
        /* What another thread of the program writes there by mistake must not look like a damaged disk. */
        mprotect(f->window.ring, f->window.ring_bytes, PROT_READ);
}

int fed_take(struct stint *s, struct fed *f, const struct stint_error *forgone, int *touched, struct stint_error *err)
{
        struct session_inbox *inbox = &s->session.inbox;
        int table_fd = inbox->table_fd, ring_fd = inbox->stream_fd, rc;

        fed_drop(s, f);
        inbox->has_stream = 0;
        inbox->table_fd = inbox->stream_fd = -1;
        rc = take_window(f, &inbox->table, &inbox->stream, ring_fd, err);
        if (rc == 0)
                get_ready(s, f, table_fd, forgone);
        close_both(table_fd, ring_fd);
        if (rc < 0) {
                session_hang_up(&s->session); /* the agent would wait for somebody who takes it */
                return -1;
        }
        if (go_along(s, f, touched, err) == 0)
                return 0;
        fed_drop(s, f);
        return err->code == ECANCELED ? 0 : -1;
}

/* ---- letting go ----------------------------------------------------------------------------------------------- */

static void let_go(struct fed *f)
{
        device_unpin(f->window.ring, f->window.ring_bytes);
        window_fini(&f->window);
        free(f->table);
        free(f->pieces);
}

void fed_drop(struct stint *s, struct fed *f)
{
        fit_undo(&s->layout);
        let_go(f);
        if (f->carried)
                munmap(f->carried, f->carried_bytes);
        *f = (struct fed){0};
}

void fed_settle(struct stint *s, struct fed *f)
{
        fit_settle(&s->layout);
        let_go(f);
        f->table = f->pieces = NULL;
        f->count = 0;
}
