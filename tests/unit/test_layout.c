/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_layout: which tensors may be attached, what a change of the layout is, and its table on the way to the agent
 * and back. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "channel.h"
#include "layout.h"
#include "suite.h"

static struct layout layout;
static struct stint_error err;
static float values[64];

static void setup(void)
{
        memset(&layout, 0, sizeof layout);
}

static void teardown(void)
{
        layout_fini(&layout);
}

static int attach(const char *name)
{
        return layout_attach(&layout, name, STINT_ARRAY(values, STINT_F32, 8), &err);
}

static int attach_tensor(struct stint_tensor t)
{
        return layout_attach(&layout, "x", &t, &err);
}

START_TEST(a_tensor_is_found_under_its_name_in_the_order_of_attaching)
{
        static const char *const names[] = { "z", "a/b", "a/c", "m" };
        struct layout_tensor *t;
        int i = 0;

        for (i = 0; i < 4; i++)
                ck_assert_int_eq(attach(names[i]), 0);
        for (t = layout.tensors, i = 0; t; t = layout_next(t), i++)
                ck_assert_str_eq(t->name, names[i]);
        ck_assert_int_eq(i, 4);
        ck_assert_ptr_eq(layout_find(&layout, "a/c")->tensor.data, values);
        ck_assert_ptr_null(layout_find(&layout, "a"));
        ck_assert_uint_eq(layout.bytes, 4 * 32);
}
END_TEST

START_TEST(a_name_cannot_be_the_parent_of_another)
{
        ck_assert_int_eq(attach("a/b/c"), 0);
        ck_assert_int_eq(attach("a/b"), -1);
        ck_assert_int_eq(err.code, EEXIST);
        ck_assert_int_eq(attach("a"), -1);
        ck_assert_int_eq(attach("a/b/c/d"), -1);
        ck_assert_int_eq(err.code, EEXIST);
        ck_assert_int_eq(attach("a/b/cc"), 0);
        ck_assert_int_eq(attach("a/bb"), 0);
        ck_assert_int_eq(layout_detach(&layout, "a/b/c", &err), 0);
        ck_assert_int_eq(attach("a/b"), -1);
        ck_assert_int_eq(layout_detach(&layout, "a/b/cc", &err), 0);
        ck_assert_int_eq(attach("a/b"), 0);
        ck_assert_uint_eq(layout.count, 2);
}
END_TEST

