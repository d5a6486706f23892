/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_memory: what a process may still have is the least of what the kernel has and what its control groups leave; and
 * memory is mapped and made present in each of the ways that there are, on kernels and machines with and without them.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "channel.h"
#include "durable.h"
#include "memory.h"
#include "suite.h"

static char root[64], membership[128];

static void set_up(void)
{
        strcpy(root, "/tmp/stint-test-memory.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
        snprintf(membership, sizeof membership, "%s/self", root);
}

static void clean_up(void)
{
        durable_remove_tree(root, NULL);
}

static void put(const char *name, const char *text)
{
        char path[256];
        FILE *f;

        snprintf(path, sizeof path, "%s/%s", root, name);
        f = fopen(path, "w");
        ck_assert_ptr_nonnull(f);
        fputs(text, f);
        ck_assert_int_eq(fclose(f), 0);
}

static void folder(const char *name)
{
        char path[256];

        snprintf(path, sizeof path, "%s/%s", root, name);
        ck_assert_int_eq(mkdir(path, 0700), 0);
}

START_TEST(there_is_memory_on_a_machine_that_runs_this)
{
        ck_assert_int_gt(memory_available(), 0);
}
END_TEST

START_TEST(the_narrowest_of_the_groups_above_counts)
{
        put("self", "0::/jobs/4711\n");
        folder("jobs");
        folder("jobs/4711");
        put("jobs/memory.max", "1000000\n");
        put("jobs/memory.current", "400000\n");
        put("jobs/4711/memory.max", "max\n");
        put("jobs/4711/memory.current", "300000\n");
        ck_assert_int_eq(memory_left_in_groups(membership, root), 600000);
        put("jobs/4711/memory.max", "350000\n");
        ck_assert_int_eq(memory_left_in_groups(membership, root), 50000);
}
END_TEST

START_TEST(page_cache_that_can_be_given_up_is_not_missing)
{
        put("self", "0::/job\n");
        folder("job");
        put("job/memory.max", "1000\n");
        put("job/memory.current", "990\n");
        put("job/memory.stat", "anon 90\ninactive_anon 7\ninactive_file 900\n");
        ck_assert_int_eq(memory_left_in_groups(membership, root), 910);
        put("job/memory.stat", "inactive_file 0\n");
        put("job/memory.current", "1001\n");
        ck_assert_int_eq(memory_left_in_groups(membership, root), 0);
}
END_TEST

START_TEST(the_memory_controller_of_version_1_has_other_names)
{
        put("self", "11:cpu,cpuacct:/job\n9:memory:/job\n1:name=systemd:/job\n0::/job\n");
        folder("memory");
        folder("memory/job");
        put("memory/job/memory.limit_in_bytes", "500\n");
        put("memory/job/memory.usage_in_bytes", "100\n");
        put("memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 20\n");
        ck_assert_int_eq(memory_left_in_groups(membership, root), 420);
}
END_TEST

START_TEST(where_nothing_is_limited_or_known_there_is_no_answer)
{
        ck_assert_int_eq(memory_left_in_groups(membership, root), -1);
        put("self", "0::/\nnonsense\n:::\n5:cpu:/x\n");
        ck_assert_int_eq(memory_left_in_groups(membership, root), -1);
}
END_TEST

/* ---- pages ------------------------------------------------------------------------------------------------------- */

#define LARGE MEMORY_LARGE_PAGE
#define BYTES (21 * LARGE + 5 * 4096 + 100) /* more than is asked for at a time, and no whole number of pages */
#define NO_LARGE_PAGES 3                    /* a way more: as MEMORY_LARGE, where the process may have none */

static int fd;

static void no_large_pages(int none)
{
        ck_assert_int_eq(prctl(PR_SET_THP_DISABLE, none, 0, 0, 0), 0);
}

static void set_up_pages(void)
{
        fd = channel_memory("stint-test-memory", BYTES, NULL);
        ck_assert_int_ge(fd, 0);
}

static void clean_up_pages(void)
{
        no_large_pages(0);
        close(fd);
}

static unsigned char *mapped(int protection)
{
        unsigned char *memory = memory_map(fd, 0, BYTES, protection);

        ck_assert_ptr_nonnull(memory);
        return memory;
}

/* Bytes of addresses that this process has for this memory, or for nothing. */
static unsigned long addresses(void)
{
        FILE *f = fopen("/proc/self/maps", "r");
        unsigned long begin, end, sum = 0;
        char line[512], rights[8];

        while (fgets(line, sizeof line, f)) {
                ck_assert_int_eq(sscanf(line, "%lx-%lx %7s", &begin, &end, rights), 3);
                if (rights[0] == '-' || strstr(line, "stint-test-memory"))
                        sum += end - begin;
        }
        fclose(f);
        return sum;
}

/* How many of these pages this process has in its page tables: bit 63 of each one's word. */
static uint64_t entered(const unsigned char *memory, uint64_t bytes)
{
        uint64_t at, word, n = 0;
        FILE *f = fopen("/proc/self/pagemap", "r");

        for (at = 0; at < bytes; at += 4096) {
                ck_assert_int_eq(fseek(f, (long)((uintptr_t)(memory + at) / 4096 * sizeof word), SEEK_SET), 0);
                ck_assert_uint_eq(fread(&word, sizeof word, 1, f), 1);
                n += word >> 63;
        }
        fclose(f);
        return n;
}

/* How many entries of 2 MiB it has for the mapping that begins there. */
static uint64_t entered_large(const unsigned char *memory)
{
        unsigned long begin, end, kib, found = 0;
        FILE *f = fopen("/proc/self/smaps", "r");
        char line[512];
        int here = 0;

        while (fgets(line, sizeof line, f)) {
                if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
                        here = begin == (uintptr_t)memory;
                if (here && sscanf(line, "ShmemPmdMapped: %lu kB", &kib) == 1)
                        found = kib * 1024 / LARGE;
        }
        fclose(f);
        return found;
}

static void all_present(void)
{
        struct stat status;

        ck_assert_int_eq(fstat(fd, &status), 0);
        ck_assert_int_ge(status.st_blocks * 512, (long)BYTES);
}

/* Half a large page: an allocator, and a sanitizer's before all, takes and gives back addresses of its own meanwhile. */
static int is_about(unsigned long bytes, unsigned long wanted)
{
        return bytes < wanted + LARGE / 2 && wanted < bytes + LARGE / 2;
}

START_TEST(memory_is_mapped_where_large_pages_fit_and_nothing_else_is)
{
        const unsigned long before = addresses();
        unsigned char *all = mapped(PROT_READ | PROT_WRITE), *part;

        ck_assert_uint_eq((uintptr_t)all % LARGE, 0);
        ck_assert(is_about(addresses() - before, BYTES));
        part = memory_map(fd, 2 * LARGE, LARGE + 4096, PROT_READ);
        ck_assert_uint_eq((uintptr_t)part % LARGE, 0);
        all[2 * LARGE] = 7;
        all[3 * LARGE + 4095] = 8;
        ck_assert_int_eq(part[0], 7);
        ck_assert_int_eq(part[LARGE + 4095], 8);
        munmap(part, LARGE + 4096);
        munmap(all, BYTES);
        ck_assert(is_about(addresses(), before));
}
END_TEST

START_TEST(what_cannot_be_mapped_leaves_nothing_behind)
{
        const unsigned long before = addresses();

        ck_assert_ptr_null(memory_map(-1, 0, BYTES, PROT_READ));
        ck_assert_int_eq(errno, EBADF);
        ck_assert_ptr_null(memory_map(fd, 0, UINT64_MAX - 4096, PROT_READ));
        ck_assert(is_about(addresses(), before));
}
END_TEST

START_TEST(small_memory_is_mapped_too)
{
        unsigned char *memory = memory_map(fd, 4096, 5000, PROT_READ | PROT_WRITE);

        ck_assert_ptr_nonnull(memory);
        memory[4999] = 3;
        ck_assert_int_eq(memory_make_large(memory, 5000), 0); /* there is no piece of 2 MiB in it */
        ck_assert_int_eq(memory_populate(memory, 5000, MEMORY_LARGE, NULL), 0);
        ck_assert_int_eq(memory[4999], 3);
        munmap(memory, 5000);
}
END_TEST

START_TEST(each_way_makes_every_page_and_changes_no_byte)
{
        const enum memory_way way = _i == NO_LARGE_PAGES ? MEMORY_LARGE : (enum memory_way)_i;
        unsigned char *memory = mapped(PROT_READ | PROT_WRITE);
        uint64_t at;

        no_large_pages(_i == NO_LARGE_PAGES);
        for (at = 0; at < BYTES; at += 7 * 4096 + 1)
                memory[at] = (unsigned char)(at % 251 + 1);
        ck_assert_int_eq(memory_populate(memory, BYTES, way, NULL), 0);
        all_present();
        for (at = 0; at < BYTES; at += 7 * 4096 + 1)
                ck_assert_int_eq(memory[at], (unsigned char)(at % 251 + 1));
        ck_assert_int_eq(memory[1], 0);
        ck_assert_uint_eq(entered(memory, BYTES), BYTES / 4096 + 1);
        munmap(memory, BYTES);
}
END_TEST

START_TEST(large_pages_are_large_for_whoever_maps_them_next)
{
        unsigned char *memory = mapped(PROT_READ | PROT_WRITE), *next = mapped(PROT_READ);
        const int made = memory_make_large(memory, BYTES), code = errno;

        memset(memory, 9, BYTES);
        ck_assert_mem_eq(next, memory, BYTES);
        if (made == 0)
                ck_assert_uint_eq(entered_large(next), 21);
        else /* this kernel has none, or none now */
                ck_assert_int_ne(code, 0);
        munmap(next, BYTES);
        munmap(memory, BYTES);
}
END_TEST

START_TEST(where_there_are_no_large_pages_it_is_said)
{
        unsigned char *memory = mapped(PROT_READ | PROT_WRITE);

        no_large_pages(1);
        ck_assert_int_eq(memory_make_large(memory, BYTES), -1);
        ck_assert_int_eq(errno, EINVAL);
        munmap(memory, BYTES);
}
END_TEST

/* The page of 2 MiB would have to begin where the memory's does not. */
START_TEST(at_an_odd_address_pages_are_small)
{
        unsigned char *around = mapped(PROT_READ), *memory = around + 4096;

        ck_assert_ptr_eq(mmap(memory, BYTES - 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), memory);
        ck_assert_int_eq(memory_make_large(memory, BYTES - 4096), -1);
        ck_assert_int_eq(errno, EINVAL);
        ck_assert_int_eq(memory_populate(memory, BYTES - 4096, MEMORY_LARGE, NULL), 0);
        ck_assert_uint_eq(entered(memory, BYTES - 4096), BYTES / 4096);
        ck_assert_uint_eq(entered_large(memory), 0);
        munmap(around, BYTES);
}
END_TEST

START_TEST(where_no_memory_can_be_had_it_is_an_error)
{
        unsigned char *memory = memory_map(fd, 0, BYTES + 2 * LARGE, PROT_READ | PROT_WRITE);
        struct stint_error err = { 0 };

        ck_assert_ptr_nonnull(memory);
        ck_assert_int_eq(memory_populate(memory, BYTES + 2 * LARGE, (enum memory_way)_i, &err), -1);
        ck_assert_int_eq(err.code, ENOMEM);
        ck_assert_str_ne(err.text, "");
        munmap(memory, BYTES + 2 * LARGE);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "memory"), *pages = suite_case(suite, "pages");

        tcase_add_checked_fixture(all, set_up, clean_up);
        tcase_add_test(all, there_is_memory_on_a_machine_that_runs_this);
        tcase_add_test(all, the_narrowest_of_the_groups_above_counts);
        tcase_add_test(all, page_cache_that_can_be_given_up_is_not_missing);
        tcase_add_test(all, the_memory_controller_of_version_1_has_other_names);
        tcase_add_test(all, where_nothing_is_limited_or_known_there_is_no_answer);
        tcase_add_checked_fixture(pages, set_up_pages, clean_up_pages);
        tcase_add_test(pages, memory_is_mapped_where_large_pages_fit_and_nothing_else_is);
        tcase_add_test(pages, what_cannot_be_mapped_leaves_nothing_behind);
        tcase_add_test(pages, small_memory_is_mapped_too);
        tcase_add_loop_test(pages, each_way_makes_every_page_and_changes_no_byte, MEMORY_LARGE, NO_LARGE_PAGES + 1);
        tcase_add_test(pages, large_pages_are_large_for_whoever_maps_them_next);
        tcase_add_test(pages, where_there_are_no_large_pages_it_is_said);
        tcase_add_test(pages, at_an_odd_address_pages_are_small);
        tcase_add_loop_test(pages, where_no_memory_can_be_had_it_is_an_error, MEMORY_LARGE, MEMORY_TOUCH);
}

SUITE_MAIN("memory", add_tests)
