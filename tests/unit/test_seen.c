/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_seen: what a program tells of its devices, on a machine that is a folder of the test. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "seen.h"
#include "suite.h"
#include "visible.h"

#define UUID_A "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
#define UUID_B "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77"

static char root[100];
static struct wire_devices m;

static void put(const char *path, const char *text)
{
        char whole[400], *slash;
        FILE *f;

        snprintf(whole, sizeof whole, "%s/%s", root, path);
        for (slash = strchr(whole + strlen(root) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                mkdir(whole, 0700);
                *slash = '/';
        }
        f = fopen(whole, "w");
        ck_assert_ptr_nonnull(f);
        fputs(text, f);
        ck_assert_int_eq(fclose(f), 0);
}

static void make_root(void)
{
        snprintf(root, sizeof root, "%.60s/stint-seen.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(root));
        setenv("STINT_DEVICE_ROOT", root, 1);
        unsetenv("CUDA_VISIBLE_DEVICES");
        unsetenv("CUDA_DEVICE_ORDER");
}

static void remove_root(void)
{
        char command[200];

        snprintf(command, sizeof command, "rm -rf '%s'", root);
        ck_assert_int_eq(system(command), 0);
}

static void put_gpus(unsigned n)
{
        char path[200], text[300];

        put("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu\n");
        for (unsigned i = 0; i < n; i++) {
                snprintf(path, sizeof path, "proc/driver/nvidia/gpus/0000:%02x:00.0/information", i + 1);
                snprintf(text, sizeof text,
                         "Model: \t NVIDIA A100, 80GB\nGPU UUID: \t GPU-%08x-%.27s\nDevice Minor: %u\n", i, &UUID_A[13],
                         i);
                put(path, text);
                snprintf(path, sizeof path, "dev/nvidia%u", i);
                put(path, "");
        }
}

/* What is told is what the wire takes, whatever it is. */
static void see(const char *visible)
{
        struct stint_error err = {0};

        if (visible != NULL)
                setenv("CUDA_VISIBLE_DEVICES", visible, 1);
        memset(&m, 0xa5, sizeof m);
        seen_devices(&m);
        ck_assert_msg(wire_check(&m, sizeof m, &err) == 0, "%s", err.text);
}

START_TEST(devices_are_told_in_the_programs_numbers)
{
        put_gpus(3);
        see("2,0");
        ck_assert_uint_eq(m.count, 2);
        ck_assert_uint_eq(m.certainty, VISIBLE_SURE);
        ck_assert_str_eq(m.driver, "535.129.03");
        ck_assert_str_eq(m.uuids, "GPU-00000002-d72c-4106-c12f-20bd9faed9f6,GPU-00000000-d72c-4106-c12f-20bd9faed9f6");
        ck_assert_str_eq(m.models, "NVIDIA A100  80GB,NVIDIA A100  80GB"); /* a comma is what stands between two */
}
END_TEST

START_TEST(a_machine_without_a_driver_tells_nothing)
{
        see("0");
        ck_assert_uint_eq(m.count, 0);
        ck_assert_uint_eq(m.certainty, VISIBLE_UNKNOWN);
        ck_assert_str_eq(m.uuids, "");
}
END_TEST

START_TEST(who_hides_all_devices_asks_nothing_of_the_driver)
{
        static const char *const hidden[] = {"", "-1", "NoDevFiles"};

        put_gpus(1);
        for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
                see(hidden[i]);
                ck_assert_uint_eq(m.count, 0);
                ck_assert_uint_eq(m.certainty, VISIBLE_SURE);
                ck_assert_str_eq(m.driver, ""); /* so it was not read */
        }
}
END_TEST

START_TEST(a_device_that_cannot_be_known_is_a_question_mark)
{
        put_gpus(1);
        put("proc/driver/nvidia/gpus/0000:07:00.0/information",
            "Model: NVIDIA T4\nGPU UUID: " UUID_B "\nDevice Minor: 0\n");
        see("0," UUID_B);
        ck_assert_uint_eq(m.count, 1);
        ck_assert_uint_eq(m.certainty, VISIBLE_UNKNOWN);
        ck_assert_str_eq(m.uuids, "?");
        ck_assert_str_eq(m.models, "?");
        see(UUID_B);
        ck_assert_str_eq(m.uuids, UUID_B);
        ck_assert_uint_eq(m.certainty, VISIBLE_SURE);
}
END_TEST

START_TEST(more_devices_than_there_is_room_for_are_counted_and_not_cut)
{
        const char *last;

        put_gpus(60);
        see(NULL);
        ck_assert_uint_eq(m.count, 60);
        last = strrchr(m.uuids, ',');
        ck_assert_ptr_nonnull(last);
        ck_assert_uint_eq(strlen(last + 1), strlen(UUID_A));
        last = strrchr(m.models, ',');
        ck_assert_ptr_nonnull(last);
        ck_assert_str_eq(last + 1, "NVIDIA A100  80GB");
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "seen");

        tcase_add_checked_fixture(tests, make_root, remove_root);
        tcase_add_test(tests, devices_are_told_in_the_programs_numbers);
        tcase_add_test(tests, a_machine_without_a_driver_tells_nothing);
        tcase_add_test(tests, who_hides_all_devices_asks_nothing_of_the_driver);
        tcase_add_test(tests, a_device_that_cannot_be_known_is_a_question_mark);
        tcase_add_test(tests, more_devices_than_there_is_room_for_are_counted_and_not_cut);
}

SUITE_MAIN("seen", add_tests)
