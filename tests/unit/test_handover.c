/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_handover: what an agent tells stintd of a write, and what stands in the seal meanwhile: never a promise that nobody
 * keeps.  The other end of the line is this test.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "handover.h"
#include "node.h"
#include "suite.h"
#include "wire.h"

#define GIB (UINT64_C(1) << 30)

static int file_fd, seal_fd, line[2]; /* line[1] is stintd's end */
static char file_path[64], seal_path[64];
static struct staging staging;
static struct seal seal;
static struct handover h;
static _Alignas(8) unsigned char heard[WIRE_MOST];
static int heard_fds[CHANNEL_FDS], n_heard_fds;

static void set_up(void)
{
        strcpy(file_path, "/tmp/stint-test-handover.XXXXXX");
        strcpy(seal_path, "/tmp/stint-test-handover.XXXXXX");
        file_fd = mkstemp(file_path);
        seal_fd = mkstemp(seal_path);
        ck_assert(file_fd >= 0 && seal_fd >= 0);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, line), 0);
        staging = (struct staging){ .line = line[0], .outlive_ns = 300 * CLOCK_SECOND, .image_bytes = GIB };
        seal = (struct seal){ .ranks = 1, .step = 7, .file_bytes = GIB, .record_bytes = 248 };
}

static void clean_up(void)
{
        close(line[0]);
        close(line[1]);
        close(file_fd);
        close(seal_fd);
        unlink(file_path);
        unlink(seal_path);
}

/* The next message that stintd has, or 0 for none. */
static unsigned hear(void)
{
        const ssize_t n = channel_receive(line[1], heard, sizeof heard, heard_fds, &n_heard_fds, NULL);

        if (n <= 0)
                return 0;
        ck_assert_int_eq(wire_check(heard, (size_t)n, NULL), 0);
        return ((const struct wire_header *)(const void *)heard)->type;
}

static void answer(int code)
{
        struct wire_daemon_done m = { .code = code };

        WIRE_INIT(&m, WIRE_DAEMON_DONE);
        ck_assert_int_eq(channel_send(line[1], &m, sizeof m, NULL, 0, NULL), 0);
}

/* 1: the seal says that it is pending; 0: it is empty. */
static int is_marked(struct seal_pending *mark)
{
        struct stat st;

        if (seal_pending_read(mark, seal_path, NULL) == 0)
                return 1;
        ck_assert_int_eq(fstat(seal_fd, &st), 0);
        ck_assert_int_eq(st.st_size, 0);
        return 0;
}

static void begin(void)
{
        handover_begin(&h, &staging, &seal, file_fd, seal_fd, 20 * CLOCK_SECOND);
}

START_TEST(a_write_is_told_with_both_descriptors_and_marked)
{
        const struct wire_daemon_handover *m = (const void *)heard;
        const int64_t now_ns = clock_wall();
        struct seal_pending mark;
        struct seal told;
        struct stat st, same;
        char node[NODE_NAME];

        begin();
        ck_assert_uint_eq(hear(), WIRE_DAEMON_HANDOVER);
        ck_assert_int_eq(n_heard_fds, 2);
        ck_assert_int_eq(fstat(heard_fds[0], &st), 0);
        ck_assert_int_eq(fstat(file_fd, &same), 0);
        ck_assert(st.st_ino == same.st_ino);
        ck_assert_int_eq(fstat(heard_fds[1], &st), 0);
        ck_assert_int_eq(fstat(seal_fd, &same), 0);
        ck_assert(st.st_ino == same.st_ino);
        ck_assert_int_eq(seal_decode(&told, m->seal, sizeof m->seal, NULL), 0);
        ck_assert_int_eq(told.step, 7);
        ck_assert_int_eq(m->within_ns, 45 * CLOCK_SECOND); /* twice, and five seconds */
        ck_assert_int_eq(is_marked(&mark), 1);
        ck_assert_int_ge(mark.until_wall_ns, now_ns + m->within_ns);
        ck_assert_int_lt(mark.until_wall_ns, clock_wall() + m->within_ns + CLOCK_SECOND);
        ck_assert_str_eq(mark.node, node_name(node));
        close(heard_fds[0]);
        close(heard_fds[1]);
}
END_TEST

