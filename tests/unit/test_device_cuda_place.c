/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_device_cuda_place: which of CUDA's devices a model is told to go to, by what CUDA_VISIBLE_DEVICES leaves and by
 * what was said, through the plugin and the stand-in for the CUDA runtime, which has three devices.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cuda_memory.h"
#include "safepoint.h"
#include "suite.h"

static const char *const words[] = { "auto", "cuda", "cuda:0", "cuda:2", "cpu" };
#define WORDS (sizeof words / sizeof words[0])

/* NULL as the list: unset.  "" is a refusal; auto is asked for a tensor that no checkpoint has. */
static const struct {
        const char *visible;
        const char *place[WORDS];
} cells[] = {
        { NULL, { "cuda:0", "cuda:0", "cuda:0", "cuda:2", "host memory" } },
        { "1", { "cuda:0", "cuda:0", "cuda:0", "", "host memory" } },
        { "2,0,1", { "cuda:0", "cuda:0", "cuda:0", "cuda:2", "host memory" } },
        { "", { "host memory", "", "", "", "host memory" } },
        { "-1", { "host memory", "", "", "", "host memory" } },
        { "NoDevFiles", { "host memory", "", "", "", "host memory" } },
};
#define CELLS (sizeof cells / sizeof cells[0])

/*
 * What is visible is found out once in a process, so each list of it is asked about in a child; these tests come first,
 * before the parent has touched CUDA.  0 when all was as it should be.
 */
