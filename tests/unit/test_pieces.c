/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_pieces: which arrays the ranks of a checkpoint have together, and whether their shards make them up. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "example_table.h"
#include "pieces.h"
#include "suite.h"

#define RANKS_MOST 40

static struct example_table tables[RANKS_MOST];
static struct contents contents[RANKS_MOST];
static uint64_t hashes[8];
static struct pieces pieces;
static struct stint_error err;
static int ranks;

static void begin(void)
{
        int i;

        for (i = 0; i < RANKS_MOST; i++)
                tables[i] = example_new(8, 60);
        for (i = 0; i < 8; i++)
                hashes[i] = (uint64_t)i * 1000;
        memset(&pieces, 0, sizeof pieces);
        memset(&err, 0, sizeof err);
        ranks = 0;
}

static void end(void)
{
        int i;

        pieces_fini(&pieces);
        for (i = 0; i < RANKS_MOST; i++)
                free(tables[i].bytes);
}

/* An array of float32 that a rank has as a whole. */
static struct table_record *whole(int rank, const char *name, int ndim, const int64_t *shape)
{
        if (rank >= ranks)
                ranks = rank + 1;
        return example_add(&tables[rank], name, STINT_F32, ndim, shape);
}

static struct table_record *shard(int rank, const char *name, int ndim, const int64_t *global, const int64_t *offset,
                                  const int64_t *shape)
{
        struct table_record *r = whole(rank, name, ndim, shape);

        r->flags = TABLE_SHARD;
        if (ndim > 0) {
                memcpy(r->global_shape, global, (size_t)ndim * sizeof *global);
                memcpy(r->global_offset, offset, (size_t)ndim * sizeof *offset);
        }
        return r;
}

/* A piece of the vector 'model/v' of that many elements. */
static struct table_record *span(int rank, int64_t n, int64_t from, int64_t to)
{
        const int64_t length = to - from;

        return shard(rank, "model/v", 1, &n, &from, &length);
}

/* A piece of the matrix 'model/w' of 8 x 16. */
static struct table_record *box(int rank, int64_t row, int64_t column, int64_t rows, int64_t columns)
{
        static const int64_t global[] = { 8, 16 };
        const int64_t offset[] = { row, column }, shape[] = { rows, columns };

        return shard(rank, "model/w", 2, global, offset, shape);
}

static int close_pieces(void)
{
        int i;

        for (i = 0; i < ranks; i++) {
                contents[i] = (struct contents){ .table = tables[i].bytes, .hashes = hashes };
                contents[i].seal.table_count = tables[i].count;
                contents[i].seal.record_bytes = tables[i].record_bytes;
                ck_assert_int_eq(table_check(tables[i].bytes, tables[i].count, tables[i].record_bytes, 0, &err), 0);
                ck_assert_msg(pieces_add(&pieces, i, &contents[i], &err) == 0, "%s", err.text);
        }
        return pieces_close(&pieces, &err);
}

static void holds(void)
{
        const int rc = close_pieces();

        ck_assert_msg(rc == 0, "%s", err.text);
}

