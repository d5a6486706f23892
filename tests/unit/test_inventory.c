/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_inventory: what the driver's files and nvidia-smi tell of a machine, in folders and texts of the test's own. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "inventory.h"
#include "suite.h"

#define UUID_A "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
#define UUID_B "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77"
#define UUID_B1 "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"
#define UUID_B2 "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb"

static char root[100];
static struct inventory inv;

static void make_root(void)
{
        snprintf(root, sizeof root, "%.60s/stint-inventory.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(root));
}

static void remove_root(void)
{
        char command[200];

        snprintf(command, sizeof command, "rm -rf '%s'", root);
        ck_assert_int_eq(system(command), 0);
}

/* A file below the root with all of its folders. */
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

static void put_gpu(const char *address, const char *uuid, int minor, const char *more)
{
        char path[200], text[500];

        snprintf(path, sizeof path, "proc/driver/nvidia/gpus/%s/information", address);
        snprintf(text, sizeof text,
                 "Model: \t\t NVIDIA A100-SXM4-80GB\nIRQ:   \t\t 10\nGPU UUID: \t %s\nBus Location: \t %s\n"
                 "Device Minor: \t %d\nGPU Firmware: \t 535.129.03\n%s",
                 uuid, address, minor, more);
        put(path, text);
        snprintf(path, sizeof path, "dev/nvidia%d", minor);
        put(path, "");
}

START_TEST(a_machine_without_the_driver_has_no_devices)
{
        inventory_read(&inv, root);
        ck_assert_uint_eq(inv.n, 0);
        ck_assert_uint_eq(inv.withheld, 0);
        ck_assert_str_eq(inv.driver, "");
}
END_TEST

START_TEST(gpus_come_in_the_order_of_their_addresses)
{
        put("proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\nGCC version:\n");
        put_gpu("0000:62:00.0", UUID_B, 0, "GPU Excluded:\t No\n");
        put_gpu("0000:07:00.0", UUID_A, 1, "");
        inventory_read(&inv, root);
        ck_assert_uint_eq(inv.n, 2);
        ck_assert_str_eq(inv.driver, "535.129.03");
        ck_assert_str_eq(inv.device[0].uuid, UUID_A);
        ck_assert_str_eq(inv.device[0].pci, "0000:07:00.0");
        ck_assert_str_eq(inv.device[0].name, "NVIDIA A100-SXM4-80GB");
        ck_assert_int_eq(inv.device[0].gpu, -1);
        ck_assert_str_eq(inv.device[1].uuid, UUID_B);
        ck_assert_int_eq(inv.device[1].mig, VISIBLE_WHOLE);
}
END_TEST

START_TEST(a_gpu_that_is_excluded_is_none_and_one_without_its_file_is_withheld)
{
        char path[200];

        put_gpu("0000:07:00.0", UUID_A, 0, "GPU Excluded:\t Yes\n");
        put_gpu("0000:0b:00.0", UUID_B, 1, "GPU Excluded:\t No\n");
        put_gpu("0000:48:00.0", "GPU-?\?\?\?\?\?\?\?-?\?\?\?-?\?\?\?-?\?\?\?-?\?\?\?\?\?\?\?\?\?\?\?", 2, "");
        snprintf(path, sizeof path, "%s/dev/nvidia1", root);
        ck_assert_int_eq(unlink(path), 0);
        inventory_read(&inv, root);
        ck_assert_uint_eq(inv.n, 1);
        ck_assert_uint_eq(inv.withheld, 1);
        ck_assert_str_eq(inv.device[0].pci, "0000:48:00.0");
        ck_assert_str_eq(inv.device[0].uuid, ""); /* the driver does not know it before somebody has opened the GPU */
}
END_TEST

START_TEST(instances_are_there_in_proc_and_cannot_be_seen)
{
        put_gpu("0000:07:00.0", UUID_A, 3, "");
        put_gpu("0000:0b:00.0", UUID_B, 4, "");
        put("proc/driver/nvidia/capabilities/gpu4/mig/gi7/ci0/access", "DeviceFileMinor: 67\n");
        inventory_read(&inv, root);
        ck_assert_uint_eq(inv.n, 2);
        ck_assert_int_eq(inv.device[0].mig, VISIBLE_WHOLE);
        ck_assert_int_eq(inv.device[1].mig, VISIBLE_UNSEEN);
}
END_TEST

START_TEST(the_list_of_nvidia_smi_names_instances_and_leaves_out_what_is_withheld)
{
        put_gpu("0000:07:00.0", UUID_A, 0, "");
        put_gpu("0000:0b:00.0", UUID_B, 1, "");
        put("proc/driver/nvidia/capabilities/gpu1/mig/gi7/ci0/access", "");
        inventory_read(&inv, root);
        ck_assert_int_eq(inventory_take_list(&inv, "GPU 0: NVIDIA A100-SXM4-80GB (UUID: " UUID_B ")\n"
                                                   "  MIG 1g.10gb     Device  0: (UUID: " UUID_B1 ")\n"
                                                   "  MIG 1c.3g.40gb  Device  1: (UUID: " UUID_B2 ")\n"),
                         0);
        ck_assert_uint_eq(inv.n, 3);
        ck_assert_uint_eq(inv.withheld, 1);
        ck_assert_str_eq(inv.device[0].uuid, UUID_B);
        ck_assert_str_eq(inv.device[0].pci, "0000:0b:00.0");
        ck_assert_str_eq(inv.device[0].name, "NVIDIA A100-SXM4-80GB");
        ck_assert_int_eq(inv.device[0].mig, VISIBLE_DIVIDED);
        ck_assert_str_eq(inv.device[1].uuid, UUID_B1);
        ck_assert_str_eq(inv.device[1].name, "MIG 1g.10gb");
        ck_assert_int_eq(inv.device[1].gpu, 0);
        ck_assert_int_eq(inv.device[1].instance, -1);
        ck_assert_str_eq(inv.device[2].uuid, UUID_B2);
}
END_TEST

START_TEST(an_older_driver_has_the_numbers_of_an_instance_in_its_uuid)
{
        memset(&inv, 0, sizeof inv);
        ck_assert_int_eq(inventory_take_list(&inv, "GPU 0: A100-SXM4-40GB (UUID: " UUID_B ")\n"
                                                   "  MIG 3g.20gb Device 0: (UUID: MIG-" UUID_B "/2/0)\n"),
                         0);
        ck_assert_uint_eq(inv.n, 2);
        ck_assert_int_eq(inv.device[1].instance, 2);
        ck_assert_int_eq(inv.device[1].compute, 0);
}
END_TEST

START_TEST(a_text_without_a_gpu_changes_nothing)
{
        static const char *const texts[] = {
                "",
                "No devices found.\n",
                "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
                "GPU 0: NVIDIA (UUID: ",
                "GPU 0: NVIDIA (UUID: )\n",
                "GPU (UUID: " UUID_A ")\n",
                "  MIG 1g.10gb     Device  0: (UUID: " UUID_B1 ")\n",
        };

        put_gpu("0000:07:00.0", UUID_A, 0, "");
        inventory_read(&inv, root);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
                ck_assert_int_eq(inventory_take_list(&inv, texts[i]), -1);
                ck_assert_uint_eq(inv.n, 1);
                ck_assert_str_eq(inv.device[0].uuid, UUID_A);
        }
}
END_TEST

