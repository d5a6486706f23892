/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_frame: messages come out of a stream as they went in, however it was cut, and nothing else ever does. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "frame.h"
#include "suite.h"

#define MESSAGES 4

/* What came out, and after how many messages to fail. */
struct seen {
        int count, fail_at;
        unsigned char bytes[4 * WIRE_MOST];
        size_t n;
};

static int on_message(void *arg, const struct wire_header *message)
{
        struct seen *seen = arg;

        ck_assert_uint_eq((uintptr_t)message % 8, 0);
        ck_assert_uint_le(seen->n + message->size, sizeof seen->bytes);
        memcpy(seen->bytes + seen->n, message, message->size);
        seen->n += message->size;
        return ++seen->count == seen->fail_at ? -1 : 0;
}

/* A stream of four messages, among them the shortest there is and one of the longest. */
static size_t stream(unsigned char *out)
{
        struct wire_agent_term term = { 0 };
        struct wire_welcome welcome = { .stint = 5, .dir = "/runs/a" };
        struct wire_run_save save = { .save_id = 9 };
        size_t n = 0;

        WIRE_INIT(&term, WIRE_AGENT_TERM);
        WIRE_INIT(&welcome, WIRE_WELCOME);
        WIRE_INIT(&save, WIRE_RUN_SAVE);
        memcpy(out + n, &term, sizeof term);
        n += sizeof term;
        memcpy(out + n, &welcome, sizeof welcome);
        n += sizeof welcome;
        memcpy(out + n, &save, sizeof save);
        n += sizeof save;
        memcpy(out + n, &term, sizeof term);
        return n + sizeof term;
}

START_TEST(messages_come_out_whole_wherever_the_stream_is_cut_in_two)
{
        unsigned char bytes[4 * WIRE_MOST];
        size_t n = stream(bytes), cut;

        for (cut = 0; cut <= n; cut++) {
                struct seen seen = { 0 };
                struct frame f;

                frame_init(&f);
                ck_assert_int_eq(frame_feed(&f, bytes, cut, on_message, &seen, NULL), 0);
                ck_assert_int_eq(frame_feed(&f, bytes + cut, n - cut, on_message, &seen, NULL), 0);
                ck_assert_int_eq(seen.count, MESSAGES);
                ck_assert_uint_eq(seen.n, n);
                ck_assert_mem_eq(seen.bytes, bytes, n);
        }
}
END_TEST

START_TEST(messages_come_out_whole_in_pieces_of_any_one_size)
{
        unsigned char bytes[4 * WIRE_MOST];
        size_t n = stream(bytes), piece, at;

        for (piece = 1; piece <= n; piece++) {
                struct seen seen = { 0 };
                struct frame f;

                frame_init(&f);
                for (at = 0; at < n; at += piece)
                        ck_assert_int_eq(
                                frame_feed(&f, bytes + at, n - at < piece ? n - at : piece, on_message, &seen, NULL), 0);
                ck_assert_int_eq(seen.count, MESSAGES);
                ck_assert_mem_eq(seen.bytes, bytes, n);
        }
}
END_TEST

START_TEST(a_message_is_handed_over_with_its_last_byte_and_not_before)
{
        struct wire_run_save save = { 0 };
        struct seen seen = { 0 };
        struct frame f;

        WIRE_INIT(&save, WIRE_RUN_SAVE);
        frame_init(&f);
        ck_assert_int_eq(frame_feed(&f, &save, sizeof save - 1, on_message, &seen, NULL), 0);
        ck_assert_int_eq(seen.count, 0);
        ck_assert_int_eq(frame_feed(&f, NULL, 0, on_message, &seen, NULL), 0);
        ck_assert_int_eq(frame_feed(&f, (char *)&save + sizeof save - 1, 1, on_message, &seen, NULL), 0);
        ck_assert_int_eq(seen.count, 1);
}
END_TEST

/* Feeds a header alone, byte by byte, and answers the code of the refusal and after how many bytes it came. */
static int refused_after(const struct wire_header *header, size_t *after)
{
        struct seen seen = { 0 };
        struct stint_error err = { 0 };
        struct frame f;

        frame_init(&f);
        for (*after = 1; *after <= sizeof *header; ++*after)
                if (frame_feed(&f, (const char *)header + *after - 1, 1, on_message, &seen, &err) < 0) {
                        ck_assert_int_eq(seen.count, 0);
                        ck_assert_int_eq(frame_feed(&f, "", 1, on_message, &seen, NULL), -1);
                        return err.code;
                }
        return 0;
}

