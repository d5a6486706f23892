/* SPDX-License-Identifier: BSD-3-Clause */
/* plan: from what a program wants and what there is to a list of copies.  assembly calls in. */
#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "names.h"

#define GAP 64       /* tensors begin at multiples of this, as in a file */
#define TEXT_BOX 200 /* room for pieces_box and shape_format */

struct making {
        struct plan *plan;
        const struct pieces *pieces;
        const struct plan_wanted *wanted;
        uint64_t record_room, copy_room;
        unsigned char *taken; /* one for each array of the pieces: the program has attached it */
};

static int is_own(uint32_t role)
{
        return role_is_own((enum stint_role)role);
}

/* ---- what it is made of ------------------------------------------------------------------------------------------ */

static int by_file(const void *left, const void *right)
{
        const struct piece *a = &((const struct plan_copy *)left)->piece;
        const struct piece *b = &((const struct plan_copy *)right)->piece;

        if (a->rank != b->rank)
                return a->rank < b->rank ? -1 : 1;
        return (a->record->file_offset > b->record->file_offset) - (a->record->file_offset < b->record->file_offset);
}

static int add_copy(struct making *m, const struct piece *piece, const struct box_copy *copy, uint64_t to,
                    struct stint_error *err)
{
        struct plan *p = m->plan;
        struct plan_copy *more;

        if (p->copy_count == m->copy_room) {
                m->copy_room = m->copy_room ? m->copy_room * 2 : 64;
                more = realloc(p->copies, m->copy_room * sizeof *more);
                if (!more)
                        return error_set(err, ENOMEM, "no memory for a list of %llu pieces",
                                         (unsigned long long)m->copy_room);
                p->copies = more;
        }
        p->copies[p->copy_count] = (struct plan_copy){ *piece, *copy };
        p->copies[p->copy_count++].copy.to += to;
        p->read_bytes += piece->record->bytes;
        return 0;
}

static int is_shard(const struct table_record *r)
{
        return (r->flags & TABLE_SHARD) != 0;
}

static struct box box_of(const struct table_record *r)
{
        return (struct box){ r->ndim, is_shard(r) ? r->global_offset : NULL, r->shape };
}

/* What one piece has for a tensor of the image. */
static int add_piece(struct making *m, const struct table_record *to, const struct piece *piece,
                     struct stint_error *err)
{
        const struct box from = box_of(piece->record), box = box_of(to);
        struct box_copy copy;

        if (to->bytes == 0 || !box_meet(&copy, &from, &box, dtype_size((enum stint_dtype)to->dtype)))
                return 0;
        return add_copy(m, piece, &copy, to->file_offset, err);
}

/* ---- the table of the image -------------------------------------------------------------------------------------- */

/* The next record, as `like`, at the end of the image; its device is where it was saved from. */
static struct table_record *add_record(struct making *m, const struct table_record *like,
                                       const struct table_record *saved)
{
        struct plan *p = m->plan;
        struct table_record *r = table_at(p->table, p->record_bytes, p->count++);

        memcpy(r, like, TABLE_RECORD_FIXED);
        strcpy(r->name, like->name);
        r->device = saved->device;
        r->device_index = saved->device_index;
        r->file_offset = r->bytes ? p->image_bytes : 0;
        p->image_bytes += (r->bytes + GAP - 1) / GAP * GAP;
        return r;
}

static uint32_t longest_name(const struct making *m)
{
        size_t n, longest = 0;
        uint64_t i;

        for (i = 0; i < m->pieces->count; i++)
                longest = (n = strlen(m->pieces->arrays[i].name)) > longest ? n : longest;
        return (uint32_t)longest;
}

/* Room for all that is wanted and all that there is. */
static int begin_table(struct making *m, struct stint_error *err)
{
        const uint32_t theirs = table_record_bytes(longest_name(m)), mine = m->wanted->record_bytes;
        struct plan *p = m->plan;

        m->record_room = m->wanted->count + m->pieces->count;
        p->record_bytes = theirs > mine ? theirs : mine;
        p->table = calloc(m->record_room + 1, p->record_bytes);
        m->taken = calloc(m->pieces->count + 1, 1);
        if (!p->table || !m->taken)
                return error_set(err, ENOMEM, "no memory for a table of %llu tensors",
                                 (unsigned long long)m->record_room);
        p->image_bytes = (m->record_room * p->record_bytes + GAP - 1) / GAP * GAP;
        return 0;
}

/* ---- what the program has attached ------------------------------------------------------------------------------- */

