/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_device_sim: memory that only copies reach, its limits, and the faults that STINT_DEVICE asks for. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "clock.h"
#include "device.h"
#include "suite.h"

static struct stint_error err;

static void use(const char *setting)
{
        if (setting)
                setenv("STINT_DEVICE", setting, 1);
        else
                unsetenv("STINT_DEVICE");
        device_sim_reset();
}

static void setup(void)
{
        use(NULL);
}

START_TEST(what_is_written_is_read_back)
{
        char *p = stint_sim_alloc(0, 1000), back[4];

        ck_assert_ptr_nonnull(p);
        ck_assert_int_eq(stint_sim_write(p + 500, "abcd", 4), 0);
        ck_assert_int_eq(stint_sim_read(back, p + 500, 4), 0);
        ck_assert_mem_eq(back, "abcd", 4);
        ck_assert_int_eq(stint_sim_read(back, p, 4), 0);
        ck_assert_mem_eq(back, "\0\0\0\0", 4);
}
END_TEST

START_TEST(its_pointers_cannot_be_dereferenced)
{
        volatile char *p = stint_sim_alloc(0, 100);
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                signal(SIGSEGV, SIG_DFL); /* whatever a sanitizer put there */
                *p = 1;
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}
END_TEST

START_TEST(there_is_as_much_memory_and_as_many_devices_as_were_asked_for)
{
        void *a, *b, *c;

        use("sim:devices=2,memory=1M");
        a = stint_sim_alloc(0, 600 << 10);
        b = stint_sim_alloc(1, 1 << 20);
        ck_assert_ptr_nonnull(a);
        ck_assert_ptr_nonnull(b);
        ck_assert_ptr_null(stint_sim_alloc(0, 600 << 10));
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert_ptr_null(stint_sim_alloc(1, 1));
        ck_assert_ptr_null(stint_sim_alloc(2, 1));
        ck_assert_int_eq(errno, ENODEV);
        ck_assert_ptr_null(stint_sim_alloc(-1, 1));
        c = stint_sim_alloc(0, 100 << 10);
        ck_assert_ptr_nonnull(c);
        stint_sim_free(a);
        ck_assert_ptr_eq(stint_sim_alloc(0, 600 << 10), a); /* first fit */
        stint_sim_free(NULL);
}
END_TEST

START_TEST(a_stretch_that_leaves_its_allocation_is_nobodys)
{
        char *p = stint_sim_alloc(0, 512), *q = stint_sim_alloc(0, 512), buffer[2048];
        int index = 7;

        ck_assert_ptr_eq(q, p + 512);
        ck_assert_int_eq(device_sim.owns(p, 512, &index, &err), 1);
        ck_assert_int_eq(index, 0);
        ck_assert_int_eq(device_sim.owns(p + 1, 512, &index, &err), 0);
        ck_assert_int_eq(stint_sim_read(buffer, p, 1024), -1);
        ck_assert_int_eq(errno, EFAULT);
        ck_assert_int_eq(stint_sim_write(buffer, buffer, 1), -1);
        stint_sim_free(q);
        ck_assert_int_eq(device_sim.owns(q, 1, &index, &err), 0);
}
END_TEST

START_TEST(a_pointer_tells_which_device_it_belongs_to)
{
        char *p, here[8];
        int index = 7;

        use("sim:devices=3,memory=64K");
        p = stint_sim_alloc(2, 100);
        ck_assert_ptr_eq(device_of(STINT_DEVICE_AUTO, p, 100, &index, &err), &device_sim);
        ck_assert_int_eq(index, 2);
        ck_assert_ptr_eq(device_of(STINT_DEVICE_AUTO, here, 8, &index, &err), &device_host);
        ck_assert_int_eq(index, -1);
        ck_assert_ptr_null(device_of(STINT_DEVICE_SIM, here, 8, &index, &err));
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_ptr_null(device_of(STINT_DEVICE_CUDA, here, 8, &index, &err));
        ck_assert_int_eq(err.code, ENODEV);
}
END_TEST

START_TEST(the_copy_that_was_asked_to_fail_fails_and_no_other)
{
        char *p, buffer[8] = "1234567";

        use("sim:fail_copy=3");
        p = stint_sim_alloc(0, 8);
        ck_assert_int_eq(stint_sim_write(p, buffer, 8), 0); /* the program's own, not counted */
        ck_assert_int_eq(device_sim.copy_out(buffer, p, 8, "t", &err), 0);
        ck_assert_int_eq(device_sim.copy_in(p, buffer, 8, "t", &err), 0);
        ck_assert_int_eq(device_sim.copy_out(buffer, p, 8, "t", &err), -1);
        ck_assert_int_eq(err.code, EIO);
        ck_assert_int_eq(device_sim.copy_out(buffer, p, 8, "t", &err), 0);
        ck_assert_str_eq(buffer, "1234567");
        ck_assert_int_eq(device_sim.sync(&err), 0);
}
END_TEST

