/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_writer: a save leaves a file that holds and a seal that says so, or no seal; and staging, from which it is written, is
 * made again only where it must be.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "durable.h"
#include "example_save.h"
#include "fault.h"
#include "image.h"
#include "meta.h"
#include "rundir.h"
#include "suite.h"

static char folder[64], checkpoints[96];

static void set_up(void)
{
        strcpy(folder, "/tmp/stint-test-writer.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", folder);
        unsetenv("STINT_FAULT");
        fault_reset();
}

static void clean_up(void)
{
        durable_remove_tree(folder, NULL);
}

static const char *path_of(char *out, size_t size, int64_t step, int seal)
{
        char part[RUNDIR_NAME], name[RUNDIR_NAME];

        rundir_part(part, step, 3);
        if (seal)
                rundir_rank_seal(name, 0, 1);
        else
                rundir_rank_file(name, 0, 1);
        snprintf(out, size, "%s/%s/%s", checkpoints, part, name);
        return out;
}

START_TEST(a_save_leaves_a_file_that_holds_and_its_seal)
{
        struct example_table table = example_all();
        struct staging *staging = example_staging(&table, NULL);
        struct writer *w = example_writer(checkpoints, staging, 1200);
        struct stint_error err = { 0 };
        struct seal seal;
        char path[512];

        writer_run(&w->work);
        ck_assert_msg(!w->failed, "%s", w->err.text);
        ck_assert_msg(seal_read(&seal, path_of(path, sizeof path, 1200, 1), &err) == 0, "%s", err.text);
        ck_assert_uint_eq(seal.root, w->seal.root);
        ck_assert_uint_eq(seal.file_bytes, staging->image_bytes);
        ck_assert_uint_eq(seal.state_bytes, staging->state_bytes);
        ck_assert_msg(image_check_file(path_of(path, sizeof path, 1200, 0), &seal, NULL, NULL, &err) == 0, "%s", err.text);
        ck_assert_int_ge(w->hash_ns, 0);
        ck_assert_int_gt(w->write_ns, 0);
        writer_free(w);
        staging_drop(staging);
}
END_TEST

/* The end of such a file is no multiple of what O_DIRECT wants, and it has more than one block. */
START_TEST(a_file_of_many_blocks_and_an_odd_end_is_written_whole)
{
        const int64_t odd[] = { (20 << 20) + 4097 };
        struct example_table table = example_new(2, 40);
        struct staging *staging;
        struct writer *w;
        struct seal seal;
        struct stint_error err = { 0 };
        struct stat status;
        char path[512];

        example_add(&table, "model/odd", STINT_U8, 1, odd);
        staging = example_staging(&table, NULL);
        w = example_writer(checkpoints, staging, 1);
        writer_run(&w->work);
        ck_assert_msg(!w->failed, "%s", w->err.text);
        ck_assert_int_eq(stat(path_of(path, sizeof path, 1, 0), &status), 0);
        ck_assert_uint_eq((uint64_t)status.st_size, staging->image_bytes);
        ck_assert_int_ne(status.st_size % 4096, 0);
        ck_assert_int_eq(seal_read(&seal, path_of(path, sizeof path, 1, 1), NULL), 0);
        ck_assert_msg(image_check_file(path_of(path, sizeof path, 1, 0), &seal, NULL, NULL, &err) == 0, "%s", err.text);
        writer_free(w);
        staging_drop(staging);
}
END_TEST

/* Every step of a save, failing: no seal that decodes before the last byte of it was written. */
static const char *const points[] = { "save.before_create", "save.after_create", "save.mid_write", "save.before_sync",
                                      "save.after_sync", "seal.before_write" };

START_TEST(a_step_that_fails_leaves_no_seal_that_decodes)
{
        struct example_table table = example_all();
        struct staging *staging = example_staging(&table, NULL);
        struct writer *w = example_writer(checkpoints, staging, 5);
        struct stint_error err = { 0 };
        struct seal seal;
        char fault[64], path[512];

        snprintf(fault, sizeof fault, "%s:fail=EIO", points[_i]);
        setenv("STINT_FAULT", fault, 1);
        fault_reset();
        writer_run(&w->work);
        ck_assert_int_eq(w->failed, 1);
        ck_assert_int_eq(w->err.code, EIO);
        ck_assert_ptr_nonnull(strstr(w->err.text, points[_i]));
        ck_assert_int_eq(seal_read(&seal, path_of(path, sizeof path, 5, 1), &err), -1);
        ck_assert(err.code == ENODATA || err.code == ENOENT);
        writer_free(w);
        staging_drop(staging);
}
END_TEST

