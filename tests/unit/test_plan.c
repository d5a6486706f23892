/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_plan: what ranks get of a checkpoint that other ranks have saved.  Arrays are cut into as many random boxes as
 * there were ranks, and put together for as many others; each element tells where in the whole array it was.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checksum.h"
#include "example_table.h"
#include "plan.h"
#include "suite.h"

#define RANKS_MOST 7
#define TENSORS 8

static uint64_t random_state = 88172645463325252u;

static uint64_t random_below(uint64_t n)
{
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state % n;
}

/* ---- a checkpoint that is not on a disk ------------------------------------------------------------------------ */

/* One rank: what it has attached, and the bytes of that, which a file would have at these offsets. */
struct example_rank {
        struct example_table table;
        unsigned char *bytes;
        uint64_t used;
        struct contents contents;
};

struct example {
        uint32_t ranks;
        struct example_rank rank[RANKS_MOST];
        struct pieces pieces;
};

static void begin(struct example *e, uint32_t ranks)
{
        uint32_t i;

        *e = (struct example){ .ranks = ranks };
        for (i = 0; i < ranks; i++) {
                e->rank[i].table = example_new(TENSORS, 40);
                e->rank[i].bytes = malloc(1 << 20);
        }
}

/* Its bytes are what the caller puts at the answer. */
static void *attach(struct example_rank *r, const char *name, enum stint_dtype dtype, int ndim, const int64_t *shape)
{
        struct table_record *t = example_add(&r->table, name, dtype, ndim, shape);

        t->file_offset = t->bytes ? r->used : 0;
        r->used += (t->bytes + 15) / 16 * 16;
        return r->bytes + t->file_offset;
}

static struct table_record *last(struct example_rank *r)
{
        return table_at(r->table.bytes, r->table.record_bytes, r->table.count - 1);
}

static void *attach_piece(struct example_rank *r, const char *name, enum stint_dtype dtype, int ndim,
                          const int64_t *whole, const int64_t *offset, const int64_t *shape)
{
        void *bytes = attach(r, name, dtype, ndim, shape);

        last(r)->flags = TABLE_SHARD;
        memcpy(last(r)->global_shape, whole, (size_t)ndim * sizeof *whole);
        memcpy(last(r)->global_offset, offset, (size_t)ndim * sizeof *offset);
        return bytes;
}

/* All is attached: the pieces of all ranks. */
static int gather(struct example *e, struct stint_error *err)
{
        uint64_t k;
        uint32_t i;

        for (i = 0; i < e->ranks; i++) {
                struct example_rank *r = &e->rank[i];
                struct contents *c = &r->contents;

                c->seal.table_count = r->table.count;
                c->seal.record_bytes = r->table.record_bytes;
                c->table = r->table.bytes;
                c->hashes = calloc(r->table.count + 1, sizeof *c->hashes);
                for (k = 0; k < r->table.count; k++)
                        c->hashes[k] = checksum(r->bytes + contents_at(c, k)->file_offset, contents_at(c, k)->bytes);
                ck_assert_int_eq(pieces_add(&e->pieces, (int32_t)i, c, err), 0);
        }
        return pieces_close(&e->pieces, err);
}

static void end(struct example *e)
{
        uint32_t i;

        pieces_fini(&e->pieces);
        for (i = 0; i < e->ranks; i++) {
                free(e->rank[i].table.bytes);
                free(e->rank[i].bytes);
                free(e->rank[i].contents.hashes);
        }
}

/* What rank `rank` of `ranks` wants is what example_rank has attached. */
static int make(struct plan *p, const struct example *saved, const struct example *now, uint32_t rank,
                struct stint_error *err)
{
        const struct example_table *t = &now->rank[rank].table;
        const struct plan_wanted wanted = { .rank = rank,
                                            .ranks = now->ranks,
                                            .saved = saved->ranks,
                                            .own = now->ranks == saved->ranks ? &saved->rank[rank].contents : NULL,
                                            .table = t->bytes,
                                            .count = t->count,
                                            .record_bytes = t->record_bytes };

        return plan_make(p, &saved->pieces, &wanted, err);
}

