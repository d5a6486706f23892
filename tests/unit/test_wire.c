/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_wire: a message is exactly of its type or it is refused, whatever bytes come. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "suite.h"
#include "wire.h"

#define TYPES 256 /* more than there are, with room to both sides of each group */

/* Of every type, how many text fields it has; only those with some, or it is 0. */
static const struct {
        unsigned type;
        int texts;
} with_texts[] = {
        { WIRE_HELLO, 3 }, { WIRE_DEVICES, 3 }, { WIRE_AGENT_DEVICES, 3 }, { WIRE_RESTORE_DONE, 1 }, { WIRE_SNAPSHOT, 4 }, { WIRE_SNAPSHOT_FAILED, 1 }, { WIRE_WELCOME, 2 },
        { WIRE_REFUSED, 1 }, { WIRE_LAYOUT_REFUSED, 1 }, { WIRE_RESTORE_IMAGE, 3 }, { WIRE_RESULT, 1 }, { WIRE_COMPLETED, 1 },
        { WIRE_RESTORE_TABLE, 1 },
        { WIRE_RUN_BEST, 1 }, { WIRE_RUN_RESULT, 1 }, { WIRE_RUN_RESTORE, 2 }, { WIRE_RUN_USE, 2 }, { WIRE_RUN_COMPLETED, 1 },
        { WIRE_RUN_PREFETCH, 1 }, { WIRE_RUN_PIECES, 1 }, { WIRE_AGENT_PREFETCHED, 2 },
        { WIRE_AGENT_READY, 2 }, { WIRE_AGENT_RANK, 2 }, { WIRE_AGENT_SAVE_FAILED, 1 }, { WIRE_AGENT_RESTORE_READ, 1 },
        { WIRE_AGENT_RESTORE_DONE, 1 }, { WIRE_AGENT_DIED, 1 }, { WIRE_SCHEDULER_ASK, 2 }, { WIRE_SCHEDULER_ANSWER, 2 },
        { WIRE_SCHEDULER_CLUSTER, 8 }, { WIRE_VERB_ANSWER, 1 },
        { WIRE_DAEMON_HELLO, 1 }, { WIRE_DAEMON_REQUEST, 1 }, { WIRE_DAEMON_WELCOME, 1 }, { WIRE_DAEMON_REFUSED, 1 },
        { WIRE_DAEMON_JOB, 3 }, { WIRE_DAEMON_DONE, 1 }, { WIRE_DAEMON_FIND, 1 },
};

static uint64_t random_state = 88172645463325252u;

static uint64_t random_u64(void)
{
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state;
}

static void empty_message(void *bytes, unsigned type)
{
        struct wire_header header = { (uint32_t)wire_size(type), WIRE_VERSION, (uint16_t)type };

        memset(bytes, 0, WIRE_MOST);
        memcpy(bytes, &header, sizeof header);
}

static int check_code(const void *bytes, size_t n)
{
        struct stint_error err = { 0 };

        if (wire_check(bytes, n, &err) == 0)
                return 0;
        ck_assert_int_ne(err.text[0], 0);
        return err.code;
}

START_TEST(every_type_there_is_has_a_name_and_a_size)
{
        unsigned type, count = 0;

        for (type = 0; type < TYPES; type++) {
                if (wire_size(type) == 0) {
                        ck_assert_str_eq(wire_name(type), "unknown message");
                        continue;
                }
                count++;
                ck_assert_uint_ge(wire_size(type), sizeof(struct wire_header));
                ck_assert_uint_le(wire_size(type), WIRE_MOST);
                ck_assert_str_ne(wire_name(type), "unknown message");
        }
        ck_assert_uint_eq(count, 76);
        ck_assert_uint_eq(wire_size(0), 0);
        ck_assert_uint_eq(wire_size(UINT32_MAX), 0);
        ck_assert_str_eq(wire_name(WIRE_HELLO), "HELLO");
        ck_assert_str_eq(wire_name(WIRE_VERB_ANSWER), "VERB_ANSWER");
        ck_assert_uint_eq(wire_size(WIRE_RESTORE_IMAGE), sizeof(struct wire_restore_image));
        ck_assert_uint_eq(wire_size(WIRE_AGENT_GONE), sizeof(struct wire_agent_gone));
}
END_TEST

