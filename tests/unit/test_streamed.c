/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_streamed: a state that comes through a window makes the same file as one that was in memory as a whole: the
 * library's side on one thread, the agent's on the other.  Whoever fails ends both.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"
#include "example_save.h"
#include "fault.h"
#include "image.h"
#include "rundir.h"
#include "streamed.h"
#include "streaming.h"
#include "suite.h"

#define TENSORS (sizeof sizes / sizeof *sizes)
#define STEP 1200

/* In the order of attaching: longer than a block, than two, than nothing; and odd ends that leave gaps. */
static const int64_t sizes[] = { (9 << 20) + 4097, 5, 70000, 0, (4 << 20), (3 << 20) + 1, 1, 4096, 20001, (2 << 20) };

static char folder[64], checkpoints[96];
static unsigned char *data[64];
static struct layout layout;
static struct copy copy;
static struct streaming streaming;
static struct staging *staging; /* the agent's, streamed */
static struct passage *passage;
static struct writer *writer;
static struct stint_error err;

/* ---- both sides -------------------------------------------------------------------------------------------------- */

static void attach(size_t i)
{
        struct stint_tensor tensor = { .dtype = STINT_U8, .ndim = 1, .shape = { sizes[i] } };
        char name[40];
        int64_t at;

        data[i] = malloc((size_t)sizes[i] + 1);
        for (at = 0; at < sizes[i]; at++)
                data[i][at] = (unsigned char)((uint64_t)at * 131 + i * 7 + (uint64_t)at / 4099);
        tensor.data = data[i];
        snprintf(name, sizeof name, "model/%zu/value", TENSORS - i); /* so that no order follows from the other */
        ck_assert_int_ge(layout_attach(&layout, name, &tensor, &err), 0);
}

static struct staging *make_staging(int may_stream)
{
        struct staging_job *job = calloc(1, sizeof *job);
        struct staging *made;

        layout.dirty = 1;
        job->table_fd = layout_table(&layout, &job->record_bytes, &err);
        job->count = layout.count;
        job->may_stream = may_stream;
        staging_job_run(&job->work);
        made = job->made;
        job->made = NULL;
        err = job->err;
        staging_job_free(job);
        return made;
}

static int take_places(uint32_t id)
{
        struct wire_places m = { .layout = id, .record_bytes = staging->record_bytes, .count = staging->count,
                                 .image_bytes = staging->image_bytes };

        return streaming_take_places(&streaming, &layout, &m, staging->streamed->table_fd, &err);
}

static int take_window(uint32_t id)
{
        struct wire_window m = { .layout = id, .image_bytes = staging->image_bytes };

        m.ring_bytes = passage->window.ring_bytes;
        return streaming_take_window(&streaming, &m, passage->window.fd, &err);
}

static struct writer *make_writer(struct staging *from, int64_t step)
{
        struct writer *w = example_writer(checkpoints, from, step);

        w->seal.step = STEP; /* what says so in the file is the same for all */
        w->seal.wall_ns = 1;
        return w;
}

/* Ready to save. What is in the ring before is not to come through. */
static void set_out(uint64_t window_bytes)
{
        staging_limit(window_bytes);
        staging = make_staging(1);
        ck_assert_ptr_nonnull(staging);
        ck_assert_ptr_nonnull(staging->streamed);
        ck_assert_uint_eq(staging->streamed->window_bytes, window_bytes);
        passage = passage_new(window_bytes, staging->image_bytes, &err);
        ck_assert_ptr_nonnull(passage);
        ck_assert_msg(take_places(layout.id) == 0 && take_window(layout.id) == 0, "%s", err.text);
        memset(streaming.window.ring, 0xa5, window_bytes);
        writer = make_writer(staging, STEP);
        writer->passage = passage;
}

static void set_up(void)
{
        size_t i;

        strcpy(folder, "/tmp/stint-test-streamed.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", folder);
        unsetenv("STINT_FAULT");
        fault_reset();
        setenv("STINT_DEVICE", "sim", 1);
        device_sim_reset();
        copy_init(&copy, NULL);
        for (i = 0; i < TENSORS; i++)
                attach(i);
}

static void clean_up(void)
{
        size_t i;

        streaming_drop(&streaming);
        if (writer)
                writer_free(writer);
        staging_drop(staging);
        layout_fini(&layout);
        copy_fini(&copy);
        for (i = 0; i < TENSORS; i++)
                free(data[i]);
        durable_remove_tree(folder, NULL);
}

/* ---- the program, on a thread ------------------------------------------------------------------------------------ */

