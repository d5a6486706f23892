/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_pipeline: the file is the image with its hashes in it, whether all of it was there or only a window at a time;
 * and a failure of any side ends both.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "blocks.h"
#include "example_save.h"
#include "image.h"
#include "pipeline.h"
#include "suite.h"

static char path[64];
static int fd;
static struct disk disk;
static struct staging *staging;
static struct seal seal, good;
static unsigned char *wanted; /* the image as it must be in the file */

/* Some blocks and an odd end; tensors of many sizes, one of them longer than a block. */
static void set_up(void)
{
        const int64_t sizes[] = { (9 << 20) + 4097, 5, 70000, (3 << 20) + 1, 1, 4096, 20001 };
        struct example_table table = example_new(7, 40);
        char name[40];
        size_t i;

        strcpy(path, "/var/tmp/stint-test-pipeline.XXXXXX");
        fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        for (i = 0; i < 7; i++) {
                snprintf(name, sizeof name, "model/%zu", i);
                example_add(&table, name, STINT_U8, 1, &sizes[i]);
        }
        staging = example_staging(&table, NULL);
        seal = (struct seal){ .ranks = 1, .table_offset = staging->table_offset, .table_count = staging->count,
                              .record_bytes = staging->record_bytes, .hashes_offset = staging->hashes_offset };
        wanted = malloc(staging->image_bytes);
        memcpy(wanted, staging->image, staging->image_bytes);
        good = seal;
        ck_assert_int_eq(image_hash(wanted, staging->image_bytes, &good, NULL), 0);
        ck_assert_uint_gt(staging->image_bytes, 3 * BLOCKS_BYTES);
        ck_assert_uint_ne(staging->image_bytes % DISK_UNIT, 0);
        disk_to_write(&disk, fd, path);
}

static void clean_up(void)
{
        free(wanted);
        staging_drop(staging);
        close(fd);
        unlink(path);
}

static struct pipeline pipeline_of(struct source *source)
{
        return (struct pipeline){ .disk = &disk, .source = source, .image_bytes = staging->image_bytes,
                                  .table = staging->image + staging->table_offset,
                                  .hashes = staging->image + staging->hashes_offset, .seal = &seal };
}

static void assert_written(void)
{
        unsigned char *found = malloc(staging->image_bytes + 1);
        int again = open(path, O_RDONLY);

        ck_assert_int_eq(pread(again, found, staging->image_bytes + 1, 0), (ssize_t)staging->image_bytes);
        ck_assert(memcmp(found, wanted, staging->image_bytes) == 0);
        ck_assert_uint_eq(seal.root, good.root);
        ck_assert_uint_eq(seal.rest_hash, good.rest_hash);
        ck_assert_uint_eq(seal.file_bytes, good.file_bytes);
        close(again);
        free(found);
}

static const unsigned hashers[] = { 1, 2, 4 };

START_TEST(an_image_in_memory_is_written_with_its_hashes)
{
        struct source_memory memory;
        struct pipeline p = pipeline_of(&memory.source);
        struct stint_error err = { 0 };

        source_memory_init(&memory, staging->image);
        memory.source.hashers = hashers[_i];
        ck_assert_msg(pipeline_run(&p, &err) == 0, "%s", err.text);
        ck_assert_int_ge(p.hash_ns, 0);
        assert_written();
}
END_TEST

/* ---- a window ---------------------------------------------------------------------------------------------------- */

/*
 * An image of which two blocks are there at a time, made by a thread as others are released.  Of what is released only
 * the pages stay that were promised to.
 */
struct window {
        struct source source;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        uint64_t released, fail_at;
        int stopped, releases_rise, progress_rises;
        uint64_t progress;
};

static int must_stay(uint64_t at, uint64_t n)
{
        const uint64_t begin = seal.hashes_offset - seal.hashes_offset % DISK_UNIT,
                       end = seal.hashes_offset + seal.table_count * 8,
                       last = staging->image_bytes / DISK_UNIT * DISK_UNIT;

        return (at >= begin && at < end && n <= 2 * DISK_UNIT) || at >= last;
}

static const unsigned char *get(struct source *s, uint64_t at, uint64_t n, struct stint_error *err)
{
        struct window *w = (struct window *)s;
        int rc = 0;

        pthread_mutex_lock(&w->lock);
        ck_assert(n > 0 && at / BLOCKS_BYTES == (at + n - 1) / BLOCKS_BYTES);
        ck_assert(at >= w->released || must_stay(at, n));
        while (at + n > w->released / BLOCKS_BYTES * BLOCKS_BYTES + 2 * BLOCKS_BYTES && !w->stopped)
                pthread_cond_wait(&w->changed, &w->lock);
        if (w->stopped)
                rc = error_set(err, ECANCELED, "the window was closed");
        else if (at + n > w->fail_at)
                rc = error_set(err, EPIPE, "the program is gone");
        pthread_mutex_unlock(&w->lock);
        return rc < 0 ? NULL : staging->image + at;
}

