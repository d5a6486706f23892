/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_seal: what a seal says comes back as it was said, and not one bit of it can change unnoticed. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "checksum.h"
#include "seal.h"
#include "suite.h"

static struct seal example(void)
{
        struct seal s = { 0 };

        s.rank = 3;
        s.ranks = 4;
        s.stint = 7;
        s.lineage = 2;
        s.step = INT64_C(0x0102030405060708);
        s.file_bytes = 1 << 20;
        s.table_offset = 4096;
        s.table_count = 5;
        s.record_bytes = 256;
        s.metric_count = 2;
        s.hashes_offset = 8192;
        s.rest_hash = UINT64_C(0xfedcba9876543210);
        s.root = UINT64_C(0x8000000000000001);
        s.state_bytes = 900000;
        s.wall_ns = -1;
        strcpy(s.run_id, "0123456789abcdef0123456789abcdef");
        strcpy(s.metrics[0].name, "validation/loss");
        s.metrics[0].value = -0.125;
        s.metrics[0].goal = STINT_GOAL_MIN;
        memset(s.metrics[1].name, 'x', SEAL_METRIC_NAME - 1);
        s.metrics[1].value = 1e300;
        s.metrics[1].goal = STINT_GOAL_MAX;
        return s;
}

/* Puts the right checksum under bytes that were changed, as only a wrong writer would. */
static void reseal(unsigned char bytes[SEAL_BYTES])
{
        uint64_t sum = checksum(bytes, SEAL_BYTES - 8);
        int i;

        for (i = 0; i < 8; i++)
                bytes[SEAL_BYTES - 8 + i] = (unsigned char)(sum >> (8 * i));
}

static int refused_with(const unsigned char *bytes, size_t n, int code)
{
        struct seal s = example();
        struct seal before = s;
        struct stint_error err = { 0 };
        int rc = seal_decode(&s, bytes, n, &err);

        return rc == -1 && err.code == code && err.text[0] && memcmp(&s, &before, sizeof s) == 0;
}

START_TEST(what_was_sealed_comes_back)
{
        unsigned char bytes[SEAL_BYTES];
        struct seal s = example(), back;
        struct stint_error err;

        memset(&back, 0xa5, sizeof back);
        seal_encode(&s, bytes);
        ck_assert_int_eq(seal_decode(&back, bytes, sizeof bytes, &err), 0);
        ck_assert_mem_eq(&s, &back, sizeof s);
}
END_TEST

START_TEST(the_fields_lie_where_the_format_says_little_endian)
{
        static const unsigned char begin[] = "STNTSEAL\1\0\0\0\0\2\0\0\3\0\0\0\4\0\0\0\7\0\0\0\2\0\0\0\10\7\6\5\4\3\2\1";
        unsigned char bytes[SEAL_BYTES];
        struct seal s = example();

        seal_encode(&s, bytes);
        ck_assert_mem_eq(bytes, begin, 40);
        ck_assert_str_eq((char *)bytes + 112, "0123456789abcdef0123456789abcdef");
        ck_assert_str_eq((char *)bytes + 152, "validation/loss");
}
END_TEST

START_TEST(every_flipped_bit_is_refused)
{
        unsigned char bytes[SEAL_BYTES];
        struct seal s = example();
        int bit;

        seal_encode(&s, bytes);
        for (bit = 0; bit < SEAL_BYTES * 8; bit++) {
                bytes[bit / 8] ^= (unsigned char)(1 << (bit % 8));
                ck_assert_msg(refused_with(bytes, sizeof bytes, EBADMSG), "bit %d can change", bit);
                bytes[bit / 8] ^= (unsigned char)(1 << (bit % 8));
        }
        ck_assert_int_eq(seal_decode(&s, bytes, sizeof bytes, NULL), 0);
}
END_TEST

START_TEST(an_empty_seal_is_not_sealed_rather_than_damaged)
{
        struct stint_error err;
        struct seal s;

        ck_assert_int_eq(seal_decode(&s, (const unsigned char *)"", 0, &err), -1);
        ck_assert_int_eq(err.code, ENODATA);
        ck_assert_ptr_nonnull(strstr(err.text, "not sealed"));
}
END_TEST

START_TEST(every_other_length_is_refused)
{
        unsigned char bytes[2 * SEAL_BYTES] = { 0 };
        struct seal s = example();
        size_t n;

        seal_encode(&s, bytes);
        for (n = 1; n <= sizeof bytes; n++)
                if (n != SEAL_BYTES)
                        ck_assert_msg(refused_with(bytes, n, EBADMSG), "%zu bytes pass", n);
}
END_TEST