static int same_dims(uint32_t ndim, const int64_t *a, const int64_t *b)
{
        return memcmp(a, b, ndim * sizeof *a) == 0;
}

/* The array that a tensor is, or is a piece of, is that of the checkpoint. */
static int check_array(const struct table_record *w, const struct pieces_array *a, struct stint_error *err)
{
        const int64_t *whole = is_shard(w) ? w->global_shape : w->shape;
        char have[TEXT_BOX], want[TEXT_BOX];

        if (w->dtype == a->dtype && w->ndim == a->ndim && same_dims(w->ndim, whole, a->shape))
                return 0;
        return error_set(err, EPROTO, "tensor '%s' is %s%s in the program, but %s%s in the checkpoint", w->name,
                         is_shard(w) ? "a piece of " : "",
                         shape_format(have, sizeof have, (enum stint_dtype)w->dtype, (int)w->ndim, whole),
                         a->sharded ? "pieces of " : "",
                         shape_format(want, sizeof want, (enum stint_dtype)a->dtype, (int)a->ndim, a->shape));
}

/*
 * Of what is no piece of a larger array all ranks are to have the same, else it would be given to ranks whose it is
 * not.  Metrics are not asked: nothing is computed from them.
 */
static int check_replicas(const struct pieces_array *a, struct stint_error *err)
{
        struct stint_error why;
        uint32_t i;

        if (pieces_check_same(a, &why) < 0)
                return error_set(err, EPROTO, "%s", why.text);
        for (i = 1; a->role != STINT_ROLE_METRICS && i < a->count; i++)
                if (a->pieces[i].hash != a->pieces[0].hash)
                        return error_set(err, EPROTO,
                                         "'%s' is no piece of a larger array, and differs between rank %d and rank %d: "
                                         "say at stint_attach where it lies in the whole one (global_shape, "
                                         "global_offset), or give it the role of data when it is a rank's own",
                                         a->name, a->pieces[0].rank, a->pieces[i].rank);
        return 0;
}

/* Which rank's piece stands for all; of what is a rank's own its own, NULL: it has none. */
static const struct piece *choose(const struct making *m, const struct pieces_array *a, uint32_t role)
{
        const struct plan_wanted *w = m->wanted;
        const struct piece *piece;

        if (is_own(role))
                return pieces_of_rank(a, (int32_t)w->rank);
        piece = pieces_of_rank(a, (int32_t)(w->rank % w->saved));
        return piece || a->count == 0 ? piece : &a->pieces[0];
}

/* A rank that there was not keeps what is its own; of one that there was the program says whether it may be missing. */
static void keep(struct making *m, const struct table_record *w)
{
        if (!is_own(w->role) || m->wanted->rank < m->wanted->saved)
                return;
        if (m->plan->kept++ == 0)
                m->plan->kept_name = w->name;
}

static int fill_from_shards(struct making *m, const struct table_record *w, const struct pieces_array *a,
                            struct stint_error *err)
{
        const struct table_record *to;
        uint32_t i;

        if (check_array(w, a, err) < 0)
                return -1;
        to = add_record(m, w, a->count ? a->pieces[0].record : w);
        for (i = 0; i < a->count; i++)
                if (add_piece(m, to, &a->pieces[i], err) < 0)
                        return -1;
        return 0;
}

/* What is a rank's own is compared with that one; pieces may be wanted of what every rank had whole. */
static int fill_from_one(struct making *m, const struct table_record *w, const struct pieces_array *a,
                         struct stint_error *err)
{
        const int own = is_own(w->role) && !is_shard(w);
        const struct piece *piece = choose(m, a, own ? w->role : (uint32_t)STINT_ROLE_OTHER);
        struct pieces_array one = *a;

        if (!piece) {
                keep(m, w);
                return 0;
        }
        if (!own && (is_shard(w) || !m->wanted->own) && check_replicas(a, err) < 0)
                return -1;
        one.dtype = piece->record->dtype;
        one.ndim = piece->record->ndim;
        memcpy(one.shape, piece->record->shape, sizeof one.shape);
        if (check_array(w, &one, err) < 0)
                return -1;
        return add_piece(m, add_record(m, w, piece->record), piece, err);
}