START_TEST(an_empty_message_of_each_type_holds_at_its_size_and_no_other)
{
        _Alignas(8) unsigned char bytes[WIRE_MOST + 8];
        unsigned type;
        size_t n;

        for (type = 0; type < TYPES; type++) {
                if (wire_size(type) == 0)
                        continue;
                empty_message(bytes, type);
                for (n = 0; n <= WIRE_MOST; n += n < wire_size(type) + 16 ? 1 : 97)
                        ck_assert_int_eq(check_code(bytes, n), n == wire_size(type) ? 0 : EBADMSG);
                ((struct wire_header *)(void *)bytes)->size += 8;
                ck_assert_int_eq(check_code(bytes, wire_size(type) + 8), EBADMSG);
        }
}
END_TEST

START_TEST(types_that_there_are_not_are_refused)
{
        struct wire_header header = { sizeof header, WIRE_VERSION, 0 };
        unsigned type;

        for (type = 0; type < 65536; type += type < TYPES ? 1 : 251) {
                header.type = (uint16_t)type;
                if (wire_size(type) == 0)
                        ck_assert_int_eq(check_code(&header, sizeof header), EBADMSG);
        }
}
END_TEST

START_TEST(another_version_is_told_apart_from_damage)
{
        struct wire_complete m = { 0 };
        struct stint_error err;

        WIRE_INIT(&m, WIRE_COMPLETE);
        ck_assert_int_eq(wire_check(&m, sizeof m, &err), 0);
        m.header.version = WIRE_VERSION + 1;
        ck_assert_int_eq(wire_check(&m, sizeof m, &err), -1);
        ck_assert_int_eq(err.code, EPROTONOSUPPORT);
        /* Of another version the size is its own affair. */
        m.header.size = 16;
        m.header.type = 9999;
        ck_assert_int_eq(check_code(&m, 16), EPROTONOSUPPORT);
}
END_TEST

/* Finds text fields from outside: a field is where a single byte that is not zero is refused when it comes after a zero. */
START_TEST(every_text_field_is_checked_and_nothing_else_is)
{
        _Alignas(8) unsigned char bytes[WIRE_MOST];
        unsigned type;

        for (type = 0; type < TYPES; type++) {
                int fields = 0, expected = 0, was_first = 0;
                size_t at, i;

                for (i = 0; i < sizeof with_texts / sizeof with_texts[0]; i++)
                        if (with_texts[i].type == type)
                                expected = with_texts[i].texts;
                for (at = sizeof(struct wire_header); at < wire_size(type); at++) {
                        int first;

                        /* The first byte of a field may be set alone; the second may not. */
                        if (type == WIRE_SNAPSHOT && at >= offsetof(struct wire_snapshot, metric_count) &&
                            at < offsetof(struct wire_snapshot, metrics)) {
                                was_first = 0;
                                continue;
                        }
                        empty_message(bytes, type);
                        bytes[at] = 'x';
                        first = check_code(bytes, wire_size(type)) == 0;
                        if (!first && was_first)
                                fields++;
                        was_first = first;
                }
                ck_assert_msg(fields == expected, "%s has %d text fields, not %d", wire_name(type), fields, expected);
        }
}
END_TEST

