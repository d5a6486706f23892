/* SPDX-License-Identifier: BSD-3-Clause */
/* fit: a checkpoint's table beside the layout of this program.  restore and fed call in. */
#include "fit.h"

#include <errno.h>
#include <stddef.h>

#include "layout.h"
#include "names.h"
#include "placement.h"

#define GAP 64 /* what is carried in a row begins at multiples of this, as in a file */

static const struct table_record *record_at(const struct fit *f, uint64_t i)
{
        return (const struct table_record *)(const void *)((const char *)f->table + i * f->record_bytes);
}

static int match_records(struct layout *l, const struct fit *f, struct stint_error *err)
{
        const struct table_record *record;
        struct layout_tensor *t;
        uint64_t i;

        for (i = 0; i < f->count; i++) {
                record = record_at(f, i);
                t = layout_find(l, record->name);
                if (!t)
                        continue;
                if (t->record)
                        return error_set(err, EBADMSG, "'%s' stands twice in checkpoint %s", t->name, f->checkpoint);
                if (layout_fits(t, record, err) < 0)
                        return error_wrap(err, "checkpoint %s does not fit this program", f->checkpoint);
                t->record = record;
        }
        return 0;
}

static int check_missing(const struct layout *l, const struct fit *f, struct stint_error *err)
{
        const struct layout_tensor *t;

        for (t = l->tensors; t; t = layout_next(t))
                if (!t->record && !(f->newcomer && role_is_own(t->tensor.role)))
                        return error_set(err, EPROTO,
                                         "checkpoint %s has no tensor '%s', which the program attached; "
                                         "if it may keep the value it has, set options.allow_missing",
                                         f->checkpoint, t->name);
        return 0;
}

/* What keeps its value must have it still: an image that was streamed before and turned out damaged may be in there. */
static int check_kept(const struct layout *l, const struct fit *f, struct stint_error *err)
{
        const struct layout_tensor *t;

        for (t = l->tensors; t; t = layout_next(t))
                if (!t->record && t->touched)
                        return error_set(err, EBADMSG,
                                         "checkpoint %s has no tensor '%s', into which a newer one was being copied that "
                                         "is damaged: begin the program anew, with its own value in there",
                                         f->checkpoint, t->name);
        return 0;
}

int fit_check(struct layout *l, const struct fit *f, int allow_missing, struct stint_error *err)
{
        if (match_records(l, f, err) < 0 || (!allow_missing && check_missing(l, f, err) < 0) ||
            check_kept(l, f, err) < 0)
                return -1;
        if (l->placement && placement_check(l->placement, l, err) < 0)
                return error_wrap(err, "checkpoint %s", f->checkpoint);
        return 0;
}

/* ---- what nobody attached ------------------------------------------------------------------------------------- */

static uint64_t in_a_row(const struct table_record *record)
{
        return (record->bytes + GAP - 1) / GAP * GAP;
}

uint64_t fit_carried_bytes(const struct layout *l, const struct fit *f)
{
        uint64_t i, bytes = 0;

        for (i = 0; i < f->count; i++)
                if (!layout_find(l, record_at(f, i)->name))
                        bytes += in_a_row(record_at(f, i));
        return bytes;
}

int fit_carry(struct layout *l, const struct fit *f, const char *base, int packed, struct stint_error *err)
{
        const struct table_record *record;
        uint64_t i, at = 0;

        for (i = 0; i < f->count; i++) {
                record = record_at(f, i);
                if (layout_find(l, record->name))
                        continue;
                if (layout_carry(l, record, base + (packed ? at : record->file_offset), err) < 0)
                        return error_wrap(err, "checkpoint %s does not fit this program", f->checkpoint);
                layout_find(l, record->name)->record = record;
                at += in_a_row(record);
        }
        return 0;
}

/* ---- afterwards ----------------------------------------------------------------------------------------------- */

static void forget_records(struct layout *l)
{
        struct layout_tensor *t;

        for (t = l->tensors; t; t = layout_next(t))
                t->record = NULL;
}

void fit_settle(struct layout *l)
{
        struct layout_tensor *t;

        for (t = l->tensors; t; t = layout_next(t)) {
                t->record = NULL;
                t->touched = 0;
        }
}

void fit_undo(struct layout *l)
{
        struct layout_tensor *t, *next;

        forget_records(l);
        for (t = l->tensors; t; t = next) {
                next = layout_next(t);
                if (!t->device)
                        layout_detach(l, t->name, NULL);
        }
}
