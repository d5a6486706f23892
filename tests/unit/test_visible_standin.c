/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_visible_standin: two readers of CUDA_VISIBLE_DEVICES, visible.c and the one of the stand-in for the CUDA
 * runtime, come to the same devices on every list of up to three words of a kind that means something, on several
 * machines.  Neither knows the other, so a mistake in one shows unless it was made twice.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "standin.h"
#include "suite.h"
#include "visible.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define UUID_A "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
#define UUID_B "GPU-8932b0a4-1c1a-d9ed-fe37-18b8466a78ad"
#define UUID_C "GPU-e429a63e-c61c-4795-b757-5132caeb8e70"
#define UUID_B1 "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"
#define UUID_B2 "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb"
#define UUID_C1 "MIG-1e1c0f0a-3b67-5a52-8c5e-6f2a9d1b7c40"

static const struct machine {
        const char *name;
        const char *uuid[6];
} machines[] = {
        {"whole", {UUID_A, UUID_B, UUID_C}},
        {"one", {UUID_B}},
        {"divided", {UUID_B, UUID_B1, UUID_B2}},
        {"partly", {UUID_A, UUID_B, UUID_B1, UUID_B2, UUID_C}},
        {"both", {UUID_B, UUID_B1, UUID_B2, UUID_C, UUID_C1}},
        {"older", {UUID_B, "MIG-" UUID_B "/1/0", "MIG-" UUID_B "/2/0"}},
        {"none", {NULL}},
};

/* Every kind of word that docs/devices.md tells of, and the edges of each, between bars. */
static const char all_words[] =
        "0|1|2|3|4|-1|-0|+1| 1|1 |01|\t2|1gpu|0-2|0x1|99999999999999999999|-99999999999999999999|| |-|+|two|NoDevFiles|"
        "all|" UUID_A "|" UUID_B "|" UUID_C "|" UUID_A "0|GPU-|GPU-8932|GPU-8932f|GPU-e|GPU-E429A63E|gpu-e429a63e|"
        " GPU-e|GPU-77|e429a63e-c61c-4795-b757-5132caeb8e70|" UUID_B1 "|" UUID_B2 "|" UUID_B1
        "0|MIG-|MIG-c|MIG-cb|MIG-C6|mig-cb|MIG-77|"
        "MIG-" UUID_B "|MIG-" UUID_B "/1/0|MIG-" UUID_B "/2/0|MIG-" UUID_B "/02/0|MIG-" UUID_B "/3/0|"
        "MIG-" UUID_B "/1/1|MIG-" UUID_B "/1|MIG-" UUID_B "/1/0/0|MIG-" UUID_B "//|MIG-" UUID_B "/-1/0|"
        "MIG-" UUID_B "/0/0|MIG-" UUID_B "/+1/0|MIG-" UUID_B "/1/ 0|"
        "MIG-" UUID_A "/1/0|MIG-GPU-8932b/2/0|MIG-GPU-8932/2/0|MIG-GPU-";
static const char *words[100];
static size_t n_words;

static void split(void)
{
        static char copy[sizeof all_words];
        char *rest = memcpy(copy, all_words, sizeof all_words), *word;

        for (n_words = 0; n_words < COUNT(words) && (word = strsep(&rest, "|")); n_words++)
                words[n_words] = word;
        ck_assert_ptr_null(rest);
}

static int make_inventory(const struct machine *m, struct visible_device *device)
{
        int n, gpu = -1;

        for (n = 0; n < (int)COUNT(m->uuid) && m->uuid[n] != NULL; n++) {
                const int part = m->uuid[n][0] == 'M';

                gpu = part ? gpu : n;
                device[n] = (struct visible_device){.name = "NVIDIA A100", .gpu = part ? gpu : -1, .compute = part - 1};
                device[n].instance = part ? n - gpu : -1;
                device[gpu].mig = part ? VISIBLE_DIVIDED : VISIBLE_WHOLE;
                snprintf(device[n].uuid, sizeof device[n].uuid, "%s", m->uuid[n]);
        }
        return n;
}

/* Fails where they differ; how many devices both see. */
static unsigned compare(const struct machine *m, const struct visible_device *device, int n, const char *text)
{
        const struct visible_question q = {.text = text, .device = device, .n = (unsigned)n};
        int chosen[COUNT(m->uuid)], seen = standin_visible(m->uuid, n, text, chosen), i;
        static struct visible v;

        visible_resolve(&v, &q);
        if ((int)v.n != seen)
                ck_abort_msg("%s, '%s': %u devices, and the stand-in sees %d", m->name, text ? text : "(not set)", v.n,
                             seen);
        for (i = 0; i < seen; i++)
                if (v.device[i] != chosen[i])
                        ck_abort_msg("%s, '%s': device %d is %d, and with the stand-in %d", m->name,
                                     text ? text : "(not set)", i, v.device[i], chosen[i]);
        return v.n;
}

START_TEST(both_readers_see_the_same_devices_in_the_same_order)
{
        const struct machine *m = &machines[_i];
        struct visible_device device[COUNT(m->uuid)];
        const int n = make_inventory(m, device);
        unsigned long lists = 0, some = 0;
        char text[400];
        size_t a, b, c;

        split();
        ck_assert_uint_gt(n_words, 50);
        some += compare(m, device, n, NULL) > 0;
        for (a = 0; a < n_words; a++) {
                some += compare(m, device, n, words[a]) > 0;
                for (b = 0; b < n_words; b++) {
                        snprintf(text, sizeof text, "%s,%s", words[a], words[b]);
                        some += compare(m, device, n, text) > 0;
                        for (c = 0; c < n_words; c++, lists++) {
                                snprintf(text, sizeof text, "%s,%s,%s", words[a], words[b], words[c]);
                                some += compare(m, device, n, text) > 0;
                        }
                }
        }
        ck_assert_uint_eq(lists, n_words * n_words * n_words);
        ck_assert_msg((some > 0) == (n > 0), "of %lu lists %lu show a device", lists, some);
}
END_TEST

START_TEST(long_lists_are_read_alike)
{
        const struct machine *m = &machines[0];
        struct visible_device device[COUNT(m->uuid)];
        const int n = make_inventory(m, device);
        static char spaces[9000], many[9000];

        memset(spaces, ' ', sizeof spaces - 1);
        spaces[0] = '1';
        ck_assert_uint_eq(compare(m, device, n, spaces), 1);
        memset(many, ',', sizeof many - 1);
        memcpy(many, "2,1", 3);
        ck_assert_uint_eq(compare(m, device, n, many), 2);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "visible_standin");

        tcase_add_loop_test(tests, both_readers_see_the_same_devices_in_the_same_order, 0, (int)COUNT(machines));
        tcase_add_test(tests, long_lists_are_read_alike);
}

SUITE_MAIN("visible_standin", add_tests)
