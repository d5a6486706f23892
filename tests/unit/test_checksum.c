/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_checksum: XXH3 against known values, in one piece and in many, and its 16 digits. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "checksum.h"
#include "suite.h"

START_TEST(the_values_are_those_of_xxh3)
{
        /* What `xxhsum -H3` prints. A file of an older stint must hold its value for ever. */
        ck_assert_uint_eq(checksum("", 0), UINT64_C(0x2d06800538d394c2));
        ck_assert_uint_eq(checksum(NULL, 0), UINT64_C(0x2d06800538d394c2));
        ck_assert_uint_eq(checksum("a", 1), UINT64_C(0xe6c632b61e964e1f));
        ck_assert_uint_eq(checksum("abc", 3), UINT64_C(0x78af5f94892f3950));
}
END_TEST

static unsigned char *bytes_of(size_t n)
{
        unsigned char *bytes = malloc(n);
        uint32_t x = 12345;

        ck_assert_ptr_nonnull(bytes);
        for (size_t i = 0; i < n; i++)
                bytes[i] = (unsigned char)((x = x * 1664525u + 1013904223u) >> 24);
        return bytes;
}

START_TEST(pieces_of_any_size_give_the_hash_of_the_whole)
{
        static const size_t pieces[] = {1, 7, 64, 240, 256, 1000, 4096, 100000};
        const size_t n = 100000;
        unsigned char *bytes = bytes_of(n);
        uint64_t whole = checksum(bytes, n);

        for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
                struct checksum *c = checksum_begin();

                ck_assert_ptr_nonnull(c);
                for (size_t at = 0; at < n; at += pieces[p])
                        checksum_add(c, bytes + at, at + pieces[p] > n ? n - at : pieces[p]);
                checksum_add(c, NULL, 0);
                ck_assert_uint_eq(checksum_end(c), whole);
        }
        free(bytes);
}
END_TEST

/* Short and long pieces may be hashed by different code. */
START_TEST(pieces_of_changing_size_give_the_hash_of_the_whole)
{
        const size_t n = 100000;
        unsigned char *bytes = bytes_of(n);
        struct checksum *c = checksum_begin();
        size_t at = 0, piece = 1, part;

        ck_assert_ptr_nonnull(c);
        for (; at < n; at += part) {
                part = n - at < piece ? n - at : piece;
                checksum_add(c, bytes + at, part);
                piece = piece * 5 % 9973 + 1;
        }
        ck_assert_uint_eq(checksum_end(c), checksum(bytes, n));
        free(bytes);
}
END_TEST

START_TEST(no_pieces_are_no_bytes)
{
        ck_assert_uint_eq(checksum_end(checksum_begin()), checksum("", 0));
}
END_TEST

START_TEST(every_flipped_bit_changes_the_hash)
{
        const size_t n = 700;
        unsigned char *bytes = bytes_of(n);
        uint64_t whole = checksum(bytes, n);

        for (size_t i = 0; i < 8 * n; i++) {
                bytes[i / 8] ^= (unsigned char)(1u << i % 8);
                ck_assert_uint_ne(checksum(bytes, n), whole);
                bytes[i / 8] ^= (unsigned char)(1u << i % 8);
        }
        ck_assert_uint_eq(checksum(bytes, n), whole);
        free(bytes);
}
END_TEST

START_TEST(where_the_bytes_lie_does_not_matter)
{
        const size_t n = 5000;
        unsigned char *bytes = bytes_of(n), *elsewhere = malloc(n + 64);
        uint64_t whole = checksum(bytes, n);

        ck_assert_ptr_nonnull(elsewhere);
        for (size_t shift = 0; shift < 64; shift++) {
                memcpy(elsewhere + shift, bytes, n);
                ck_assert_uint_eq(checksum(elsewhere + shift, n), whole);
        }
        free(bytes);
        free(elsewhere);
}
END_TEST

START_TEST(a_hash_is_written_as_16_digits_and_read_back)
{
        static const uint64_t values[] = {0, 1, UINT64_C(0xa1b2c3d4e5f60718), UINT64_MAX};
        char out[17];

        ck_assert_str_eq(checksum_hex(out, values[2]), "a1b2c3d4e5f60718");
        ck_assert_str_eq(checksum_hex(out, 1), "0000000000000001");
        for (size_t i = 0; i < 4; i++) {
                uint64_t value = 7;

                ck_assert_int_eq(checksum_from_hex(checksum_hex(out, values[i]), &value), 0);
                ck_assert_uint_eq(value, values[i]);
        }
}
END_TEST

START_TEST(anything_but_16_lower_case_digits_is_refused)
{
        static const char *const words[] = {"",
                                            "0",
                                            "000000000000001",
                                            "00000000000000001",
                                            "A1B2C3D4E5F60718",
                                            "a1b2c3d4e5f6071g",
                                            "0xb2c3d4e5f60718",
                                            " 1b2c3d4e5f60718",
                                            "a1b2c3d4e5f60718\n",
                                            "-000000000000001"};

        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
                uint64_t value = 7;

                ck_assert_msg(checksum_from_hex(words[i], &value) == -1, "'%s' was taken", words[i]);
                ck_assert_uint_eq(value, 7);
        }
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "checksum");

        tcase_add_test(tests, the_values_are_those_of_xxh3);
        tcase_add_test(tests, pieces_of_any_size_give_the_hash_of_the_whole);
        tcase_add_test(tests, pieces_of_changing_size_give_the_hash_of_the_whole);
        tcase_add_test(tests, no_pieces_are_no_bytes);
        tcase_add_test(tests, every_flipped_bit_changes_the_hash);
        tcase_add_test(tests, where_the_bytes_lie_does_not_matter);
        tcase_add_test(tests, a_hash_is_written_as_16_digits_and_read_back);
        tcase_add_test(tests, anything_but_16_lower_case_digits_is_refused);
}

SUITE_MAIN("checksum", add_tests)
