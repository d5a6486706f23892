/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_table: a table that holds is taken, and nothing that comes from another process or a disk breaks whoever checks it. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "suite.h"
#include "table.h"

#define IMAGE_BYTES 4096

static uint64_t random_state = 88172645463325252u;

static uint64_t random_u64(void)
{
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state;
}

static struct table_record *add(void *table, uint32_t record_bytes, uint64_t i, const char *name, uint64_t offset, int64_t n)
{
        struct table_record *r = table_at(table, record_bytes, i);

        memset(r, 0, record_bytes);
        r->file_offset = offset;
        r->bytes = 4 * (uint64_t)n;
        r->dtype = STINT_F32;
        r->role = STINT_ROLE_MODEL;
        r->device = STINT_DEVICE_HOST;
        r->device_index = -1;
        r->ndim = 1;
        r->shape[0] = n;
        strcpy(r->name, name);
        return r;
}

#define RECORD 248 /* names of up to 15 bytes */
#define COUNT 4

/* Four tensors in an image of 4096 bytes, the last one empty and the others touching each other. */
static void *example(void)
{
        void *table = calloc(COUNT, RECORD);

        add(table, RECORD, 0, "model/w", 1000, 100);
        add(table, RECORD, 1, "model/b", 1400, 4);
        add(table, RECORD, 2, "rng", 0, 250);
        add(table, RECORD, 3, "model-x", 0, 0);
        return table;
}

static int refused(const void *table, uint64_t count, uint32_t record_bytes, uint64_t image_bytes, const char *words)
{
        struct stint_error err = { 0 };

        if (table_check(table, count, record_bytes, image_bytes, &err) == 0 || err.code != EBADMSG)
                return 0;
        if (strstr(err.text, words))
                return 1;
        fprintf(stderr, "# says: %s\n", err.text);
        return 0;
}

START_TEST(a_table_that_holds_is_taken)
{
        void *table = example();
        struct stint_error err = { 0 };

        ck_assert_uint_eq(table_record_bytes(15), RECORD);
        ck_assert_uint_eq(table_record_bytes(16), RECORD + 8);
        ck_assert_msg(table_check(table, COUNT, RECORD, IMAGE_BYTES, &err) == 0, "%s", err.text);
        ck_assert_int_eq(table_check(table, COUNT, RECORD, 1416, NULL), 0);
        ck_assert_int_eq(table_check(table, COUNT, RECORD, 0, NULL), 0);
        ck_assert_int_eq(table_check(NULL, 0, 0, IMAGE_BYTES, NULL), 0);
        free(table);
}
END_TEST

START_TEST(without_an_image_the_places_are_not_looked_at)
{
        void *table = example();

        table_at(table, RECORD, 1)->file_offset = 0;
        ck_assert_int_eq(table_check(table, COUNT, RECORD, 0, NULL), 0);
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "overlaps"));
        free(table);
}
END_TEST

START_TEST(counts_and_sizes_of_records_that_cannot_be_are_refused)
{
        void *table = example();

        ck_assert(refused(table, (uint64_t)TABLE_MOST + 1, RECORD, IMAGE_BYTES, "records"));
        ck_assert(refused(table, UINT64_MAX, RECORD, IMAGE_BYTES, "records"));
        ck_assert(refused(table, COUNT, 0, IMAGE_BYTES, "records of 0 bytes"));
        ck_assert(refused(table, COUNT, TABLE_RECORD_FIXED, IMAGE_BYTES, "records of 232 bytes"));
        ck_assert(refused(table, COUNT, RECORD + 1, IMAGE_BYTES, "records of 249 bytes"));
        ck_assert(refused(table, COUNT, UINT32_MAX - 7, IMAGE_BYTES, "records of"));
        ck_assert(refused((char *)table + 4, 1, RECORD, IMAGE_BYTES, "multiple of 8"));
        free(table);
}
END_TEST

START_TEST(tensors_out_of_the_image_or_over_each_other_are_refused)
{
        void *table = example();
        struct table_record *r = table_at(table, RECORD, 1);

        ck_assert(refused(table, COUNT, RECORD, 1415, "record 1 of the table: it reaches out of the file"));
        r->file_offset = 1399;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "'model/b') overlaps record 0 ('model/w')"));
        r->file_offset = 984;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "overlaps record 2 ('rng')"));
        r->file_offset = 1100;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "overlaps"));
        r->file_offset = UINT64_MAX - 7;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "reaches out"));
        free(table);
}
END_TEST