START_TEST(a_text_may_fill_its_field_up_to_the_last_byte)
{
        struct wire_welcome m = { 0 };

        WIRE_INIT(&m, WIRE_WELCOME);
        memset(m.dir, 'd', sizeof m.dir - 1);
        memset(m.run_id, 'r', sizeof m.run_id - 1);
        ck_assert_int_eq(check_code(&m, sizeof m), 0);
        m.dir[sizeof m.dir - 1] = 'd';
        ck_assert_int_eq(check_code(&m, sizeof m), EBADMSG);
        m.dir[sizeof m.dir - 1] = 0;
        m.run_id[sizeof m.run_id - 1] = 'r';
        ck_assert_int_eq(check_code(&m, sizeof m), EBADMSG);
        memset(m.run_id, 0, sizeof m.run_id);
        m.run_id[5] = 'r';
        ck_assert_int_eq(check_code(&m, sizeof m), EBADMSG);
}
END_TEST

START_TEST(a_snapshot_counts_no_more_metrics_than_it_has)
{
        struct wire_snapshot m = { .metric_count = SEAL_METRICS };

        WIRE_INIT(&m, WIRE_SNAPSHOT);
        ck_assert_int_eq(check_code(&m, sizeof m), 0);
        m.metric_count = SEAL_METRICS + 1;
        ck_assert_int_eq(check_code(&m, sizeof m), EBADMSG);
        m.metric_count = UINT32_MAX;
        ck_assert_int_eq(check_code(&m, sizeof m), EBADMSG);
}
END_TEST

START_TEST(random_bytes_break_nothing)
{
        int round, taken = 0;

        for (round = 0; round < 20000; round++) {
                unsigned type = (unsigned)(random_u64() % TYPES);
                size_t n = random_u64() % 3 ? wire_size(type) : random_u64() % 600, i;
                /* On the heap and of just this size, and not aligned: a byte too many shows. */
                unsigned char *memory = malloc(n + 1), *bytes = memory + 1;
                struct wire_header header = { (uint32_t)n, WIRE_VERSION, (uint16_t)type };

                for (i = 0; i < n; i++)
                        bytes[i] = random_u64() % 4 ? 0 : (unsigned char)random_u64();
                if (n >= sizeof header && random_u64() % 4)
                        memcpy(bytes, &header, sizeof header);
                if (wire_check(bytes, n, NULL) == 0) {
                        memcpy(&header, bytes, sizeof header);
                        ck_assert_uint_eq(header.size, n);
                        ck_assert_uint_eq(wire_size(header.type), n);
                        taken++;
                }
                free(memory);
        }
        ck_assert_int_gt(taken, 200);
}
END_TEST

START_TEST(texts_are_cut_at_a_character_and_zero_behind)
{
        char field[8];

        memset(field, 'z', sizeof field);
        wire_text(field, sizeof field, "abc");
        ck_assert_mem_eq(field, "abc\0\0\0\0", 8);
        wire_text(field, sizeof field, "abcdefg");
        ck_assert_mem_eq(field, "abcdefg", 8);
        wire_text(field, sizeof field, "abcdefghij");
        ck_assert_mem_eq(field, "abcdefg", 8);
        wire_text(field, sizeof field, "abcde\u20ac");
        ck_assert_mem_eq(field, "abcde\0\0", 8);
        wire_text(field, sizeof field, "abcd\u20ac");
        ck_assert_mem_eq(field, "abcd\u20ac", 8);
        wire_text(field, 1, "abc");
        ck_assert_int_eq(field[0], 0);
        wire_text(field, sizeof field, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80");
        ck_assert_uint_lt(strlen(field), sizeof field);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "wire");

        tcase_add_test(all, every_type_there_is_has_a_name_and_a_size);
        tcase_add_test(all, an_empty_message_of_each_type_holds_at_its_size_and_no_other);
        tcase_add_test(all, types_that_there_are_not_are_refused);
        tcase_add_test(all, another_version_is_told_apart_from_damage);
        tcase_add_test(all, every_text_field_is_checked_and_nothing_else_is);
        tcase_add_test(all, a_text_may_fill_its_field_up_to_the_last_byte);
        tcase_add_test(all, a_snapshot_counts_no_more_metrics_than_it_has);
        tcase_add_test(all, random_bytes_break_nothing);
        tcase_add_test(all, texts_are_cut_at_a_character_and_zero_behind);
}

SUITE_MAIN("wire", add_tests)
