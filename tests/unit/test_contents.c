/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_contents: a file's table and hashes are proven without its tensors, and whatever else has changed is found. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "checksum.h"
#include "contents.h"
#include "image.h"
#include "suite.h"

#define RECORD 248
#define COUNT 5
#define TABLE_AT 2048
#define LARGE 100000 /* bytes of a tensor that is not worth reading, or reading past */
#define HASHES_AT 103700
#define IMAGE_BYTES 604500

static char path[64];
static int fd;
static unsigned char *image;
static struct seal seal;

static void add(uint64_t i, const char *name, uint64_t offset, int64_t n)
{
        struct table_record *r = table_at(image + TABLE_AT, RECORD, i);

        r->file_offset = offset;
        r->bytes = (uint64_t)n;
        r->dtype = STINT_U8;
        r->role = STINT_ROLE_MODEL;
        r->device = STINT_DEVICE_HOST;
        r->device_index = -1;
        r->ndim = 1;
        r->shape[0] = n;
        strcpy(r->name, name);
}

static void write_file(const void *bytes, size_t n)
{
        ck_assert_int_eq(ftruncate(fd, 0), 0);
        ck_assert_int_eq(pwrite(fd, bytes, n, 0), (ssize_t)n);
}

static void put(size_t at, unsigned char byte)
{
        ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
}

/*
 * A header, the table (2048..3288), a gap; a large tensor (3500..103500), a gap, the hashes (103700..103740), a gap;
 * two small tensors with a gap between; a gap of several reads; a large tensor (500000..600000); a gap to the end.
 */
static void make_example(void)
{
        size_t i;

        image = malloc(IMAGE_BYTES);
        for (i = 0; i < IMAGE_BYTES; i++)
                image[i] = (unsigned char)(i * 31 + i / 256);
        memset(image + TABLE_AT, 0, COUNT * RECORD);
        add(0, "model/second", 500000, LARGE);
        add(1, "model/first", 3500, LARGE);
        add(2, "small/a", 104000, 1000);
        add(3, "nothing", 0, 0);
        add(4, "small/b", 105001, 1);
        seal = (struct seal){ .ranks = 1, .table_offset = TABLE_AT, .table_count = COUNT, .record_bytes = RECORD };
        seal.hashes_offset = HASHES_AT;
        ck_assert_int_eq(image_hash(image, IMAGE_BYTES, &seal, NULL), 0);
        strcpy(path, "/tmp/stint-test-contents.XXXXXX");
        fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        write_file(image, IMAGE_BYTES);
}

static void remove_example(void)
{
        close(fd);
        unlink(path);
        free(image);
}

/* The tensor that has this byte, or -1. */
static int tensor_of(size_t at)
{
        int i;

        for (i = 0; i < COUNT; i++) {
                const struct table_record *r = table_at(image + TABLE_AT, RECORD, (uint64_t)i);

                if (at >= r->file_offset && at < r->file_offset + r->bytes)
                        return i;
        }
        return -1;
}

/* -1 with EBADMSG and the file's name, and nothing in the caller's struct. */
static int refused(const struct seal *of)
{
        struct contents c = { .table = NULL };
        struct stint_error err = { 0 };
        const int rc = contents_read(&c, path, of, &err);

        if (rc == 0)
                contents_fini(&c);
        return rc == -1 && err.code == EBADMSG && strstr(err.text, path) && !c.table && !c.hashes;
}

START_TEST(what_is_read_is_the_table_and_the_hash_of_each_tensor)
{
        struct contents c;
        struct stint_error err = { 0 };
        uint64_t i;

        ck_assert_msg(contents_read(&c, path, &seal, &err) == 0, "%s", err.text);
        ck_assert_mem_eq(c.table, image + TABLE_AT, COUNT * RECORD);
        ck_assert_mem_eq(&c.seal, &seal, sizeof seal);
        for (i = 0; i < COUNT; i++) {
                const struct table_record *r = contents_at(&c, i);

                ck_assert_uint_eq(c.hashes[i], checksum(image + r->file_offset, r->bytes));
        }
        contents_fini(&c);
        ck_assert_msg(contents_read_fd(&c, fd, path, &seal, &err) == 0, "%s", err.text);
        ck_assert_str_eq(contents_at(&c, 4)->name, "small/b");
        contents_fini(&c);
}
END_TEST

/* Every byte around the tensors that has a part of its own, and every 97th of the long gap and of the tensors. */
START_TEST(every_flipped_byte_is_found_unless_it_is_a_tensors)
{
        size_t at;
        int of_tensors = 0;

        for (at = 0; at < IMAGE_BYTES; at += tensor_of(at) < 0 && (at < 106000 || at >= 600000) ? 1 : 97) {
                struct contents c;

                put(at, image[at] ^ (unsigned char)(1 << at % 8));
                if (tensor_of(at) < 0) {
                        ck_assert_msg(refused(&seal), "byte %zu", at);
                } else {
                        of_tensors++;
                        ck_assert_int_eq(contents_read(&c, path, &seal, NULL), 0);
                        contents_fini(&c);
                }
                put(at, image[at]);
        }
        ck_assert_int_gt(of_tensors, 2000);
        ck_assert(!refused(&seal));
}
END_TEST