struct program {
        pthread_t thread;
        int rc, looks, patience; /* after so many looks in vain it gives up; 0: never */
        int stops_behind;        /* and stops the window, as when it is gone */
        struct stint_error err;
};

static int go_on(void *arg, struct stint_error *why)
{
        struct program *p = arg;

        p->looks++;
        return p->patience && p->looks >= p->patience ? error_set(why, ENOTCONN, "nobody is there") : 0;
}

static void *stream(void *arg)
{
        struct program *p = arg;
        const struct streaming_watch watch = { go_on, p };

        p->rc = streaming_copy(&streaming, &layout, &copy, &watch, &p->err);
        /* What the agent's loop does when it hears of it. */
        if (p->rc < 0 && p->err.code != ECANCELED)
                passage_stop(passage, p->err.code, p->err.text);
        if (p->stops_behind)
                passage_stop(passage, ECONNRESET, "the program is gone");
        return NULL;
}

static void save_with(struct program *p)
{
        ck_assert_int_eq(pthread_create(&p->thread, NULL, stream, p), 0);
        writer_run(&writer->work);
        ck_assert_int_eq(pthread_join(p->thread, NULL), 0);
}

/* ---- what is in the file ----------------------------------------------------------------------------------------- */

static unsigned char *file_of(int64_t step, uint64_t bytes)
{
        char part[RUNDIR_NAME], name[RUNDIR_NAME], path[512];
        unsigned char *all = malloc(bytes + 1);
        int fd;

        snprintf(path, sizeof path, "%s/%s/%s", checkpoints, rundir_part(part, step, 3), rundir_rank_file(name, 0, 1));
        fd = open(path, O_RDONLY);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(read(fd, all, bytes + 1), (ssize_t)bytes);
        close(fd);
        return all;
}

static void fill_whole(struct staging *s)
{
        const struct layout_tensor *t;
        struct layout_tensor *placed;
        uint64_t i;

        for (i = 0; i < s->count; i++) {
                const struct table_record *r = table_at(s->image + s->table_offset, s->record_bytes, i);

                placed = layout_find(&layout, r->name);
                placed->offset = r->file_offset;
        }
        for (t = layout.tensors; t; t = layout_next(t))
                ck_assert_int_eq(t->device->copy_out(s->image + t->offset, t->tensor.data, t->bytes, t->name, &err), 0);
        ck_assert_int_eq(device_sync_all(&err), 0);
}