START_TEST(sizes_that_no_message_has_are_refused_with_the_header)
{
        static const uint32_t sizes[] = { 0, 1, 7, WIRE_MOST + 1, INT32_MAX, UINT32_MAX, sizeof(struct wire_run_save) + 8 };
        struct wire_header header = { 0, WIRE_VERSION, WIRE_RUN_SAVE };
        size_t i, after;

        for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                header.size = sizes[i];
                ck_assert_int_eq(refused_after(&header, &after), EBADMSG);
                ck_assert_uint_eq(after, sizeof header);
        }
        header.size = sizeof(struct wire_run_save);
        ck_assert_int_eq(refused_after(&header, &after), 0);
        header.type = 31;
        ck_assert_int_eq(refused_after(&header, &after), EBADMSG);
        header.type = WIRE_RUN_SAVE;
        header.version = WIRE_VERSION + 1;
        ck_assert_int_eq(refused_after(&header, &after), EPROTONOSUPPORT);
}
END_TEST

START_TEST(the_body_is_checked_too_and_what_came_before_was_handed_over)
{
        unsigned char bytes[4 * WIRE_MOST];
        size_t n = stream(bytes);
        struct seen seen = { 0 };
        struct stint_error err;
        struct frame f;

        memset(bytes + sizeof(struct wire_agent_term) + offsetof(struct wire_welcome, dir), 'x', 1024);
        frame_init(&f);
        ck_assert_int_eq(frame_feed(&f, bytes, n, on_message, &seen, &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        ck_assert_int_eq(seen.count, 1);
}
END_TEST

START_TEST(a_stream_that_was_wrong_once_stays_refused)
{
        unsigned char bytes[4 * WIRE_MOST];
        size_t n = stream(bytes);
        struct seen seen = { 0 };
        struct stint_error err;
        struct frame f;

        frame_init(&f);
        ck_assert_int_eq(frame_feed(&f, "GET / HTTP/1.1\r\n", 16, on_message, &seen, NULL), -1);
        ck_assert_int_eq(frame_feed(&f, bytes, n, on_message, &seen, &err), -1);
        ck_assert_int_eq(err.code, EBADMSG);
        ck_assert_int_eq(seen.count, 0);
        frame_init(&f);
        ck_assert_int_eq(frame_feed(&f, bytes, n, on_message, &seen, NULL), 0);
        ck_assert_int_eq(seen.count, MESSAGES);
}
END_TEST

START_TEST(a_receiver_that_fails_ends_the_stream)
{
        unsigned char bytes[4 * WIRE_MOST];
        size_t n = stream(bytes);
        struct seen seen = { .fail_at = 2 };
        struct frame f;

        frame_init(&f);
        ck_assert_int_eq(frame_feed(&f, bytes, n, on_message, &seen, NULL), -1);
        ck_assert_int_eq(seen.count, 2);
        ck_assert_int_eq(frame_feed(&f, bytes, n, on_message, &seen, NULL), -1);
        ck_assert_int_eq(seen.count, 2);
}
END_TEST

START_TEST(random_streams_break_nothing)
{
        uint64_t x = 88172645463325252u;
        int round, refused = 0;

        for (round = 0; round < 4000; round++) {
                unsigned char bytes[4 * WIRE_MOST];
                size_t n = stream(bytes), at, piece;
                struct seen seen = { 0 };
                struct frame f;

                x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                bytes[x % n] ^= (unsigned char)(1 << (x >> 32) % 8);
                if (x % 5 == 0)
                        for (at = 0; at < n; at++)
                                bytes[at] = (unsigned char)((x = x * 6364136223846793005u + 1442695040888963407u) >> 56);
                frame_init(&f);
                for (at = 0; at < n; at += piece) {
                        piece = 1 + (size_t)(x >> 40) % 700;
                        if (piece > n - at)
                                piece = n - at;
                        if (frame_feed(&f, bytes + at, piece, on_message, &seen, NULL) < 0) {
                                refused++;
                                break;
                        }
                }
                ck_assert_int_le(seen.count, MESSAGES);
        }
        ck_assert_int_gt(refused, 1000);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "frame");

        tcase_add_test(all, messages_come_out_whole_wherever_the_stream_is_cut_in_two);
        tcase_add_test(all, messages_come_out_whole_in_pieces_of_any_one_size);
        tcase_add_test(all, a_message_is_handed_over_with_its_last_byte_and_not_before);
        tcase_add_test(all, sizes_that_no_message_has_are_refused_with_the_header);
        tcase_add_test(all, the_body_is_checked_too_and_what_came_before_was_handed_over);
        tcase_add_test(all, a_stream_that_was_wrong_once_stays_refused);
        tcase_add_test(all, a_receiver_that_fails_ends_the_stream);
        tcase_add_test(all, random_streams_break_nothing);
}

SUITE_MAIN("frame", add_tests)
