/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_feed: a file that is read into a window: the program at its other end gets the bytes that were saved, damage is
 * found wherever it is, and nobody waits for a program that takes nothing.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "durable.h"
#include "example_save.h"
#include "fault.h"
#include "feed.h"
#include "rundir.h"
#include "suite.h"

#define STEP 40
#define MIB ((int64_t)1 << 20)

static char base[64], file_path[200];
static struct staging *staging; /* of 64 MiB: more than the window has, and what the tests take of it */
static struct seal seal;
static unsigned char *got;
static struct feed *feed;

static void save_many(int tensors, int64_t bytes)
{
        struct example_table table = example_many(tensors, bytes);
        char part[RUNDIR_NAME], name[RUNDIR_NAME];
        struct writer *w;

        unsetenv("STINT_FAULT");
        fault_reset();
        strcpy(base, "/tmp/stint-test-feed.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(base));
        staging = example_staging(&table, NULL);
        ck_assert_uint_gt(staging->image_bytes, (FEED_BLOCKS + 2) * WINDOW_BLOCK);
        w = example_writer(base, staging, STEP);
        writer_run(&w->work);
        ck_assert_msg(!w->failed, "%s", w->err.text);
        seal = w->seal;
        writer_free(w);
        snprintf(file_path, sizeof file_path, "%s/%s/%s", base, rundir_part(part, STEP, 3), rundir_rank_file(name, 0, 1));
        got = calloc(1, staging->image_bytes);
        feed = NULL;
}

static void set_up(void)
{
        save_many(16, MIB);
}

static void clean_up(void)
{
        feed_free(feed);
        durable_remove_tree(base, NULL);
        staging_drop(staging);
        free(got);
}

static int open_feed_in(int ring_fd, struct stint_error *err)
{
        const int fd = open(file_path, O_RDONLY | O_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        feed = feed_open(fd, file_path, &seal, ring_fd, err);
        return feed ? 0 : -1;
}

static int open_feed(struct stint_error *err)
{
        return open_feed_in(-1, err);
}

/* As the program does it: copies what comes, up to there.  Answers the code that ended it: 0, or why. */
static int take_upto(uint64_t upto)
{
        struct stint_error err = { 0 };
        struct window w;
        uint64_t at = 0, n;

        ck_assert_int_eq(window_take(&w, feed->window.fd, feed->window.ring_bytes, seal.file_bytes, &err), 0);
        while (at < upto && window_await_filled(&w, at + 1, 30 * CLOCK_SECOND, &err) == 1) {
                n = window_filled(&w) - at;
                n = n < WINDOW_BLOCK - at % WINDOW_BLOCK ? n : WINDOW_BLOCK - at % WINDOW_BLOCK;
                memcpy(got + at, window_at(&w, at), n);
                at += n;
                window_pass(&w, at);
        }
        window_fini(&w);
        return at < upto ? err.code : 0;
}

static void *take_all(void *arg)
{
        *(int *)arg = take_upto(seal.file_bytes);
        return NULL;
}

/* Both ends: the code of each. */
static int run(int *taken)
{
        struct stint_error err = { 0 };
        pthread_t program;
        int rc;

        ck_assert_int_eq(pthread_create(&program, NULL, take_all, taken), 0);
        rc = feed_run(feed, &err);
        pthread_join(program, NULL);
        if (rc < 0)
                ck_assert_str_ne(err.text, "");
        return rc < 0 ? err.code : 0;
}

START_TEST(the_program_gets_the_bytes_that_were_saved)
{
        const uint64_t bytes = staging->count * staging->record_bytes;
        unsigned char *table = malloc(bytes);
        int taken;

        ck_assert_int_eq(open_feed(NULL), 0);
        ck_assert_int_eq(pread(feed->table_fd, table, bytes, 0), (ssize_t)bytes);
        ck_assert_mem_eq(table, staging->image + staging->table_offset, bytes);
        ck_assert_int_eq(run(&taken), 0);
        ck_assert_int_eq(taken, 0);
        ck_assert(memcmp(got, staging->image, seal.file_bytes) == 0);
        free(table);
}
END_TEST

START_TEST(a_long_table_is_whole_and_nobody_can_change_it)
{
        uint64_t bytes;
        int taken;

        clean_up();
        save_many(9000, MIB / 128);
        bytes = staging->count * staging->record_bytes;
        ck_assert_uint_gt(bytes, 2 * MIB);
        ck_assert_int_eq(open_feed(NULL), 0);
        ck_assert(memcmp(feed->table, staging->image + staging->table_offset, bytes) == 0);
        errno = 0;
        ck_assert_int_lt(pwrite(feed->table_fd, "x", 1, 0), 0);
        ck_assert_int_eq(errno, EPERM);
        ck_assert_ptr_eq(mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, feed->table_fd, 0), MAP_FAILED);
        ck_assert_int_eq(run(&taken), 0);
        ck_assert_int_eq(taken, 0);
}
END_TEST

START_TEST(it_takes_memory_that_was_made_before)
{
        const int ring = window_memory(FEED_BLOCKS * WINDOW_BLOCK, NULL);
        struct stat made, used;
        int taken;

        ck_assert_int_ge(ring, 0);
        ck_assert_int_eq(fstat(ring, &made), 0);
        ck_assert_int_eq(open_feed_in(ring, NULL), 0);
        ck_assert_int_eq(fstat(feed->window.fd, &used), 0);
        ck_assert_uint_eq(used.st_ino, made.st_ino);
        ck_assert_int_eq(run(&taken), 0);
        ck_assert(memcmp(got, staging->image, seal.file_bytes) == 0);
}
END_TEST

START_TEST(memory_that_is_of_no_use_is_given_back)
{
        const int ring = window_memory(FEED_BLOCKS * WINDOW_BLOCK, NULL);

        seal.table_offset = seal.file_bytes;
        ck_assert_int_eq(open_feed_in(ring, NULL), -1);
        ck_assert_int_eq(fcntl(ring, F_GETFD), -1);
}
END_TEST

static void flip(uint64_t at)
{
        const int fd = open(file_path, O_RDWR);
        unsigned char byte;

        ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at), 1);
        byte ^= 0x10;
        ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
        close(fd);
}