START_TEST(tensors_that_cannot_be_are_refused_with_their_name)
{
        ck_assert_int_eq(attach_tensor((struct stint_tensor){ .data = values, .dtype = 99 }), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_ptr_nonnull(strstr(err.text, "'x'"));
        ck_assert_int_eq(attach_tensor((struct stint_tensor){ .data = values, .dtype = STINT_F32, .ndim = 9 }), -1);
        ck_assert_int_eq(
                attach_tensor((struct stint_tensor){ .data = values, .dtype = STINT_F32, .ndim = 1, .shape = { -1 } }),
                -1);
        ck_assert_int_eq(attach_tensor((struct stint_tensor){ .data = values, .dtype = STINT_F32, .role = 77 }), -1);
        ck_assert_int_eq(attach_tensor((struct stint_tensor){ .dtype = STINT_F32 }), -1);
        ck_assert_int_eq(
                attach_tensor((struct stint_tensor){ .data = values, .dtype = STINT_F32, .device = STINT_DEVICE_CUDA }),
                -1);
        ck_assert_int_eq(err.code, ENODEV);
        ck_assert_int_eq(
                attach_tensor((struct stint_tensor){ .data = values, .dtype = STINT_F32, .device = STINT_DEVICE_SIM }),
                -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(attach_tensor((struct stint_tensor){
                .data = values, .dtype = STINT_F64, .ndim = 2, .shape = { INT64_C(1) << 40, INT64_C(1) << 40 } }), -1);
        ck_assert_int_eq(attach_tensor((struct stint_tensor){ .data = values,
                                                              .dtype = STINT_F32,
                                                              .ndim = 1,
                                                              .shape = { 8 },
                                                              .global_shape = { 10 },
                                                              .global_offset = { 3 } }),
                         -1);
        ck_assert_int_eq(layout_attach(&layout, "a//b", STINT_SCALAR(values, STINT_F32), &err), -1);
        ck_assert_int_eq(layout_attach(&layout, NULL, STINT_SCALAR(values, STINT_F32), &err), -1);
        ck_assert_int_eq(layout_attach(&layout, "x", NULL, &err), -1);
        ck_assert_uint_eq(layout.count, 0);
        ck_assert_int_eq(layout.dirty, 0);
        ck_assert_int_eq(attach_tensor((struct stint_tensor){ .dtype = STINT_F32, .ndim = 1 }),
                         0); /* no elements: no data */
}
END_TEST

START_TEST(only_what_the_file_would_show_is_a_change)
{
        static float other[64];
        uint64_t changes;
        uint32_t record_bytes;

        ck_assert_int_eq(attach("model/w"), 0);
        ck_assert_int_eq(layout.dirty, 1);
        close(layout_table(&layout, &record_bytes, NULL));
        ck_assert_int_eq(layout.dirty, 0);
        ck_assert_uint_eq(layout.id, 1);
        changes = layout.changes;
        ck_assert_int_eq(layout_attach(&layout, "model/w", STINT_ARRAY(other, STINT_F32, 8), &err), 0);
        ck_assert_uint_eq(layout.changes, changes);
        ck_assert_ptr_eq(layout_find(&layout, "model/w")->tensor.data, other);
        ck_assert_int_eq(layout_attach(&layout, "model/w", STINT_MATRIX(other, STINT_F32, 2, 4), &err), 0);
        ck_assert_uint_eq(layout.changes, changes + 1);
        ck_assert_int_eq(layout_attach(&layout, "model/w", STINT_ARRAY(other, STINT_F64, 8), &err), 0);
        ck_assert_uint_eq(layout.changes, changes + 2);
        ck_assert_uint_eq(layout.bytes, 64);
        ck_assert_int_eq(layout.dirty, 1);
}
END_TEST

START_TEST(the_table_says_what_was_attached_and_nobody_can_change_it)
{
        const struct table_record *r;
        uint32_t record_bytes;
        void *table;
        int fd;

        ck_assert_int_eq(layout_table(&layout, &record_bytes, &err), -1);
        ck_assert_int_eq(err.code, ENODATA);
        attach("optimizer/m");
        ck_assert_int_eq(layout_attach(&layout, "somewhere/else",
                                       &(struct stint_tensor){ .data = values,
                                                               .dtype = STINT_U8,
                                                               .ndim = 2,
                                                               .shape = { 2, 3 },
                                                               .global_shape = { 4, 3 },
                                                               .global_offset = { 2, 0 } },
                                       &err),
                         0);
        fd = layout_table(&layout, &record_bytes, &err);
        ck_assert_int_ge(fd, 0);
        ck_assert_ptr_eq(mmap(NULL, record_bytes, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
        ck_assert_int_eq(ftruncate(fd, 1), -1);
        table = mmap(NULL, 2 * record_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        ck_assert_ptr_ne(table, MAP_FAILED);
        ck_assert_int_eq(table_check(table, 2, record_bytes, 0, &err), 0);
        r = table_find(table, 2, record_bytes, "optimizer/m");
        ck_assert_uint_eq(r->role, STINT_ROLE_OPTIMIZER);
        ck_assert_uint_eq(r->device, STINT_DEVICE_HOST);
        ck_assert_int_eq(r->device_index, -1);
        ck_assert_uint_eq(r->bytes, 32);
        r = table_find(table, 2, record_bytes, "somewhere/else");
        ck_assert_uint_eq(r->role, STINT_ROLE_OTHER);
        ck_assert_uint_eq(r->flags, TABLE_SHARD);
        ck_assert_int_eq(r->global_offset[0], 2);
        munmap(table, 2 * record_bytes);
        close(fd);
}
END_TEST

/* The layout's own table, with offsets one after another, as an agent would send it back. */
static void *placed_table(uint32_t *record_bytes)
{
        size_t at = 0;
        void *table;
        uint64_t i;
        int fd = layout_table(&layout, record_bytes, &err);

        ck_assert_int_ge(fd, 0);
        table = malloc(layout.count * *record_bytes);
        ck_assert_int_eq(pread(fd, table, layout.count * *record_bytes, 0), (ssize_t)(layout.count * *record_bytes));
        close(fd);
        for (i = 0; i < layout.count; i++) {
                table_at(table, *record_bytes, i)->file_offset = at;
                at += table_at(table, *record_bytes, i)->bytes;
        }
        return table;
}

START_TEST(offsets_are_taken_only_from_a_table_of_these_very_tensors)
{
        uint32_t record_bytes;
        void *table;

        attach("a");
        attach("b");
        table = placed_table(&record_bytes);
        ck_assert_int_eq(layout_place(&layout, layout.id, table, 1, record_bytes, &err), -1);
        ck_assert_int_eq(layout_place(&layout, layout.id, table, 2, record_bytes, &err), 0);
        ck_assert_uint_eq(layout_find(&layout, "b")->offset, 32);
        memcpy(table_at(table, record_bytes, 1)->name, "a", 2); /* twice the same */
        ck_assert_int_eq(layout_place(&layout, layout.id + 1, table, 2, record_bytes, &err), -1);
        memcpy(table_at(table, record_bytes, 1)->name, "c", 2);
        ck_assert_int_eq(layout_place(&layout, layout.id + 2, table, 2, record_bytes, &err), -1);
        memcpy(table_at(table, record_bytes, 1)->name, "b", 2);
        table_at(table, record_bytes, 1)->bytes = 4096;
        ck_assert_int_eq(layout_place(&layout, layout.id + 3, table, 2, record_bytes, &err), -1);
        free(table);
}
END_TEST

START_TEST(a_table_that_leaves_its_image_is_refused)
{
        _Alignas(8) char image[4096];

        memset(image, 0, sizeof image);
        ck_assert_int_eq(layout_check_image(image, sizeof image, 0, 0, 240, &err), 0);
        ck_assert_int_eq(layout_check_image(image, sizeof image, 4, 0, 240, &err), -1);
        ck_assert_int_eq(layout_check_image(image, sizeof image, 8192, 0, 240, &err), -1);
        ck_assert_int_eq(layout_check_image(image, sizeof image, 0, 18, 240, &err), -1);
        ck_assert_int_eq(layout_check_image(image, sizeof image, 0, UINT64_MAX / 2, 240, &err), -1);
        ck_assert_int_eq(layout_check_image(image, sizeof image, 0, 1, 0, &err), -1);
}
END_TEST

START_TEST(what_is_carried_along_is_claimed_once_and_only_by_what_fits)
{
        static float mine[8], saved[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
        struct layout_tensor *t;
        uint32_t record_bytes;
        uint64_t changes;
        void *table;

        attach("model/w");
        table = placed_table(&record_bytes);
        layout_fini(&layout);
        ck_assert_int_eq(layout_carry(&layout, table_at(table, record_bytes, 0), saved, &err), 0);
        ck_assert_int_eq(layout_carry(&layout, table_at(table, record_bytes, 0), saved, &err), -1);
        free(table);
        ck_assert_uint_eq(layout.carried, 1);
        ck_assert_int_eq(layout_attach(&layout, "model", STINT_SCALAR(mine, STINT_F32), &err), -1);
        ck_assert_int_eq(layout_attach(&layout, "model/w", STINT_ARRAY(mine, STINT_F32, 7), &err), -1);
        ck_assert_int_eq(err.code, EPROTO);
        ck_assert_int_eq(layout_attach(&layout, "model/w", STINT_ARRAY(mine, STINT_I32, 8), &err), -1);
        ck_assert(mine[0] == 0);
        changes = layout.changes;
        ck_assert_int_eq(layout_attach(&layout, "model/w", STINT_ARRAY(mine, STINT_F32, 8), &err), LAYOUT_CLAIMED);
        ck_assert_uint_eq(layout.changes, changes); /* the same file as before */
        ck_assert(mine[7] == 8);
        ck_assert_uint_eq(layout.carried, 0);
        mine[7] = 0;
        ck_assert_int_eq(layout_attach(&layout, "model/w", STINT_ARRAY(mine, STINT_F32, 8), &err), LAYOUT_NEW);
        ck_assert(mine[7] == 0);
        t = layout_find(&layout, "model/w");
        ck_assert_int_eq(t->tensor.role, STINT_ROLE_MODEL);
        ck_assert_int_eq(layout_detach(&layout, "model/w", &err), 0);
        ck_assert_int_eq(layout_detach(&layout, "model/w", &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
}
END_TEST

static void read_record(int fd, uint32_t record_bytes, struct table_record *r)
{
        ck_assert_int_ge(fd, 0);
        ck_assert_uint_ge(record_bytes, sizeof *r);
        ck_assert_int_eq(pread(fd, r, sizeof *r, 0), (ssize_t)sizeof *r);
        close(fd);
}

START_TEST(what_all_ranks_have_alike_is_in_the_file_of_rank_0_and_mentioned_in_the_others)
{
        const struct stint_tensor t = { .data = values,
                                        .dtype = STINT_F32,
                                        .role = (enum stint_role)(STINT_ROLE_MODEL | STINT_REPLICATED),
                                        .ndim = 1,
                                        .shape = { 8 } };
        struct table_record r;
        uint32_t record_bytes;
        int rank, fd;

        for (rank = 0; rank < 2; rank++) {
                layout_fini(&layout);
                layout.rank = rank;
                ck_assert_int_eq(attach_tensor(t), 0);
                ck_assert_int_eq(layout.tensors->tensor.role, STINT_ROLE_MODEL);
                fd = layout_table(&layout, &record_bytes, &err);
                read_record(fd, record_bytes, &r);
                ck_assert_uint_eq(r.bytes, rank == 0 ? 32 : 0);
                ck_assert_int_eq(r.shape[0], rank == 0 ? 8 : 0);
                ck_assert_uint_eq(r.flags, TABLE_SHARD);
                ck_assert_int_eq(r.global_shape[0], 8);
                fd = layout_list(&layout, &record_bytes, &err);
                read_record(fd, record_bytes, &r);
                ck_assert_uint_eq(r.bytes, 32); /* what it wants back is all of it */
                ck_assert_int_eq(r.shape[0], 8);
        }
}
END_TEST

START_TEST(a_scalar_is_in_the_file_of_every_rank)
{
        layout.rank = 1;
        ck_assert_int_eq(attach_tensor((struct stint_tensor){ .data = values,
                                                              .dtype = STINT_F32,
                                                              .role = (enum stint_role)STINT_REPLICATED }), 0);
        ck_assert_uint_eq(layout_saved_bytes(layout.tensors), 4);
}
END_TEST

START_TEST(a_piece_of_an_array_is_not_the_same_on_all_ranks)
{
        ck_assert_int_eq(attach_tensor((struct stint_tensor){ .data = values,
                                                              .dtype = STINT_F32,
                                                              .role = (enum stint_role)STINT_REPLICATED,
                                                              .ndim = 1,
                                                              .shape = { 8 },
                                                              .global_shape = { 16 } }), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_ptr_nonnull(strstr(err.text, "STINT_REPLICATED"));
}
END_TEST

START_TEST(very_many_tensors_are_found_by_name)
{
        char name[64];
        int i;

        for (i = 0; i < 50000; i++) {
                snprintf(name, sizeof name, "model/layer%d/part%d/weight", i / 10, i % 10);
                ck_assert_int_eq(attach(name), 0);
        }
        ck_assert_ptr_nonnull(layout_find(&layout, "model/layer4999/part9/weight"));
        ck_assert_int_eq(attach("model/layer17/part3"), -1);
        for (i = 0; i < 50000; i++) {
                snprintf(name, sizeof name, "model/layer%d/part%d/weight", i / 10, i % 10);
                ck_assert_int_eq(layout_detach(&layout, name, NULL), 0);
        }
        ck_assert_uint_eq(layout.bytes, 0);
        ck_assert_ptr_null(layout.groups);
        ck_assert_int_eq(attach("model"), 0);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "all");

        tcase_add_checked_fixture(all, setup, teardown);
        tcase_add_test(all, a_tensor_is_found_under_its_name_in_the_order_of_attaching);
        tcase_add_test(all, a_name_cannot_be_the_parent_of_another);
        tcase_add_test(all, tensors_that_cannot_be_are_refused_with_their_name);
        tcase_add_test(all, only_what_the_file_would_show_is_a_change);
        tcase_add_test(all, the_table_says_what_was_attached_and_nobody_can_change_it);
        tcase_add_test(all, offsets_are_taken_only_from_a_table_of_these_very_tensors);
        tcase_add_test(all, a_table_that_leaves_its_image_is_refused);
        tcase_add_test(all, what_is_carried_along_is_claimed_once_and_only_by_what_fits);
        tcase_add_test(all, what_all_ranks_have_alike_is_in_the_file_of_rank_0_and_mentioned_in_the_others);
        tcase_add_test(all, a_scalar_is_in_the_file_of_every_rank);
        tcase_add_test(all, a_piece_of_an_array_is_not_the_same_on_all_ranks);
        tcase_add_test(all, very_many_tensors_are_found_by_name);
}

SUITE_MAIN("layout", add_tests)
