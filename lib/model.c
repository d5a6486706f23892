/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model: the tensors of the model from a whole checkpoint, read by this process itself.  All of the file is checked
 * before the first byte is copied; the run and everything else that is attached stay as they are.  stint.c calls in.
 */
#include "model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "generation.h"
#include "safepoint.h"

/* What is taken of one checkpoint. */
struct taken {
        const struct layout_tensor **tensors; /* of the model, with pieces[i] of the file for tensors[i] */
        struct generation_piece *pieces;      /* in the order of the file */
        size_t n;
        unsigned char *memory;                /* all of them, one behind the other */
        uint64_t bytes;
};

static int is_of_model(const struct layout_tensor *t)
{
        return t->device && t->tensor.role == STINT_ROLE_MODEL;
}

/* ---- what is wanted ------------------------------------------------------------------------------------------- */

/* The records of the attached tensors of the model, for a while. */
static int match(struct stint *s, const struct generation *g, size_t *n, struct stint_error *err)
{
        struct layout_tensor *t;
        uint64_t i;

        *n = 0;
        for (i = 0; i < g->seal.table_count; i++) {
                const struct table_record *r = table_at(g->table, g->seal.record_bytes, i);

                t = layout_find(&s->layout, r->name);
                if (!t || !is_of_model(t))
                        continue;
                if (layout_fits(t, r, err) < 0)
                        return error_wrap(err, "checkpoint %s does not fit this program", g->name);
                t->record = r;
                (*n)++;
        }
        return 0;
}

static int check_missing(const struct stint *s, const struct generation *g, struct stint_error *err)
{
        const struct layout_tensor *t;

        for (t = s->layout.tensors; t && !s->allow_missing; t = layout_next(t))
                if (is_of_model(t) && !t->record)
                        return error_set(err, EPROTO,
                                         "checkpoint %s has no tensor '%s', which the program attached; if it may keep "
                                         "the value it has, set options.allow_missing", g->name, t->name);
        return 0;
}

static int by_begin(const void *a, const void *b)
{
        const struct table_record *x = (*(const struct layout_tensor *const *)a)->record;
        const struct table_record *y = (*(const struct layout_tensor *const *)b)->record;

        return (x->file_offset > y->file_offset) - (x->file_offset < y->file_offset);
}

static int list(struct stint *s, size_t n, struct taken *k, struct stint_error *err)
{
        const struct layout_tensor *t;

        k->tensors = calloc(n + 1, sizeof *k->tensors);
        k->pieces = calloc(n + 1, sizeof *k->pieces);
        if (!k->tensors || !k->pieces)
                return error_set(err, ENOMEM, "no memory for a list of %zu tensors", n);
        for (t = s->layout.tensors; t; t = layout_next(t))
                if (is_of_model(t) && t->record && t->bytes) {
                        k->tensors[k->n++] = t;
                        k->bytes += t->bytes;
                }
        qsort(k->tensors, k->n, sizeof *k->tensors, by_begin);
        return 0;
}