/* At the beginning, in the table, within a tensor, and the last byte. */
static uint64_t damaged_place(int i)
{
        const uint64_t places[] = { 1, seal.table_offset + 8, seal.file_bytes / 2, seal.file_bytes - 1 };

        return places[i];
}

START_TEST(a_flipped_byte_is_damage_and_the_program_hears_of_it)
{
        struct stint_error err = { 0 };
        int taken;

        flip(damaged_place(_i));
        ck_assert_int_eq(open_feed(&err), 0);
        ck_assert_int_eq(run(&taken), EBADMSG);
        ck_assert(taken == ECANCELED || taken == 0); /* 0: it had all of it before the last byte was looked at */
}
END_TEST

START_TEST(what_cannot_be_read_is_not_called_damaged)
{
        int taken;

        setenv("STINT_FAULT", "restore.mid_read:fail=EIO", 1);
        fault_reset();
        ck_assert_int_eq(open_feed(NULL), 0);
        ck_assert_int_eq(run(&taken), EIO);
        ck_assert_int_eq(taken, ECANCELED);
}
END_TEST

static void *run_alone(void *arg)
{
        struct stint_error err = { 0 };

        *(int *)arg = feed_run(feed, &err) < 0 ? err.code : 0;
        return NULL;
}

START_TEST(nobody_waits_for_a_program_that_takes_no_more)
{
        pthread_t agent;
        int code;

        ck_assert_int_eq(open_feed(NULL), 0);
        ck_assert_int_eq(pthread_create(&agent, NULL, run_alone, &code), 0);
        ck_assert_int_eq(take_upto(2 * WINDOW_BLOCK), 0);
        ck_assert_int_eq(window_await_filled(&feed->window, FEED_BLOCKS * WINDOW_BLOCK, 30 * CLOCK_SECOND, NULL), 1);
        feed_stop(feed);
        pthread_join(agent, NULL);
        ck_assert_int_eq(code, ECANCELED);
}
END_TEST

START_TEST(one_that_is_stopped_before_it_begins_ends_at_once)
{
        struct stint_error err = { 0 };

        ck_assert_int_eq(open_feed(NULL), 0);
        feed_stop(feed);
        ck_assert_int_eq(feed_run(feed, &err), -1);
        ck_assert_int_eq(err.code, ECANCELED);
}
END_TEST

START_TEST(a_seal_of_another_file_is_damage_before_anything_is_shown)
{
        struct stint_error err = { 0 };

        seal.table_offset = seal.file_bytes;
        ck_assert_int_eq(open_feed(&err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "feed");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, the_program_gets_the_bytes_that_were_saved);
        tcase_add_test(all, a_long_table_is_whole_and_nobody_can_change_it);
        tcase_add_test(all, it_takes_memory_that_was_made_before);
        tcase_add_test(all, memory_that_is_of_no_use_is_given_back);
        tcase_add_loop_test(all, a_flipped_byte_is_damage_and_the_program_hears_of_it, 0, 4);
        tcase_add_test(all, what_cannot_be_read_is_not_called_damaged);
        tcase_add_test(all, nobody_waits_for_a_program_that_takes_no_more);
        tcase_add_test(all, one_that_is_stopped_before_it_begins_ends_at_once);
        tcase_add_test(all, a_seal_of_another_file_is_damage_before_anything_is_shown);
}

SUITE_MAIN("feed", add_tests)
