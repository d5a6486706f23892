/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_prefetch: what is read ahead is there when it is taken, is let go of when it is not wanted, and leaves room. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>
#include "durable.h"
#include "example_save.h"
#include "fault.h"
#include "prefetch.h"
#include "recall.h"
#include "rundir.h"
#include "suite.h"

#define STEP 40
#define RANKS 3

static char dir[64], name[RUNDIR_NAME];
static struct seal seals[RANKS];
static uv_loop_t loop;
static struct coordinator nobody = { .over = 1 }; /* what is reported goes nowhere */
static struct ranks ranks;
static struct prefetch prefetch;
static struct recall recall;

/* One checkpoint of three ranks with the same bytes. */
static void write_checkpoint(void)
{
        char checkpoints[160], part[RUNDIR_NAME], from[512], to[512];
        struct example_table table = example_all();
        struct staging *staging = example_staging(&table, NULL);
        struct writer *w;
        uint32_t i;

        snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", dir);
        for (i = 0; i < RANKS; i++) {
                w = example_writer(checkpoints, staging, STEP);
                w->seal.rank = i;
                w->seal.ranks = RANKS;
                writer_run(&w->work);
                ck_assert_msg(!w->failed, "%s", w->err.text);
                seals[i] = w->seal;
                writer_free(w);
        }
        staging_drop(staging);
        snprintf(from, sizeof from, "%s/%s", checkpoints, rundir_part(part, STEP, 3));
        snprintf(to, sizeof to, "%s/%s", checkpoints, rundir_whole(name, STEP));
        ck_assert_int_eq(rename(from, to), 0);
}

