/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_device_cuda_copy: the CUDA plugin's copies on every path with the stand-in for the CUDA runtime behind it, what
 * is pinned for them, and what is told when they fail.
 */
#include <errno.h>
#include "cuda_memory.h"
#include "suite.h"

/* ---- copies --------------------------------------------------------------------------------------------------- */

START_TEST(pinned_staging_is_copied_to_without_a_detour)
{
        struct standin_counts before, after;
        char *staging = on_host(20 * MIB);
        void *p = on_device(0, 20 * MIB);

        use("late=5");
        cuda_of(p, 1);
        device_pin(staging, 20 * MIB, 0, NULL);
        before = standin_counts();
        ck_assert_uint_eq(before.registered, 1);
        there_and_back(p, staging, 20 * MIB);
        after = standin_counts();
        ck_assert_uint_eq(after.pinned - before.pinned, 2);
        ck_assert_uint_eq(after.pageable - before.pageable, 0);
        device_unpin(staging, 20 * MIB);
        ck_assert_uint_eq(standin_counts().registered, 0);
        cudaFree(p);
        munmap(staging, 20 * MIB);
}
END_TEST

START_TEST(memory_that_is_not_pinned_goes_through_the_ring)
{
        struct standin_counts before = standin_counts(), after;
        size_t bytes = 37 * MIB + 12345;
        char *staging = on_host(bytes);
        void *p = on_device(1, bytes);

        use("late=1");
        there_and_back(p, staging, bytes);
        after = standin_counts();
        ck_assert_uint_eq(after.pinned - before.pinned, 2 * 10);
        ck_assert_uint_eq(after.pageable - before.pageable, 0);
        cudaFree(p);
        munmap(staging, bytes);
}
END_TEST

START_TEST(where_nothing_can_be_pinned_the_runtime_takes_the_detour)
{
        struct standin_counts before, after;
        char *staging = on_host(9 * MIB);
        void *p = on_device(2, 9 * MIB); /* no test before has made a ring there */

        use("register=off,pinned=off");
        cuda_of(p, 1);
        device_pin(staging, 9 * MIB, 0, NULL);
        before = standin_counts();
        there_and_back(p, staging, 9 * MIB);
        after = standin_counts();
        ck_assert_uint_eq(after.pinned - before.pinned, 0);
        ck_assert_uint_eq(after.pageable - before.pageable, 2);
        device_unpin(staging, 9 * MIB);
        cudaFree(p);
        munmap(staging, 9 * MIB);
}
END_TEST

START_TEST(a_copy_over_pinned_and_other_stretches_is_divided_at_their_borders)
{
        char *staging = on_host(8 * MIB);
        void *p = on_device(0, 8 * MIB);

        cuda_of(p, 1);
        device_pin(staging + MIB, MIB, 0, NULL);
        device_pin(staging + 2 * MIB, MIB, 0, NULL);
        device_pin(staging + 5 * MIB, MIB, 0, NULL);
        ck_assert_uint_eq(standin_counts().registered, 3);
        there_and_back(p, staging, 8 * MIB);
        there_and_back(p, staging + MIB / 2, 2 * MIB);
        there_and_back((char *)p + 1, staging + 6 * MIB - 1, 2);
        device_unpin(staging + 2 * MIB, MIB);
        ck_assert_uint_eq(standin_counts().registered, 2);
        there_and_back(p, staging, 8 * MIB);
        device_unpin(staging, 8 * MIB);
        ck_assert_uint_eq(standin_counts().registered, 0);
        cudaFree(p);
        munmap(staging, 8 * MIB);
}
END_TEST

START_TEST(memory_that_is_only_read_is_pinned_as_such_or_goes_through_the_ring)
{
        const char *settings[] = {"late=1", "read_only=off"};
        char *image = on_host(2 * MIB), *back = on_host(2 * MIB);
        void *p = on_device(0, 2 * MIB);
        const struct device *cuda = cuda_of(p, 2 * MIB);
        int i;

        fill(image, 2 * MIB, 5);
        ck_assert_int_eq(mprotect(image, 2 * MIB, PROT_READ), 0);
        for (i = 0; i < 2; i++) {
                use(settings[i]);
                device_pin(image, 2 * MIB, 1, NULL);
                ck_assert_uint_eq(standin_counts().registered, i == 0);
                ck_assert_int_eq(cuda->copy_in(p, image, 2 * MIB, "w", &err), 0);
                ck_assert_int_eq(device_sync_all(&err), 0);
                memset(back, 0, 2 * MIB);
                ck_assert_int_eq(cudaMemcpy(back, p, 2 * MIB, cudaMemcpyDeviceToHost), cudaSuccess);
                ck_assert(memcmp(back, image, 2 * MIB) == 0);
                device_unpin(image, 2 * MIB);
        }
        cudaFree(p);
        munmap(image, 2 * MIB);
        munmap(back, 2 * MIB);
}
END_TEST

