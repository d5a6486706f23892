/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_finish: what stintd makes of a write that was handed over: a file that holds and its seal, or no seal. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"
#include "example_image.h"
#include "finish.h"
#include "image.h"
#include "suite.h"

#define BYTES ((UINT64_C(9) << 20) + 4097) /* more than one piece, and an odd end */

static char folder[64], file_path[96], seal_path[96];
static unsigned char *image;
static struct finish f;
static struct stint_error err;

static int open_new(const char *path, int flags)
{
        const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600);

        ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
        return fd;
}

static void mark(int fd)
{
        const struct seal_pending pending = { .until_wall_ns = 1, .node = "n1" };
        unsigned char bytes[SEAL_BYTES];

        seal_pending_encode(&pending, bytes);
        ck_assert_int_eq(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
}

/* A write as its agent leaves it behind: both files there, nothing in the one, the mark in the other. */
static void set_up(void)
{
        strcpy(folder, "/var/tmp/stint-test-finish.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        snprintf(file_path, sizeof file_path, "%s/rank.h5", folder);
        snprintf(seal_path, sizeof seal_path, "%s/rank.seal", folder);
        memset(&err, 0, sizeof err);
        f = (struct finish){ .uid = getuid(), .image_bytes = BYTES };
        image = example_image(BYTES, &f.seal);
        f.image_fd = memfd_create("image", MFD_CLOEXEC);
        ck_assert_int_eq(durable_pwrite(f.image_fd, image, BYTES, 0, "image", &err), 0);
        f.file_fd = open_new(file_path, 0);
        f.seal_fd = open_new(seal_path, 0);
        mark(f.seal_fd);
}

static void clean_up(void)
{
        close(f.image_fd);
        close(f.file_fd);
        close(f.seal_fd);
        free(image);
        durable_remove_tree(folder, NULL);
}

/* What the agent itself would have sealed. */
static void holds(void)
{
        struct seal seal, same = f.seal;

        ck_assert_msg(seal_read(&seal, seal_path, &err) == 0, "%s", err.text);
        ck_assert_int_eq(image_hash(image, BYTES, &same, &err), 0);
        ck_assert_uint_eq(seal.root, same.root);
        ck_assert_int_eq(seal.step, 1200);
        ck_assert_msg(image_check_file(file_path, &seal, NULL, NULL, &err) == 0, "%s", err.text);
}

static int is_sealed(void)
{
        struct seal seal;

        return seal_read(&seal, seal_path, NULL) == 0;
}

static void fails_with(int code)
{
        ck_assert_int_eq(finish_write(&f, &err), -1);
        ck_assert_msg(err.code == code, "%d: %s", err.code, err.text);
        ck_assert(!is_sealed());
}

START_TEST(a_write_that_had_not_begun_is_written_whole)
{
        ck_assert_msg(finish_write(&f, &err) == 0, "%s", err.text);
        ck_assert_uint_ge(f.wrote, BYTES);
        holds();
}
END_TEST

START_TEST(what_was_written_already_is_not_written_again)
{
        f.written = UINT64_C(8) << 20;
        ck_assert_int_eq(durable_pwrite(f.file_fd, image + 4096, f.written - 4096, 4096, file_path, &err), 0);
        ck_assert_msg(finish_write(&f, &err) == 0, "%s", err.text);
        ck_assert_uint_le(f.wrote, BYTES - f.written + 4096 + 8); /* the page with the hash, and the hash */
        holds();
}
END_TEST

START_TEST(one_that_was_written_but_for_its_end_and_its_hashes_is_completed)
{
        f.written = BYTES;
        ck_assert_int_eq(durable_pwrite(f.file_fd, image + 4096, BYTES - 4096 - 1, 4096, file_path, &err), 0);
        ck_assert_msg(finish_write(&f, &err) == 0, "%s", err.text);
        ck_assert_uint_le(f.wrote, 4096 + 8 + 4096);
        holds();
}
END_TEST

START_TEST(a_file_that_goes_past_the_page_cache_is_finished)
{
        if (fcntl(f.file_fd, F_SETFL, O_DIRECT) < 0)
                return; /* a filesystem without it */
        f.written = 8192 + 17; /* within a page */
        ck_assert_int_eq(pwrite(f.file_fd, image + 4096, 4096, 4096), 4096);
        ck_assert_msg(finish_write(&f, &err) == 0, "%s", err.text);
        holds();
}
END_TEST

START_TEST(the_slot_of_a_longer_file_is_cut)
{
        ck_assert_int_eq(ftruncate(f.file_fd, BYTES + 100000), 0);
        ck_assert_msg(finish_write(&f, &err) == 0, "%s", err.text);
        holds();
}
END_TEST

START_TEST(a_hole_in_the_image_is_zeros)
{
        ck_assert_int_eq(fallocate(f.image_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20), 0);
        memset(image + (1 << 20), 0, 1 << 20);
        ck_assert_msg(finish_write(&f, &err) == 0, "%s", err.text);
        holds();
}
END_TEST

START_TEST(one_that_its_agent_sealed_is_left_alone)
{
        unsigned char bytes[SEAL_BYTES];

        seal_encode(&f.seal, bytes);
        ck_assert_int_eq(pwrite(f.seal_fd, bytes, sizeof bytes, 0), sizeof bytes);
        ck_assert_int_eq(finish_write(&f, &err), 0);
        ck_assert_uint_eq(f.wrote, 0);
}
END_TEST

START_TEST(one_that_its_agent_gave_up_is_left_alone)
{
        ck_assert_int_eq(ftruncate(f.seal_fd, 0), 0);
        fails_with(ECANCELED);
        ck_assert_uint_eq(f.wrote, 0);
}
END_TEST

START_TEST(one_whose_time_is_over_is_not_sealed)
{
        atomic_store(&f.stop, 1);
        fails_with(ETIMEDOUT);
}
END_TEST

static void replace(int *fd, int with)
{
        ck_assert_int_ge(with, 0);
        close(*fd);
        *fd = with;
}

START_TEST(only_regular_files_are_written)
{
        int pair[2];

        switch (_i) {
        case 0:
                replace(&f.file_fd, open("/dev/null", O_RDWR | O_CLOEXEC));
                break;
        case 1:
                ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
                close(pair[0]);
                replace(&f.file_fd, pair[1]);
                break;
        case 2:
                replace(&f.seal_fd, open("/dev/zero", O_RDWR | O_CLOEXEC));
                break;
        case 3:
                replace(&f.file_fd, open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
                break;
        default: /* one file for both */
                replace(&f.file_fd, fcntl(f.seal_fd, F_DUPFD_CLOEXEC, 0));
                break;
        }
        fails_with(EINVAL);
}
END_TEST

START_TEST(only_files_of_its_user_are_written)
{
        struct stat st;

        if (geteuid() != 0)
                return; /* nobody else can give files away */
        ck_assert_int_eq(fchown(_i ? f.seal_fd : f.file_fd, 65534, 65534), 0);
        fails_with(EPERM);
        ck_assert_int_eq(fstat(f.file_fd, &st), 0);
        ck_assert_int_eq(st.st_size, 0);
}
END_TEST

START_TEST(a_descriptor_that_is_not_open_for_both_is_refused)
{
        const int fd = open(file_path, (_i == 0 ? O_RDONLY : _i == 1 ? O_WRONLY : _i == 2 ? O_PATH : O_RDWR | O_APPEND) | O_CLOEXEC);

        ck_assert_int_eq(finish_check_mode(fd, "the file", &err), -1);
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(finish_check_mode(f.file_fd, "the file", &err), 0);
        close(fd);
}
END_TEST

START_TEST(a_table_that_does_not_hold_is_not_followed)
{
        struct table_record *r = (struct table_record *)(void *)(image + EXAMPLE_TABLE_AT);

        switch (_i) {
        case 0:
                r->file_offset = UINT64_MAX - 5;
                break;
        case 1:
                r->bytes = BYTES;
                break;
        case 2:
                f.seal.table_count = UINT64_MAX / 8;
                break;
        case 3:
                f.seal.table_offset = BYTES;
                break;
        case 4:
                f.seal.hashes_offset = BYTES - 4;
                break;
        case 5:
                f.seal.record_bytes = 8;
                break;
        default:
                f.seal.hashes_offset = EXAMPLE_TENSOR_AT + 100; /* in the tensor */
                break;
        }
        ck_assert_int_eq(durable_pwrite(f.image_fd, image, BYTES, 0, "image", &err), 0);
        fails_with(EBADMSG);
}
END_TEST

START_TEST(a_file_that_has_no_room_is_not_sealed)
{
        struct rlimit before, limit;

        signal(SIGXFSZ, SIG_IGN);
        ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
        limit = before;
        limit.rlim_cur = 1 << 20;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        fails_with(EFBIG);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tcase = suite_case(suite, "finish");

        tcase_add_checked_fixture(tcase, set_up, clean_up);
        tcase_add_test(tcase, a_write_that_had_not_begun_is_written_whole);
        tcase_add_test(tcase, what_was_written_already_is_not_written_again);
        tcase_add_test(tcase, one_that_was_written_but_for_its_end_and_its_hashes_is_completed);
        tcase_add_test(tcase, a_file_that_goes_past_the_page_cache_is_finished);
        tcase_add_test(tcase, the_slot_of_a_longer_file_is_cut);
        tcase_add_test(tcase, a_hole_in_the_image_is_zeros);
        tcase_add_test(tcase, one_that_its_agent_sealed_is_left_alone);
        tcase_add_test(tcase, one_that_its_agent_gave_up_is_left_alone);
        tcase_add_test(tcase, one_whose_time_is_over_is_not_sealed);
        tcase_add_loop_test(tcase, only_regular_files_are_written, 0, 5);
        tcase_add_loop_test(tcase, only_files_of_its_user_are_written, 0, 2);
        tcase_add_loop_test(tcase, a_descriptor_that_is_not_open_for_both_is_refused, 0, 4);
        tcase_add_loop_test(tcase, a_table_that_does_not_hold_is_not_followed, 0, 7);
        tcase_add_test(tcase, a_file_that_has_no_room_is_not_sealed);
}

SUITE_MAIN("finish", add_tests)
