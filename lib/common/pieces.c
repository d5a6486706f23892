/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pieces: the index over the contents of all ranks, and what may be said of an array once they are all there.  That
 * shards cover their array is for cover.c.  A restore on another number of ranks and `stint export` call in.
 */
#include "pieces.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checksum.h"
#include "cover.h"
#include "names.h"

#define TEXT_SHAPE 300 /* room for shape_format */
#define FIRST_SLOTS 64 /* a power of two, as every number of slots */

/* ---- the index --------------------------------------------------------------------------------------------------- */

/* The slot of that name, or the empty one where it would go. */
static uint32_t *slot_of(const struct pieces *p, const char *name)
{
        uint64_t at = checksum(name, strlen(name));

        for (;; at++) {
                uint32_t *slot = &p->slots[at & (p->slot_count - 1)];

                if (*slot == 0 || strcmp(p->arrays[*slot - 1].name, name) == 0)
                        return slot;
        }
}

/* Twice as many slots, or the first ones: at least half of them stay empty, so that every search ends soon. */
static int more_slots(struct pieces *p, struct stint_error *err)
{
        const uint32_t n = p->slot_count ? p->slot_count * 2 : FIRST_SLOTS;
        uint32_t *slots = calloc(n, sizeof *slots), i;

        if (!slots)
                return error_system(err, ENOMEM, "no memory for an index of %u arrays", p->count);
        free(p->slots);
        p->slots = slots;
        p->slot_count = n;
        for (i = 0; i < p->count; i++)
                *slot_of(p, p->arrays[i].name) = i + 1;
        return 0;
}

/* Room for one more of what is `size` bytes long. */
static int grow(void **at, uint32_t count, uint32_t *room, size_t size, struct stint_error *err)
{
        const uint64_t more = *room ? (uint64_t)*room * 2 : 4;
        void *larger;

        if (count < *room)
                return 0;
        larger = more > INT32_MAX ? NULL : realloc(*at, more * size);
        if (!larger)
                return error_system(err, ENOMEM, "no memory for more than %u arrays or pieces", count);
        *at = larger;
        *room = (uint32_t)more;
        return 0;
}

static const int64_t *whole_shape(const struct table_record *r)
{
        return r->flags & TABLE_SHARD ? r->global_shape : r->shape;
}

/* An array that was not met before, with the slot for its name. */
static struct pieces_array *add_array(struct pieces *p, const struct table_record *r, struct stint_error *err)
{
        struct pieces_array *a;
        void *arrays = p->arrays;

        if (p->count * 2 >= p->slot_count && more_slots(p, err) < 0)
                return NULL;
        if (grow(&arrays, p->count, &p->room, sizeof *a, err) < 0)
                return NULL;
        p->arrays = arrays;
        a = &p->arrays[p->count];
        *a = (struct pieces_array){ .name = r->name,
                                    .dtype = r->dtype,
                                    .role = r->role,
                                    .ndim = r->ndim,
                                    .sharded = (r->flags & TABLE_SHARD) != 0,
                                    .differs = -1 };
        memcpy(a->shape, whole_shape(r), sizeof a->shape);
        *slot_of(p, a->name) = ++p->count;
        return a;
}

static int add_piece(struct pieces *p, int32_t rank, const struct table_record *r, uint64_t hash,
                     struct stint_error *err)
{
        struct pieces_array *a = p->slot_count ? (struct pieces_array *)pieces_find(p, r->name) : NULL;
        void *pieces;

        if (!a && !(a = add_array(p, r, err)))
                return -1;
        pieces = a->pieces;
        if (grow(&pieces, a->count, &a->room, sizeof *a->pieces, err) < 0)
                return -1;
        a->pieces = pieces;
        a->pieces[a->count++] = (struct piece){ rank, r, hash };
        return 0;
}

int pieces_add(struct pieces *p, int32_t rank, const struct contents *c, struct stint_error *err)
{
        uint64_t i;

        if (rank != p->next_rank)
                return error_set(err, EINVAL, "the contents of rank %d instead of rank %d", rank, p->next_rank);
        p->next_rank++;
        for (i = 0; i < c->seal.table_count; i++)
                if (add_piece(p, rank, contents_at(c, i), c->hashes[i], err) < 0)
                        return -1;
        return 0;
}

const struct pieces_array *pieces_find(const struct pieces *p, const char *name)
{
        const uint32_t slot = p->slot_count ? *slot_of(p, name) : 0;

        return slot ? &p->arrays[slot - 1] : NULL;
}

void pieces_fini(struct pieces *p)
{
        uint32_t i;

        for (i = 0; i < p->count; i++)
                free(p->arrays[i].pieces);
        free(p->arrays);
        free(p->slots);
        *p = (struct pieces){ .arrays = NULL };
}

/* ---- what an array is, on all its ranks -------------------------------------------------------------------------- */

/* "float32 [8, 4] (model)", "a shard of float32 [8, 4] (model)" */
static const char *what(char *out, size_t size, const struct table_record *r)
{
        char shape[TEXT_SHAPE];

        shape_format(shape, sizeof shape, (enum stint_dtype)r->dtype, (int)r->ndim, whole_shape(r));
        snprintf(out, size, "%s%s (%s)", r->flags & TABLE_SHARD ? "a shard of " : "", shape,
                 role_name((enum stint_role)r->role));
        return out;
}

