/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_disk: what is written is there and what is read is right, past the page cache and through it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "disk.h"
#include "suite.h"

#define BYTES (3 * DISK_UNIT + 77)

static char path[64];
static unsigned char *memory, *back;
static int fd;

static void set_up(void)
{
        size_t i;

        strcpy(path, "/var/tmp/stint-test-disk.XXXXXX");
        fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        memory = mmap(NULL, 4 * DISK_UNIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        back = mmap(NULL, 4 * DISK_UNIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert(memory != MAP_FAILED && back != MAP_FAILED);
        for (i = 0; i < BYTES; i++)
                memory[i] = (unsigned char)(i * 7 + i / 256);
}

static void clean_up(void)
{
        close(fd);
        unlink(path);
}

static void write_all(struct disk *d)
{
        const uint64_t whole = BYTES - BYTES % DISK_UNIT;
        struct stint_error err = { 0 };

        ck_assert_msg(disk_reserve(d, BYTES, &err) == 0, "%s", err.text);
        ck_assert_msg(disk_write(d, memory + DISK_UNIT, whole - DISK_UNIT, DISK_UNIT, &err) == 0, "%s", err.text);
        ck_assert_msg(disk_write(d, memory, DISK_UNIT, 0, &err) == 0, "%s", err.text);
        ck_assert_msg(disk_write_end(d, memory + whole, BYTES - whole, whole, &err) == 0, "%s", err.text);
}

static void assert_written(void)
{
        struct stat status;
        int again = open(path, O_RDONLY);

        ck_assert_int_eq(fstat(again, &status), 0);
        ck_assert_uint_eq((uint64_t)status.st_size, BYTES);
        ck_assert_int_eq(pread(again, back, 4 * DISK_UNIT, 0), BYTES);
        ck_assert_mem_eq(back, memory, BYTES);
        close(again);
}

/* Bit 0: through the page cache from the beginning. */
START_TEST(a_file_with_an_odd_end_is_written_whole)
{
        struct disk d;

        disk_to_write(&d, fd, path);
        if (_i && fcntl(fd, F_SETFL, 0) == 0)
                atomic_store(&d.direct, 0);
        write_all(&d);
        assert_written();
        write_all(&d); /* once more over what is there */
        assert_written();
}
END_TEST

/* Memory that does not begin at a page is refused with EINVAL by O_DIRECT, as all of it is by some filesystems. */
START_TEST(a_write_that_is_refused_goes_through_the_page_cache)
{
        struct disk d;
        struct stint_error err = { 0 };

        disk_to_write(&d, fd, path);
        memmove(memory + 1, memory, DISK_UNIT);
        ck_assert_msg(disk_write(&d, memory + 1, DISK_UNIT, 0, &err) == 0, "%s", err.text);
        ck_assert_int_eq(pread(fd, back, DISK_UNIT, 0), DISK_UNIT);
        ck_assert_mem_eq(back, memory + 1, DISK_UNIT);
}
END_TEST

START_TEST(a_file_is_read_to_its_odd_end_and_not_beyond)
{
        struct disk d;
        struct stint_error err = { 0 };

        ck_assert_int_eq(pwrite(fd, memory, BYTES, 0), BYTES);
        ck_assert_int_eq(fsync(fd), 0);
        posix_fadvise(fd, 0, 0, _i ? POSIX_FADV_NORMAL : POSIX_FADV_DONTNEED);
        disk_to_read(&d, fd, path, BYTES);
        if (_i)
                ck_assert_int_eq(atomic_load(&d.direct), 0); /* the page cache has it all */
        ck_assert_msg(disk_read(&d, back, BYTES, 0, &err) == 0, "%s", err.text);
        ck_assert_mem_eq(back, memory, BYTES);
        memset(back, 0, BYTES);
        ck_assert_msg(disk_read(&d, back, BYTES - DISK_UNIT, DISK_UNIT, &err) == 0, "%s", err.text);
        ck_assert_mem_eq(back, memory + DISK_UNIT, BYTES - DISK_UNIT);
        ck_assert_int_eq(disk_read(&d, back, BYTES + 1, 0, &err), -1);
        ck_assert_int_eq(err.code, EIO);
        ck_assert_int_eq(disk_read(&d, back, DISK_UNIT, 8 * DISK_UNIT, &err), -1);
        ck_assert_int_eq(err.code, EIO);
}
END_TEST

START_TEST(memory_that_cannot_be_read_into_directly_is_read_into_all_the_same)
{
        struct disk d;
        struct stint_error err = { 0 };

        ck_assert_int_eq(pwrite(fd, memory, BYTES, 0), BYTES);
        ck_assert_int_eq(fsync(fd), 0);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        disk_to_read(&d, fd, path, BYTES);
        ck_assert_msg(disk_read(&d, back + 1, DISK_UNIT, 0, &err) == 0, "%s", err.text);
        ck_assert_mem_eq(back + 1, memory, DISK_UNIT);
}
END_TEST

/* A file that serves again keeps its space, and its size follows. */
START_TEST(a_file_of_any_size_is_made_to_fit)
{
        struct disk d;
        struct stat before, status;
        struct stint_error err = { 0 };

        disk_to_write(&d, fd, path);
        ck_assert_int_eq(disk_reserve(&d, 100 * DISK_UNIT, &err), 0);
        ck_assert_int_eq(fstat(fd, &before), 0);
        ck_assert_int_eq(before.st_size, 100 * DISK_UNIT);
        ck_assert_int_ge(before.st_blocks * 512, 100 * DISK_UNIT);
        ck_assert_int_eq(disk_reserve(&d, 100 * DISK_UNIT, &err), 0);
        ck_assert_int_eq(fstat(fd, &status), 0);
        ck_assert_int_eq(status.st_blocks, before.st_blocks);
        ck_assert_int_eq(disk_reserve(&d, BYTES, &err), 0);
        ck_assert_int_eq(fstat(fd, &status), 0);
        ck_assert_int_eq(status.st_size, BYTES);
        write_all(&d);
        assert_written();
}
END_TEST

START_TEST(a_descriptor_that_cannot_be_written_says_which_file)
{
        struct disk d;
        struct stint_error err = { 0 };
        int reading = open(path, O_RDONLY);

        disk_to_write(&d, reading, path);
        ck_assert_int_eq(disk_write(&d, memory, DISK_UNIT, 0, &err), -1);
        ck_assert_int_eq(err.code, EBADF);
        ck_assert_ptr_nonnull(strstr(err.text, path));
        close(reading);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "disk");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_loop_test(all, a_file_with_an_odd_end_is_written_whole, 0, 2);
        tcase_add_test(all, a_write_that_is_refused_goes_through_the_page_cache);
        tcase_add_loop_test(all, a_file_is_read_to_its_odd_end_and_not_beyond, 0, 2);
        tcase_add_test(all, memory_that_cannot_be_read_into_directly_is_read_into_all_the_same);
        tcase_add_test(all, a_file_of_any_size_is_made_to_fit);
        tcase_add_test(all, a_descriptor_that_cannot_be_written_says_which_file);
}

SUITE_MAIN("disk", add_tests)
