/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_assembly: one rank gets what two have saved, out of their files, and hears whether that is damaged, is not what the
 * manifest says, or cannot be put together; and which files a program can have as they are.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "assembly.h"
#include "durable.h"
#include "example_save.h"
#include "fault.h"
#include "suite.h"

#define STEP 40
#define RANKS 2
#define HALF 700001 /* elements of float32 that each rank has: a piece of more than one part */

static char folder[64];
static struct seal seals[RANKS];
static struct wire_run_pieces told;
static struct gathered *known;

/* Each has its half of a vector, and a generator of its own. */
static struct example_table layout_of(int64_t whole, int64_t offset, int64_t shape)
{
        struct example_table t = example_new(2, 40);
        const int64_t three[] = { 3 };
        struct table_record *r = example_add(&t, "model/w", STINT_F32, 1, &shape);

        r->flags = TABLE_SHARD;
        r->global_shape[0] = whole;
        r->global_offset[0] = offset;
        example_add(&t, "rng", STINT_U8, 1, three);
        return t;
}

static void save(const char *base, int rank, struct example_table table, int64_t step)
{
        struct staging *staging = example_staging(&table, NULL);
        struct writer *w = example_writer(base, staging, STEP);

        w->seal.rank = (uint32_t)rank;
        w->seal.ranks = RANKS;
        w->seal.step = step;
        writer_run(&w->work);
        ck_assert_msg(!w->failed, "%s", w->err.text);
        seals[rank] = w->seal;
        writer_free(w);
        staging_drop(staging);
}

/* As `stint run` would tell it. */
static void tell(void)
{
        struct seal_sum sums[RANKS];
        int i;

        told = (struct wire_run_pieces){ .saved = RANKS };
        for (i = 0; i < RANKS; i++) {
                sums[i] = (struct seal_sum){ seals[i].file_bytes, seals[i].root };
                told.bytes += seals[i].file_bytes;
        }
        told.sums = seal_sums(sums, RANKS);
}

/* Where rank 1's half begins, and which step it is at, are what the tests change. */
static void make(int64_t second, int64_t second_step)
{
        char part[RUNDIR_NAME], base[64] = "/tmp/stint-test-assembly.XXXXXX", from[200];

        unsetenv("STINT_FAULT");
        fault_reset();
        ck_assert_ptr_nonnull(mkdtemp(base));
        save(base, 0, layout_of(2 * HALF, 0, HALF), STEP);
        save(base, 1, layout_of(2 * HALF, second, HALF - (second - HALF)), second_step);
        snprintf(folder, sizeof folder, "%.*s/%.20s", 40, base, "whole");
        snprintf(from, sizeof from, "%s/%s", base, rundir_part(part, STEP, 3));
        ck_assert_int_eq(rename(from, folder), 0);
        tell();
}

static void set_up(void)
{
        make(HALF, STEP);
}

static void clean_up(void)
{
        ck_assert_ptr_null(known); /* nobody holds it any more */
        *strrchr(folder, '/') = '\0';
        durable_remove_tree(folder, NULL);
}

/* One rank that wants the whole. */
static struct reader *put_together(void)
{
        struct example_table table = layout_of(2 * HALF, 0, 2 * HALF);
        struct attached attached = { { .count = table.count, .record_bytes = table.record_bytes }, .fd = -1 };
        struct reader *r = calloc(1, sizeof *r);

        r->fd = r->ring_fd = -1;
        strcpy(r->checkpoint, folder);
        r->ranks = 1;
        r->checkpoint_step = STEP;
        strcpy(r->run_id, EXAMPLE_RUN_ID);
        attached.fd = example_memory(&table);
        ck_assert_int_eq(assembly_prepare(r, &known, &told, 1, &attached, NULL), 0);
        attached_drop(&attached);
        return r;
}

/* The code and the words that it ends with. */
static void fails(int code, const char *words)
{
        struct reader *r = put_together();

        assembly_run(&r->work);
        ck_assert_int_lt(r->fd, 0);
        ck_assert_msg(r->err.code == code && strstr(r->err.text, words), "%d: %s", r->err.code, r->err.text);
        reader_free(r);
}

START_TEST(two_halves_make_a_whole)
{
        struct reader *r = put_together();
        const struct table_record *w, *half;
        struct table_record halves[RANKS];
        unsigned char *image;
        uint64_t i;

        assembly_run(&r->work);
        ck_assert_msg(r->fd >= 0, "%s", r->err.text);
        image = mmap(NULL, r->seal.file_bytes, PROT_READ, MAP_SHARED, r->fd, 0);
        ck_assert_ptr_ne(image, MAP_FAILED);
        ck_assert_uint_eq(r->seal.table_count, 2);
        ck_assert_int_eq(r->seal.step, STEP);
        w = table_find(image + r->seal.table_offset, 2, r->seal.record_bytes, "model/w");
        ck_assert_ptr_nonnull(w);
        ck_assert_uint_eq(w->bytes, 8 * HALF);
        memset(halves, 0, sizeof halves);
        for (i = 0; i < w->bytes; i++) {
                half = &halves[i / (4 * HALF)];
                if (image[w->file_offset + i] != example_byte(half, 0, i % (4 * HALF)))
                        ck_abort_msg("byte %llu", (unsigned long long)i);
        }
        ck_assert_ptr_nonnull(strstr(r->assembly->said, "'rng' of the ranks from 1 on"));
        munmap(image, r->seal.file_bytes);
        reader_free(r);
}
END_TEST

static const char *path_of(int rank, int is_seal)
{
        static char path[200];
        char name[RUNDIR_NAME];

        if (is_seal)
                rundir_rank_seal(name, (uint32_t)rank, RANKS);
        else
                rundir_rank_file(name, (uint32_t)rank, RANKS);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        return path;
}

