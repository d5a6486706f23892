/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_plugin: whether CUDA is in this process, which plugin is loaded, and which is refused with what words. */
#include <check.h>
#include <errno.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "plugin.h"
#include "suite.h"

static struct stint_error err;

static void look_in(const char *folder)
{
        char path[4096];

        snprintf(path, sizeof path, "%s/%s", getenv("TEST_BUILD"), folder);
        setenv("STINT_DEVICE_PATH", path, 1);
        plugin_forget();
}

static void teardown(void)
{
        unsetenv("STINT_DEVICE_PATH");
        plugin_forget();
}

/* The first: nothing has loaded CUDA into this process yet, whether Check forks or not. */
START_TEST(a_process_without_cuda_loads_nothing_for_its_own_memory)
{
        char here[16];
        int index = 7, i;

        look_in("tests/standin/.libs");
        for (i = 0; i < 3; i++) {
                ck_assert_int_eq(plugin_cuda_is_here(), 0);
                ck_assert_ptr_eq(device_of(STINT_DEVICE_AUTO, here, sizeof here, &index, &err), &device_host);
                ck_assert_int_eq(index, -1);
        }
        ck_assert_ptr_null(plugin_loaded());
}
END_TEST

START_TEST(a_plugin_that_is_not_there_is_told_with_its_path)
{
        char here[16];
        int index;

        look_in("tests/flow");
        ck_assert_ptr_null(device_of(STINT_DEVICE_CUDA, here, sizeof here, &index, &err));
        ck_assert_int_eq(err.code, ENODEV);
        ck_assert_msg(strstr(err.text, "tests/flow/stint-device-cuda.so"), "%s", err.text);
}
END_TEST

START_TEST(a_plugin_of_another_version_is_refused)
{
        look_in("tests/standin/other/.libs");
        ck_assert_ptr_null(plugin_cuda(&err));
        ck_assert_int_eq(err.code, ENOEXEC);
        ck_assert_msg(strstr(err.text, "has version 2 of the plugin interface, and this libstint has 1"), "%s",
                      err.text);
        ck_assert_ptr_null(plugin_loaded());
}
END_TEST

START_TEST(what_was_refused_is_not_tried_again)
{
        look_in("tests/standin/other/.libs");
        ck_assert_ptr_null(plugin_cuda(NULL));
        setenv("STINT_DEVICE_PATH", "/", 1);
        ck_assert_ptr_null(plugin_cuda(&err));
        ck_assert_msg(strstr(err.text, "version 2"), "%s", err.text);
}
END_TEST

/* From here on the stand-in's libcudart.so is in this process. */
START_TEST(cuda_is_here_as_soon_as_the_process_has_loaded_it)
{
        char path[4096];

        plugin_cuda_is_here();
        snprintf(path, sizeof path, "%s/tests/standin/.libs/libcudart.so", getenv("TEST_BUILD"));
        ck_assert_msg(dlopen(path, RTLD_NOW | RTLD_GLOBAL) != NULL, "%s", dlerror());
        ck_assert_int_eq(plugin_cuda_is_here(), 1);
        look_in("tests/standin/.libs");
        ck_assert_msg(plugin_cuda(&err) != NULL, "%s", err.text);
        ck_assert_int_eq(plugin_loaded()->kind, STINT_DEVICE_CUDA);
}
END_TEST

START_TEST(where_the_plugin_is_missing_only_unreadable_memory_is_refused)
{
        char path[4096], here[16];
        void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int index = 7;

        snprintf(path, sizeof path, "%s/tests/standin/.libs/libcudart.so", getenv("TEST_BUILD"));
        ck_assert_ptr_nonnull(dlopen(path, RTLD_NOW | RTLD_GLOBAL));
        look_in("tests/flow");
        ck_assert_ptr_eq(device_of(STINT_DEVICE_AUTO, here, sizeof here, &index, &err), &device_host);
        ck_assert_ptr_eq(device_of(STINT_DEVICE_AUTO, nowhere, 0, &index, &err), &device_host);
        ck_assert_ptr_null(device_of(STINT_DEVICE_AUTO, nowhere, 100, &index, &err));
        ck_assert_int_eq(err.code, ENODEV);
        ck_assert_msg(strstr(err.text, "stint-device-cuda.so"), "%s", err.text);
        munmap(nowhere, 4096);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "all");

        tcase_add_checked_fixture(all, NULL, teardown);
        tcase_add_test(all, a_process_without_cuda_loads_nothing_for_its_own_memory);
        tcase_add_test(all, a_plugin_that_is_not_there_is_told_with_its_path);
        tcase_add_test(all, a_plugin_of_another_version_is_refused);
        tcase_add_test(all, what_was_refused_is_not_tried_again);
        tcase_add_test(all, cuda_is_here_as_soon_as_the_process_has_loaded_it);
        tcase_add_test(all, where_the_plugin_is_missing_only_unreadable_memory_is_refused);
}

SUITE_MAIN("plugin", add_tests)