/* Memory for all of them, if there is so much. */
static int make_room(struct taken *k, struct stint_error *err)
{
        uint64_t at = 0;
        size_t i;

        if (!k->bytes)
                return 0;
        if (where_room(k->bytes, err) < 0)
                return error_wrap(err, "the model");
        k->memory = mmap(NULL, k->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (k->memory == MAP_FAILED) {
                k->memory = NULL;
                return error_system(err, errno, "no memory for the model, of %" PRIu64 " bytes", k->bytes);
        }
        for (i = 0; i < k->n; i++) {
                k->pieces[i] = (struct generation_piece){ k->tensors[i]->record->file_offset, k->tensors[i]->bytes,
                                                          k->memory + at };
                at += k->tensors[i]->bytes;
        }
        return 0;
}

static void let_go(struct stint *s, struct taken *k)
{
        struct layout_tensor *t;

        for (t = s->layout.tensors; t; t = layout_next(t))
                t->record = NULL;
        free(k->tensors);
        free(k->pieces);
        if (k->memory)
                munmap(k->memory, k->bytes);
}

/* ---- the copy ------------------------------------------------------------------------------------------------- */

static int copy(struct stint *s, const struct taken *k, struct stint_error *err)
{
        size_t i;
        int rc = 0;

        for (i = 0; i < k->n && rc == 0; i++) {
                const struct layout_tensor *t = k->tensors[i];

                rc = t->device->copy_in(t->tensor.data, k->pieces[i].to, t->bytes, t->name, err);
                if (rc < 0)
                        error_wrap(err, "tensor '%s' could not be restored", t->name);
        }
        if (device_sync_all(rc < 0 ? NULL : err) < 0)
                rc = -1;
        if (rc == 0)
                return 0;
        error_wrap(err, "the model is restored in part only, do not use it");
        safepoint_refuse(s, err);
        return -1;
}

/* One checkpoint.  *damaged: it is the file's fault, and another may do. */
static int take(struct stint *s, struct generation *g, int *damaged, struct stint_error *err)
{
        struct taken k = { .n = 0 };
        size_t n;
        int rc;

        rc = match(s, g, &n, err);
        if (rc == 0)
                rc = check_missing(s, g, err);
        if (rc == 0)
                rc = list(s, n, &k, err);
        if (rc == 0)
                rc = make_room(&k, err);
        if (rc == 0 && generation_read(g, k.pieces, k.n, err) < 0) {
                *damaged = 1;
                rc = -1;
        }
        if (rc == 0)
                rc = copy(s, &k, err);
        let_go(s, &k);
        return rc;
}

/* ---- which one ------------------------------------------------------------------------------------------------ */

/* Whose file has it: rank 0's, where that has what this rank's leaves out. */
static int rank_to_read(const struct stint *s)
{
        const struct layout_tensor *t;

        for (t = s->layout.tensors; t; t = layout_next(t))
                if (is_of_model(t) && t->elsewhere)
                        return 0;
        return s->session.rank;
}

/* The first that holds, from the newest on; of the best there is but one.  1, 0: there is none, or -1. */
static int take_any(struct stint *s, const char *dir, enum stint_which which, struct generation *g,
                    struct stint_error *err)
{
        struct generation last;
        int found, damaged, failed = 0;

        for (;; last = *g, failed = 1) {
                found = generation_find(g, dir, which, rank_to_read(s), s->session.ranks, failed ? &last : NULL, err);
                if (found == 0)
                        return failed ? -1 : 0;
                damaged = found < 0;
                if (found == 1 && take(s, g, &damaged, err) == 0)
                        return 1;
                generation_close(g);
                if (!damaged || which == STINT_BEST || !*g->name)
                        return -1;
                session_log(&s->session, STINT_LOG_WARNING,
                            "the model is not taken from %s, the next older is tried: %s", g->name, err->text);
        }
}

static int has_model(const struct layout *l)
{
        const struct layout_tensor *t;

        for (t = l->tensors; t; t = layout_next(t))
                if (is_of_model(t))
                        return 1;
        return 0;
}

int model_restore(struct stint *s, const char *dir, enum stint_which which, int64_t *step)
{
        struct stint_error *err = &s->why;
        struct generation g;
        int rc;

        dir = dir ? dir : s->session.dir;
        if (which != STINT_NEWEST && which != STINT_BEST)
                return error_set(err, EINVAL, "%d says neither the newest nor the best checkpoint", (int)which);
        if (!*dir)
                return error_set(err, EINVAL, "there is no run directory to take the model from: name one");
        if (s->refused)
                return error_set(err, s->refused->why.code, "%s", s->refused->why.text);
        if (!has_model(&s->layout))
                return error_set(err, EINVAL, "no tensor of the model is attached (role model, or a name in 'model/')");
        rc = take_any(s, dir, which, &g, err);
        if (rc <= 0)
                return rc == 0 ? STINT_FRESH : -1;
        session_log(&s->session, STINT_LOG_DEBUG, "took the model of step %" PRId64 " from %s", g.step, g.path);
        if (step)
                *step = g.step;
        generation_close(&g);
        return STINT_RESTORED;
}