START_TEST(every_length_but_its_own_is_refused)
{
        static const size_t lengths[] = {
                0, 1, TABLE_AT, TABLE_AT + RECORD, HASHES_AT, HASHES_AT + 8, IMAGE_BYTES - 1,
        };
        size_t i;

        for (i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
                write_file(image, lengths[i]);
                ck_assert_msg(refused(&seal), "%zu bytes", lengths[i]);
        }
        write_file(image, IMAGE_BYTES);
        put(IMAGE_BYTES, 0);
        ck_assert(refused(&seal));
}
END_TEST

/* Whole in itself, with the same table: only the root tells them apart. */
START_TEST(the_file_of_another_save_is_refused)
{
        struct seal other = seal;

        image[4000] ^= 1;
        ck_assert_int_eq(image_hash(image, IMAGE_BYTES, &other, NULL), 0);
        write_file(image, IMAGE_BYTES);
        ck_assert(!refused(&other));
        ck_assert_uint_eq(seal.rest_hash, other.rest_hash);
        ck_assert(refused(&seal));
        other.state_bytes++;
        ck_assert(refused(&other));
}
END_TEST

/* Damage to the table that its own checks cannot see: a shape of the same size, another name, a tensor moved. */
START_TEST(a_table_that_is_right_in_itself_and_not_the_sealed_one_is_refused)
{
        struct table_record *r = table_at(image + TABLE_AT, RECORD, 0);

        strcpy(r->name, "model/other");
        write_file(image, IMAGE_BYTES);
        ck_assert(refused(&seal));
        strcpy(r->name, "model/second");
        r->file_offset -= 8;
        write_file(image, IMAGE_BYTES);
        ck_assert(refused(&seal));
}
END_TEST

START_TEST(any_seal_can_be_tried_without_harm)
{
        uint64_t x = 88172645463325252u;
        int round, refusals = 0;

        for (round = 0; round < 1000; round++) {
                struct seal s = seal;
                uint64_t *fields[] = { &s.table_offset, &s.table_count, &s.hashes_offset, &s.file_bytes };

                x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                *fields[x % 4] = (x >> 8) >> (x % 56);
                if (x % 3 == 0)
                        s.record_bytes = (uint32_t)(x >> 20) % 512 & ~7u;
                if (s.record_bytes != seal.record_bytes || memcmp(&s, &seal, sizeof s) != 0) {
                        ck_assert(refused(&s));
                        refusals++;
                }
        }
        ck_assert_int_gt(refusals, 900);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_not_called_damaged)
{
        struct contents c;
        struct stint_error err = { 0 };

        unlink(path);
        ck_assert_int_eq(contents_read(&c, path, &seal, &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
}
END_TEST

START_TEST(a_file_without_tensors_has_no_contents)
{
        struct contents c;
        struct seal s = { .ranks = 1 };

        ck_assert_int_eq(image_hash(image, 64, &s, NULL), 0);
        write_file(image, 64);
        ck_assert_int_eq(contents_read(&c, path, &s, NULL), 0);
        ck_assert_uint_eq(c.seal.table_count, 0);
        contents_fini(&c);
        put(63, image[63] ^ 1);
        ck_assert(refused(&s));
}
END_TEST

/* Bytes that this process has read so far, by any call. */
static unsigned long long bytes_read(void)
{
        FILE *f = fopen("/proc/self/io", "r");
        unsigned long long n = 0;

        ck_assert_ptr_nonnull(f);
        ck_assert_int_eq(fscanf(f, "rchar: %llu", &n), 1);
        fclose(f);
        return n;
}

START_TEST(large_tensors_are_not_read)
{
        struct contents c;
        unsigned long long before, after;

        before = bytes_read();
        ck_assert_int_eq(contents_read(&c, path, &seal, NULL), 0);
        after = bytes_read();
        contents_fini(&c);
        /* All but the two large tensors, the table once, and what bytes_read itself reads. */
        ck_assert_uint_ge(after - before, IMAGE_BYTES - 2 * LARGE - 1001);
        ck_assert_uint_le(after - before, IMAGE_BYTES - 2 * LARGE + 4096);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "contents");

        tcase_add_checked_fixture(tests, make_example, remove_example);
        tcase_add_test(tests, what_is_read_is_the_table_and_the_hash_of_each_tensor);
        tcase_add_test(tests, every_flipped_byte_is_found_unless_it_is_a_tensors);
        tcase_add_test(tests, every_length_but_its_own_is_refused);
        tcase_add_test(tests, the_file_of_another_save_is_refused);
        tcase_add_test(tests, a_table_that_is_right_in_itself_and_not_the_sealed_one_is_refused);
        tcase_add_test(tests, any_seal_can_be_tried_without_harm);
        tcase_add_test(tests, a_file_that_cannot_be_read_is_not_called_damaged);
        tcase_add_test(tests, a_file_without_tensors_has_no_contents);
        tcase_add_test(tests, large_tensors_are_not_read);
        tcase_set_timeout(tests, 60);
}

SUITE_MAIN("contents", add_tests)
