/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_slot: a retired file is written over when it fits and is nobody's any more, and otherwise a new one is made. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"
#include "example_save.h"
#include "fault.h"
#include "image.h"
#include "rundir.h"
#include "slot.h"
#include "suite.h"

#define NAME "rank-00000-of-00001.h5"

static char folder[64], checkpoints[96], slots[128], slot[256], part[256];

static void set_up(void)
{
        strcpy(folder, "/tmp/stint-test-slot.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", folder);
        snprintf(slots, sizeof slots, "%s/" RUNDIR_SLOTS, checkpoints);
        snprintf(slot, sizeof slot, "%s/" NAME, slots);
        snprintf(part, sizeof part, "%s/part", folder);
        ck_assert_int_eq(mkdir(checkpoints, 0755), 0);
        ck_assert_int_eq(mkdir(slots, 0755), 0);
        unsetenv("STINT_FAULT");
        fault_reset();
}

static void clean_up(void)
{
        durable_remove_tree(folder, NULL);
}

/* A file of these bytes, as a save before left it. */
static ino_t make_slot(uint64_t bytes)
{
        int fd = open(slot, O_RDWR | O_CREAT | O_EXCL, 0644);
        char stale[4096];
        struct stat st;
        uint64_t at;

        ck_assert_int_ge(fd, 0);
        memset(stale, 0x5a, sizeof stale);
        for (at = 0; at < bytes; at += sizeof stale)
                ck_assert_int_eq(durable_pwrite(fd, stale, bytes - at < sizeof stale ? bytes - at : sizeof stale,
                                                (off_t)at, slot, NULL),
                                 0);
        ck_assert_int_eq(fstat(fd, &st), 0);
        close(fd);
        return st.st_ino;
}

static ino_t inode_of(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0 ? st.st_ino : 0;
}

START_TEST(a_slot_that_fits_is_taken_and_is_a_slot_no_more)
{
        ino_t inode = make_slot(10000);
        int fd = slot_take(checkpoints, NAME, part, 10000);
        struct stat st;

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(fstat(fd, &st), 0);
        ck_assert(st.st_ino == inode && inode_of(part) == inode);
        ck_assert_int_eq((int)inode_of(slot), 0);
        ck_assert_int_eq(durable_pwrite(fd, "x", 1, 9999, part, NULL), 0);
        close(fd);
        ck_assert_int_eq(slot_take(checkpoints, NAME, part, 10000), -1);
}
END_TEST

START_TEST(a_slot_of_another_size_is_removed)
{
        make_slot(10000);
        ck_assert_int_eq(slot_take(checkpoints, NAME, part, 10001), -1);
        ck_assert_int_eq((int)inode_of(slot), 0);
        ck_assert_int_eq((int)inode_of(part), 0);
}
END_TEST

START_TEST(a_file_that_somebody_has_linked_is_left_as_it_is)
{
        char link_path[300], byte;
        int fd;

        make_slot(10000);
        snprintf(link_path, sizeof link_path, "%s/mine", folder);
        ck_assert_int_eq(link(slot, link_path), 0);
        ck_assert_int_eq(slot_take(checkpoints, NAME, part, 10000), -1);
        ck_assert_int_eq((int)inode_of(part), 0);
        fd = open(link_path, O_RDONLY);
        ck_assert_int_eq(durable_pread(fd, &byte, 1, 9999, link_path, NULL), 0);
        ck_assert_int_eq(byte, 0x5a);
        close(fd);
}
END_TEST

START_TEST(a_file_that_somebody_reads_is_left_to_its_reader)
{
        int fd, reader;
        char byte;

        make_slot(10000);
        reader = open(slot, O_RDONLY);
        ck_assert_int_ge(reader, 0);
        fd = slot_take(checkpoints, NAME, part, 10000);
        if (fcntl(reader, F_GETLEASE) < 0) { /* a filesystem that does not know who reads */
                close(fd);
                close(reader);
                return;
        }
        ck_assert_int_eq(fd, -1);
        ck_assert_int_eq((int)inode_of(part), 0);
        ck_assert_int_eq(durable_pread(reader, &byte, 1, 9999, slot, NULL), 0);
        ck_assert_int_eq(byte, 0x5a);
        close(reader);
}
END_TEST

