/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_reader: a restore gets the bytes that were saved, or hears whether the checkpoint is damaged or cannot be read. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "blocks.h"
#include "channel.h"
#include "durable.h"
#include "example_save.h"
#include "fault.h"
#include "memory.h"
#include "rundir.h"
#include "suite.h"

#define STEP 40

static char folder[64], file_path[200], seal_path[200];
static struct staging *staging;
static struct seal seal;

/* One checkpoint, written into a part and never renamed, which the reader does not mind. */
static void make(struct example_table table)
{
        char part[RUNDIR_NAME], name[RUNDIR_NAME], base[64];
        struct writer *w;

        unsetenv("STINT_FAULT");
        fault_reset();
        strcpy(base, "/tmp/stint-test-reader.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(base));
        staging = example_staging(&table, NULL);
        w = example_writer(base, staging, STEP);
        writer_run(&w->work);
        ck_assert_msg(!w->failed, "%s", w->err.text);
        seal = w->seal;
        writer_free(w);
        snprintf(folder, sizeof folder, "%.*s/%.20s", 36, base, "whole");
        snprintf(file_path, sizeof file_path, "%s/%s", base, rundir_part(part, STEP, 3));
        ck_assert_int_eq(rename(file_path, folder), 0);
        snprintf(file_path, sizeof file_path, "%s/%s", folder, rundir_rank_file(name, 0, 1));
        snprintf(seal_path, sizeof seal_path, "%s/%s", folder, rundir_rank_seal(name, 0, 1));
}

static void set_up(void)
{
        make(example_all());
}

/* Of several blocks, the last of which is no whole one. */
static void set_up_large(void)
{
        make(example_many(5, 1000003));
        ck_assert_uint_gt(seal.file_bytes, 4 * BLOCKS_BYTES);
        ck_assert_uint_ne(seal.file_bytes % MEMORY_LARGE_PAGE, 0);
}

static void clean_up(void)
{
        prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
        *strrchr(folder, '/') = '\0';
        durable_remove_tree(folder, NULL);
        staging_drop(staging);
}

/* The code that a reader ends with: 0, or why. */
static int read_code(void)
{
        struct reader *r = example_reader(folder, &seal);
        int code;

        reader_run(&r->work);
        code = r->fd >= 0 ? 0 : r->err.code;
        if (code)
                ck_assert_str_ne(r->err.text, "");
        reader_free(r);
        return code;
}

/* By the way of a large image as well: into large pages, where the kernel has them, and through buffers. */
START_TEST(the_image_that_was_read_is_the_one_that_was_written)
{
        struct reader *r = example_reader(folder, &seal);
        unsigned char *image;

        ck_assert_int_eq(prctl(PR_SET_THP_DISABLE, _i, 0, 0, 0), 0);
        reader_run(&r->work);
        ck_assert_msg(r->fd >= 0, "%s", r->err.text);
        ck_assert_int_eq(channel_memory_check(r->fd, seal.file_bytes, NULL), 0);
        image = mmap(NULL, seal.file_bytes, PROT_READ, MAP_SHARED, r->fd, 0);
        ck_assert_mem_eq(image, staging->image, seal.file_bytes);
        ck_assert_uint_eq(r->seal.table_offset, staging->table_offset);
        munmap(image, seal.file_bytes);
        reader_free(r);
}
END_TEST

static void flip(const char *path, off_t at)
{
        unsigned char byte;
        int fd = open(path, O_RDWR);

        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
        close(fd);
}

START_TEST(a_flipped_byte_anywhere_is_damage)
{
        const off_t step = 1009; /* a prime, so that every kind of place comes by */
        off_t at;

        for (at = 0; at < (off_t)seal.file_bytes; at += step) {
                flip(file_path, at);
                ck_assert_msg(read_code() == EBADMSG, "byte %lld", (long long)at);
                flip(file_path, at);
        }
        for (at = 0; at < SEAL_BYTES; at++) {
                flip(seal_path, at);
                ck_assert_msg(read_code() == EBADMSG, "byte %lld of the seal", (long long)at);
                flip(seal_path, at);
        }
        ck_assert_int_eq(read_code(), 0);
}
END_TEST

START_TEST(damage_is_found_in_each_block_of_a_large_image)
{
        uint64_t at;

        ck_assert_int_eq(prctl(PR_SET_THP_DISABLE, _i, 0, 0, 0), 0);
        for (at = 12345; at < seal.file_bytes; at += BLOCKS_BYTES) {
                flip(file_path, (off_t)at);
                ck_assert_msg(read_code() == EBADMSG, "byte %llu", (unsigned long long)at);
                flip(file_path, (off_t)at);
        }
        ck_assert_int_eq(read_code(), 0);
}
END_TEST

START_TEST(a_file_cut_off_grown_or_missing_is_damage)
{
        ck_assert_int_eq(truncate(file_path, (off_t)seal.file_bytes - 1), 0);
        ck_assert_int_eq(read_code(), EBADMSG);
        ck_assert_int_eq(truncate(file_path, (off_t)seal.file_bytes + 1), 0);
        ck_assert_int_eq(read_code(), EBADMSG);
        unlink(file_path);
        ck_assert_int_eq(read_code(), EBADMSG);
        ck_assert_int_eq(truncate(seal_path, 0), 0);
        ck_assert_int_eq(read_code(), EBADMSG);
        unlink(seal_path);
        ck_assert_int_eq(read_code(), EBADMSG);
}
END_TEST

START_TEST(the_seal_must_be_the_one_of_the_manifest_and_of_this_run)
{
        struct reader *r = example_reader(folder, &seal);

        r->root ^= 1;
        reader_run(&r->work);
        ck_assert_int_eq(r->err.code, EBADMSG);
        reader_free(r);
        r = example_reader(folder, &seal);
        r->run_id[0] = 'f';
        reader_run(&r->work);
        ck_assert_int_eq(r->err.code, EBADMSG);
        reader_free(r);
        r = example_reader(folder, &seal);
        r->checkpoint_step = STEP - 1;
        reader_run(&r->work);
        ck_assert_int_eq(r->err.code, EBADMSG);
        reader_free(r);
}
END_TEST

static const char *const points[] = { "restore.before_read", "restore.mid_read", "restore.after_read" };

START_TEST(what_cannot_be_read_is_not_called_damaged)
{
        char fault[64];

        snprintf(fault, sizeof fault, "%s:fail=EIO", points[_i]);
        setenv("STINT_FAULT", fault, 1);
        fault_reset();
        ck_assert_int_eq(read_code(), EIO);
        ck_assert_int_eq(read_code(), 0); /* the fault was for the first time only */
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "reader"), *large = suite_case(suite, "large");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, the_image_that_was_read_is_the_one_that_was_written);
        tcase_add_test(all, a_flipped_byte_anywhere_is_damage);
        tcase_add_test(all, a_file_cut_off_grown_or_missing_is_damage);
        tcase_add_test(all, the_seal_must_be_the_one_of_the_manifest_and_of_this_run);
        tcase_add_loop_test(all, what_cannot_be_read_is_not_called_damaged, 0, (int)(sizeof points / sizeof points[0]));
        tcase_add_checked_fixture(large, set_up_large, clean_up);
        tcase_add_loop_test(large, the_image_that_was_read_is_the_one_that_was_written, 0, 2);
        tcase_add_loop_test(large, damage_is_found_in_each_block_of_a_large_image, 0, 2);
}

SUITE_MAIN("reader", add_tests)