START_TEST(a_copy_takes_the_delay_that_was_asked_for)
{
        char *p, buffer[8] = { 0 };
        int64_t began_ns;

        use("sim:delay=30ms");
        p = stint_sim_alloc(0, 8);
        began_ns = clock_now();
        ck_assert_int_eq(device_sim.copy_in(p, buffer, 8, "t", &err), 0);
        ck_assert_int_ge(clock_now() - began_ns, 30 * CLOCK_MS);
}
END_TEST

START_TEST(a_setting_that_cannot_be_read_gives_no_device)
{
        static const char *const wrong[] = { "sim:devices=0", "sim:devices=x",   "sim:memory=", "sim:speed=3",
                                             "sim:delay=-1s", "sim:fail_copy=0", "sim:devices",
                                             "sim:current=1", "sim:current=-1" };
        size_t i;

        for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
                use(wrong[i]);
                ck_assert_msg(stint_sim_alloc(0, 1) == NULL, "%s was read", wrong[i]);
                ck_assert_int_eq(errno, ENODEV);
        }
        use("sim");
        ck_assert_ptr_nonnull(stint_sim_alloc(0, 1));
}
END_TEST

START_TEST(it_is_there_for_who_asks_for_it_and_tells_which_one_is_in_use)
{
        int count = -1, current = -1;

        unsetenv("STINT_DEVICE");
        device_sim_reset();
        ck_assert_int_eq(device_sim.present(&count, &current, &err), -1);
        ck_assert_int_eq(err.code, ENODEV);
        stint_sim_alloc(0, 1);
        ck_assert_int_eq(device_sim.present(&count, &current, &err), 0);
        ck_assert_int_eq(count, 1);
        ck_assert_int_eq(current, 0);
        use("sim:devices=3,current=2");
        ck_assert_int_eq(device_sim.present(&count, &current, &err), 0);
        ck_assert_int_eq(count, 3);
        ck_assert_int_eq(current, 2);
        use("sim:devices=3,current=3");
        ck_assert_int_eq(device_sim.present(&count, &current, &err), -1);
        ck_assert_ptr_null(device_host.present);
}
END_TEST

START_TEST(its_memory_is_what_is_left_of_it)
{
        uint64_t left = 0, all = 0;
        void *p;

        use("sim:devices=2,memory=1M");
        p = stint_sim_alloc(1, 100 << 10);
        ck_assert_int_eq(device_sim.memory(1, &left, &all, &err), 0);
        ck_assert_uint_eq(all, 1 << 20);
        ck_assert_uint_eq(left, (1 << 20) - (100 << 10));
        ck_assert_int_eq(device_sim.memory(0, &left, &all, &err), 0);
        ck_assert_uint_eq(left, 1 << 20);
        stint_sim_free(p);
        ck_assert_int_eq(device_sim.memory(1, &left, &all, &err), 0);
        ck_assert_uint_eq(left, 1 << 20);
        ck_assert_int_eq(device_sim.memory(2, &left, &all, &err), -1);
        ck_assert_int_eq(device_sim.memory(-1, &left, &all, &err), -1);
        ck_assert_int_eq(err.code, ENODEV);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "all");

        tcase_add_checked_fixture(all, setup, setup);
        tcase_add_test(all, what_is_written_is_read_back);
        tcase_add_test(all, its_pointers_cannot_be_dereferenced);
        tcase_add_test(all, there_is_as_much_memory_and_as_many_devices_as_were_asked_for);
        tcase_add_test(all, a_stretch_that_leaves_its_allocation_is_nobodys);
        tcase_add_test(all, a_pointer_tells_which_device_it_belongs_to);
        tcase_add_test(all, the_copy_that_was_asked_to_fail_fails_and_no_other);
        tcase_add_test(all, a_copy_takes_the_delay_that_was_asked_for);
        tcase_add_test(all, a_setting_that_cannot_be_read_gives_no_device);
        tcase_add_test(all, it_is_there_for_who_asks_for_it_and_tells_which_one_is_in_use);
        tcase_add_test(all, its_memory_is_what_is_left_of_it);
}

SUITE_MAIN("device_sim", add_tests)