/* Carries it out, each piece in parts; the image, whose tensors hold 0xaa where nothing went. */
static unsigned char *carry_out(const struct plan *p, const struct example *saved)
{
        unsigned char *image = malloc(p->image_bytes);
        struct box_cursor cursor;
        uint64_t i, at, n;

        memset(image, 0xaa, p->image_bytes);
        memcpy(image, p->table, p->count * p->record_bytes);
        for (i = 0; i < p->copy_count; i++) {
                const struct plan_copy *c = &p->copies[i];
                const struct table_record *r = c->piece.record;

                box_begin(&cursor, &c->copy);
                for (at = 0; at < r->bytes; at += n) {
                        n = 1 + random_below(200);
                        n = n < r->bytes - at ? n : r->bytes - at;
                        box_take(&cursor, saved->rank[c->piece.rank].bytes + r->file_offset + at, at, n, image);
                }
        }
        return image;
}

/* Where a tensor is in that image; NULL: nowhere. */
static const void *in_image(const struct plan *p, const unsigned char *image, const char *name)
{
        const struct table_record *r = table_find(image, p->count, p->record_bytes, name);

        return r ? image + r->file_offset : NULL;
}

/* ---- arrays in random boxes ------------------------------------------------------------------------------------ */

struct cut {
        int64_t offset[STINT_MAX_DIMS], shape[STINT_MAX_DIMS];
};

/* n boxes that cover the first one exactly, each of them anywhere; some have no elements. */
static void cut_up(struct cut *boxes, uint32_t n, int ndim, const int64_t *whole)
{
        uint32_t i, k;
        int64_t at;
        int d;

        memset(boxes, 0, n * sizeof *boxes);
        memcpy(boxes[0].shape, whole, (size_t)ndim * sizeof *whole);
        for (i = 1; i < n; i++) {
                k = (uint32_t)random_below(i);
                d = (int)random_below((uint64_t)ndim);
                at = (int64_t)random_below((uint64_t)boxes[k].shape[d] + 1);
                boxes[i] = boxes[k];
                boxes[i].offset[d] += at;
                boxes[i].shape[d] -= at;
                boxes[k].shape[d] = at;
        }
}

/* Each element is its own number in the whole array. */
static void number(int64_t *values, int ndim, const int64_t *whole, const struct cut *box)
{
        int64_t i, k, rest, stride, n = 1;
        int d;

        for (d = 0; d < ndim; d++)
                n *= box->shape[d];
        for (i = 0; i < n; i++) {
                rest = i;
                stride = 1;
                values[i] = 0;
                for (d = ndim; d-- > 0;) {
                        k = rest % box->shape[d];
                        rest /= box->shape[d];
                        values[i] += (box->offset[d] + k) * stride;
                        stride *= whole[d];
                }
        }
}

/* An array of any shape, in boxes or, where it suits, not said to be in any. */
static void attach_cut(struct example *e, const char *name, int ndim, const int64_t *whole)
{
        struct cut boxes[RANKS_MOST];
        void *bytes;
        uint32_t i;

        cut_up(boxes, e->ranks, ndim, whole);
        for (i = 0; i < e->ranks; i++) {
                if (e->ranks == 1 && random_below(2))
                        bytes = attach(&e->rank[i], name, STINT_I64, ndim, whole);
                else
                        bytes = attach_piece(&e->rank[i], name, STINT_I64, ndim, whole, boxes[i].offset,
                                             boxes[i].shape);
                number(bytes, ndim, whole, &boxes[i]);
        }
}

static void check_rank(const struct example *saved, struct example *now, uint32_t rank)
{
        struct example_rank *r = &now->rank[rank];
        struct stint_error err = { 0 };
        unsigned char *image;
        struct plan p;
        uint64_t i;

        ck_assert_msg(make(&p, saved, now, rank, &err) == 0, "%s", err.text);
        ck_assert_msg(table_check(p.table, p.count, p.record_bytes, p.image_bytes, &err) == 0, "%s", err.text);
        ck_assert_uint_eq(p.count, r->table.count);
        image = carry_out(&p, saved);
        for (i = 0; i < r->table.count; i++) {
                const struct table_record *t = table_at(r->table.bytes, r->table.record_bytes, i);

                ck_assert_int_eq(memcmp(in_image(&p, image, t->name), r->bytes + t->file_offset, t->bytes), 0);
        }
        free(image);
        plan_fini(&p);
}