START_TEST(the_query_tells_address_memory_and_gpus_that_are_divided_into_nothing)
{
        memset(&inv, 0, sizeof inv);
        ck_assert_int_eq(inventory_take_list(&inv, "GPU 0: A (UUID: " UUID_A ")\nGPU 1: B (UUID: " UUID_B ")\n"), 0);
        inventory_take_query(&inv, "GPU-of-nobody, 00000000:01:00.0, 1, Enabled\n" UUID_B
                                   ", 00000000:0B:00.0, 81920, Enabled\n" UUID_A ", 00010000:07:00.0, [N/A], [N/A]");
        ck_assert_str_eq(inv.device[1].pci, "0000:0b:00.0");
        ck_assert_int_eq(inv.device[1].memory_bytes, INT64_C(80) << 30);
        ck_assert_int_eq(inv.device[1].mig, VISIBLE_DIVIDED);
        ck_assert_str_eq(inv.device[0].pci, "00010000:07:00.0");
        ck_assert_int_eq(inv.device[0].memory_bytes, 0);
        ck_assert_int_eq(inv.device[0].mig, VISIBLE_WHOLE);
}
END_TEST

START_TEST(what_is_read_can_be_asked_what_a_program_sees)
{
        struct visible_question q = {.text = UUID_B1, .device = inv.device};
        struct visible v;

        put_gpu("0000:0b:00.0", UUID_B, 1, "");
        put("proc/driver/nvidia/capabilities/gpu1/mig/gi7/ci0/access", "");
        inventory_read(&inv, root);
        q.n = inv.n;
        visible_resolve(&v, &q);
        ck_assert_uint_eq(v.n, 1);
        ck_assert_int_eq(v.device[0], VISIBLE_WHICH);
        ck_assert_int_eq(inventory_take_list(&inv, "GPU 0: NVIDIA A100-SXM4-80GB (UUID: " UUID_B ")\n"
                                                   "  MIG 1g.10gb     Device  0: (UUID: " UUID_B1 ")\n"),
                         0);
        q.n = inv.n;
        visible_resolve(&v, &q);
        ck_assert_int_eq(v.device[0], 1);
        ck_assert_uint_eq(v.certainty, VISIBLE_SURE);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *tests = suite_case(suite, "inventory");

        tcase_add_checked_fixture(tests, make_root, remove_root);
        tcase_add_test(tests, a_machine_without_the_driver_has_no_devices);
        tcase_add_test(tests, gpus_come_in_the_order_of_their_addresses);
        tcase_add_test(tests, a_gpu_that_is_excluded_is_none_and_one_without_its_file_is_withheld);
        tcase_add_test(tests, instances_are_there_in_proc_and_cannot_be_seen);
        tcase_add_test(tests, the_list_of_nvidia_smi_names_instances_and_leaves_out_what_is_withheld);
        tcase_add_test(tests, an_older_driver_has_the_numbers_of_an_instance_in_its_uuid);
        tcase_add_test(tests, a_text_without_a_gpu_changes_nothing);
        tcase_add_test(tests, the_query_tells_address_memory_and_gpus_that_are_divided_into_nothing);
        tcase_add_test(tests, what_is_read_can_be_asked_what_a_program_sees);
}

SUITE_MAIN("inventory", add_tests)