START_TEST(a_file_that_is_there_already_is_never_written_into)
{
        struct example_table table = example_all();
        struct staging *staging = example_staging(&table, NULL);
        struct writer *first = example_writer(checkpoints, staging, 5), *again = example_writer(checkpoints, staging, 5);
        struct seal seal;
        char path[512];

        writer_run(&first->work);
        ck_assert_int_eq(first->failed, 0);
        writer_run(&again->work);
        ck_assert_int_eq(again->failed, 1);
        ck_assert_int_eq(again->err.code, EEXIST);
        ck_assert_int_eq(seal_read(&seal, path_of(path, sizeof path, 5, 1), NULL), 0);
        writer_free(first);
        writer_free(again);
        staging_drop(staging);
}
END_TEST

/* A limit on file sizes stops a write in its middle, as a quota does. */
START_TEST(a_write_that_is_cut_off_fails_and_is_not_sealed)
{
        const int64_t n[] = { 4 << 20 };
        const struct rlimit limit = { 1 << 20, RLIM_INFINITY };
        struct rlimit before;
        struct example_table table = example_new(1, 40);
        struct staging *staging;
        struct writer *w;
        struct seal seal;
        struct stint_error err = { 0 };
        char path[512];

        example_add(&table, "model/w", STINT_U8, 1, n);
        staging = example_staging(&table, NULL);
        w = example_writer(checkpoints, staging, 5);
        signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before);
        setrlimit(RLIMIT_FSIZE, &limit);
        writer_run(&w->work);
        setrlimit(RLIMIT_FSIZE, &before);
        ck_assert_int_eq(w->failed, 1);
        ck_assert_int_eq(w->err.code, EFBIG);
        ck_assert_int_eq(seal_read(&seal, path_of(path, sizeof path, 5, 1), &err), -1);
        ck_assert_int_eq(err.code, ENODATA);
        writer_free(w);
        staging_drop(staging);
}
END_TEST

/* A mount namespace, as root or in a user namespace where this user is root.  0, or -1 where neither is allowed. */
static int own_mounts(void)
{
        const uid_t uid = geteuid();
        char map[40];
        int fd, rc;

        if (unshare(CLONE_NEWNS) == 0)
                return 0;
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
                return -1;
        fd = open("/proc/self/uid_map", O_WRONLY);
        snprintf(map, sizeof map, "0 %u 1", (unsigned)uid);
        rc = fd >= 0 && write(fd, map, strlen(map)) > 0 ? 0 : -1;
        close(fd);
        return rc;
}

/* Needs a mount namespace of its own, hence a process of its own; answers 77 where that is not allowed. */
static int save_on_small_disk(long kib)
{
        struct example_table table = example_all();
        struct staging *staging;
        struct writer *w;
        struct seal seal;
        char options[40], path[512];
        int rc;

        if (own_mounts() < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") < 0)
                return 77;
        snprintf(options, sizeof options, "size=%ldk", kib);
        if (mount("none", folder, "tmpfs", 0, options) < 0)
                return 77;
        staging = example_staging(&table, NULL);
        w = example_writer(checkpoints, staging, 5);
        writer_run(&w->work);
        if (w->failed)
                printf("# %ld KiB: %s\n", kib, w->err.text);
        fflush(stdout);
        if (!w->failed)
                rc = seal_read(&seal, path_of(path, sizeof path, 5, 1), NULL) == 0 ? 0 : 1;
        else if (w->err.code != ENOSPC || !strstr(w->err.text, "No space left"))
                rc = 2;
        else
                rc = seal_read(&seal, path_of(path, sizeof path, 5, 1), NULL) < 0 ? 3 : 4;
        writer_free(w);
        staging_drop(staging);
        return rc;
}

#define SMALL_DISKS 12

START_TEST(a_full_disk_of_any_size_fails_with_the_words_for_it_and_no_seal)
{
        const long kib = 4 + _i * 60; /* the image has 522 KiB */
        pid_t child = fork();
        int status;

        if (child == 0)
                _exit(save_on_small_disk(kib));
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) {
                printf("# a full disk was not tried: this user may not mount a tmpfs\n");
                return;
        }
        if (kib < 500)
                ck_assert_int_eq(WEXITSTATUS(status), 3);
        else if (kib > 600)
                ck_assert_int_eq(WEXITSTATUS(status), 0);
        else /* depends on what tmpfs counts as its own */
                ck_assert(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3);
}
END_TEST