START_TEST(how_far_it_is_is_told_now_and_then)
{
        const struct wire_daemon_written *m = (const void *)heard;
        struct seal_pending mark;

        begin();
        ck_assert_uint_eq(hear(), WIRE_DAEMON_HANDOVER);
        answer(0);
        handover_written(&h, 1 << 20);
        ck_assert_uint_eq(hear(), 0);
        handover_written(&h, 100 << 20);
        ck_assert_uint_eq(hear(), WIRE_DAEMON_WRITTEN);
        ck_assert_uint_eq(m->bytes, 100 << 20);
        handover_written(&h, 110 << 20);
        ck_assert_uint_eq(hear(), 0);
        handover_written(&h, 200 << 20);
        ck_assert_uint_eq(hear(), WIRE_DAEMON_WRITTEN);
        ck_assert_int_eq(is_marked(&mark), 1);
}
END_TEST

START_TEST(its_end_is_told_once)
{
        const struct wire_daemon_sealed *m = (const void *)heard;
        struct seal_pending mark;

        begin();
        hear();
        handover_sealed(&h, 4711);
        handover_end(&h);
        ck_assert_uint_eq(hear(), WIRE_DAEMON_SEALED);
        ck_assert_uint_eq(m->sealed, 1);
        ck_assert_uint_eq(m->root, 4711);
        ck_assert_uint_eq(hear(), 0);
        ck_assert_int_eq(is_marked(&mark), 1); /* the writer has put the seal there; here nobody has */

        begin();
        hear();
        handover_end(&h);
        ck_assert_uint_eq(hear(), WIRE_DAEMON_SEALED);
        ck_assert_uint_eq(m->sealed, 0);
        ck_assert_int_eq(is_marked(&mark), 0);
}
END_TEST

START_TEST(what_stintd_does_not_take_is_not_waited_for)
{
        struct seal_pending mark;

        begin();
        hear();
        answer(EMFILE);
        handover_written(&h, 100 << 20);
        ck_assert_int_eq(is_marked(&mark), 0);
        ck_assert_uint_eq(hear(), 0);
        handover_sealed(&h, 1);
        ck_assert_uint_eq(hear(), 0);
}
END_TEST

START_TEST(nor_is_a_stintd_that_is_gone)
{
        struct seal_pending mark;

        if (_i == 0) {
                begin();
                close(line[1]);
                line[1] = -1;
                handover_written(&h, 100 << 20);
        } else {
                close(line[1]);
                line[1] = -1;
                begin();
        }
        ck_assert_int_eq(is_marked(&mark), 0);
        handover_sealed(&h, 1);
        handover_end(&h);
        ck_assert_int_eq(is_marked(&mark), 0);
}
END_TEST

START_TEST(without_a_stintd_that_goes_on_nothing_is_marked)
{
        struct seal_pending mark;

        if (_i == 0)
                staging.line = -1;
        else
                staging.outlive_ns = 0;
        begin();
        ck_assert_uint_eq(hear(), 0);
        handover_written(&h, GIB);
        handover_end(&h);
        ck_assert_uint_eq(hear(), 0);
        ck_assert_int_eq(is_marked(&mark), 0);
}
END_TEST

START_TEST(the_time_is_short_and_has_a_limit)
{
        const int64_t most_ns = 300 * CLOCK_SECOND;

        ck_assert_int_eq(handover_within(CLOCK_SECOND, GIB, most_ns), 7 * CLOCK_SECOND);
        ck_assert_int_eq(handover_within(149 * CLOCK_SECOND, GIB, most_ns), most_ns);
        ck_assert_int_eq(handover_within(INT64_MAX, GIB, most_ns), most_ns);
        ck_assert_int_eq(handover_within(0, GIB, most_ns), 29 * CLOCK_SECOND); /* nothing measured: 100 MB/s, and 2 s */
        ck_assert_int_eq(handover_within(0, UINT64_MAX, most_ns), most_ns);
        ck_assert_int_eq(handover_within(-1, 0, most_ns), 9 * CLOCK_SECOND);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tcase = suite_case(suite, "handover");

        tcase_add_checked_fixture(tcase, set_up, clean_up);
        tcase_add_test(tcase, a_write_is_told_with_both_descriptors_and_marked);
        tcase_add_test(tcase, how_far_it_is_is_told_now_and_then);
        tcase_add_test(tcase, its_end_is_told_once);
        tcase_add_test(tcase, what_stintd_does_not_take_is_not_waited_for);
        tcase_add_loop_test(tcase, nor_is_a_stintd_that_is_gone, 0, 2);
        tcase_add_loop_test(tcase, without_a_stintd_that_goes_on_nothing_is_marked, 0, 2);
        tcase_add_test(tcase, the_time_is_short_and_has_a_limit);
}

SUITE_MAIN("handover", add_tests)