/* Pinned, and through the ring, where many share a buffer. */
static void small_ones(int pinned)
{
        enum { N = 3000, BYTES = 3001 };
        struct standin_counts before = standin_counts();
        char *staging = on_host(N * BYTES), *was = malloc(N * BYTES), *p[3];
        const struct device *cuda;
        int i;

        for (i = 0; i < 3; i++)
                p[i] = on_device(i, N * BYTES);
        cuda = cuda_of(p[0], 1);
        if (pinned)
                device_pin(staging, N * BYTES, 0, NULL);
        fill(was, N * BYTES, 9);
        memcpy(staging, was, N * BYTES);
        for (i = 0; i < N; i++)
                ck_assert_int_eq(cuda->copy_in(p[i % 3] + i * BYTES, staging + i * BYTES, BYTES, "t", &err), 0);
        ck_assert_int_eq(device_sync_all(&err), 0);
        memset(staging, 0, N * BYTES);
        for (i = 0; i < N; i++)
                ck_assert_int_eq(cuda->copy_out(staging + i * BYTES, p[i % 3] + i * BYTES, BYTES, "t", &err), 0);
        ck_assert_int_eq(device_sync_all(&err), 0);
        ck_assert(memcmp(staging, was, N * BYTES) == 0);
        ck_assert_uint_le(standin_counts().streams - before.streams, 3 * 4);
        device_unpin(staging, N * BYTES);
        for (i = 0; i < 3; i++)
                cudaFree(p[i]);
        munmap(staging, N * BYTES);
        free(was);
}

START_TEST(thousands_of_small_tensors_on_all_devices_are_one_batch)
{
        small_ones(1);
}
END_TEST

START_TEST(thousands_of_small_tensors_share_the_buffers_of_the_ring)
{
        small_ones(0);
}
END_TEST

