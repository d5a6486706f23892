/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_armour: messages survive as lines, from several senders at once and after one was cut off; and nothing else is
 * one. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include "armour.h"
#include "suite.h"

static size_t as_lines(char *out, uint32_t node, const void *message, size_t n)
{
        size_t used = 0, length;
        unsigned piece;

        for (piece = 0; (length = armour_line(out + used, node, message, n, piece)) > 0; piece++) {
                ck_assert_uint_le(length, ARMOUR_LINE);
                ck_assert_int_eq(out[used + length - 1], '\n');
                used += length;
        }
        return used;
}

/* What came out of a stream, per sender. */
struct heard {
        struct armour_message message[3];
        unsigned whole[3], foreign, broken;
        int32_t rank[3]; /* of the RANK message that came last */
};

static int on_line(void *arg, const char *line, size_t n)
{
        struct heard *h = arg;
        struct armour_piece piece;
        struct stint_error err;

        if (armour_read(line, n, &piece) < 0 || piece.node > 2) {
                h->foreign++;
                return 0;
        }
        switch (armour_add(&h->message[piece.node], &piece, &err)) {
        case 1:
                h->whole[piece.node]++;
                h->rank[piece.node] = ((struct wire_agent_rank *)(void *)h->message[piece.node].bytes)->rank;
                break;
        case -1:
                ck_assert_int_eq(err.code, EBADMSG);
                h->broken++;
        }
        return 0;
}

static void hear(struct heard *h, const char *stream, size_t n, size_t cut)
{
        struct armour_lines lines = { 0 };
        size_t at;

        memset(h, 0, sizeof *h);
        for (at = 0; at < n; at += cut)
                ck_assert_int_eq(armour_feed(&lines, stream + at, n - at < cut ? n - at : cut, on_line, h), 0);
}

START_TEST(bytes_of_every_length_come_back_as_they_went)
{
        unsigned char bytes[WIRE_MOST];
        size_t n, i;

        for (i = 0; i < sizeof bytes; i++)
                bytes[i] = (unsigned char)(i * 131 + (i >> 8));
        for (n = 1; n <= sizeof bytes; n += n < 1400 ? 1 : 37) {
                size_t have = 0, length;
                unsigned piece;

                for (piece = 0;; piece++) {
                        char line[ARMOUR_LINE];
                        struct armour_piece read;

                        length = armour_line(line, 4294967294u, bytes, n, piece);
                        if (length == 0)
                                break;
                        ck_assert_uint_le(length, ARMOUR_LINE);
                        ck_assert_int_eq(armour_read(line, length - 1, &read), 0);
                        ck_assert_uint_eq(read.node, 4294967294u);
                        ck_assert_uint_eq(read.piece, piece);
                        ck_assert_uint_eq(read.last, (n - 1) / ARMOUR_PIECE);
                        ck_assert_mem_eq(read.bytes, bytes + have, read.n);
                        have += read.n;
                }
                ck_assert_uint_eq(have, n);
        }
}
END_TEST

START_TEST(a_line_is_text_that_says_whose_it_is)
{
        struct wire_agent_term term = { 0 };
        char line[ARMOUR_LINE];

        WIRE_INIT(&term, WIRE_AGENT_TERM);
        ck_assert_uint_eq(armour_line(line, 7, &term, sizeof term, 0), strlen("@7 0/0 CAAAAAEAZAA=\n"));
        ck_assert_mem_eq(line, "@7 0/0 CAAAAAEAZAA=\n", strlen("@7 0/0 CAAAAAEAZAA=\n"));
        armour_line(line, ARMOUR_ALL, &term, sizeof term, 0);
        ck_assert_mem_eq(line, "@* 0/0 CAAAAAEAZAA=\n", strlen("@* 0/0 CAAAAAEAZAA=\n"));
        ck_assert_uint_eq(armour_line(line, 7, &term, sizeof term, 1), 0);
}
END_TEST

START_TEST(lines_of_several_senders_mix_in_any_order)
{
        char lines[3][ARMOUR_PIECES * ARMOUR_LINE], stream[40000];
        size_t used[3], at[3] = { 0 }, n = 0, i;
        struct wire_welcome large = { 0 };
        struct heard h;
        unsigned round = 0;

        WIRE_INIT(&large, WIRE_WELCOME);
        for (i = 0; i < 3; i++)
                used[i] = as_lines(lines[i], (uint32_t)i, &large, sizeof large);
        while (at[0] < used[0] || at[1] < used[1] || at[2] < used[2]) {
                const size_t who = round++ * 7 % 3;
                const char *line = lines[who] + at[who], *newline;

                if (at[who] >= used[who])
                        continue;
                newline = memchr(line, '\n', used[who] - at[who]);
                memcpy(stream + n, line, (size_t)(newline - line) + 1);
                n += (size_t)(newline - line) + 1;
                at[who] += (size_t)(newline - line) + 1;
        }
        for (i = 1; i < 1000; i += 13) {
                hear(&h, stream, n, i);
                ck_assert_uint_eq(h.whole[0], 1);
                ck_assert_uint_eq(h.whole[1], 1);
                ck_assert_uint_eq(h.whole[2], 1);
                ck_assert_uint_eq(h.foreign + h.broken, 0);
        }
}
END_TEST