START_TEST(what_the_file_says_of_itself_is_json_whatever_the_program_is_called)
{
        struct seal seal = { .rank = 1, .ranks = 2, .stint = 3, .step = 12 };
        char meta[4096], program[64];
        size_t i, n;

        strcpy(seal.run_id, EXAMPLE_RUN_ID);
        meta_fill(meta, sizeof meta, &seal, "a\"b\\c\n\xff\xc3\xa9");
        ck_assert_ptr_nonnull(strstr(meta, "\"program\": \"a\\\"b\\\\c\\u000a\xef\xbf\xbd\xc3\xa9\"}"));
        ck_assert_ptr_nonnull(strstr(meta, "\"step\": 12, \"stint\": 3, \"rank\": 1, \"ranks\": 2, \"time\": \"1970-01-01T"));
        n = strlen(meta);
        for (i = n; i < sizeof meta; i++)
                ck_assert_int_eq(meta[i], 0);
        memset(program, 1, sizeof program - 1);
        program[sizeof program - 1] = '\0';
        meta_fill(meta, sizeof meta, &seal, program);
        ck_assert_str_eq(meta + strlen(meta) - 2, "\"}");
}
END_TEST

/* ---- staging ------------------------------------------------------------------------------------------------------ */

static struct example_table one_vector(const char *name, int64_t n)
{
        struct example_table table = example_new(1, 40);

        example_add(&table, name, STINT_F32, 1, &n);
        return table;
}

START_TEST(the_same_layout_or_one_of_the_same_size_uses_the_same_memory)
{
        struct example_table a = one_vector("model/a", 5000), same = one_vector("model/a", 5000);
        struct example_table b = one_vector("model/b", 5000), larger = one_vector("model/b", 50000);
        struct staging *s, *before;
        struct writer *w;
        int fd;

        before = s = example_staging(&a, NULL);
        fd = s->fd;
        s = example_staging(&same, s);
        ck_assert_ptr_eq(s, before);
        s = example_staging(&b, s);
        ck_assert_ptr_eq(s, before);
        ck_assert_int_eq(s->fd, fd);
        w = example_writer(checkpoints, s, 1);
        writer_run(&w->work);
        ck_assert_msg(!w->failed, "%s", w->err.text);
        writer_free(w);
        s = example_staging(&larger, s);
        ck_assert_uint_gt(s->image_bytes, 200000);
        staging_drop(s);
}
END_TEST

START_TEST(more_memory_than_there_is_is_refused_before_it_is_touched)
{
        struct example_table table = one_vector("model/huge", INT64_C(1) << 45);
        struct staging_job *job = calloc(1, sizeof *job);

        job->count = table.count;
        job->record_bytes = table.record_bytes;
        job->table_fd = example_memory(&table);
        staging_job_run(&job->work);
        ck_assert_ptr_null(job->made);
        ck_assert_int_ne(job->err.code, 0);
        ck_assert_str_ne(job->err.text, "");
        staging_job_free(job);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "writer");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, a_save_leaves_a_file_that_holds_and_its_seal);
        tcase_add_test(all, a_file_of_many_blocks_and_an_odd_end_is_written_whole);
        tcase_add_loop_test(all, a_step_that_fails_leaves_no_seal_that_decodes, 0, (int)(sizeof points / sizeof points[0]));
        tcase_add_test(all, a_file_that_is_there_already_is_never_written_into);
        tcase_add_test(all, a_write_that_is_cut_off_fails_and_is_not_sealed);
        tcase_add_loop_test(all, a_full_disk_of_any_size_fails_with_the_words_for_it_and_no_seal, 0, SMALL_DISKS);
        tcase_add_test(all, what_the_file_says_of_itself_is_json_whatever_the_program_is_called);
        tcase_add_test(all, the_same_layout_or_one_of_the_same_size_uses_the_same_memory);
        tcase_add_test(all, more_memory_than_there_is_is_refused_before_it_is_touched);
}

SUITE_MAIN("writer", add_tests)
