/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_boxes: what goes from one piece of an array into another is what a walk over single elements finds. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "boxes.h"
#include "suite.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random_below(uint64_t n)
{
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state % n;
}

/* A box with memory for its elements. */
struct example {
        int64_t offset[STINT_MAX_DIMS], shape[STINT_MAX_DIMS];
        uint64_t elements;
        unsigned char *bytes;
};

static void make(struct example *e, uint32_t ndim, const int64_t *whole, uint64_t element)
{
        uint32_t d;

        e->elements = 1;
        for (d = 0; d < ndim; d++) {
                /* Often all of a dimension, which is what makes runs long. */
                e->offset[d] = random_below(2) ? 0 : (int64_t)random_below((uint64_t)whole[d]);
                e->shape[d] = random_below(3) ? whole[d] - e->offset[d]
                                              : (int64_t)random_below((uint64_t)(whole[d] - e->offset[d]) + 1);
                e->elements *= (uint64_t)e->shape[d];
        }
        e->bytes = malloc(e->elements * element + 1);
}

static struct box box_of(const struct example *e, uint32_t ndim)
{
        return (struct box){ ndim, e->offset, e->shape };
}

/* Where the i-th element of a box is in the whole array; and the other way round, -1: it is not in the box. */
static void place(const struct example *e, uint32_t ndim, uint64_t i, int64_t *at)
{
        uint32_t d;

        for (d = ndim; d-- > 0;) {
                at[d] = e->offset[d] + (int64_t)(i % (uint64_t)e->shape[d]);
                i /= (uint64_t)e->shape[d];
        }
}

static int64_t find(const struct example *e, uint32_t ndim, const int64_t *at)
{
        int64_t i = 0;
        uint32_t d;

        for (d = 0; d < ndim; d++) {
                if (at[d] < e->offset[d] || at[d] >= e->offset[d] + e->shape[d])
                        return -1;
                i = i * e->shape[d] + at[d] - e->offset[d];
        }
        return i;
}

/* What the target should be, element by element; answers how many bytes come from the source. */
static uint64_t expect(unsigned char *expected, const struct example *from, const struct example *to, uint32_t ndim,
                       uint64_t element)
{
        int64_t at[STINT_MAX_DIMS], there;
        uint64_t i, bytes = 0;

        memset(expected, 0xaa, to->elements * element);
        for (i = 0; i < to->elements; i++) {
                place(to, ndim, i, at);
                there = find(from, ndim, at);
                if (there < 0)
                        continue;
                memcpy(expected + i * element, from->bytes + (uint64_t)there * element, element);
                bytes += element;
        }
        return bytes;
}

/* The source comes in parts that end anywhere. */
static void copy(const struct box_copy *c, const struct example *from, struct example *to, uint64_t element)
{
        const uint64_t all = from->elements * element;
        struct box_cursor cursor;
        uint64_t at, n;

        memset(to->bytes, 0xaa, to->elements * element);
        box_begin(&cursor, c);
        for (at = 0; at < all; at += n) {
                n = 1 + random_below(all);
                n = n < all - at ? n : all - at;
                box_take(&cursor, from->bytes + at, at, n, to->bytes);
        }
}

static void one_pair(uint32_t ndim)
{
        static const uint64_t sizes[] = { 1, 2, 4, 8, 16 };
        const uint64_t element = sizes[random_below(5)];
        int64_t whole[STINT_MAX_DIMS];
        struct example from, to;
        struct box a, b;
        struct box_copy c;
        unsigned char *expected;
        uint64_t i, bytes;
        uint32_t d;

        for (d = 0; d < ndim; d++)
                whole[d] = 1 + (int64_t)random_below(ndim > 4 ? 3 : 7);
        make(&from, ndim, whole, element);
        make(&to, ndim, whole, element);
        for (i = 0; i < from.elements * element; i++)
                from.bytes[i] = (unsigned char)random_below(256);
        expected = malloc(to.elements * element + 1);
        bytes = expect(expected, &from, &to, ndim, element);
        a = box_of(&from, ndim);
        b = box_of(&to, ndim);
        ck_assert_int_eq(box_meet(&c, &a, &b, element), bytes > 0);
        if (bytes > 0) {
                ck_assert_uint_eq(c.bytes, bytes);
                copy(&c, &from, &to, element);
                ck_assert_int_eq(memcmp(to.bytes, expected, to.elements * element), 0);
        }
        free(expected);
        free(from.bytes);
        free(to.bytes);
}

START_TEST(what_two_boxes_share_is_copied_to_its_place_and_nothing_else_is_touched)
{
        int i;

        for (i = 0; i < 4000; i++)
                one_pair((uint32_t)random_below(STINT_MAX_DIMS) + 1);
}
END_TEST

START_TEST(a_scalar_is_one_element)
{
        const struct box scalar = { 0, NULL, NULL };
        double from = 1.5, to = 0;
        struct box_cursor cursor;
        struct box_copy c;

        ck_assert_int_eq(box_meet(&c, &scalar, &scalar, sizeof from), 1);
        ck_assert_uint_eq(c.bytes, sizeof from);
        box_begin(&cursor, &c);
        box_take(&cursor, &from, 0, sizeof from, &to);
        ck_assert(to == 1.5);
}
END_TEST

/* All of 3 rows out of 8, of rows that both have whole: one run, so that it is read to its place at once. */
START_TEST(what_lies_in_one_piece_on_both_sides_is_one_run)
{
        const int64_t from_offset[] = { 2, 0 }, from_shape[] = { 3, 10 }, to_shape[] = { 8, 10 };
        const struct box from = { 2, from_offset, from_shape }, to = { 2, NULL, to_shape };
        struct box_copy c;

        ck_assert_int_eq(box_meet(&c, &from, &to, 4), 1);
        ck_assert_uint_eq(c.repeats, 0);
        ck_assert_uint_eq(c.run, 120);
        ck_assert_uint_eq(c.from, 0);
        ck_assert_uint_eq(c.to, 80);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "boxes");

        tcase_add_test(tests, what_two_boxes_share_is_copied_to_its_place_and_nothing_else_is_touched);
        tcase_add_test(tests, a_scalar_is_one_element);
        tcase_add_test(tests, what_lies_in_one_piece_on_both_sides_is_one_run);
}

SUITE_MAIN("boxes", add_tests)