static void random_trial(void)
{
        const uint32_t before = 1 + (uint32_t)random_below(RANKS_MOST), after = 1 + (uint32_t)random_below(RANKS_MOST);
        const char *const names[] = { "model/a", "model/b", "optimizer/c" };
        struct example saved, now;
        struct stint_error err = { 0 };
        int64_t whole[4];
        uint32_t i;
        int k, d, ndim;

        begin(&saved, before);
        begin(&now, after);
        for (k = 0; k < 3; k++) {
                ndim = 1 + (int)random_below(4);
                for (d = 0; d < ndim; d++)
                        whole[d] = 1 + (int64_t)random_below(8);
                attach_cut(&saved, names[k], ndim, whole);
                attach_cut(&now, names[k], ndim, whole);
        }
        ck_assert_msg(gather(&saved, &err) == 0, "%s", err.text);
        for (i = 0; i < after; i++)
                check_rank(&saved, &now, i);
        end(&saved);
        end(&now);
}

START_TEST(whatever_pieces_an_array_was_in_it_comes_back_in_any_others)
{
        int i;

        for (i = 0; i < 1500; i++)
                random_trial();
}
END_TEST

/* ---- what is in no pieces -------------------------------------------------------------------------------------- */

static const int64_t two[] = { 2 }, four[] = { 4 };

static void put(struct example_rank *r, const char *name, int64_t a, int64_t b)
{
        int64_t *values = attach(r, name, STINT_I64, 1, two);

        values[0] = a;
        values[1] = b;
}

static int64_t first_of(const struct plan *p, const unsigned char *image, const char *name)
{
        const int64_t *values = in_image(p, image, name);

        ck_assert_ptr_nonnull(values);
        return values[0];
}

/* Two ranks with the same model, and generators of their own. */
static void two_ranks(struct example *e)
{
        uint32_t i;

        begin(e, 2);
        for (i = 0; i < 2; i++) {
                put(&e->rank[i], "model/w", 5, 6);
                put(&e->rank[i], "metrics/loss", 70 + i, 0);
                put(&e->rank[i], "rng", 100 + i, 0);
        }
}

START_TEST(what_all_ranks_have_alike_every_rank_gets_and_a_rank_s_own_only_that_one)
{
        struct example saved, now;
        unsigned char *image;
        struct plan p;
        uint32_t i;

        two_ranks(&saved);
        ck_assert_int_eq(gather(&saved, NULL), 0);
        begin(&now, 3);
        for (i = 0; i < 3; i++) {
                put(&now.rank[i], "rng", 0, 0);
                put(&now.rank[i], "model/w", 0, 0);
                ck_assert_int_eq(make(&p, &saved, &now, i, NULL), 0);
                image = carry_out(&p, &saved);
                ck_assert_int_eq(first_of(&p, image, "model/w"), 5);
                ck_assert_int_eq(first_of(&p, image, "metrics/loss"), 70 + i % 2); /* carried along */
                if (i < 2)
                        ck_assert_int_eq(first_of(&p, image, "rng"), 100 + i);
                else
                        ck_assert_ptr_null(in_image(&p, image, "rng"));
                ck_assert_uint_eq(p.kept, i < 2 ? 0 : 1);
                ck_assert_uint_eq(p.left, 0);
                free(image);
                plan_fini(&p);
        }
        end(&saved);
        end(&now);
}
END_TEST

START_TEST(what_belonged_to_ranks_that_are_gone_is_counted_once)
{
        struct example saved, now;
        struct plan p;

        two_ranks(&saved);
        put(&saved.rank[1], "data/order", 3, 4);
        ck_assert_int_eq(gather(&saved, NULL), 0);
        begin(&now, 1);
        put(&now.rank[0], "model/w", 0, 0);
        ck_assert_int_eq(make(&p, &saved, &now, 0, NULL), 0);
        ck_assert_uint_eq(p.left, 2);
        ck_assert_str_eq(p.left_name, "rng");
        plan_fini(&p);
        end(&saved);
        end(&now);
}
END_TEST