START_TEST(a_link_in_the_place_of_a_slot_is_not_followed)
{
        char victim[300], byte;
        int fd;

        snprintf(victim, sizeof victim, "%s/victim", folder);
        make_slot(10000);
        ck_assert_int_eq(rename(slot, victim), 0);
        ck_assert_int_eq(symlink(victim, slot), 0);
        ck_assert_int_eq(slot_take(checkpoints, NAME, part, 10000), -1);
        ck_assert_int_eq((int)inode_of(part), 0);
        fd = open(victim, O_RDONLY);
        ck_assert_int_eq(durable_pread(fd, &byte, 1, 0, victim, NULL), 0);
        ck_assert_int_eq(byte, 0x5a);
        close(fd);
}
END_TEST

START_TEST(what_is_there_already_is_not_replaced)
{
        int fd = open(part, O_RDWR | O_CREAT | O_EXCL, 0644);
        ino_t there = inode_of(part);

        close(fd);
        make_slot(10000);
        ck_assert_int_eq(slot_take(checkpoints, NAME, part, 10000), -1);
        ck_assert(inode_of(part) == there);
        ck_assert(inode_of(slot) != 0);
}
END_TEST

static const char *part_path(char *out, size_t size, int seal)
{
        char name[RUNDIR_NAME];

        rundir_part(name, 1200, 3);
        snprintf(out, size, "%s/%s/%s", checkpoints, name, seal ? "rank-00000-of-00001.seal" : NAME);
        return out;
}

/* The bytes of the save before were all 0x5a: none may be left, in no gap either. */
START_TEST(a_save_over_a_slot_is_like_any_other)
{
        const int64_t odd[] = { (9 << 20) + 4097 };
        struct example_table table = example_new(2, 40);
        struct stint_error err = { 0 };
        struct staging *staging;
        struct writer *w;
        struct seal seal;
        char path[512];
        ino_t inode;

        example_add(&table, "model/odd", STINT_U8, 1, odd);
        staging = example_staging(&table, NULL);
        inode = make_slot(staging->image_bytes);
        w = example_writer(checkpoints, staging, 1200);
        writer_run(&w->work);
        ck_assert_msg(!w->failed, "%s", w->err.text);
        ck_assert(inode_of(part_path(path, sizeof path, 0)) == inode);
        ck_assert_int_eq(seal_read(&seal, part_path(path, sizeof path, 1), NULL), 0);
        ck_assert_msg(image_check_file(part_path(path, sizeof path, 0), &seal, NULL, NULL, &err) == 0, "%s", err.text);
        writer_free(w);
        staging_drop(staging);
}
END_TEST

START_TEST(a_save_that_dies_over_a_slot_has_no_seal)
{
        struct example_table table = example_all();
        struct staging *staging = example_staging(&table, NULL);
        struct writer *w = example_writer(checkpoints, staging, 1200);
        struct stint_error err = { 0 };
        struct seal seal;
        char path[512];

        make_slot(staging->image_bytes);
        setenv("STINT_FAULT", "slot.after_take:fail=EIO", 1);
        fault_reset();
        writer_run(&w->work);
        ck_assert_int_eq(w->failed, 1);
        ck_assert_int_eq(w->err.code, EIO);
        ck_assert_int_eq(seal_read(&seal, part_path(path, sizeof path, 1), &err), -1);
        ck_assert_int_eq(err.code, ENODATA);
        writer_free(w);
        staging_drop(staging);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "slot");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, a_slot_that_fits_is_taken_and_is_a_slot_no_more);
        tcase_add_test(all, a_slot_of_another_size_is_removed);
        tcase_add_test(all, a_file_that_somebody_has_linked_is_left_as_it_is);
        tcase_add_test(all, a_file_that_somebody_reads_is_left_to_its_reader);
        tcase_add_test(all, a_link_in_the_place_of_a_slot_is_not_followed);
        tcase_add_test(all, what_is_there_already_is_not_replaced);
        tcase_add_test(all, a_save_over_a_slot_is_like_any_other);
        tcase_add_test(all, a_save_that_dies_over_a_slot_has_no_seal);
}

SUITE_MAIN("slot", add_tests)