START_TEST(padding_that_is_not_zero_is_refused_under_a_right_checksum)
{
        unsigned char bytes[SEAL_BYTES];
        struct seal s = example();
        size_t at;

        for (at = 376; at < SEAL_BYTES - 8; at++) {
                seal_encode(&s, bytes);
                bytes[at] = 1;
                reseal(bytes);
                ck_assert_msg(refused_with(bytes, sizeof bytes, EBADMSG), "byte %zu passes", at);
        }
}
END_TEST

/* Offsets into the seal and the byte put there; each is refused although the checksum is right. */
START_TEST(fields_that_no_writer_writes_are_refused_under_a_right_checksum)
{
        static const struct {
                int at;
                unsigned char value;
                const char *what;
        } cases[] = {
                { 0, 'X', "magic" },
                { 8, 2, "another version" },
                { 13, 3, "another size" },
                { 16, 4, "a rank outside its ranks" },
                { 20, 0, "no ranks" },
                { 68, 5, "more metrics than fit" },
                { 68, 1, "an unused metric that is not empty" },
                { 112 + 32, 'f', "a run id too long" },
                { 112 + 38, 'f', "something behind the run id" },
                { 152 + 20, 'f', "something behind the name of a metric" },
                { 208 + 39, 'f', "the name of a metric without an end" },
                { 152 + 48, 3, "a goal that is none" },
                { 152 + 52, 1, "a reserved field" },
                { 264 + 44, 1, "a value of a metric that is not there" },
        };
        unsigned char bytes[SEAL_BYTES];
        struct seal s = example();
        size_t i;

        for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                seal_encode(&s, bytes);
                ck_assert_int_ne(bytes[cases[i].at], cases[i].value);
                bytes[cases[i].at] = cases[i].value;
                reseal(bytes);
                ck_assert_msg(refused_with(bytes, sizeof bytes, EBADMSG), "%s passes", cases[i].what);
        }
}
END_TEST

START_TEST(what_lies_behind_texts_in_memory_does_not_reach_the_file)
{
        unsigned char clean[SEAL_BYTES], dirty[SEAL_BYTES];
        struct seal s = example();

        seal_encode(&s, clean);
        memset(s.run_id + SEAL_RUN_ID, 0x5a, sizeof s.run_id - SEAL_RUN_ID);
        memset(s.metrics[0].name + 20, 0x5a, SEAL_METRIC_NAME - 20);
        s.metrics[1].reserved = 9;
        memset(&s.metrics[3], 0x5a, sizeof s.metrics[3]);
        seal_encode(&s, dirty);
        ck_assert_mem_eq(clean, dirty, sizeof clean);
}
END_TEST

START_TEST(any_state_of_the_struct_encodes_to_something_that_can_be_told_apart)
{
        unsigned char bytes[SEAL_BYTES];
        struct seal s, back;
        unsigned seed = 1;
        int round;

        for (round = 0; round < 2000; round++) {
                size_t i;

                for (i = 0; i < sizeof s; i++)
                        ((unsigned char *)&s)[i] = (unsigned char)((seed = seed * 1103515245u + 12345u) >> 16);
                s.ranks = 4;
                s.rank %= 4;
                for (i = 0; i < SEAL_METRICS; i++)
                        s.metrics[i].goal %= 3;
                seal_encode(&s, bytes);
                ck_assert_int_eq(seal_decode(&back, bytes, sizeof bytes, NULL), 0);
                ck_assert_int_eq(back.step, s.step);
                ck_assert_uint_eq(back.root, s.root);
                ck_assert_uint_le(back.metric_count, SEAL_METRICS);
        }
}
END_TEST

static void write_file(const char *path, const void *bytes, size_t n)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
        ck_assert_int_eq(close(fd), 0);
}