static void fails_with(const char *text)
{
        ck_assert_int_eq(close_pieces(), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_str_eq(err.text, text);
}

/* ---- what is there ----------------------------------------------------------------------------------------------- */

START_TEST(arrays_are_found_by_name_in_the_order_in_which_they_were_met)
{
        const int64_t three = 3;

        whole(0, "model/b", 1, &three);
        whole(0, "model/a", 1, &three);
        whole(1, "model/a", 1, &three);
        whole(1, "model/c", 1, &three);
        holds();
        ck_assert_uint_eq(pieces.count, 3);
        ck_assert_str_eq(pieces.arrays[0].name, "model/b");
        ck_assert_str_eq(pieces.arrays[1].name, "model/a");
        ck_assert_str_eq(pieces.arrays[2].name, "model/c");
        ck_assert_ptr_eq(pieces_find(&pieces, "model/c"), &pieces.arrays[2]);
        ck_assert_ptr_null(pieces_find(&pieces, "model"));
        ck_assert_ptr_null(pieces_find(&pieces, ""));
}
END_TEST

START_TEST(what_is_no_shard_has_a_piece_for_each_rank_that_has_it)
{
        const int64_t three = 3;
        const struct pieces_array *a;

        whole(0, "rng/x", 1, &three);
        whole(2, "data/x", 1, &three);
        whole(2, "rng/x", 1, &three);
        whole(3, "rng/x", 1, &three);
        holds();
        a = pieces_find(&pieces, "rng/x");
        ck_assert_int_eq(a->sharded, 0);
        ck_assert_int_eq(a->differs, -1);
        ck_assert_uint_eq(a->role, STINT_ROLE_RNG);
        ck_assert_uint_eq(a->count, 3);
        ck_assert_ptr_eq(pieces_of_rank(a, 0), &a->pieces[0]);
        ck_assert_ptr_null(pieces_of_rank(a, 1));
        ck_assert_ptr_eq(pieces_of_rank(a, 2), &a->pieces[1]);
        ck_assert_ptr_eq(pieces_of_rank(a, 3), &a->pieces[2]);
        ck_assert_ptr_null(pieces_of_rank(a, 4));
        ck_assert_uint_eq(a->pieces[1].hash, 1000);
        ck_assert_ptr_eq(a->pieces[1].record, contents_at(&contents[2], 1));
        ck_assert_int_eq(pieces_check_same(a, &err), 0);
}
END_TEST

START_TEST(an_index_of_nothing_has_nothing)
{
        ck_assert_int_eq(pieces_close(&pieces, &err), 0);
        ck_assert_ptr_null(pieces_find(&pieces, "model/w"));
}
END_TEST

START_TEST(ranks_come_one_after_another)
{
        contents[1] = (struct contents){ .table = NULL };
        ck_assert_int_eq(pieces_add(&pieces, 1, &contents[1], &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_str_eq(err.text, "the contents of rank 1 instead of rank 0");
}
END_TEST

START_TEST(bytes_with_another_hash_are_those_of_no_piece)
{
        const int64_t three = 3;

        whole(0, "model/a", 1, &three);
        whole(1, "model/a", 1, &three)->file_offset = 4096;
        holds();
        ck_assert_int_eq(piece_prove(&pieces.arrays[0].pieces[1], 0, &err), 0);
        ck_assert_int_eq(piece_prove(&pieces.arrays[0].pieces[1], 1, &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        ck_assert_str_eq(err.text, "tensor 'model/a' of rank 1 (float32 [3] at offset 4096) does not match its hash");
}
END_TEST

START_TEST(a_box_is_written_as_python_writes_it)
{
        const int64_t offset[] = { 0, 8, -1 }, shape[] = { 4, 8, 1 };
        char out[64], small[6];

        ck_assert_str_eq(pieces_box(out, sizeof out, 3, offset, shape), "[0:4, 8:16, -1:0]");
        ck_assert_str_eq(pieces_box(out, sizeof out, 0, NULL, NULL), "[]");
        ck_assert_str_eq(pieces_box(small, sizeof small, 3, offset, shape), "[0:4,");
}
END_TEST

/* ---- shards that make up their array ----------------------------------------------------------------------------- */

START_TEST(spans_in_any_order_make_up_a_vector)
{
        const struct pieces_array *a;

        span(0, 10, 7, 10);
        span(1, 10, 0, 3);
        span(2, 10, 3, 7);
        holds();
        a = pieces_find(&pieces, "model/v");
        ck_assert_int_eq(a->sharded, 1);
        ck_assert_int_eq(a->shape[0], 10);
        ck_assert_uint_eq(a->count, 3);
        ck_assert_int_eq(a->pieces[0].rank, 1);
        ck_assert_int_eq(a->pieces[1].rank, 2);
        ck_assert_int_eq(a->pieces[2].rank, 0);
        ck_assert_ptr_null(pieces_of_rank(a, 0));
}
END_TEST

START_TEST(tiles_of_uneven_size_make_up_a_matrix)
{
        box(0, 0, 0, 3, 5);
        box(1, 0, 5, 3, 11);
        box(2, 3, 0, 5, 9);
        box(3, 3, 9, 5, 7);
        holds();
        ck_assert_uint_eq(pieces.arrays[0].count, 4);
}
END_TEST

/* No straight line through the matrix misses all shards. */
START_TEST(shards_that_interlock_make_up_a_matrix)
{
        box(0, 0, 0, 4, 10);
        box(1, 0, 10, 6, 6);
        box(2, 6, 5, 2, 11);
        box(3, 4, 0, 4, 5);
        box(4, 4, 5, 2, 5);
        holds();
        ck_assert_uint_eq(pieces.arrays[0].count, 5);
}
END_TEST

START_TEST(of_replicas_the_lowest_rank_counts)
{
        const struct pieces_array *a;

        box(0, 4, 0, 4, 16);
        box(1, 0, 0, 4, 16);
        box(2, 0, 0, 4, 16);
        box(3, 4, 0, 4, 16);
        holds();
        a = pieces_find(&pieces, "model/w");
        ck_assert_uint_eq(a->count, 2);
        ck_assert_int_eq(a->pieces[0].rank, 1);
        ck_assert_int_eq(a->pieces[1].rank, 0);
}
END_TEST

START_TEST(shards_without_elements_are_no_pieces)
{
        span(0, 10, 0, 10);
        span(1, 10, 10, 10);
        span(2, 10, 4, 4);
        holds();
        ck_assert_uint_eq(pieces.arrays[0].count, 1);
        ck_assert_int_eq(pieces.arrays[0].pieces[0].rank, 0);
}
END_TEST

START_TEST(an_array_without_elements_or_dimensions_can_be_sharded)
{
        const int64_t none[] = { 4, 0 }, zero[] = { 0, 0 };

        shard(0, "model/none", 2, none, zero, none);
        shard(0, "model/scalar", 0, NULL, NULL, NULL);
        shard(1, "model/scalar", 0, NULL, NULL, NULL);
        holds();
        ck_assert_uint_eq(pieces.arrays[0].count, 0);
        ck_assert_uint_eq(pieces.arrays[1].count, 1);
}
END_TEST

/* ---- and that do not --------------------------------------------------------------------------------------------- */

START_TEST(a_hole_is_named_with_a_rank_beside_it)
{
        span(0, 10, 0, 3);
        span(1, 10, 3, 6);
        span(2, 10, 8, 10);
        fails_with("no rank has [6:8] of 'model/v' (float32 [10]); beside it is the shard of rank 2");
}
END_TEST

START_TEST(a_hole_at_the_beginning_or_the_end_is_named)
{
        if (_i == 0) {
                span(0, 10, 2, 6);
                span(1, 10, 6, 10);
                fails_with("no rank has [0:2] of 'model/v' (float32 [10]); beside it is the shard of rank 0");
        } else {
                span(0, 10, 0, 6);
                span(1, 10, 6, 9);
                fails_with("no rank has [9:10] of 'model/v' (float32 [10]); beside it is the shard of rank 1");
        }
}
END_TEST

START_TEST(a_missing_tile_is_named_as_the_box_it_is)
{
        box(0, 0, 0, 4, 8);
        box(1, 0, 8, 4, 8);
        box(2, 4, 0, 4, 8);
        fails_with("no rank has [4:8, 8:16] of 'model/w' (float32 [8, 16]); beside it is the shard of rank 2");
}
END_TEST

START_TEST(a_hole_within_shards_that_interlock_is_found)
{
        box(0, 0, 0, 4, 10);
        box(1, 0, 10, 6, 6);
        box(2, 6, 5, 2, 11);
        box(3, 4, 0, 4, 5);
        fails_with("no rank has all of [0:8, 0:16] of 'model/w' (float32 [8, 16]); beside it is the shard of rank 0");
}
END_TEST

START_TEST(a_sharded_array_that_only_has_empty_shards_is_one_hole)
{
        span(0, 10, 5, 5);
        fails_with("no rank has [0:10] of 'model/v' (float32 [10])");
}
END_TEST

START_TEST(an_overlap_is_named_with_both_ranks_and_boxes)
{
        box(0, 0, 0, 4, 16);
        box(1, 4, 0, 4, 8);
        box(2, 3, 8, 5, 8);
        fails_with("the shards of 'model/w' overlap: rank 0 has [0:4, 0:16] and rank 2 has [3:8, 8:16]");
}
END_TEST

/* As many elements as the array has: only their places tell. */
START_TEST(an_overlap_that_makes_up_for_a_hole_is_found)
{
        span(0, 9, 0, 3);
        span(1, 9, 2, 5);
        span(2, 9, 6, 9);
        ck_assert_int_eq(close_pieces(), -1);
        ck_assert_int_eq(err.code, EINVAL);
}
END_TEST

START_TEST(one_shard_within_another_is_an_overlap)
{
        span(0, 10, 0, 10);
        span(1, 10, 4, 5);
        fails_with("the shards of 'model/v' overlap: rank 0 has [0:10] and rank 1 has [4:5]");
}
END_TEST

START_TEST(shards_of_another_dtype_role_or_whole_are_named)
{
        span(0, 10, 0, 5);
        if (_i == 0) {
                struct table_record *r = span(1, 10, 5, 10);

                r->dtype = STINT_I32;
                fails_with("'model/v' is a shard of float32 [10] (model) on rank 0 "
                           "and a shard of int32 [10] (model) on rank 1");
        } else if (_i == 1) {
                span(1, 10, 5, 10)->role = STINT_ROLE_OTHER;
                fails_with("'model/v' is a shard of float32 [10] (model) on rank 0 "
                           "and a shard of float32 [10] (other) on rank 1");
        } else if (_i == 2) {
                span(1, 12, 5, 12);
                fails_with("'model/v' is a shard of float32 [10] (model) on rank 0 "
                           "and a shard of float32 [12] (model) on rank 1");
        } else {
                const int64_t ten = 10;

                whole(1, "model/v", 1, &ten);
                fails_with("'model/v' is a shard of float32 [10] (model) on rank 0 and float32 [10] (model) on rank 1");
        }
}
END_TEST

START_TEST(what_is_whole_on_one_rank_is_a_shard_on_no_other)
{
        const int64_t ten = 10, five = 5;

        whole(0, "model/v", 1, &ten);
        whole(1, "model/v", 1, &five);
        span(2, 10, 0, 10);
        fails_with("'model/v' is float32 [10] (model) on rank 0 and a shard of float32 [10] (model) on rank 2");
}
END_TEST

START_TEST(what_is_no_shard_may_differ_and_who_needs_it_alike_is_told)
{
        const int64_t ten = 10, five[] = { 5, 2 };
        const struct pieces_array *a;

        whole(0, "data/x", 1, &ten);
        whole(1, "data/x", 1, &ten);
        whole(2, "data/x", 2, five);
        holds();
        a = pieces_find(&pieces, "data/x");
        ck_assert_int_eq(a->differs, 2);
        ck_assert_int_eq(pieces_check_same(a, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_str_eq(err.text, "'data/x' is float32 [10] (data) on rank 0 and float32 [5, 2] (data) on rank 2");
}
END_TEST

START_TEST(an_array_with_more_elements_than_can_be_counted_is_refused)
{
        const int64_t global[] = { INT64_MAX, INT64_MAX }, offset[] = { 0, 0 }, shape[] = { 1, 1 };

        shard(0, "model/w", 2, global, offset, shape);
        ck_assert_int_eq(close_pieces(), -1);
        ck_assert_int_eq(err.code, EOVERFLOW);
        ck_assert_ptr_nonnull(strstr(err.text, "'model/w'"));
}
END_TEST

/* ---- at random, against a count of each element ------------------------------------------------------------------ */

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
        random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
        return (uint32_t)(random_state >> 20) % n;
}

struct boxes {
        int64_t at[40][6]; /* offset, shape */
        int n;
};

/* Cuts a box in two at a random place, again and again. */
static void cut_at_random(struct boxes *b, int cuts)
{
        while (cuts-- > 0) {
                int64_t *box = b->at[random_below((uint32_t)b->n)];
                const uint32_t d = random_below(3);
                int64_t *other = b->at[b->n];

                if (box[3 + d] < 2)
                        continue;
                memcpy(other, box, sizeof b->at[0]);
                box[3 + d] = 1 + random_below((uint32_t)box[3 + d] - 1);
                other[d] += box[3 + d];
                other[3 + d] -= box[3 + d];
                b->n++;
        }
}

/* Moves one border of one box by one, or leaves a box out. */
static void spoil(struct boxes *b)
{
        int64_t *box = b->at[random_below((uint32_t)b->n)];
        const uint32_t d = random_below(3);

        if (random_below(4) == 0)
                memcpy(box, b->at[--b->n], sizeof b->at[0]);
        else if (random_below(2) && box[d] + box[3 + d] < 6)
                box[3 + d]++;
        else if (box[d] > 0) {
                box[d]--;
                box[3 + d]++;
        } else {
                box[3 + d]--;
        }
}

/* Whether each element of 6 x 6 x 6 is in one box, or only in boxes that are equal. */
static int counted(const struct boxes *b)
{
        int64_t x, y, z;
        int i;

        for (x = 0; x < 6; x++)
                for (y = 0; y < 6; y++)
                        for (z = 0; z < 6; z++) {
                                const int64_t *found = NULL;

                                for (i = 0; i < b->n; i++) {
                                        const int64_t *o = b->at[i], *s = o + 3;

                                        if (x < o[0] || x >= o[0] + s[0] || y < o[1] || y >= o[1] + s[1] || z < o[2] ||
                                            z >= o[2] + s[2])
                                                continue;
                                        if (found && memcmp(found, o, sizeof b->at[0]) != 0)
                                                return 0;
                                        found = o;
                                }
                                if (!found)
                                        return 0;
                        }
        return 1;
}

static void shards_of(const struct boxes *b)
{
        static const int64_t global[] = { 6, 6, 6 };
        int i;

        for (i = 0; i < b->n; i++)
                shard(i, "model/w", 3, global, b->at[i], b->at[i] + 3);
}

START_TEST(random_boxes_are_judged_as_by_counting_each_element)
{
        int round, good = 0, bad = 0;

        random_state = 88172645463325252u;
        for (round = 0; round < 2000; round++) {
                struct boxes b = { .at = { { 0, 0, 0, 6, 6, 6 } }, .n = 1 };
                int right;

                cut_at_random(&b, (int)random_below(30));
                if (random_below(2) > 0)
                        spoil(&b);
                if (b.n == 0)
                        continue;
                end();
                begin();
                shards_of(&b);
                right = counted(&b);
                ck_assert_msg((close_pieces() == 0) == right, "round %d: %s", round, err.text);
                *(right ? &good : &bad) += 1;
        }
        ck_assert_int_gt(good, 500);
        ck_assert_int_gt(bad, 500);
}
END_TEST

/* ---- as many as there are on a large machine --------------------------------------------------------------------- */

#define MANY 40000
#define SIDE 200 /* MANY is a square */

/* A rank's rows, columns and tile of three matrices, and its span of a vector; all in memory that is one table. */
static void add_shards_of(struct example_table *t, int64_t rank)
{
        static const int64_t rows[] = { MANY, 4 }, columns[] = { 4, MANY }, span[] = { MANY * 7 };
        static const int64_t tiles[] = { SIDE * 3, SIDE * 5 };
        const struct {
                const char *name;
                int ndim;
                const int64_t *global;
                int64_t offset[2], shape[2];
        } of[] = { { "model/rows", 2, rows, { rank, 0 }, { 1, 4 } },
                   { "model/columns", 2, columns, { 0, rank }, { 4, 1 } },
                   { "model/tiles", 2, tiles, { rank / SIDE * 3, rank % SIDE * 5 }, { 3, 5 } },
                   { "optimizer/flat", 1, span, { rank * 7 }, { 7 } } };
        size_t i;

        for (i = 0; i < sizeof of / sizeof of[0]; i++) {
                struct table_record *r = example_add(t, of[i].name, STINT_F32, of[i].ndim, of[i].shape);

                r->flags = TABLE_SHARD;
                memcpy(r->global_shape, of[i].global, (size_t)of[i].ndim * sizeof *r->global_shape);
                memcpy(r->global_offset, of[i].offset, (size_t)of[i].ndim * sizeof *r->global_offset);
        }
}

/*
 * Comparing each shard with each other one would take minutes here, more than the test is given.  The ranks come in an
 * order that is neither that of the array nor the reverse.
 */
START_TEST(tens_of_thousands_of_ranks_are_no_matter_of_minutes)
{
        struct contents *many = calloc(MANY, sizeof *many);
        struct example_table all = example_new(MANY * 4, 20);
        int i;

        for (i = 0; i < MANY; i++) {
                many[i].table = table_at(all.bytes, all.record_bytes, all.count);
                many[i].hashes = hashes;
                many[i].seal.table_count = 4;
                many[i].seal.record_bytes = all.record_bytes;
                add_shards_of(&all, (int64_t)i * 12347 % MANY);
                ck_assert_int_eq(pieces_add(&pieces, i, &many[i], &err), 0);
        }
        ck_assert_msg(pieces_close(&pieces, &err) == 0, "%s", err.text);
        ck_assert_uint_eq(pieces.count, 4);
        for (i = 0; i < 4; i++)
                ck_assert_uint_eq(pieces.arrays[i].count, MANY);
        ck_assert_int_eq(pieces.arrays[1].pieces[12347].rank, 1);
        pieces_fini(&pieces);
        free(many);
        free(all.bytes);
}
END_TEST

START_TEST(very_many_arrays_are_found_by_name)
{
        struct example_table t = example_many(50000, 1);
        struct contents c = { .table = t.bytes };
        uint64_t i;

        c.hashes = calloc(t.count, sizeof *c.hashes);
        c.seal.table_count = t.count;
        c.seal.record_bytes = t.record_bytes;
        ck_assert_int_eq(pieces_add(&pieces, 0, &c, &err), 0);
        ck_assert_int_eq(pieces_close(&pieces, &err), 0);
        ck_assert_uint_eq(pieces.count, t.count);
        for (i = 0; i < t.count; i++)
                ck_assert_ptr_eq(pieces_find(&pieces, contents_at(&c, i)->name), &pieces.arrays[i]);
        pieces_fini(&pieces);
        free(c.hashes);
        free(t.bytes);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "pieces");

        tcase_add_checked_fixture(tests, begin, end);
        tcase_set_timeout(tests, 60);
        tcase_add_test(tests, arrays_are_found_by_name_in_the_order_in_which_they_were_met);
        tcase_add_test(tests, what_is_no_shard_has_a_piece_for_each_rank_that_has_it);
        tcase_add_test(tests, an_index_of_nothing_has_nothing);
        tcase_add_test(tests, ranks_come_one_after_another);
        tcase_add_test(tests, bytes_with_another_hash_are_those_of_no_piece);
        tcase_add_test(tests, a_box_is_written_as_python_writes_it);
        tcase_add_test(tests, spans_in_any_order_make_up_a_vector);
        tcase_add_test(tests, tiles_of_uneven_size_make_up_a_matrix);
        tcase_add_test(tests, shards_that_interlock_make_up_a_matrix);
        tcase_add_test(tests, of_replicas_the_lowest_rank_counts);
        tcase_add_test(tests, shards_without_elements_are_no_pieces);
        tcase_add_test(tests, an_array_without_elements_or_dimensions_can_be_sharded);
        tcase_add_test(tests, a_hole_is_named_with_a_rank_beside_it);
        tcase_add_loop_test(tests, a_hole_at_the_beginning_or_the_end_is_named, 0, 2);
        tcase_add_test(tests, a_missing_tile_is_named_as_the_box_it_is);
        tcase_add_test(tests, a_hole_within_shards_that_interlock_is_found);
        tcase_add_test(tests, a_sharded_array_that_only_has_empty_shards_is_one_hole);
        tcase_add_test(tests, an_overlap_is_named_with_both_ranks_and_boxes);
        tcase_add_test(tests, an_overlap_that_makes_up_for_a_hole_is_found);
        tcase_add_test(tests, one_shard_within_another_is_an_overlap);
        tcase_add_loop_test(tests, shards_of_another_dtype_role_or_whole_are_named, 0, 4);
        tcase_add_test(tests, what_is_whole_on_one_rank_is_a_shard_on_no_other);
        tcase_add_test(tests, what_is_no_shard_may_differ_and_who_needs_it_alike_is_told);
        tcase_add_test(tests, an_array_with_more_elements_than_can_be_counted_is_refused);
        tcase_add_test(tests, random_boxes_are_judged_as_by_counting_each_element);
        tcase_add_test(tests, tens_of_thousands_of_ranks_are_no_matter_of_minutes);
        tcase_add_test(tests, very_many_arrays_are_found_by_name);
}

SUITE_MAIN("pieces", add_tests)