static int same(const struct table_record *x, const struct table_record *y)
{
        return x->dtype == y->dtype && x->role == y->role && x->ndim == y->ndim && x->flags == y->flags &&
               memcmp(whole_shape(x), whole_shape(y), x->ndim * sizeof *x->shape) == 0;
}

/* The first piece that is of something else than the first one, or NULL. */
static const struct piece *other_than_first(const struct pieces_array *a)
{
        uint32_t i;

        for (i = 1; i < a->count; i++)
                if (!same(a->pieces[0].record, a->pieces[i].record))
                        return &a->pieces[i];
        return NULL;
}

static int say_different(const struct pieces_array *a, const struct piece *x, const struct piece *y,
                         struct stint_error *err)
{
        char first[TEXT_SHAPE + 40], second[TEXT_SHAPE + 40];

        what(first, sizeof first, x->record);
        what(second, sizeof second, y->record);
        return error_set(err, EINVAL, "'%s' is %s on rank %d and %s on rank %d", a->name, first, x->rank, second,
                         y->rank);
}

int pieces_check_same(const struct pieces_array *a, struct stint_error *err)
{
        if (a->differs < 0)
                return 0;
        return say_different(a, &a->pieces[0], pieces_of_rank(a, a->differs), err);
}

const struct piece *pieces_of_rank(const struct pieces_array *a, int32_t rank)
{
        uint32_t low = 0, high = a->count;

        if (a->sharded)
                return NULL;
        while (low < high) {
                const uint32_t middle = low + (high - low) / 2;

                if (a->pieces[middle].rank < rank)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < a->count && a->pieces[low].rank == rank ? &a->pieces[low] : NULL;
}

int piece_prove(const struct piece *piece, uint64_t hash, struct stint_error *err)
{
        const struct table_record *r = piece->record;
        char words[TEXT_SHAPE];

        if (hash == piece->hash)
                return 0;
        return error_set(err, EBADMSG, "tensor '%s' of rank %d (%s at offset %" PRIu64 ") does not match its hash",
                         r->name, piece->rank,
                         shape_format(words, sizeof words, (enum stint_dtype)r->dtype, (int)r->ndim, r->shape),
                         r->file_offset);
}

/* ---- when all are there ------------------------------------------------------------------------------------------ */

/* By their place in the array, then by rank, so that of replicas the lowest rank comes first. */
static int by_place(const void *a, const void *b)
{
        const struct piece *x = a, *y = b;
        const struct table_record *r = x->record, *s = y->record;
        uint32_t i;

        for (i = 0; i < r->ndim; i++)
                if (r->global_offset[i] != s->global_offset[i])
                        return r->global_offset[i] < s->global_offset[i] ? -1 : 1;
        for (i = 0; i < r->ndim; i++)
                if (r->shape[i] != s->shape[i])
                        return r->shape[i] < s->shape[i] ? -1 : 1;
        return (x->rank > y->rank) - (x->rank < y->rank);
}

static int same_box(const struct table_record *x, const struct table_record *y)
{
        const size_t n = x->ndim * sizeof *x->shape;

        return memcmp(x->global_offset, y->global_offset, n) == 0 && memcmp(x->shape, y->shape, n) == 0;
}

/* Leaves one piece for each box with elements; in order. */
static void drop_replicas(struct pieces_array *a)
{
        uint32_t i, n = 0;

        for (i = 0; i < a->count; i++)
                if (a->pieces[i].record->bytes > 0 &&
                    (n == 0 || !same_box(a->pieces[n - 1].record, a->pieces[i].record)))
                        a->pieces[n++] = a->pieces[i];
        a->count = n;
}

static int close_sharded(struct pieces_array *a, struct stint_error *err)
{
        const struct piece *other = other_than_first(a);

        if (other)
                return say_different(a, &a->pieces[0], other, err);
        qsort(a->pieces, a->count, sizeof *a->pieces, by_place);
        drop_replicas(a);
        return cover_check(a, err);
}

/* What is not sharded on its first rank may be no shard of anything on another one. */
static int close_other(struct pieces_array *a, struct stint_error *err)
{
        const struct piece *other = other_than_first(a);
        uint32_t i;

        for (i = 1; i < a->count; i++)
                if (a->pieces[i].record->flags & TABLE_SHARD)
                        return say_different(a, &a->pieces[0], &a->pieces[i], err);
        a->differs = other ? other->rank : -1;
        return 0;
}

int pieces_close(struct pieces *p, struct stint_error *err)
{
        uint32_t i;

        for (i = 0; i < p->count; i++) {
                struct pieces_array *a = &p->arrays[i];

                if ((a->sharded ? close_sharded(a, err) : close_other(a, err)) < 0)
                        return -1;
        }
        return 0;
}

const char *pieces_box(char *out, size_t size, uint32_t ndim, const int64_t *offset, const int64_t *shape)
{
        size_t at = 0;
        uint32_t i;

        if (size == 0)
                return out;
        snprintf(out, size, "[");
        for (i = 0; i < ndim && i < STINT_MAX_DIMS; i++) {
                at = strlen(out);
                snprintf(out + at, size - at, "%s%" PRId64 ":%" PRId64, i > 0 ? ", " : "", offset[i],
                         offset[i] + shape[i]);
        }
        at = strlen(out);
        snprintf(out + at, size - at, "]");
        return out;
}
