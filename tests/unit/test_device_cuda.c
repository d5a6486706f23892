/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_device_cuda: the CUDA plugin, loaded as libstint loads it, with the stand-in for the CUDA runtime behind it:
 * whose memory a pointer is, and what a program's own CUDA notices of the plugin, which is nothing.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cuda_memory.h"
#include "suite.h"

/* ---- contexts and the current device -------------------------------------------------------------------------- */

struct asked {
        void *pointer;
        int kind, index;
};

/* On a thread that has made no device current: its current one is 0, which the program does not use. */
static void *ask_on_a_thread(void *arg)
{
        struct asked *a = arg;
        char here[8];
        int index;

        a->kind = (int)of(a->pointer, 100, &a->index)->kind;
        ck_assert_ptr_eq(of(here, 8, &index), &device_host);
        return NULL;
}

/* The first two, so that nothing has begun with CUDA and made a context, whether Check forks or not. */
START_TEST(a_program_that_has_not_begun_with_cuda_is_not_made_to)
{
        char here[8], *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int index = 7;

        ck_assert_ptr_eq(of(here, sizeof here, &index), &device_host);
        ck_assert_int_eq(index, -1);
        ck_assert_ptr_null(device_of(STINT_DEVICE_AUTO, nowhere, 100, &index, &err));
        ck_assert_msg(strstr(err.text, "no device has its primary context"), "%s", err.text);
        ck_assert_ptr_null(device_of(STINT_DEVICE_CUDA, here, sizeof here, &index, &err));
        ck_assert_ptr_nonnull(plugin_loaded());
        ck_assert_int_eq(standin_initialised(), 0);
        munmap(nowhere, 4096);
}
END_TEST

START_TEST(no_context_is_made_on_a_device_that_the_program_does_not_use)
{
        struct asked a = {.pointer = on_device(1, 100)};
        char *staging = on_host(4096);
        pthread_t thread;
        int device;

        ck_assert_int_eq(pthread_create(&thread, NULL, ask_on_a_thread, &a), 0);
        pthread_join(thread, NULL);
        ck_assert_int_eq(a.kind, STINT_DEVICE_CUDA);
        ck_assert_int_eq(a.index, 1);
        device_pin(staging, 4096, 0, NULL);
        there_and_back(a.pointer, staging, 100);
        device_unpin(staging, 4096);
        ck_assert_int_eq(standin_context(0), 0);
        ck_assert_int_eq(standin_context(1), 1);
        ck_assert_int_eq(standin_context(2), 0);
        cudaGetDevice(&device);
        ck_assert_int_eq(device, 1);
        cudaFree(a.pointer);
        munmap(staging, 4096);
}
END_TEST

START_TEST(the_current_device_stays_what_it_was)
{
        void *p = on_device(2, 3 * MIB);
        char *staging = on_host(3 * MIB);
        int device;

        ck_assert_int_eq(cudaSetDevice(0), cudaSuccess);
        there_and_back(p, staging, 3 * MIB);
        cudaGetDevice(&device);
        ck_assert_int_eq(device, 0);
        cudaFree(p);
        munmap(staging, 3 * MIB);
}
END_TEST

START_TEST(the_error_that_the_program_has_not_asked_for_yet_stays)
{
        char here[8];
        void *p = on_device(0, 8);
        int index;

        ck_assert_int_eq(cudaSetDevice(99), cudaErrorInvalidDevice);
        ck_assert_ptr_eq(of(here, 8, &index), &device_host);
        there_and_back(p, here, 8);
        ck_assert_int_eq(cudaPeekAtLastError(), cudaErrorInvalidDevice);
        cudaFree(p);
}
END_TEST

START_TEST(a_forked_child_is_told_that_it_has_no_cuda)
{
        char here[8] = "";
        void *p = on_device(0, 8);
        const struct device *cuda = cuda_of(p, 8);
        pid_t child;
        int status;

        there_and_back(p, here, 8);
        child = fork();
        if (child == 0)
                _exit(cuda->copy_out(here, p, 8, "w", &err) == -1 && err.code == ECHILD ? 0 : 1);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        cudaFree(p);
}
END_TEST

/* ---- whose memory it is --------------------------------------------------------------------------------------- */