START_TEST(what_the_program_has_begun_is_waited_for)
{
        char *mine = NULL, *staging = on_host(4096);
        void *p = on_device(1, 4096);
        cudaStream_t stream;
        const struct device *cuda;

        ck_assert_int_eq(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
        ck_assert_int_eq(cudaHostAlloc((void **)&mine, 4096, 0), cudaSuccess);
        cuda = cuda_of(p, 4096);
        use("late=30");
        memset(mine, 'a', 4096);
        ck_assert_int_eq(cudaMemcpyAsync(p, mine, 4096, cudaMemcpyHostToDevice, stream), cudaSuccess);
        ck_assert_int_eq(cuda->copy_out(staging, p, 4096, "w", &err), 0);
        ck_assert_int_eq(device_sync_all(&err), 0);
        ck_assert_int_eq(staging[0], 'a');
        ck_assert_int_eq(staging[4095], 'a');
        cudaStreamDestroy(stream);
        cudaFreeHost(mine);
        cudaFree(p);
        munmap(staging, 4096);
}
END_TEST

/* ---- pins and when they end ----------------------------------------------------------------------------------- */

START_TEST(pinning_ends_where_it_is_told_to)
{
        atomic_int stop = 1;
        char *staging = on_host(MIB);
        void *p = on_device(0, 8);

        cuda_of(p, 8);
        device_pin(staging, MIB, 0, &stop);
        ck_assert_uint_eq(standin_counts().registered, 0);
        device_unpin(staging, MIB);
        device_unpin(NULL, 0);
        cudaFree(p);
        munmap(staging, MIB);
}
END_TEST

/* ---- errors --------------------------------------------------------------------------------------------------- */

static void is_told_once(const char *words)
{
        ck_assert_int_eq(device_sync_all(&err), -1);
        ck_assert_msg(strstr(err.text, "tensor 'model/layer0/weight'") && strstr(err.text, "cuda:1"), "%s", err.text);
        ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
        ck_assert_int_eq(device_sync_all(&err), 0);
}

/* Of a save, and of a restore. */
static void fails_once(const char *setting, const char *words)
{
        char *staging = on_host(4096);
        void *p = on_device(1, 4096);
        const struct device *cuda = cuda_of(p, 4096);
        int restores;

        there_and_back(p, staging, 4096);
        for (restores = 0; restores < 2; restores++) {
                device_pin(staging, 4096, 0, NULL);
                use(setting);
                if (restores)
                        ck_assert_int_eq(cuda->copy_in(p, staging, 4096, "model/layer0/weight", &err), 0);
                else
                        ck_assert_int_eq(cuda->copy_out(staging, p, 4096, "model/layer0/weight", &err), 0);
                is_told_once(words);
                there_and_back(p, staging, 4096); /* the next is a new try */
                device_unpin(staging, 4096);
        }
        cudaFree(p);
        munmap(staging, 4096);
}

START_TEST(a_copy_that_cannot_begin_names_tensor_and_device)
{
        fails_once("fail=cudaMemcpyAsync:1:1", "cudaErrorInvalidValue");
}
END_TEST

START_TEST(a_copy_that_fails_on_its_way_names_tensor_and_device)
{
        fails_once("late=10,fail=copy:1", "cudaErrorUnknown");
}
END_TEST

START_TEST(a_failure_of_the_programs_own_work_is_told_as_such)
{
        fails_once("fail=cudaDeviceSynchronize:1:999", "the program's own work");
}
END_TEST

START_TEST(after_an_error_that_stays_every_copy_says_so)
{
        char *staging = on_host(4096);
        void *p = on_device(0, 4096);
        const struct device *cuda = cuda_of(p, 4096);
        int i;

        use("fail=copy:1:700");
        for (i = 0; i < 3; i++) {
                ck_assert_int_eq(cuda->copy_out(staging, p, 4096, "optimizer/m", &err), 0);
                ck_assert_int_eq(device_sync_all(&err), -1);
                ck_assert_msg(strstr(err.text, "optimizer/m") && strstr(err.text, "cudaErrorIllegalAddress"), "%s",
                              err.text);
        }
        use("");
        there_and_back(p, staging, 4096);
        cudaFree(p);
        munmap(staging, 4096);
}
END_TEST

START_TEST(a_tensor_that_was_freed_is_named)
{
        char staging[100];
        void *p = on_device(0, 100);
        const struct device *cuda = cuda_of(p, 100);

        cudaFree(p);
        ck_assert_int_eq(cuda->copy_out(staging, p, 100, "model/b", &err), 0);
        ck_assert_int_eq(device_sync_all(&err), -1);
        ck_assert_msg(strstr(err.text, "tensor 'model/b': what was attached is no CUDA memory any more"), "%s",
                      err.text);
}
END_TEST

START_TEST(of_many_copies_the_first_that_failed_is_told_and_all_are_waited_for)
{
        char *staging = on_host(64 * 1024), name[8][8];
        void *p = on_device(0, 64 * 1024);
        const struct device *cuda = cuda_of(p, 1);
        int i;

        device_pin(staging, 64 * 1024, 0, NULL);
        use("late=5,fail=cudaMemcpyAsync:3:2");
        for (i = 0; i < 8; i++) {
                snprintf(name[i], sizeof name[i], "t%d", i);
                ck_assert_int_eq(cuda->copy_out(staging + 8192 * i, (char *)p + 8192 * i, 8192, name[i], &err), 0);
        }
        ck_assert_int_eq(device_sync_all(&err), -1);
        ck_assert_int_eq(err.code, ENOMEM);
        ck_assert_msg(strstr(err.text, "tensor 't2' on cuda:0") != NULL, "%s", err.text);
        device_unpin(staging, 64 * 1024); /* the stand-in ends a program that does this too early */
        munmap(staging, 64 * 1024);
        cudaFree(p);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "all");

        tcase_add_checked_fixture(all, setup, teardown);
        tcase_add_test(all, where_nothing_can_be_pinned_the_runtime_takes_the_detour);
        tcase_add_test(all, pinned_staging_is_copied_to_without_a_detour);
        tcase_add_test(all, memory_that_is_not_pinned_goes_through_the_ring);
        tcase_add_test(all, a_copy_over_pinned_and_other_stretches_is_divided_at_their_borders);
        tcase_add_test(all, memory_that_is_only_read_is_pinned_as_such_or_goes_through_the_ring);
        tcase_add_test(all, thousands_of_small_tensors_on_all_devices_are_one_batch);
        tcase_add_test(all, thousands_of_small_tensors_share_the_buffers_of_the_ring);
        tcase_add_test(all, what_the_program_has_begun_is_waited_for);
        tcase_add_test(all, pinning_ends_where_it_is_told_to);
        tcase_add_test(all, a_copy_that_cannot_begin_names_tensor_and_device);
        tcase_add_test(all, a_copy_that_fails_on_its_way_names_tensor_and_device);
        tcase_add_test(all, a_failure_of_the_programs_own_work_is_told_as_such);
        tcase_add_test(all, after_an_error_that_stays_every_copy_says_so);
        tcase_add_test(all, a_tensor_that_was_freed_is_named);
        tcase_add_test(all, of_many_copies_the_first_that_failed_is_told_and_all_are_waited_for);
}

SUITE_MAIN("device_cuda_copy", add_tests)