START_TEST(a_pending_mark_is_an_empty_seal_that_says_by_whom_and_until_when)
{
        const struct seal_pending mark = { .until_wall_ns = INT64_C(1764000000123456789), .node = "n17" };
        unsigned char bytes[SEAL_BYTES];
        struct seal_pending read;
        struct seal s;
        struct stint_error err = { 0 };
        int i;

        seal_pending_encode(&mark, bytes);
        ck_assert_int_eq(seal_pending_decode(&read, bytes, sizeof bytes, &err), 0);
        ck_assert_int_eq(read.until_wall_ns, mark.until_wall_ns);
        ck_assert_str_eq(read.node, "n17");
        ck_assert_int_eq(seal_decode(&s, bytes, sizeof bytes, &err), -1);
        ck_assert_int_eq(err.code, ENODATA);
        ck_assert_ptr_nonnull(strstr(err.text, "stintd of node n17 was to finish the save by 2025-11-24T16:00:00"));
        for (i = 0; i < SEAL_BYTES * 8; i++) {
                bytes[i / 8] ^= (unsigned char)(1 << i % 8);
                ck_assert_int_eq(seal_pending_decode(&read, bytes, sizeof bytes, &err), -1);
                ck_assert_int_eq(err.code, ENODATA);
                bytes[i / 8] ^= (unsigned char)(1 << i % 8);
        }
        ck_assert_int_eq(seal_pending_decode(&read, bytes, SEAL_BYTES - 1, &err), -1);
        ck_assert_int_eq(seal_pending_decode(&read, bytes, 0, &err), -1);
}
END_TEST

START_TEST(a_file_in_the_place_of_a_seal_is_told_apart)
{
        const struct seal_pending mark = { .until_wall_ns = 5, .node = "n1" };
        const struct seal s = example();
        unsigned char bytes[SEAL_BYTES];
        struct seal_pending read;
        struct stint_error err = { 0 };
        char path[] = "/tmp/stint-test-seal.XXXXXX";
        int fd = mkstemp(path);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(seal_pending_read(&read, path, &err), -1);
        ck_assert_int_eq(err.code, ENODATA);
        seal_pending_encode(&mark, bytes);
        ck_assert_int_eq(pwrite(fd, bytes, sizeof bytes, 0), SEAL_BYTES);
        ck_assert_int_eq(seal_pending_read(&read, path, &err), 0);
        ck_assert_str_eq(read.node, "n1");
        seal_encode(&s, bytes);
        ck_assert_int_eq(pwrite(fd, bytes, sizeof bytes, 0), SEAL_BYTES);
        ck_assert_int_eq(seal_pending_read(&read, path, &err), 1);
        close(fd);
        unlink(path);
        ck_assert_int_eq(seal_pending_read(&read, path, &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
}
END_TEST

START_TEST(a_seal_is_read_from_its_file)
{
        char path[] = "/tmp/stint-test-seal.XXXXXX";
        unsigned char bytes[SEAL_BYTES + 1] = { 0 };
        struct seal s = example(), back;
        struct stint_error err;
        int fd = mkstemp(path);

        ck_assert_int_ge(fd, 0);
        close(fd);
        ck_assert_int_eq(seal_read(&back, path, &err), -1);
        ck_assert_int_eq(err.code, ENODATA);
        seal_encode(&s, bytes);
        write_file(path, bytes, SEAL_BYTES);
        ck_assert_int_eq(seal_read(&back, path, &err), 0);
        ck_assert_mem_eq(&s, &back, sizeof s);
        write_file(path, bytes, SEAL_BYTES + 1);
        ck_assert_int_eq(seal_read(&back, path, &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        ck_assert_ptr_nonnull(strstr(err.text, path));
        unlink(path);
        ck_assert_int_eq(seal_read(&back, path, &err), -1);
        ck_assert_int_eq(err.code, ENOENT);
        ck_assert_int_eq(seal_read(&back, "/tmp", &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "seal");

        tcase_add_test(all, what_was_sealed_comes_back);
        tcase_add_test(all, the_fields_lie_where_the_format_says_little_endian);
        tcase_add_test(all, every_flipped_bit_is_refused);
        tcase_add_test(all, an_empty_seal_is_not_sealed_rather_than_damaged);
        tcase_add_test(all, every_other_length_is_refused);
        tcase_add_test(all, padding_that_is_not_zero_is_refused_under_a_right_checksum);
        tcase_add_test(all, fields_that_no_writer_writes_are_refused_under_a_right_checksum);
        tcase_add_test(all, what_lies_behind_texts_in_memory_does_not_reach_the_file);
        tcase_add_test(all, any_state_of_the_struct_encodes_to_something_that_can_be_told_apart);
        tcase_add_test(all, a_pending_mark_is_an_empty_seal_that_says_by_whom_and_until_when);
        tcase_add_test(all, a_file_in_the_place_of_a_seal_is_told_apart);
        tcase_add_test(all, a_seal_is_read_from_its_file);
}

SUITE_MAIN("seal", add_tests)