START_TEST(memory_of_the_host_is_the_hosts_pinned_or_not)
{
        char here[8], *registered = on_host(4096);
        void *pinned;
        int index = 7;

        ck_assert_ptr_eq(of(here, sizeof here, &index), &device_host);
        ck_assert_int_eq(index, -1);
        ck_assert_int_eq(cudaHostAlloc(&pinned, 100, 0), cudaSuccess);
        ck_assert_ptr_eq(of(pinned, 100, &index), &device_host);
        ck_assert_int_eq(cudaHostRegister(registered, 4096, 0), cudaSuccess);
        ck_assert_ptr_eq(of(registered, 4096, &index), &device_host);
        ck_assert_ptr_null(device_of(STINT_DEVICE_CUDA, here, sizeof here, &index, &err));
        ck_assert_int_eq(err.code, EINVAL);
        ck_assert_int_eq(cudaHostUnregister(registered), cudaSuccess);
        cudaFreeHost(pinned);
        munmap(registered, 4096);
}
END_TEST

START_TEST(device_memory_tells_which_device_it_is_on)
{
        int index, device;
        void *p;

        for (device = 2; device >= 0; device--) {
                p = on_device(device, 1000);
                ck_assert_int_eq(of(p, 1000, &index)->kind, STINT_DEVICE_CUDA);
                ck_assert_int_eq(index, device);
                ck_assert_int_eq(of((char *)p + 999, 1, &index)->kind, STINT_DEVICE_CUDA);
                ck_assert_ptr_nonnull(device_of(STINT_DEVICE_CUDA, p, 1000, &index, &err));
                cudaFree(p);
        }
}
END_TEST

START_TEST(managed_memory_is_cudas_although_the_host_could_read_it)
{
        char *p, *staging = on_host(MIB);
        void *managed;
        int index;

        ck_assert_int_eq(cudaSetDevice(1), cudaSuccess);
        ck_assert_int_eq(cudaMallocManaged(&managed, MIB, cudaMemAttachGlobal), cudaSuccess);
        p = managed;
        ck_assert_int_eq(of(p, MIB, &index)->kind, STINT_DEVICE_CUDA);
        ck_assert_int_eq(index, 1);
        there_and_back(p, staging, MIB);
        ck_assert_mem_eq(p, staging, MIB);
        cudaFree(managed);
        munmap(staging, MIB);
}
END_TEST

START_TEST(bytes_that_leave_their_allocation_are_refused)
{
        char *p = on_device(0, 4096);
        int index;

        ck_assert_ptr_null(device_of(STINT_DEVICE_AUTO, p, (size_t)1 << 40, &index, &err));
        ck_assert_msg(strstr(err.text, "begin on cuda:0 and end elsewhere"), "%s", err.text);
        ck_assert_ptr_null(device_of(STINT_DEVICE_CUDA, p, (size_t)1 << 40, &index, &err));
        cudaFree(p);
}
END_TEST

START_TEST(a_driver_too_old_for_the_plugin_is_told_and_costs_the_host_nothing)
{
        char here[8];
        void *p = on_device(0, 100);
        int index;

        use("driver=old");
        ck_assert_ptr_eq(of(here, 8, &index), &device_host);
        ck_assert_ptr_null(device_of(STINT_DEVICE_AUTO, p, 100, &index, &err));
        ck_assert_int_eq(err.code, ENODEV);
        ck_assert_msg(strstr(err.text, "cudaErrorInsufficientDriver") && strstr(err.text, "--with-cuda"), "%s",
                      err.text);
        use("");
        cudaFree(p);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "all");

        tcase_add_checked_fixture(all, setup, teardown);
        tcase_add_test(all, a_program_that_has_not_begun_with_cuda_is_not_made_to);
        tcase_add_test(all, no_context_is_made_on_a_device_that_the_program_does_not_use);
        tcase_add_test(all, the_current_device_stays_what_it_was);
        tcase_add_test(all, the_error_that_the_program_has_not_asked_for_yet_stays);
        tcase_add_test(all, a_forked_child_is_told_that_it_has_no_cuda);
        tcase_add_test(all, memory_of_the_host_is_the_hosts_pinned_or_not);
        tcase_add_test(all, device_memory_tells_which_device_it_is_on);
        tcase_add_test(all, managed_memory_is_cudas_although_the_host_could_read_it);
        tcase_add_test(all, bytes_that_leave_their_allocation_are_refused);
        tcase_add_test(all, a_driver_too_old_for_the_plugin_is_told_and_costs_the_host_nothing);
}

SUITE_MAIN("device_cuda", add_tests)