static void flip(const char *path, off_t at)
{
        unsigned char byte;
        int fd = open(path, O_RDWR);

        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
        close(fd);
}

START_TEST(damage_anywhere_is_found_and_named)
{
        const off_t size = (off_t)seals[1].file_bytes;
        off_t at;

        for (at = size / 10; at < size - size / 10; at += size / 7) {
                flip(path_of(1, 0), at);
                fails(EBADMSG, "rank-00001-of-00002.h5: tensor 'model/w' of rank 1");
                flip(path_of(1, 0), at);
        }
        flip(path_of(1, 0), (off_t)seals[1].table_offset + 3);
        fails(EBADMSG, "rank-00001-of-00002.h5");
        flip(path_of(1, 0), (off_t)seals[1].table_offset + 3);
        flip(path_of(0, 1), 100);
        fails(EBADMSG, "rank-00000-of-00002.seal");
}
END_TEST

START_TEST(a_file_or_a_seal_that_is_missing_is_damage)
{
        ck_assert_int_eq(unlink(path_of(1, 0)), 0);
        fails(EBADMSG, "rank-00001-of-00002.h5");
        ck_assert_int_eq(unlink(path_of(0, 1)), 0);
        fails(EBADMSG, "rank-00000-of-00002.seal");
}
END_TEST

START_TEST(files_that_the_manifest_does_not_mean_are_refused)
{
        told.sums ^= 1;
        fails(EBADMSG, "not those that its manifest was made from");
        told.sums ^= 1;
        told.saved = 3;
        fails(EBADMSG, "of-00003");
}
END_TEST

START_TEST(an_array_with_a_hole_is_nobody_s_damage)
{
        clean_up();
        make(HALF + 5, STEP);
        fails(EPROTO, "'model/w'");
}
END_TEST

START_TEST(ranks_that_are_at_different_steps_stay_as_many)
{
        clean_up();
        make(HALF, STEP - 7);
        fails(EPROTO, "at step 33");
}
END_TEST

START_TEST(what_nobody_wants_any_more_ends)
{
        struct reader *r = put_together();

        reader_stop(r);
        assembly_run(&r->work);
        ck_assert_int_eq(r->err.code, ECANCELED);
        reader_free(r);
}
END_TEST

START_TEST(two_ranks_of_a_node_read_the_tables_once)
{
        struct reader *a = put_together(), *b = put_together();

        ck_assert_ptr_eq(a->assembly->gathered, b->assembly->gathered);
        assembly_run(&a->work);
        ck_assert_int_eq(unlink(path_of(0, 1)), 0);
        assembly_run(&b->work);
        ck_assert_int_ge(a->fd, 0);
        ck_assert_int_ge(b->fd, 0);
        reader_free(a);
        reader_free(b);
}
END_TEST

/* ---- as they are ----------------------------------------------------------------------------------------------- */

static int is_cut_otherwise(struct example_table wanted, const struct example_table *file)
{
        struct attached attached = { { .count = wanted.count, .record_bytes = wanted.record_bytes }, .fd = -1 };
        int rc;

        attached.fd = example_memory(&wanted);
        rc = attached_is_cut_otherwise(&attached, file->bytes, file->count, file->record_bytes);
        attached_drop(&attached);
        return rc;
}

START_TEST(a_file_with_the_same_pieces_is_taken_as_it_is)
{
        struct example_table file = layout_of(100, 20, 10), none = example_new(1, 40);
        const struct attached nothing = { .fd = -1 };

        ck_assert_int_eq(is_cut_otherwise(layout_of(100, 20, 10), &file), 0);
        ck_assert_int_eq(is_cut_otherwise(layout_of(100, 20, 11), &file), 1);
        ck_assert_int_eq(is_cut_otherwise(layout_of(100, 21, 10), &file), 1);
        ck_assert_int_eq(is_cut_otherwise(example_all(), &file), 0); /* without it */
        ck_assert_int_eq(attached_is_cut_otherwise(&nothing, file.bytes, file.count, file.record_bytes), 0);
        ck_assert_int_eq(attached_is_cut_otherwise(&nothing, none.bytes, 0, none.record_bytes), 0);
        free(file.bytes);
        free(none.bytes);
}
END_TEST

START_TEST(a_file_that_only_mentions_a_tensor_is_not_enough)
{
        struct example_table file = layout_of(100, 0, 0);
        const struct attached nothing = { .fd = -1 };

        ck_assert_int_eq(attached_is_cut_otherwise(&nothing, file.bytes, file.count, file.record_bytes), 1);
        ck_assert_int_eq(is_cut_otherwise(layout_of(100, 0, 100), &file), 1);
        free(file.bytes);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *files = suite_case(suite, "files"), *tables = suite_case(suite, "tables");

        tcase_set_timeout(files, 60);
        tcase_add_checked_fixture(files, set_up, clean_up);
        tcase_add_test(files, two_halves_make_a_whole);
        tcase_add_test(files, damage_anywhere_is_found_and_named);
        tcase_add_test(files, a_file_or_a_seal_that_is_missing_is_damage);
        tcase_add_test(files, files_that_the_manifest_does_not_mean_are_refused);
        tcase_add_test(files, an_array_with_a_hole_is_nobody_s_damage);
        tcase_add_test(files, ranks_that_are_at_different_steps_stay_as_many);
        tcase_add_test(files, what_nobody_wants_any_more_ends);
        tcase_add_test(files, two_ranks_of_a_node_read_the_tables_once);
        tcase_add_test(tables, a_file_with_the_same_pieces_is_taken_as_it_is);
        tcase_add_test(tables, a_file_that_only_mentions_a_tensor_is_not_enough);
}

SUITE_MAIN("assembly", add_tests)