static void assert_same_file(void)
{
        unsigned char *is, *must;
        struct staging *whole;
        struct writer *w;

        staging_limit(0);
        whole = make_staging(1);
        ck_assert_ptr_nonnull(whole);
        ck_assert_ptr_null(whole->streamed);
        fill_whole(whole);
        w = make_writer(whole, STEP + 1);
        writer_run(&w->work);
        ck_assert_msg(!w->failed, "%s", w->err.text);
        is = file_of(STEP, whole->image_bytes);
        must = file_of(STEP + 1, whole->image_bytes);
        ck_assert(memcmp(is, must, whole->image_bytes) == 0);
        ck_assert_uint_eq(writer->seal.root, w->seal.root);
        ck_assert_uint_eq(writer->seal.rest_hash, w->seal.rest_hash);
        ck_assert_uint_eq(writer->seal.state_bytes, w->seal.state_bytes);
        free(is);
        free(must);
        writer_free(w);
        staging_drop(whole);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static const uint64_t windows[] = { STREAMED_LEAST, 3 * WINDOW_BLOCK, 4 * WINDOW_BLOCK };

START_TEST(a_state_that_is_streamed_is_the_same_file)
{
        struct program p = { .rc = -1 };

        set_out(windows[_i]);
        ck_assert_uint_gt(staging->image_bytes, windows[_i]);
        save_with(&p);
        ck_assert_msg(p.rc == 0, "%s", p.err.text);
        ck_assert_msg(!writer->failed, "%s", writer->err.text);
        ck_assert_ptr_null(streaming.window.ring); /* it serves once */
        assert_same_file();
}
END_TEST

START_TEST(the_first_window_has_all_of_its_pages)
{
        struct stat status;

        set_out(STREAMED_LEAST);
        ck_assert_ptr_nonnull(staging->streamed->first);
        ck_assert_int_eq(fstat(staging->streamed->first->window.fd, &status), 0);
        ck_assert_uint_ge((uint64_t)status.st_blocks * 512, STREAMED_LEAST);
}
END_TEST

START_TEST(a_window_serves_again_and_nothing_is_left_in_it)
{
        struct program p = { .rc = -1 };

        set_out(STREAMED_LEAST);
        save_with(&p);
        ck_assert_int_eq(p.rc, 0);
        ck_assert_int_eq(durable_remove_tree(checkpoints, &err), 0);
        writer->passage = NULL;
        writer_free(writer);
        window_renew(&passage->window);
        ck_assert_msg(take_window(layout.id) == 0, "%s", err.text);
        memset(streaming.window.ring, 0x5a, STREAMED_LEAST);
        memset(data[0], 0x77, (size_t)sizes[0]);
        writer = make_writer(staging, STEP);
        writer->passage = passage;
        p.rc = -1;
        save_with(&p);
        ck_assert_msg(p.rc == 0 && !writer->failed, "%s", writer->err.text);
        assert_same_file();
}
END_TEST

START_TEST(the_window_is_what_is_left_allowed_and_of_use)
{
        const uint64_t large = UINT64_C(1) << 40;

        ck_assert_uint_eq(streamed_window(large, 0, -1), STREAMED_MOST);
        ck_assert_uint_eq(streamed_window(large, 0, INT64_MAX), STREAMED_MOST);
        ck_assert_uint_eq(streamed_window(large, 0, 100 << 20), 48 << 20); /* half of it, in whole blocks */
        ck_assert_uint_eq(streamed_window(large, 20 << 20, 100 << 20), 20 << 20);
        ck_assert_uint_eq(streamed_window(large, 70 << 20, 100 << 20), 48 << 20);
        ck_assert_uint_eq(streamed_window(large, (11 << 20) + 5, -1), 8 << 20);
        ck_assert_uint_eq(streamed_window(large, 0, 16 << 20), STREAMED_LEAST);
        ck_assert_uint_eq(streamed_window(large, 0, (16 << 20) - 1), 0);
        ck_assert_uint_eq(streamed_window(large, 0, 0), 0);
        ck_assert_uint_eq(streamed_window((8 << 20) + 1, 8 << 20, -1), 8 << 20);
        ck_assert_uint_eq(streamed_window(8 << 20, 8 << 20, -1), 0); /* as large as the image: no help */
}
END_TEST

START_TEST(many_small_tensors_are_streamed_with_their_table)
{
        const int64_t three = 3;
        char name[40];
        int i;

        /* A table longer than the window, and hashes over several pages. */
        for (i = 0; i < 40000; i++) {
                struct stint_tensor tensor = { .data = data[2] + i, .dtype = STINT_U8, .ndim = 1, .shape = { three } };

                snprintf(name, sizeof name, "optimizer/%d", i);
                ck_assert_int_ge(layout_attach(&layout, name, &tensor, &err), 0);
        }
        set_out(STREAMED_LEAST);
        ck_assert_uint_gt(staging->count * staging->record_bytes, STREAMED_LEAST);
        save_with(&(struct program){ .rc = -1 });
        ck_assert_msg(!writer->failed, "%s", writer->err.text);
        assert_same_file();
}
END_TEST

START_TEST(what_lies_on_a_device_is_streamed_too)
{
        struct stint_tensor tensor = { .dtype = STINT_U8, .ndim = 1, .shape = { sizes[0] } };

        tensor.data = stint_sim_alloc(0, (size_t)sizes[0]);
        ck_assert_ptr_nonnull(tensor.data);
        ck_assert_int_eq(stint_sim_write(tensor.data, data[0], (size_t)sizes[0]), 0);
        ck_assert_int_ge(layout_attach(&layout, "device", &tensor, &err), 0);
        set_out(STREAMED_LEAST);
        save_with(&(struct program){ .rc = -1 });
        ck_assert_msg(!writer->failed, "%s", writer->err.text);
        assert_same_file();
}
END_TEST

START_TEST(what_has_come_is_written_to_its_end)
{
        struct program p = { .rc = -1, .stops_behind = 1 };

        set_out(STREAMED_LEAST);
        save_with(&p);
        ck_assert_msg(p.rc == 0, "%s", p.err.text);
        ck_assert_msg(!writer->failed, "%s", writer->err.text);
        assert_same_file();
}
END_TEST

START_TEST(a_copy_that_fails_ends_the_write_with_its_reason)
{
        struct program p = { .rc = 0 };

        setenv("STINT_FAULT", "snapshot.mid_copy:fail=EIO", 1);
        fault_reset();
        set_out(STREAMED_LEAST);
        save_with(&p);
        ck_assert_int_eq(p.rc, -1);
        ck_assert_int_eq(p.err.code, EIO);
        ck_assert_int_eq(writer->failed, 1);
        ck_assert_int_eq(writer->err.code, EIO);
        ck_assert_ptr_nonnull(strstr(writer->err.text, "snapshot.mid_copy"));
        ck_assert_ptr_null(streaming.window.ring);
}
END_TEST

START_TEST(a_disk_that_fails_ends_the_copy)
{
        static const char *const faults[] = { "save.mid_write:fail=ENOSPC", "save.before_create:fail=ENOSPC" };
        struct program p = { .rc = 0 };

        setenv("STINT_FAULT", faults[_i], 1);
        fault_reset();
        set_out(STREAMED_LEAST);
        save_with(&p);
        ck_assert_int_eq(writer->failed, 1);
        ck_assert_int_eq(writer->err.code, ENOSPC);
        ck_assert_int_eq(p.rc, -1);
        ck_assert_int_eq(p.err.code, ECANCELED);
}
END_TEST

START_TEST(a_save_that_is_given_up_ends_both)
{
        struct program p = { .rc = 0 };

        set_out(STREAMED_LEAST);
        writer_give_up(writer);
        save_with(&p);
        ck_assert_int_eq(writer->failed, 1);
        ck_assert_int_eq(writer->err.code, ECANCELED);
        ck_assert_int_eq(p.rc, -1);
        ck_assert_int_eq(p.err.code, ECANCELED);
}
END_TEST

START_TEST(a_ring_that_says_what_cannot_be_ends_the_write)
{
        set_out(STREAMED_LEAST);
        atomic_store(&streaming.window.page->filled, staging->image_bytes + 1);
        writer_run(&writer->work);
        ck_assert_int_eq(writer->failed, 1);
        ck_assert_int_eq(writer->err.code, EPROTO);
}
END_TEST

START_TEST(who_waits_for_room_looks_whether_it_is_in_vain)
{
        struct program p = { .rc = 0, .patience = 2 };

        set_out(STREAMED_LEAST);
        stream(&p);
        ck_assert_int_eq(p.rc, -1);
        ck_assert_int_eq(p.err.code, ENOTCONN);
        ck_assert_int_eq(p.looks, 2);
}
END_TEST

START_TEST(places_and_windows_that_cannot_be_are_refused)
{
        uint64_t offset;

        set_out(STREAMED_LEAST);
        ck_assert_int_eq(take_window(layout.id + 1), -1);
        ck_assert_int_eq(err.code, EPROTO);
        staging->count--;
        layout_unplace(&layout);
        ck_assert_int_eq(take_places(layout.id), -1);
        staging->count++;
        offset = staging->image_bytes;
        staging->image_bytes = WINDOW_BLOCK; /* tensors would lie outside */
        layout_unplace(&layout);
        ck_assert_int_eq(take_places(layout.id), -1);
        ck_assert_uint_eq(streaming.layout, 0);
        staging->image_bytes = offset;
        layout_unplace(&layout);
        ck_assert_msg(take_places(layout.id) == 0, "%s", err.text);
}
END_TEST

START_TEST(only_who_knows_of_windows_gets_one)
{
        staging_limit(STREAMED_LEAST);
        ck_assert_ptr_null(make_staging(0));
        ck_assert_int_eq(err.code, ENOMEM);
        ck_assert_ptr_nonnull(strstr(err.text, "--stint-staging leaves 8.0 MiB"));
        staging_limit(STREAMED_LEAST - 1); /* not even a window */
        ck_assert_ptr_null(make_staging(1));
        ck_assert_int_eq(err.code, ENOMEM);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "streamed");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_loop_test(all, a_state_that_is_streamed_is_the_same_file, 0, 3);
        tcase_add_test(all, the_first_window_has_all_of_its_pages);
        tcase_add_test(all, a_window_serves_again_and_nothing_is_left_in_it);
        tcase_add_test(all, the_window_is_what_is_left_allowed_and_of_use);
        tcase_add_test(all, many_small_tensors_are_streamed_with_their_table);
        tcase_add_test(all, what_lies_on_a_device_is_streamed_too);
        tcase_add_test(all, what_has_come_is_written_to_its_end);
        tcase_add_test(all, a_copy_that_fails_ends_the_write_with_its_reason);
        tcase_add_loop_test(all, a_disk_that_fails_ends_the_copy, 0, 2);
        tcase_add_test(all, a_save_that_is_given_up_ends_both);
        tcase_add_test(all, a_ring_that_says_what_cannot_be_ends_the_write);
        tcase_add_test(all, who_waits_for_room_looks_whether_it_is_in_vain);
        tcase_add_test(all, places_and_windows_that_cannot_be_are_refused);
        tcase_add_test(all, only_who_knows_of_windows_gets_one);
}

SUITE_MAIN("streamed", add_tests)