static void set_up(void)
{
        unsetenv("STINT_FAULT");
        fault_reset();
        strcpy(dir, "/tmp/stint-test-prefetch.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        write_checkpoint();
        ck_assert_int_eq(uv_loop_init(&loop), 0);
        ranks = (struct ranks){ .loop = &loop, .run = &nobody, .recall = &recall };
        strcpy(ranks.dir, dir);
        strcpy(ranks.run_id, EXAMPLE_RUN_ID);
        prefetch = (struct prefetch){ 0 };
        prefetch_open(&prefetch, &loop, &ranks);
        recall_open(&recall, &loop);
}

/* The loop comes to an end only when every read has. */
static void clean_up(void)
{
        prefetch_close(&prefetch);
        recall_close(&recall);
        uv_run(&loop, UV_RUN_DEFAULT);
        ck_assert_int_eq(uv_loop_close(&loop), 0);
        durable_remove_tree(dir, NULL);
}

static void want(int32_t rank)
{
        struct wire_run_prefetch m = { .rank = rank, .ranks = RANKS, .checkpoint_step = STEP };

        m.file_bytes = seals[rank].file_bytes;
        m.root = seals[rank].root;
        strcpy(m.checkpoint, name);
        prefetch_want(&prefetch, &m);
}

static void let_go(int32_t rank)
{
        struct wire_run_prefetch m = { .rank = rank };

        prefetch_want(&prefetch, &m);
}

static void read_all(void)
{
        while (prefetch.at_work)
                uv_run(&loop, UV_RUN_ONCE);
}

static int joined;

static void on_joined(struct work *work)
{
        struct reader *reader = (struct reader *)work;

        ck_assert_ptr_eq(reader->owner, &joined);
        ck_assert_msg(reader->fd >= 0, "%s", reader->err.text);
        reader_free(reader);
        joined++;
}

static struct reader *take(int32_t rank, uint64_t root, int *at_work)
{
        struct wire_run_restore m = { .rank = rank, .ranks = RANKS, .checkpoint_step = STEP, .root = root };

        *at_work = 0;
        m.file_bytes = seals[rank].file_bytes;
        strcpy(m.checkpoint, name);
        return prefetch_take(&prefetch, &m, 0, &joined, on_joined, at_work);
}

START_TEST(what_was_read_is_there_when_it_is_taken_and_only_once)
{
        struct reader *reader;
        int at_work;

        want(0);
        want(1);
        read_all();
        reader = take(1, seals[1].root, &at_work);
        ck_assert_ptr_nonnull(reader);
        ck_assert_int_eq(at_work, 0);
        ck_assert_int_ge(reader->fd, 0);
        ck_assert_uint_eq(reader->seal.rank, 1);
        reader_free(reader);
        ck_assert_ptr_null(take(1, seals[1].root, &at_work));
        reader = take(0, seals[0].root, &at_work);
        ck_assert_uint_eq(reader->seal.rank, 0);
        reader_free(reader);
}
END_TEST

START_TEST(a_read_that_is_under_way_is_joined_and_the_next_one_begins)
{
        int at_work;

        joined = 0;
        want(0);
        want(1);
        ck_assert_ptr_nonnull(take(0, seals[0].root, &at_work));
        ck_assert_int_eq(at_work, 1);
        ck_assert_int_eq(prefetch.at_work, 1); /* rank 1 */
        while (!joined)
                uv_run(&loop, UV_RUN_ONCE);
        read_all();
        reader_free(take(1, seals[1].root, &at_work));
        ck_assert_int_eq(at_work, 0);
}
END_TEST

/* ---- for a program that takes a stream --------------------------------------------------------------------------- */

static struct reader *take_or_stream(int *at_work, void (*done)(struct work *work))
{
        struct wire_run_restore m = { .rank = 0, .ranks = RANKS, .checkpoint_step = STEP, .root = seals[0].root };

        *at_work = 0;
        m.file_bytes = seals[0].file_bytes;
        strcpy(m.checkpoint, name);
        return prefetch_take(&prefetch, &m, 1, &joined, done, at_work);
}

/* Begins to read, and comes to that point, where it stays until the file in `at` is removed. */
static void want_and_reach(const char *point, char *at, size_t size)
{
        const struct timespec moment = { .tv_nsec = 1000000 };
        char fault[64];

        snprintf(fault, sizeof fault, "%s:pause", point);
        setenv("STINT_FAULT", fault, 1);
        setenv("STINT_FAULT_DIR", dir, 1);
        fault_reset();
        snprintf(at, size, "%s/%s.%d", dir, point, (int)getpid());
        want(0);
        while (access(at, F_OK) < 0)
                nanosleep(&moment, NULL);
}

START_TEST(a_read_that_has_hardly_begun_is_given_up_for_a_stream)
{
        char at[200];
        int at_work;

        want_and_reach("restore.mid_read", at, sizeof at);
        ck_assert_ptr_null(take_or_stream(&at_work, on_joined));
        ck_assert_ptr_null(prefetch.first);
        ck_assert_int_eq(unlink(at), 0);
        read_all();
}
END_TEST

START_TEST(one_that_is_nearly_over_is_waited_for)
{
        char at[200];
        int at_work;

        joined = 0;
        want_and_reach("restore.after_read", at, sizeof at);
        ck_assert_ptr_nonnull(take_or_stream(&at_work, on_joined));
        ck_assert_int_eq(at_work, 1);
        ck_assert_int_eq(unlink(at), 0);
        while (!joined)
                uv_run(&loop, UV_RUN_ONCE);
}
END_TEST

static void on_opened(struct work *work)
{
        struct reader *reader = (struct reader *)work;

        ck_assert_int_eq(reader->fd, -1);
        ck_assert_ptr_nonnull(reader->feed);
        reader_free(reader);
        joined++;
}

START_TEST(one_that_has_not_come_to_the_disk_opens_a_stream_there)
{
        char at[200];
        int at_work;

        joined = 0;
        want_and_reach("restore.before_read", at, sizeof at);
        ck_assert_ptr_nonnull(take_or_stream(&at_work, on_opened));
        ck_assert_int_eq(at_work, 1);
        ck_assert_int_eq(unlink(at), 0);
        while (!joined)
                uv_run(&loop, UV_RUN_ONCE);
}
END_TEST

START_TEST(one_that_waits_for_its_turn_is_left_to_whoever_asks)
{
        int at_work;

        want(0);
        want(1);
        ck_assert_ptr_null(take(1, seals[1].root, &at_work));
        read_all();
        reader_free(take(0, seals[0].root, &at_work));
        ck_assert_ptr_null(prefetch.first);
}
END_TEST

START_TEST(an_image_of_other_bytes_is_never_given)
{
        int at_work;

        want(0);
        read_all();
        ck_assert_ptr_null(take(0, seals[0].root + 1, &at_work));
        ck_assert_ptr_null(prefetch.first);
}
END_TEST

START_TEST(another_checkpoint_takes_the_place_of_the_one_before)
{
        struct wire_run_restore other = { .rank = 0, .ranks = RANKS, .checkpoint = "step-000000000041" };
        int at_work = 0;

        want(0);
        want(1);
        want(2);
        ck_assert_ptr_null(prefetch_take(&prefetch, &other, 0, &joined, on_joined, &at_work));
        ck_assert_ptr_null(prefetch.first); /* also what is at work, and what waits */
        read_all();
        ck_assert_ptr_null(prefetch.first);
}
END_TEST

START_TEST(one_rank_or_all_are_let_go_of_when_told)
{
        int at_work;

        want(0);
        want(1);
        want(2);
        let_go(1);
        read_all();
        ck_assert_ptr_null(take(1, seals[1].root, &at_work));
        let_go(-1);
        ck_assert_ptr_null(prefetch.first);
        ck_assert_ptr_null(take(2, seals[2].root, &at_work));
}
END_TEST

/* The timer is hurried when all is there: how long the reading takes is nobody's promise. */
START_TEST(what_nobody_asks_for_is_let_go_of_after_a_while)
{
        want(0);
        want(1);
        read_all();
        ck_assert_ptr_nonnull(prefetch.first);
        ck_assert(uv_is_active((uv_handle_t *)&prefetch.forget));
        ck_assert_uint_le(uv_timer_get_due_in(&prefetch.forget), (uint64_t)(prefetch.keep_ns / CLOCK_MS));
        uv_timer_set_repeat(&prefetch.forget, 1);
        ck_assert_int_eq(uv_timer_again(&prefetch.forget), 0);
        while (prefetch.first)
                uv_run(&loop, UV_RUN_ONCE);
}
END_TEST

START_TEST(what_would_fill_the_memory_is_not_read)
{
        struct wire_run_prefetch m = { .rank = 0, .ranks = RANKS, .checkpoint_step = STEP, .root = 1 };

        m.file_bytes = UINT64_C(1) << 60;
        strcpy(m.checkpoint, name);
        prefetch_want(&prefetch, &m);
        ck_assert_ptr_null(prefetch.first);
        ck_assert_int_eq(prefetch.at_work, 0);
}
END_TEST

START_TEST(what_is_no_name_of_a_checkpoint_is_not_opened)
{
        static const char *const names[] = { "../checkpoints/step-000000000040", "step-000000000040.s3.part", "x", "/" };
        size_t i;

        for (i = 0; i < sizeof names / sizeof *names; i++) {
                struct wire_run_prefetch m = { .rank = 0, .ranks = RANKS, .checkpoint_step = STEP };

                m.file_bytes = seals[0].file_bytes;
                m.root = seals[0].root;
                strcpy(m.checkpoint, names[i]);
                prefetch_want(&prefetch, &m);
                ck_assert_ptr_null(prefetch.first);
        }
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "prefetch");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, what_was_read_is_there_when_it_is_taken_and_only_once);
        tcase_add_test(all, a_read_that_is_under_way_is_joined_and_the_next_one_begins);
        tcase_add_test(all, a_read_that_has_hardly_begun_is_given_up_for_a_stream);
        tcase_add_test(all, one_that_is_nearly_over_is_waited_for);
        tcase_add_test(all, one_that_has_not_come_to_the_disk_opens_a_stream_there);
        tcase_add_test(all, one_that_waits_for_its_turn_is_left_to_whoever_asks);
        tcase_add_test(all, an_image_of_other_bytes_is_never_given);
        tcase_add_test(all, another_checkpoint_takes_the_place_of_the_one_before);
        tcase_add_test(all, one_rank_or_all_are_let_go_of_when_told);
        tcase_add_test(all, what_nobody_asks_for_is_let_go_of_after_a_while);
        tcase_add_test(all, what_would_fill_the_memory_is_not_read);
        tcase_add_test(all, what_is_no_name_of_a_checkpoint_is_not_opened);
}

SUITE_MAIN("prefetch", add_tests)