static void release(struct source *s, uint64_t upto)
{
        struct window *w = (struct window *)s;

        pthread_mutex_lock(&w->lock);
        if (upto <= w->released)
                w->releases_rise = 0;
        w->released = upto;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->lock);
}

static void stop(struct source *s)
{
        struct window *w = (struct window *)s;

        pthread_mutex_lock(&w->lock);
        w->stopped = 1;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->lock);
}

static void on_progress(void *arg, uint64_t upto)
{
        struct window *w = arg;

        if (upto <= w->progress)
                w->progress_rises = 0;
        w->progress = upto;
}

static struct window window_of(void)
{
        return (struct window){ .source = { .get = get, .release = release, .stop = stop, .hashers = 1 },
                                .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER,
                                .fail_at = UINT64_MAX, .releases_rise = 1, .progress_rises = 1 };
}

START_TEST(an_image_that_comes_through_a_window_is_the_same_file)
{
        struct window w = window_of();
        struct pipeline p = pipeline_of(&w.source);
        struct stint_error err = { 0 };

        p.on_progress = on_progress;
        p.arg = &w;
        ck_assert_msg(pipeline_run(&p, &err) == 0, "%s", err.text);
        assert_written();
        ck_assert_uint_eq(w.released, staging->image_bytes);
        ck_assert_uint_eq(w.progress, staging->image_bytes);
        ck_assert_int_eq(w.releases_rise, 1);
        ck_assert_int_eq(w.progress_rises, 1);
        ck_assert_int_eq(w.stopped, 0);
}
END_TEST

START_TEST(bytes_that_never_come_end_both_sides)
{
        struct window w = window_of();
        struct pipeline p = pipeline_of(&w.source);
        struct stint_error err = { 0 };

        w.fail_at = (uint64_t)_i * (staging->image_bytes / 5) + 1;
        ck_assert_int_eq(pipeline_run(&p, &err), -1);
        ck_assert_int_eq(err.code, EPIPE);
        ck_assert_int_eq(w.stopped, 1);
}
END_TEST

/* The hashing waits for a release that comes no more, and must be woken. */
START_TEST(a_disk_that_fails_ends_both_sides)
{
        struct window w = window_of();
        struct pipeline p = pipeline_of(&w.source);
        struct stint_error err = { 0 };
        int reading = open(path, O_RDONLY);

        disk_to_write(&disk, reading, path);
        ck_assert_int_eq(pipeline_run(&p, &err), -1);
        ck_assert_int_eq(err.code, EBADF);
        ck_assert_ptr_nonnull(strstr(err.text, path));
        ck_assert_int_eq(w.stopped, 1);
        close(reading);
}
END_TEST

/* Given up by whoever hears of the first block. */
static atomic_int given_up;

static void give_up(void *arg, uint64_t upto)
{
        (void)arg;
        (void)upto;
        atomic_store(&given_up, 1);
}

START_TEST(a_save_that_is_given_up_ends_at_the_next_block)
{
        struct window w = window_of();
        struct pipeline p = pipeline_of(&w.source);
        struct stint_error err = { 0 };

        atomic_store(&given_up, 0);
        p.given_up = &given_up;
        p.on_progress = give_up;
        ck_assert_int_eq(pipeline_run(&p, &err), -1);
        ck_assert_int_eq(err.code, ECANCELED);
        ck_assert_str_eq(err.text, "the save was given up");
        ck_assert_int_eq(w.stopped, 1);
}
END_TEST

START_TEST(a_table_that_does_not_hold_ends_both_sides)
{
        struct window w = window_of();
        struct pipeline p = pipeline_of(&w.source);
        struct stint_error err = { 0 };

        table_at(staging->image + staging->table_offset, staging->record_bytes, 3)->bytes++;
        ck_assert_int_eq(pipeline_run(&p, &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        ck_assert_int_eq(w.stopped, 1);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "pipeline");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_loop_test(all, an_image_in_memory_is_written_with_its_hashes, 0, 3);
        tcase_add_test(all, an_image_that_comes_through_a_window_is_the_same_file);
        tcase_add_loop_test(all, bytes_that_never_come_end_both_sides, 0, 5);
        tcase_add_test(all, a_disk_that_fails_ends_both_sides);
        tcase_add_test(all, a_save_that_is_given_up_ends_at_the_next_block);
        tcase_add_test(all, a_table_that_does_not_hold_ends_both_sides);
}

SUITE_MAIN("pipeline", add_tests)