static void refused(const struct example *saved, const struct example *now, const char *words)
{
        struct stint_error err = { 0 };
        struct plan p;

        ck_assert_int_eq(make(&p, saved, now, 0, &err), -1);
        ck_assert_int_eq(err.code, EPROTO);
        ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
}

START_TEST(state_that_differs_between_ranks_is_not_taken_for_state_that_all_have)
{
        struct example saved, now;

        begin(&saved, 2);
        put(&saved.rank[0], "model/w", 1, 2);
        put(&saved.rank[1], "model/w", 1, 3);
        ck_assert_int_eq(gather(&saved, NULL), 0);
        begin(&now, 1);
        refused(&saved, &now, "'model/w'");
        put(&now.rank[0], "model/w", 0, 0);
        refused(&saved, &now, "between rank 0 and rank 1");
        end(&saved);
        end(&now);
}
END_TEST

START_TEST(another_array_under_the_same_name_is_refused_with_both)
{
        struct example saved, now;
        const int64_t zero[] = { 0 };

        begin(&saved, 1);
        put(&saved.rank[0], "model/w", 1, 2);
        ck_assert_int_eq(gather(&saved, NULL), 0);
        begin(&now, 2);
        attach_piece(&now.rank[0], "model/w", STINT_I64, 1, four, zero, two);
        refused(&saved, &now, "a piece of int64 [4] in the program, but int64 [2] in the checkpoint");
        end(&now);
        begin(&now, 2);
        attach(&now.rank[0], "model/w", STINT_F32, 1, two);
        refused(&saved, &now, "float32 [2] in the program");
        end(&saved);
        end(&now);
}
END_TEST

START_TEST(pieces_that_nobody_has_attached_are_refused)
{
        struct example saved, now;
        const int64_t zero[] = { 0 };

        begin(&saved, 2);
        attach_piece(&saved.rank[0], "model/w", STINT_I64, 1, four, zero, two);
        attach_piece(&saved.rank[1], "model/w", STINT_I64, 1, four, two, two);
        ck_assert_int_eq(gather(&saved, NULL), 0);
        begin(&now, 1);
        refused(&saved, &now, "attach this rank's piece");
        end(&saved);
        end(&now);
}
END_TEST

/* STINT_REPLICATED: rank 0's file has it, the others mention it. */
START_TEST(what_one_rank_has_for_all_every_rank_gets_attached_or_not)
{
        const int64_t zero[] = { 0 };
        struct example saved, now;
        unsigned char *image;
        int64_t *values;
        struct plan p;
        uint32_t i, ranks;

        begin(&saved, 2);
        values = attach_piece(&saved.rank[0], "model/w", STINT_I64, 1, two, zero, two);
        values[0] = 11;
        attach_piece(&saved.rank[1], "model/w", STINT_I64, 1, two, zero, zero);
        ck_assert_int_eq(gather(&saved, NULL), 0);
        for (ranks = 1; ranks <= 3; ranks++) {
                begin(&now, ranks);
                for (i = 0; i < ranks; i++) {
                        if (i % 2)
                                attach_piece(&now.rank[i], "model/w", STINT_I64, 1, two, zero, two);
                        ck_assert_int_eq(make(&p, &saved, &now, i, NULL), 0);
                        image = carry_out(&p, &saved);
                        ck_assert_int_eq(first_of(&p, image, "model/w"), 11);
                        free(image);
                        plan_fini(&p);
                }
                end(&now);
        }
        end(&saved);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "plan");

        tcase_add_test(tests, whatever_pieces_an_array_was_in_it_comes_back_in_any_others);
        tcase_add_test(tests, what_all_ranks_have_alike_every_rank_gets_and_a_rank_s_own_only_that_one);
        tcase_add_test(tests, what_belonged_to_ranks_that_are_gone_is_counted_once);
        tcase_add_test(tests, state_that_differs_between_ranks_is_not_taken_for_state_that_all_have);
        tcase_add_test(tests, another_array_under_the_same_name_is_refused_with_both);
        tcase_add_test(tests, what_one_rank_has_for_all_every_rank_gets_attached_or_not);
        tcase_add_test(tests, pieces_that_nobody_has_attached_are_refused);
}

SUITE_MAIN("plan", add_tests)