START_TEST(names_that_cannot_be_are_refused)
{
        void *table = example();
        struct table_record *r = table_at(table, RECORD, 1);

        memset(r->name, 'x', RECORD - TABLE_RECORD_FIXED);
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "does not end"));
        add(table, RECORD, 1, "model/b", 1400, 4)->name[10] = 'y';
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "behind its name"));
        add(table, RECORD, 1, "", 1400, 4);
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "record 1"));
        add(table, RECORD, 1, "a/../b", 1400, 4);
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "record 1"));
        add(table, RECORD, 1, "rng", 1400, 4);
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "one name, 'rng'"));
        add(table, RECORD, 1, "model", 1400, 4);
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "'model' (record 1) is also the parent of 'model/w'"));
        add(table, RECORD, 1, "model/w/a/b", 1400, 4);
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "parent"));
        free(table);
}
END_TEST

START_TEST(records_that_contradict_themselves_are_refused)
{
        void *table = example();
        struct table_record *r = table_at(table, RECORD, 0);

        r->dtype = 0;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "record 0"));
        r->dtype = STINT_BOOL + 1;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "dtype"));
        r->dtype = STINT_F64;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "its shape has 800"));
        r->dtype = STINT_F32;
        r->role = STINT_ROLE_AUTO;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "role"));
        r->role = STINT_ROLE_OTHER + 1;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "role"));
        r->role = STINT_ROLE_MODEL;
        r->flags = 2;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "flags"));
        r->flags = 0;
        r->ndim = STINT_MAX_DIMS + 1;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "dimensions"));
        r->ndim = UINT32_MAX;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "dimensions"));
        r->ndim = 1;
        r->shape[0] = -100;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "negative"));
        r->ndim = 2;
        r->shape[0] = r->shape[1] = INT64_C(1) << 40;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "more bytes than can be counted"));
        free(table);
}
END_TEST

START_TEST(a_shard_lies_within_its_array)
{
        void *table = example();
        struct table_record *r = table_at(table, RECORD, 0);

        r->flags = TABLE_SHARD;
        r->global_shape[0] = 300;
        r->global_offset[0] = 200;
        ck_assert_int_eq(table_check(table, COUNT, RECORD, IMAGE_BYTES, NULL), 0);
        r->global_offset[0] = 201;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "piece of"));
        r->global_offset[0] = INT64_MAX;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "piece of"));
        r->global_offset[0] = -1;
        ck_assert(refused(table, COUNT, RECORD, IMAGE_BYTES, "piece of"));
        free(table);
}
END_TEST

/* Whatever table_check takes must be true: found again here the slow way. */
static void assert_holds(const void *table, uint64_t count, uint64_t image_bytes)
{
        uint64_t i, j;

        for (i = 0; i < count; i++) {
                const struct table_record *a = table_at((void *)(uintptr_t)table, RECORD, i);

                ck_assert(a->file_offset <= image_bytes && a->bytes <= image_bytes - a->file_offset);
                ck_assert_ptr_nonnull(memchr(a->name, 0, RECORD - TABLE_RECORD_FIXED));
                for (j = 0; j < i; j++) {
                        const struct table_record *b = table_at((void *)(uintptr_t)table, RECORD, j);

                        ck_assert(a->bytes == 0 || b->bytes == 0 || a->file_offset + a->bytes <= b->file_offset ||
                                  b->file_offset + b->bytes <= a->file_offset);
                        ck_assert_str_ne(a->name, b->name);
                }
        }
}

START_TEST(random_bytes_are_refused_and_break_nothing)
{
        int round;

        for (round = 0; round < 5000; round++) {
                uint64_t n = random_u64() % 5, i;
                uint64_t *table = malloc(n * RECORD + 8); /* exactly that much, so that a sanitizer sees one byte too many */

                for (i = 0; i < n * RECORD / 8; i++)
                        table[i] = random_u64() >> (random_u64() % 64);
                if (table_check(table, n, RECORD, random_u64() >> (random_u64() % 64), NULL) == 0)
                        ck_assert_uint_eq(n, 0);
                free(table);
        }
}
END_TEST

START_TEST(a_table_with_changed_bytes_is_refused_or_still_true)
{
        int round, taken = 0, not_taken = 0;

        for (round = 0; round < 10000; round++) {
                unsigned char *table = example();
                int changes = 1 + (int)(random_u64() % 3);

                while (changes-- > 0) {
                        uint64_t record = random_u64() % COUNT * RECORD, at = record + random_u64() % RECORD;

                        /* Half of them where a record is not all zeros. */
                        if (random_u64() % 2)
                                at = record + random_u64() % 48;
                        table[at] = random_u64() % 2 ? (unsigned char)random_u64() :
                                                       (unsigned char)(table[at] ^ 1u << random_u64() % 8);
                }
                if (table_check(table, COUNT, RECORD, IMAGE_BYTES, NULL) == 0) {
                        assert_holds(table, COUNT, IMAGE_BYTES);
                        taken++;
                } else {
                        not_taken++;
                }
                free(table);
        }
        ck_assert_int_gt(taken, 20);
        ck_assert_int_gt(not_taken, 1000);
}
END_TEST