static int fill(struct making *m, struct stint_error *err)
{
        const struct table_record *w;
        const struct pieces_array *a;
        uint64_t i;
        int rc;

        for (i = 0; i < m->wanted->count; i++) {
                w = (const struct table_record *)(const void *)((const char *)m->wanted->table +
                                                                i * m->wanted->record_bytes);
                a = pieces_find(m->pieces, w->name);
                if (!a) {
                        keep(m, w);
                        continue;
                }
                m->taken[a - m->pieces->arrays] = 1;
                rc = a->sharded ? fill_from_shards(m, w, a, err) : fill_from_one(m, w, a, err);
                if (rc < 0)
                        return -1;
        }
        return 0;
}

/* ---- what nobody has attached yet -------------------------------------------------------------------------------- */

/* A rank that there was not takes along only what all ranks had. */
static const struct piece *to_carry(const struct making *m, const struct pieces_array *a)
{
        const struct plan_wanted *w = m->wanted;

        if (w->rank < w->saved)
                return pieces_of_rank(a, (int32_t)w->rank);
        return is_own(a->role) || a->count < w->saved ? NULL : choose(m, a, a->role);
}

/* Which box of it would be this rank's, nobody could know. */
static int refuse_shards(const struct pieces_array *a, struct stint_error *err)
{
        return error_set(err, EPROTO,
                         "'%s' is in pieces and not attached: attach this rank's piece of it before stint_restore, "
                         "when the number of ranks is another",
                         a->name);
}

/* One piece is all of it: STINT_REPLICATED, which every rank has. */
static int is_whole(const struct pieces_array *a)
{
        return a->sharded && a->count == 1 && same_dims(a->ndim, a->pieces[0].record->shape, a->shape);
}

/* Of as many ranks each takes along what it had, shards as well. */
static int carry_own(struct making *m, struct stint_error *err)
{
        const struct contents *own = m->wanted->own;
        const struct pieces_array *a;
        struct piece piece;
        uint64_t i;

        for (i = 0; i < own->seal.table_count; i++) {
                piece = (struct piece){ (int32_t)m->wanted->rank, contents_at(own, i), own->hashes[i] };
                a = pieces_find(m->pieces, piece.record->name);
                if (m->taken[a - m->pieces->arrays])
                        continue;
                if (is_whole(a))
                        piece = a->pieces[0];
                if (add_piece(m, add_record(m, piece.record, piece.record), &piece, err) < 0)
                        return -1;
        }
        return 0;
}

static int carry(struct making *m, struct stint_error *err)
{
        const struct pieces_array *a;
        const struct piece *piece;
        uint32_t i;

        if (m->wanted->own)
                return carry_own(m, err);
        for (i = 0; i < m->pieces->count; i++) {
                a = &m->pieces->arrays[i];
                if (m->taken[i])
                        continue;
                if (a->sharded && a->count > 0 && !is_whole(a))
                        return refuse_shards(a, err);
                piece = a->sharded ? a->pieces : to_carry(m, a);
                if (!piece || a->count == 0)
                        continue;
                if ((!a->sharded && !is_own(a->role) && check_replicas(a, err) < 0) ||
                    add_piece(m, add_record(m, piece->record, piece->record), piece, err) < 0)
                        return -1;
        }
        return 0;
}

/* Fewer ranks than there were: what belongs to those that are gone, and has no other to stand for it. */
static void count_left(struct making *m)
{
        const struct pieces_array *a;
        uint32_t i;

        for (i = 0; m->wanted->rank == 0 && i < m->pieces->count; i++) {
                a = &m->pieces->arrays[i];
                if (a->sharded || a->count == 0 || (uint32_t)a->pieces[a->count - 1].rank < m->wanted->ranks)
                        continue;
                if (!is_own(a->role) && (m->taken[i] || (uint32_t)a->pieces[0].rank < m->wanted->ranks))
                        continue;
                if (m->plan->left++ == 0)
                        m->plan->left_name = a->name;
        }
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

int plan_make(struct plan *p, const struct pieces *pieces, const struct plan_wanted *wanted, struct stint_error *err)
{
        struct making m = { .plan = p, .pieces = pieces, .wanted = wanted };
        int rc = -1;

        *p = (struct plan){ 0 };
        if (begin_table(&m, err) == 0 && fill(&m, err) == 0 && carry(&m, err) == 0) {
                count_left(&m);
                if (p->copy_count > 1)
                        qsort(p->copies, p->copy_count, sizeof *p->copies, by_file);
                rc = 0;
        }
        free(m.taken);
        if (rc < 0)
                plan_fini(p);
        return rc;
}

void plan_fini(struct plan *p)
{
        free(p->table);
        free(p->copies);
        *p = (struct plan){ 0 };
}