static int seeing(const char *visible, int (*look)(const void *arg), const void *arg)
{
        pid_t child = fork();
        int status;

        if (child == 0) {
                if (visible)
                        setenv("CUDA_VISIBLE_DEVICES", visible, 1);
                else
                        unsetenv("CUDA_VISIBLE_DEVICES");
                setup();
                _exit(look(arg));
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* "" and err when it is refused. */
static const char *place_of(const char *model_device, const struct stint_place *saved)
{
        static char text[PLACE_TEXT];
        const struct placement_question q = { .role = STINT_ROLE_MODEL, .ndim = 1, .saved = saved };
        struct stint_options options = STINT_OPTIONS;
        struct stint_place place;
        struct placement p;

        options.model_device = model_device;
        ck_assert_int_eq(placement_init(&p, &options, &err), 0);
        return placement_of(&p, &q, &place, &err) < 0 ? "" : place_format(text, &place);
}

/* How many words lead elsewhere than the cell says. */
static int look_at_cell(const void *arg)
{
        const char *const *wanted = arg, *place;
        int wrong = 0;
        size_t word;

        for (word = 0; word < WORDS; word++) {
                place = place_of(words[word], NULL);
                if (strcmp(place, wanted[word]) == 0 && (*place || err.code == ENODEV))
                        continue;
                fprintf(stderr, "'%s' is '%s' and not '%s' (%s)\n", words[word], place, wanted[word], err.text);
                wrong++;
        }
        return wrong;
}

START_TEST(a_model_goes_to_what_is_visible_or_is_refused)
{
        ck_assert_msg(seeing(cells[_i].visible, look_at_cell, cells[_i].place) == 0, "with '%s'",
                      cells[_i].visible ? cells[_i].visible : "unset");
}
END_TEST

/* 1: it is refused, and the host when that is said; 2: it goes to cuda:0. */
static int look_for_lost(const void *arg)
{
        const struct stint_place saved = { STINT_DEVICE_CUDA, 1 };
        const char *place = place_of("auto", &saved);

        (void)arg;
        if (*place)
                return strcmp(place, "cuda:0") ? 0 : 2;
        return strstr(err.text, "it was on cuda:1") && !strcmp(place_of("cpu", &saved), "host memory");
}

START_TEST(h37_without_a_device_a_model_from_one_is_refused)
{
        ck_assert_int_eq(seeing("", look_for_lost, NULL), 1);
        ck_assert_int_eq(seeing("2", look_for_lost, NULL), 2);
}
END_TEST

START_TEST(h40_the_current_device_of_the_process_is_the_one_in_use)
{
        setup();
        ck_assert_int_eq(cudaSetDevice(2), cudaSuccess);
        ck_assert_str_eq(place_of("auto", NULL), "cuda:2");
        ck_assert_str_eq(place_of("cuda", NULL), "cuda:2");
        ck_assert_int_eq(cudaSetDevice(0), cudaSuccess);
}
END_TEST

START_TEST(its_memory_is_told_once_the_program_uses_it_and_never_before)
{
        const struct device *cuda;
        uint64_t left = 0, all = 0;
        void *p;

        setup();
        cuda = device_of_kind(STINT_DEVICE_CUDA, &err);
        ck_assert_ptr_nonnull(cuda);
        ck_assert_int_eq(cudaSetDevice(2), cudaSuccess);
        if (!standin_context(1)) {
                ck_assert_int_eq(cuda->memory(1, &left, &all, &err), 1);
                ck_assert_int_eq(standin_context(1), 0);
                ck_assert_uint_eq(all, 256 * MIB); /* what it has altogether can be told all the same */
                ck_assert_uint_eq(left, 256 * MIB);
        }
        p = on_device(1, 64 * MIB);
        ck_assert_int_eq(cuda->memory(1, &left, &all, &err), 0);
        ck_assert_uint_eq(all, 256 * MIB);
        ck_assert_uint_eq(left, 192 * MIB);
        cudaSetDevice(0); /* nor is one asked that is not the current one */
        ck_assert_int_eq(cuda->memory(1, &left, &all, &err), 1);
        ck_assert_uint_eq(left, 256 * MIB);
        ck_assert_int_eq(cuda->memory(3, &left, &all, &err), 1);
        ck_assert_uint_eq(all, 0);
        cudaFree(p);
}
END_TEST

/* Of a program that has not begun with the device what is free is not known, and what there is is too little. */
static int look_for_room(const void *arg)
{
        struct stint_tensor t = { .dtype = STINT_F32, .ndim = 1, .shape = { 65 << 20 } };
        struct stint *s = stint_open(NULL, NULL);
        struct stint_place place;
        int wrong;

        (void)arg;
        wrong = stint_place(s, "model/w", &t, NULL, &place) != -1 || s->why.code != ENOMEM ||
                !strstr(s->why.text, "'model/w' has 260.0 MiB, and is to be on cuda:0, which has 256.0 MiB");
        if (wrong)
                fprintf(stderr, "%s\n", s->why.text);
        t.shape[0] = 64 << 20;
        wrong += stint_place(s, "model/w", &t, NULL, &place) != 0 || standin_context(0);
        stint_close(s);
        return wrong;
}

START_TEST(a_tensor_larger_than_the_device_is_refused_before_the_program_uses_it)
{
        setenv("STINT_DIR", "off", 1);
        ck_assert_int_eq(seeing("1,0", look_for_room, NULL), 0);
}
END_TEST

START_TEST(a_device_that_does_not_say_what_is_free_is_told_with_the_tensor)
{
        const struct stint_tensor t = { .dtype = STINT_F32, .ndim = 1, .shape = { 8 } };
        struct stint_place place;
        struct stint *s;

        setup();
        setenv("STINT_DIR", "off", 1);
        s = stint_open(NULL, NULL);
        ck_assert_int_eq(cudaSetDevice(2), cudaSuccess);
        use("fail=cudaMemGetInfo:1:999");
        ck_assert_int_eq(stint_place(s, "model/w", &t, NULL, &place), -1);
        ck_assert_int_eq(s->why.code, EIO);
        ck_assert_msg(strstr(s->why.text, "tensor 'model/w': cuda:2 does not say"), "%s", s->why.text);
        ck_assert_int_eq(cudaPeekAtLastError(), cudaSuccess);
        use("");
        ck_assert_int_eq(stint_place(s, "model/w", &t, NULL, &place), 0);
        stint_close(s);
        ck_assert_int_eq(cudaSetDevice(0), cudaSuccess);
}
END_TEST

START_TEST(a_tensor_of_which_cuda_does_not_say_whose_it_is_is_refused_by_its_name)
{
        struct stint_tensor t = { .dtype = STINT_F32, .ndim = 1, .shape = { 8 } };
        struct stint *s;

        setup();
        setenv("STINT_DIR", "off", 1);
        s = stint_open(NULL, NULL);
        t.data = on_device(1, 32);
        use("fail=cudaPointerGetAttributes:1:999");
        ck_assert_int_eq(stint_attach(s, "optimizer/m", &t), -1);
        ck_assert_int_eq(s->why.code, ENODEV);
        ck_assert_msg(strstr(s->why.text, "tensor 'optimizer/m'") && strstr(s->why.text, "cudaErrorUnknown"), "%s",
                      s->why.text);
        use("");
        ck_assert_int_eq(stint_attach(s, "optimizer/m", &t), 0);
        stint_close(s);
        cudaFree(t.data);
        ck_assert_int_eq(cudaSetDevice(0), cudaSuccess);
}
END_TEST

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "device_cuda_place");

        tcase_add_loop_test(all, a_model_goes_to_what_is_visible_or_is_refused, 0, (int)CELLS);
        tcase_add_test(all, h37_without_a_device_a_model_from_one_is_refused);
        tcase_add_test(all, a_tensor_larger_than_the_device_is_refused_before_the_program_uses_it);
        tcase_add_test(all, a_device_that_does_not_say_what_is_free_is_told_with_the_tensor);
        tcase_add_test(all, a_tensor_of_which_cuda_does_not_say_whose_it_is_is_refused_by_its_name);
        tcase_add_test(all, its_memory_is_told_once_the_program_uses_it_and_never_before);
        tcase_add_test(all, h40_the_current_device_of_the_process_is_the_one_in_use);
}

SUITE_MAIN("device_cuda_place", add_tests)