START_TEST(a_hundred_thousand_tensors_are_checked_at_once)
{
        uint64_t i, count = 100000;
        void *table = calloc(count, RECORD);
        char name[16];

        /* The worst order for whoever compares each with each, and for a sort that looks at a neighbour. */
        for (i = 0; i < count; i++) {
                snprintf(name, sizeof name, "m/%07u", (unsigned)(i * 7919 % count));
                add(table, RECORD, i, name, (count - 1 - i) * 8, 2);
        }
        ck_assert_int_eq(table_check(table, count, RECORD, count * 8, NULL), 0);
        table_at(table, RECORD, 500)->file_offset -= 4;
        ck_assert(refused(table, count, RECORD, count * 8, "overlaps"));
        free(table);
}
END_TEST

START_TEST(a_record_is_found_by_its_name)
{
        void *table = example();

        ck_assert_ptr_eq(table_find(table, COUNT, RECORD, "rng"), table_at(table, RECORD, 2));
        ck_assert_ptr_null(table_find(table, COUNT, RECORD, "rn"));
        ck_assert_ptr_null(table_find(table, 0, RECORD, "rng"));
        free(table);
}
END_TEST

START_TEST(shapes_have_the_bytes_of_their_elements)
{
        static const int64_t shape[STINT_MAX_DIMS] = { 3, 224, 2 };
        static const int64_t most[] = { INT64_MAX, 2 };
        static const int64_t none[] = { INT64_MAX, INT64_MAX, 0 };
        static const int64_t negative[] = { 0, -1 };
        struct stint_error err;
        uint64_t bytes = 7;

        ck_assert_int_eq(shape_bytes(STINT_C128, 3, shape, &bytes, &err), 0);
        ck_assert_uint_eq(bytes, 16 * 3 * 224 * 2);
        ck_assert_int_eq(shape_bytes(STINT_F64, 0, NULL, &bytes, &err), 0);
        ck_assert_uint_eq(bytes, 8);
        ck_assert_int_eq(shape_bytes(STINT_U8, 1, most, &bytes, &err), 0);
        ck_assert_uint_eq(bytes, INT64_MAX);
        ck_assert_int_eq(shape_bytes(STINT_U8, 2, most, &bytes, &err), -1);
        ck_assert_int_eq(err.code, EOVERFLOW);
        ck_assert_int_eq(shape_bytes(STINT_U16, 1, most, &bytes, &err), -1);
        ck_assert_int_eq(err.code, EOVERFLOW);
        ck_assert_int_eq(shape_bytes(STINT_U16, 3, none, &bytes, &err), 0);
        ck_assert_uint_eq(bytes, 0);
        ck_assert_int_eq(shape_bytes(STINT_U8, 2, negative, &bytes, &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(shape_bytes((enum stint_dtype)0, 1, shape, &bytes, &err), -1);
        ck_assert_int_eq(shape_bytes(STINT_U8, STINT_MAX_DIMS + 1, shape, &bytes, &err), -1);
        ck_assert_int_eq(shape_bytes(STINT_U8, -1, shape, &bytes, &err), -1);
}
END_TEST

START_TEST(shapes_are_written_as_people_write_them)
{
        static const int64_t shape[] = { 3, 224 };
        char out[64], small[12];

        ck_assert_str_eq(shape_format(out, sizeof out, STINT_F32, 2, shape), "float32 [3, 224]");
        ck_assert_str_eq(shape_format(out, sizeof out, STINT_U8, 0, NULL), "uint8 []");
        ck_assert_str_eq(shape_format(out, sizeof out, (enum stint_dtype)99, 1, shape), "dtype 99 [3]");
        ck_assert_str_eq(shape_format(small, sizeof small, STINT_F32, 2, shape), "float32 [3,");
        small[0] = 'z';
        shape_format(small, 0, STINT_F32, 2, shape);
        ck_assert_int_eq(small[0], 'z');
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "table");

        tcase_add_test(all, a_table_that_holds_is_taken);
        tcase_add_test(all, without_an_image_the_places_are_not_looked_at);
        tcase_add_test(all, counts_and_sizes_of_records_that_cannot_be_are_refused);
        tcase_add_test(all, tensors_out_of_the_image_or_over_each_other_are_refused);
        tcase_add_test(all, names_that_cannot_be_are_refused);
        tcase_add_test(all, records_that_contradict_themselves_are_refused);
        tcase_add_test(all, a_shard_lies_within_its_array);
        tcase_add_test(all, random_bytes_are_refused_and_break_nothing);
        tcase_add_test(all, a_table_with_changed_bytes_is_refused_or_still_true);
        tcase_add_test(all, a_hundred_thousand_tensors_are_checked_at_once);
        tcase_add_test(all, a_record_is_found_by_its_name);
        tcase_add_test(all, shapes_have_the_bytes_of_their_elements);
        tcase_add_test(all, shapes_are_written_as_people_write_them);
}

SUITE_MAIN("table", add_tests)
