/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_image: every byte of an image is covered by some hash, in memory and in a file, and the sentence names what is damaged. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "checksum.h"
#include "image.h"
#include "suite.h"
#include "table.h"

#define RECORD 248
#define COUNT 4
#define TABLE_AT 64
#define HASHES_AT 1100 /* not aligned: HDF5 promises no alignment */
#define IMAGE_BYTES 1500

static void add(void *table, uint64_t i, const char *name, uint64_t offset, int64_t n)
{
        struct table_record *r = table_at(table, RECORD, i);

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

static struct seal seal_of(uint64_t table_at_byte, uint64_t count, uint64_t hashes_at)
{
        struct seal s = { .ranks = 1, .table_offset = table_at_byte, .table_count = count, .record_bytes = RECORD };

        s.hashes_offset = hashes_at;
        return s;
}

/*
 * 1500 bytes: a header, the table (64..1056), a gap, the hashes (1100..1132), a tensor right behind them (1132..1232), a gap,
 * another (1300..1301), and one to the very end (1400..1500).  The fourth tensor is empty.  In the table they stand in another
 * order than in the file.
 */
static unsigned char *example(struct seal *seal)
{
        unsigned char *image = malloc(IMAGE_BYTES);
        size_t i;

        for (i = 0; i < IMAGE_BYTES; i++)
                image[i] = (unsigned char)(i * 31 + i / 256);
        memset(image + TABLE_AT, 0, COUNT * RECORD);
        add(image + TABLE_AT, 0, "model/end", 1400, 100);
        add(image + TABLE_AT, 1, "model/first", 1132, 100);
        add(image + TABLE_AT, 2, "none", 0, 0);
        add(image + TABLE_AT, 3, "rng", 1300, 1);
        *seal = seal_of(TABLE_AT, COUNT, HASHES_AT);
        ck_assert_int_eq(image_hash(image, IMAGE_BYTES, seal, NULL), 0);
        return image;
}

static void write_file(int fd, const void *bytes, size_t n)
{
        ck_assert_int_eq(ftruncate(fd, 0), 0);
        ck_assert_int_eq(pwrite(fd, bytes, n, 0), (ssize_t)n);
}

/* A file that has its name in `path` and is open; whoever asks unlinks it. */
static int file_of(char path[64], const void *bytes, size_t n)
{
        int fd;

        strcpy(path, "/tmp/stint-test-image.XXXXXX");
        fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        write_file(fd, bytes, n);
        return fd;
}

START_TEST(hashing_fills_the_seal_and_the_hashes)
{
        struct seal seal;
        unsigned char *image = example(&seal);
        uint64_t hashes[COUNT];

        memcpy(hashes, image + HASHES_AT, sizeof hashes);
        ck_assert_uint_eq(hashes[0], checksum(image + 1400, 100));
        ck_assert_uint_eq(hashes[1], checksum(image + 1132, 100));
        ck_assert_uint_eq(hashes[2], checksum("", 0));
        ck_assert_uint_eq(hashes[3], checksum(image + 1300, 1));
        ck_assert_uint_eq(seal.state_bytes, 201);
        ck_assert_uint_eq(seal.file_bytes, IMAGE_BYTES);
        free(image);
}
END_TEST

START_TEST(the_root_and_the_rest_are_what_the_format_says)
{
        struct seal seal;
        unsigned char *image = example(&seal), rest[IMAGE_BYTES];
        uint64_t root[1 + COUNT];
        size_t n = 0;

        memcpy(rest, image, HASHES_AT);
        n = HASHES_AT;
        memcpy(rest + n, image + 1232, 68);
        n += 68;
        memcpy(rest + n, image + 1301, 99);
        n += 99;
        ck_assert_uint_eq(seal.rest_hash, checksum(rest, n));
        root[0] = seal.rest_hash;
        memcpy(root + 1, image + HASHES_AT, COUNT * 8);
        ck_assert_uint_eq(seal.root, checksum(root, sizeof root));
        free(image);
}
END_TEST

START_TEST(what_was_hashed_checks_in_memory_and_in_a_file)
{
        struct seal seal;
        unsigned char *image = example(&seal);
        struct stint_error err = { 0 };
        char path[64];
        int fd = file_of(path, image, IMAGE_BYTES);

        ck_assert_msg(image_check(image, IMAGE_BYTES, &seal, &err) == 0, "%s", err.text);
        ck_assert_msg(image_check_file(path, &seal, NULL, NULL, &err) == 0, "%s", err.text);
        close(fd);
        unlink(path);
        free(image);
}
END_TEST

START_TEST(every_flipped_byte_is_found_in_memory_and_in_a_file)
{
        struct seal seal;
        unsigned char *image = example(&seal);
        struct stint_error err;
        char path[64];
        int fd = file_of(path, image, IMAGE_BYTES);
        size_t at;
        int bit;

        for (at = 0; at < IMAGE_BYTES; at++) {
                for (bit = 0; bit < 8; bit++) {
                        image[at] ^= (unsigned char)(1 << bit);
                        ck_assert_msg(image_check(image, IMAGE_BYTES, &seal, &err) == -1, "byte %zu in memory", at);
                        ck_assert_int_eq(err.code, EBADMSG);
                        image[at] ^= (unsigned char)(1 << bit);
                }
                image[at] ^= 0x10;
                ck_assert_int_eq(pwrite(fd, image + at, 1, (off_t)at), 1);
                ck_assert_msg(image_check_file(path, &seal, NULL, NULL, &err) == -1, "byte %zu of the file", at);
                ck_assert_int_eq(err.code, EBADMSG);
                image[at] ^= 0x10;
                ck_assert_int_eq(pwrite(fd, image + at, 1, (off_t)at), 1);
        }
        ck_assert_int_eq(image_check(image, IMAGE_BYTES, &seal, NULL), 0);
        ck_assert_int_eq(image_check_file(path, &seal, NULL, NULL, NULL), 0);
        close(fd);
        unlink(path);
        free(image);
}
END_TEST

START_TEST(every_truncation_and_extension_is_found)
{
        struct seal seal;
        unsigned char *image = example(&seal), *longer = calloc(1, IMAGE_BYTES + 8);
        struct stint_error err;
        char path[64];
        int fd = file_of(path, image, IMAGE_BYTES);
        size_t n;

        memcpy(longer, image, IMAGE_BYTES);
        for (n = 0; n <= IMAGE_BYTES + 8; n++) {
                if (n == IMAGE_BYTES)
                        continue;
                write_file(fd, longer, n);
                ck_assert_int_eq(image_check_file(path, &seal, NULL, NULL, &err), -1);
                ck_assert_int_eq(err.code, EBADMSG);
                ck_assert_int_eq(image_check(longer, n, &seal, &err), -1);
                ck_assert_int_eq(err.code, EBADMSG);
        }
        close(fd);
        unlink(path);
        free(longer);
        free(image);
}
END_TEST

START_TEST(the_sentence_names_the_first_tensor_that_does_not_hold)
{
        struct seal seal;
        unsigned char *image = example(&seal);
        struct stint_error err;

        image[1300] ^= 1;
        ck_assert_int_eq(image_check(image, IMAGE_BYTES, &seal, &err), -1);
        ck_assert_str_eq(err.text, "tensor 'rng' (1 bytes at offset 1300) does not match its hash");
        image[1132] ^= 1;
        ck_assert_int_eq(image_check(image, IMAGE_BYTES, &seal, &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "tensor 'model/first' (100 bytes at offset 1132)"));
        image[0] ^= 1;
        ck_assert_int_eq(image_check(image, IMAGE_BYTES, &seal, &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "around the tensors"));
        free(image);
}
END_TEST

/* A file that is whole in itself, of another save: only the seal's root tells them apart. */
START_TEST(a_whole_file_beside_the_seal_of_another_save_is_found)
{
        struct seal seal, other;
        unsigned char *image = example(&seal), *changed = example(&other);
        struct stint_error err;

        changed[1450] ^= 1;
        ck_assert_int_eq(image_hash(changed, IMAGE_BYTES, &other, NULL), 0);
        ck_assert_int_eq(image_check(changed, IMAGE_BYTES, &other, NULL), 0);
        ck_assert_int_eq(image_check(changed, IMAGE_BYTES, &seal, &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "not those that were sealed"));
        seal.state_bytes++;
        ck_assert_int_eq(image_check(image, IMAGE_BYTES, &seal, &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "seal says 202"));
        free(image);
        free(changed);
}
END_TEST

static int hash_refused(void *image, struct seal *seal, const char *words)
{
        struct stint_error err = { 0 };
        unsigned char before[IMAGE_BYTES];

        memcpy(before, image, IMAGE_BYTES);
        if (image_hash(image, IMAGE_BYTES, seal, &err) == 0 || err.code != EBADMSG)
                return 0;
        if (!strstr(err.text, words))
                fprintf(stderr, "# says: %s\n", err.text);
        return strstr(err.text, words) && memcmp(before, image, IMAGE_BYTES) == 0;
}

START_TEST(tables_and_hashes_in_impossible_places_are_refused_and_nothing_is_written)
{
        struct seal good, seal;
        unsigned char *image = example(&good);

        seal = good;
        seal.table_offset = IMAGE_BYTES;
        ck_assert(hash_refused(image, &seal, "table of tensors would reach out"));
        seal.table_offset = UINT64_MAX - 7;
        ck_assert(hash_refused(image, &seal, "table of tensors would reach out"));
        seal.table_offset = TABLE_AT + 1;
        ck_assert(hash_refused(image, &seal, "multiple of 8"));
        seal = good;
        seal.table_count = UINT64_MAX / RECORD + 2;
        ck_assert(hash_refused(image, &seal, "table of"));
        seal = good;
        seal.record_bytes = UINT32_MAX;
        ck_assert(hash_refused(image, &seal, "reach out"));
        seal = good;
        seal.hashes_offset = IMAGE_BYTES - COUNT * 8 + 1;
        ck_assert(hash_refused(image, &seal, "hashes would reach out"));
        seal.hashes_offset = UINT64_MAX;
        ck_assert(hash_refused(image, &seal, "hashes would reach out"));
        seal.hashes_offset = 1396;
        ck_assert(hash_refused(image, &seal, "overlaps"));
        seal.hashes_offset = 1040;
        ck_assert(hash_refused(image, &seal, "overlaps"));
        seal = good;
        table_at(image + TABLE_AT, RECORD, 3)->file_offset = 60;
        ck_assert_int_eq(image_hash(image, IMAGE_BYTES, &seal, NULL), 0);
        table_at(image + TABLE_AT, RECORD, 3)->file_offset = 64;
        ck_assert(hash_refused(image, &seal, "overlaps"));
        free(image);
}
END_TEST

START_TEST(any_seal_and_any_bytes_can_be_checked_without_harm)
{
        struct seal good, seal;
        unsigned char *image = example(&good);
        uint64_t x = 88172645463325252u;
        int round;

        for (round = 0; round < 3000; round++) {
                uint64_t *fields[] = { &seal.table_offset, &seal.table_count, &seal.hashes_offset, &seal.file_bytes };

                seal = good;
                x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                *fields[x % 4] = (x >> 8) >> (x % 56);
                if (x % 3 == 0)
                        seal.record_bytes = (uint32_t)(x >> 20) % 512 & ~7u;
                if (seal.record_bytes != good.record_bytes || memcmp(&seal, &good, sizeof seal) != 0)
                        ck_assert_int_eq(image_check(image, IMAGE_BYTES, &seal, NULL), -1);
        }
        free(image);
}
END_TEST

START_TEST(an_image_without_tensors_is_all_rest)
{
        unsigned char image[64] = "just a header";
        struct seal seal = seal_of(0, 0, 0);
        struct stint_error err;

        ck_assert_int_eq(image_hash(image, sizeof image, &seal, &err), 0);
        ck_assert_uint_eq(seal.rest_hash, checksum(image, sizeof image));
        ck_assert_uint_eq(seal.state_bytes, 0);
        ck_assert_int_eq(image_check(image, sizeof image, &seal, &err), 0);
        image[63] = 1;
        ck_assert_int_eq(image_check(image, sizeof image, &seal, &err), -1);
}
END_TEST

struct progress {
        uint64_t last;
        int calls;
};

static void on_progress(void *arg, uint64_t bytes)
{
        struct progress *p = arg;

        ck_assert_uint_gt(bytes, p->last);
        p->last = bytes;
        p->calls++;
}

/* Tensors that begin and end within, at and across the borders of the pieces that a file is read in. */
START_TEST(a_file_of_many_pieces_has_the_hashes_that_it_had_in_memory)
{
        const uint64_t piece = 4 << 20, bytes = 4 * piece + 17;
        unsigned char *image = calloc(1, bytes);
        struct seal seal = seal_of(8, 6, 2000);
        struct progress p = { 0 };
        struct stint_error err = { 0 };
        char path[64];
        uint64_t i;
        int fd;

        for (i = 4096; i < bytes; i++)
                image[i] = (unsigned char)(i ^ i >> 9 ^ i >> 17);
        add(image + 8, 0, "a", 4096, (int64_t)piece - 4096);
        add(image + 8, 1, "b", piece, 1);
        add(image + 8, 2, "c", piece + 1, (int64_t)piece * 2 - 5);
        add(image + 8, 3, "d", 3 * piece - 3, 6);
        add(image + 8, 4, "e", 3 * piece + 10, (int64_t)piece);
        add(image + 8, 5, "f", bytes - 2, 1);
        ck_assert_int_eq(image_hash(image, bytes, &seal, NULL), 0);
        fd = file_of(path, image, bytes);
        ck_assert_msg(image_check_file(path, &seal, on_progress, &p, &err) == 0, "%s", err.text);
        ck_assert_uint_eq(p.last, bytes);
        ck_assert_int_eq(p.calls, 5);
        image[3 * piece + 2] ^= 1;
        ck_assert_int_eq(pwrite(fd, image + 3 * piece + 2, 1, (off_t)(3 * piece + 2)), 1);
        ck_assert_int_eq(image_check_file(path, &seal, NULL, NULL, &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "tensor 'd'"));
        ck_assert_ptr_nonnull(strstr(err.text, path));
        close(fd);
        unlink(path);
        free(image);
}
END_TEST

/* A source that has a few bytes at a time, and remembers who asked for what. */
struct dripping {
        struct image_source source;
        const unsigned char *image;
        uint64_t next, fail_at;
        int in_order;
};

static const unsigned char *drip(struct image_source *source, uint64_t at, uint64_t most, uint64_t *n,
                                 struct stint_error *err)
{
        struct dripping *d = (struct dripping *)source;

        if (d->source.threads <= 1 && at != d->next)
                d->in_order = 0;
        if (at >= d->fail_at) {
                error_set(err, EIO, "it ran dry");
                return NULL;
        }
        *n = most < 37 ? most : 37;
        if (d->source.threads <= 1)
                d->next = at + *n;
        return d->image + at;
}

static const unsigned thread_counts[] = { 0, 1, 2, 3, 8, 40 };
#define THREAD_COUNTS ((int)(sizeof thread_counts / sizeof thread_counts[0]))

START_TEST(a_source_and_any_number_of_threads_give_the_same_hashes)
{
        struct seal seal, again;
        unsigned char *image = example(&seal);
        struct dripping d = { .source = { drip, thread_counts[_i] }, .image = image, .fail_at = UINT64_MAX, .in_order = 1 };
        struct stint_error err = { 0 };
        unsigned char hashes[COUNT * 8];

        again = seal_of(TABLE_AT, COUNT, HASHES_AT);
        ck_assert_msg(image_hash_from(&d.source, image + TABLE_AT, hashes, IMAGE_BYTES, &again, &err) == 0, "%s", err.text);
        ck_assert_mem_eq(hashes, image + HASHES_AT, sizeof hashes);
        ck_assert_uint_eq(again.root, seal.root);
        ck_assert_uint_eq(again.rest_hash, seal.rest_hash);
        ck_assert_int_eq(d.in_order, 1);
        if (d.source.threads <= 1)
                ck_assert_uint_eq(d.next, IMAGE_BYTES);
        d.next = 0;
        ck_assert_msg(image_check_from(&d.source, image + TABLE_AT, IMAGE_BYTES, &seal, &err) == 0, "%s", err.text);
        ck_assert_int_eq(image_check_threads(image, IMAGE_BYTES, &seal, thread_counts[_i], &err), 0);
        image[1231] ^= 4;
        ck_assert_int_eq(image_check_threads(image, IMAGE_BYTES, &seal, thread_counts[_i], &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "tensor 'model/first'"));
        free(image);
}
END_TEST

START_TEST(a_source_that_fails_is_told_and_is_no_damage)
{
        struct seal seal;
        unsigned char *image = example(&seal);
        struct dripping d = { .source = { drip, thread_counts[_i] }, .image = image, .in_order = 1 };
        struct stint_error err;

        for (d.fail_at = 0; d.fail_at < IMAGE_BYTES; d.fail_at += 100) {
                error_clear(&err);
                ck_assert_int_eq(image_check_from(&d.source, image + TABLE_AT, IMAGE_BYTES, &seal, &err), -1);
                ck_assert_int_eq(err.code, EIO);
                ck_assert_str_eq(err.text, "it ran dry");
        }
        free(image);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_not_called_damaged)
{
        struct seal seal;
        unsigned char *image = example(&seal);
        struct stint_error err;

        ck_assert_int_eq(image_check_file("/tmp/stint-test-image.none/x", &seal, NULL, NULL, &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
        ck_assert_int_eq(image_check_file("/tmp", &seal, NULL, NULL, &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        free(image);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "image");

        tcase_add_test(all, hashing_fills_the_seal_and_the_hashes);
        tcase_add_test(all, the_root_and_the_rest_are_what_the_format_says);
        tcase_add_test(all, what_was_hashed_checks_in_memory_and_in_a_file);
        tcase_add_test(all, every_flipped_byte_is_found_in_memory_and_in_a_file);
        tcase_add_test(all, every_truncation_and_extension_is_found);
        tcase_add_test(all, the_sentence_names_the_first_tensor_that_does_not_hold);
        tcase_add_test(all, a_whole_file_beside_the_seal_of_another_save_is_found);
        tcase_add_test(all, tables_and_hashes_in_impossible_places_are_refused_and_nothing_is_written);
        tcase_add_test(all, any_seal_and_any_bytes_can_be_checked_without_harm);
        tcase_add_test(all, an_image_without_tensors_is_all_rest);
        tcase_add_test(all, a_file_of_many_pieces_has_the_hashes_that_it_had_in_memory);
        tcase_add_loop_test(all, a_source_and_any_number_of_threads_give_the_same_hashes, 0, THREAD_COUNTS);
        tcase_add_loop_test(all, a_source_that_fails_is_told_and_is_no_damage, 0, THREAD_COUNTS);
        tcase_add_test(all, a_file_that_cannot_be_read_is_not_called_damaged);
}

SUITE_MAIN("image", add_tests)
