/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_mapping: an image is mapped ahead and found again, another one is not taken for it, and nothing stays mapped. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "channel.h"
#include "mapping.h"
#include "suite.h"

#define BYTES ((size_t)40 << 20) /* of more than one piece */

static struct mapping mapping;

static int image(unsigned char fill)
{
        int fd = channel_memory("stint-test-mapping", BYTES, NULL);
        unsigned char *bytes;

        ck_assert_int_ge(fd, 0);
        bytes = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ck_assert_ptr_ne(bytes, MAP_FAILED);
        memset(bytes, fill, BYTES);
        munmap(bytes, BYTES);
        return fd;
}

static int mapped(void)
{
        FILE *maps = fopen("/proc/self/maps", "r");
        char line[512];
        int n = 0;

        while (fgets(line, sizeof line, maps))
                n += strstr(line, "stint-test-mapping") != NULL;
        fclose(maps);
        return n;
}

static void holds(const unsigned char *base, unsigned char fill)
{
        size_t at;

        ck_assert_ptr_nonnull(base);
        for (at = 0; at < BYTES; at += 4096)
                ck_assert_int_eq(base[at], fill);
}

START_TEST(what_was_prepared_is_taken_as_it_is)
{
        int fd = image(7), again = dup(fd);
        void *prepared;

        mapping_prepare(&mapping, fd, BYTES);
        prepared = mapping.base;
        close(fd);
        ck_assert_ptr_eq(mapping_take(&mapping, again, BYTES, NULL), prepared);
        holds(prepared, 7);
        ck_assert_int_eq(mapped(), 1);
        mapping_let_go(&mapping, prepared, BYTES);
        mapping_fini(&mapping);
        ck_assert_int_eq(mapped(), 0);
        close(again);
}
END_TEST

START_TEST(another_image_is_mapped_anew_and_the_first_let_go_of)
{
        int first = image(1), second = image(2);
        void *base;

        mapping_prepare(&mapping, first, BYTES);
        base = mapping_take(&mapping, second, BYTES, NULL);
        holds(base, 2);
        mapping_let_go(&mapping, base, BYTES);
        mapping_fini(&mapping);
        ck_assert_int_eq(mapped(), 0);
        close(first);
        close(second);
}
END_TEST

START_TEST(the_same_memory_of_another_size_is_another_image)
{
        int fd = image(3);
        void *base;

        mapping_prepare(&mapping, fd, BYTES);
        base = mapping_take(&mapping, fd, BYTES / 2, NULL);
        ck_assert_ptr_nonnull(base);
        mapping_let_go(&mapping, base, BYTES / 2);
        mapping_fini(&mapping);
        ck_assert_int_eq(mapped(), 0);
        close(fd);
}
END_TEST

START_TEST(without_anything_prepared_it_is_mapped_when_it_is_taken)
{
        int fd = image(4);
        void *base = mapping_take(&mapping, fd, BYTES, NULL);

        holds(base, 4);
        mapping_let_go(&mapping, base, BYTES);
        mapping_fini(&mapping);
        ck_assert_int_eq(mapped(), 0);
        close(fd);
}
END_TEST

START_TEST(what_was_prepared_in_vain_is_let_go_of)
{
        int first = image(5), second = image(6);

        mapping_let_go(&mapping, NULL, 0);
        mapping_prepare(&mapping, first, BYTES);
        mapping_prepare(&mapping, second, BYTES);
        ck_assert_int_eq(mapped(), 1);
        mapping_let_go(&mapping, NULL, 0);
        mapping_fini(&mapping);
        ck_assert_int_eq(mapped(), 0);
        mapping_prepare(&mapping, first, BYTES);
        mapping_fini(&mapping); /* also while it is being filled */
        ck_assert_int_eq(mapped(), 0);
        close(first);
        close(second);
}
END_TEST

START_TEST(what_cannot_be_mapped_is_an_error_and_prepared_without_one)
{
        struct stint_error err = { 0 };

        mapping_prepare(&mapping, -1, BYTES);
        ck_assert_ptr_null(mapping.base);
        ck_assert_ptr_null(mapping_take(&mapping, -1, BYTES, &err));
        ck_assert_int_eq(err.code, EBADF);
        ck_assert_str_ne(err.text, "");
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "mapping");

        tcase_add_test(all, what_was_prepared_is_taken_as_it_is);
        tcase_add_test(all, another_image_is_mapped_anew_and_the_first_let_go_of);
        tcase_add_test(all, the_same_memory_of_another_size_is_another_image);
        tcase_add_test(all, without_anything_prepared_it_is_mapped_when_it_is_taken);
        tcase_add_test(all, what_was_prepared_in_vain_is_let_go_of);
        tcase_add_test(all, what_cannot_be_mapped_is_an_error_and_prepared_without_one);
}

SUITE_MAIN("mapping", add_tests)