/* Two messages of one sender: the first of `kept` lines only, and without its first `lost` ones. */
static void cut_message(struct heard *h, unsigned lost, unsigned kept)
{
        struct wire_welcome large = { 0 };
        struct wire_agent_rank rank = { .rank = 5, .ranks = 8 };
        char stream[8 * ARMOUR_LINE];
        size_t n = 0;
        unsigned piece;

        WIRE_INIT(&large, WIRE_WELCOME);
        WIRE_INIT(&rank, WIRE_AGENT_RANK);
        for (piece = lost; piece < kept; piece++)
                n += armour_line(stream + n, 1, &large, sizeof large, piece);
        n += as_lines(stream + n, 1, &rank, sizeof rank);
        hear(h, stream, n, 100);
}

START_TEST(a_sender_that_was_killed_within_a_message_harms_only_that)
{
        struct heard h;

        cut_message(&h, 0, 1);
        ck_assert_uint_eq(h.whole[1], 1);
        ck_assert_int_eq(h.rank[1], 5);
        ck_assert_uint_eq(h.broken, 0);
}
END_TEST

START_TEST(a_reader_that_begins_within_a_message_passes_over_its_rest)
{
        struct heard h;

        cut_message(&h, 1, 2);
        ck_assert_uint_eq(h.whole[1], 1);
        ck_assert_int_eq(h.rank[1], 5);
        ck_assert_uint_eq(h.broken, 0);
}
END_TEST

START_TEST(what_others_write_between_is_passed_over)
{
        struct wire_agent_rank rank = { .rank = 2, .ranks = 4 };
        char stream[4 * ARMOUR_LINE + 4000] = "slurmstepd: hello\n\n", *at = stream + strlen(stream);
        struct heard h;

        WIRE_INIT(&rank, WIRE_AGENT_RANK);
        at += as_lines(at, 0, &rank, sizeof rank);
        memset(at, 'x', 3000);
        at += 3000;
        *at++ = '\n';
        at += as_lines(at, 2, &rank, sizeof rank);
        hear(&h, stream, (size_t)(at - stream), 64);
        ck_assert_uint_eq(h.whole[0], 1);
        ck_assert_uint_eq(h.whole[2], 1);
        ck_assert_uint_eq(h.foreign, 2); /* the long one is not even handed on */
}
END_TEST

START_TEST(a_whole_message_is_checked)
{
        struct wire_agent_rank rank = { .rank = 2, .ranks = 4 };
        char stream[ARMOUR_LINE];
        struct heard h;
        size_t n;

        WIRE_INIT(&rank, WIRE_AGENT_RANK);
        memset(rank.program, 'x', sizeof rank.program);
        n = as_lines(stream, 0, &rank, sizeof rank);
        hear(&h, stream, n, n);
        ck_assert_uint_eq(h.whole[0], 0);
        ck_assert_uint_eq(h.broken, 1);
}
END_TEST

START_TEST(only_the_exact_form_is_a_line_of_ours)
{
        static const char *const wrong[] = {
                "",
                "@",
                "@1",
                "@1 ",
                "@1 0/0",
                "@1 0/0 ",
                "1 0/0 AAAA",
                "@-1 0/0 AAAA",
                "@01 0/0 AAAA",
                "@4294967295 0/0 AAAA",
                "@99999999999999999999 0/0 AAAA",
                "@1  0/0 AAAA",
                "@1 0/0  AAAA",
                "@1 1/0 AAAA",
                "@1 0/9 AAAA",
                "@1 0-0 AAAA",
                "@1 0/0 AAA",
                "@1 0/0 AAAAA",
                "@1 0/0 A===",
                "@1 0/0 AB==",
                "@1 0/0 AAB=",
                "@1 0/0 =AAA",
                "@1 0/0 AA=A",
                "@1 0/0 AA==AAAA",
                "@1 0/0 AAA\xff",
                "@1 0/0 AA A",
                "@** 0/0 AAAA",
                "@*1 0/0 AAAA",
                "@1 0/1 AAAA",
                "@1 a/b AAAA",
        };
        struct armour_piece piece;
        size_t i;

        ck_assert_int_eq(armour_read("@1 0/0 AAAA", 11, &piece), 0);
        ck_assert_int_eq(armour_read("@* 0/0 AA==", 11, &piece), 0);
        for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
                ck_assert_msg(armour_read(wrong[i], strlen(wrong[i]), &piece) < 0, "'%s' was taken", wrong[i]);
        ck_assert_int_eq(armour_read("@1 0/0 A\0AA", 11, &piece), -1);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tcase = suite_case(suite, "armour");

        tcase_add_test(tcase, bytes_of_every_length_come_back_as_they_went);
        tcase_add_test(tcase, a_line_is_text_that_says_whose_it_is);
        tcase_add_test(tcase, lines_of_several_senders_mix_in_any_order);
        tcase_add_test(tcase, a_sender_that_was_killed_within_a_message_harms_only_that);
        tcase_add_test(tcase, a_reader_that_begins_within_a_message_passes_over_its_rest);
        tcase_add_test(tcase, what_others_write_between_is_passed_over);
        tcase_add_test(tcase, a_whole_message_is_checked);
        tcase_add_test(tcase, only_the_exact_form_is_a_line_of_ours);
}

SUITE_MAIN("armour", add_tests)
