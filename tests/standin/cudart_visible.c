/* A stand-in for the CUDA runtime: CUDA_VISIBLE_DEVICES.  SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cudart_visible: which devices the variable leaves; cudart.c calls in.  stint has a reader of the same rules,
 * lib/common/visible.c, and this is not it: who explains what a runtime will do is to be tested against a runtime that
 * does not ask him.  The two share no code and go different ways: this one has the functions of libc by whose names the
 * rules are told (docs/devices.md), and no verdicts.  tests/unit/test_visible_standin.c compares them on more than a
 * million lists.
 */
#include "standin.h"

#include <stdlib.h>
#include <string.h>

/* The machine: whole and divided GPUs by the first letters of their UUIDs, each instance behind its GPU. */
struct machine {
        const char *const *uuid;
        int n;
};

static int is_instance(const struct machine *m, int i)
{
        return i < m->n && !strncmp(m->uuid[i], "MIG-", 4);
}

static int is_divided(const struct machine *m, int i)
{
        return !is_instance(m, i) && is_instance(m, i + 1);
}

/* Every device that has a number, in its order: what is whole, then one instance of each divided GPU. */
static int enumerate(const struct machine *m, int *chosen)
{
        int i, n = 0;

        for (i = 0; i < m->n; i++)
                if (!is_instance(m, i) && !is_divided(m, i))
                        chosen[n++] = i;
        for (i = 0; i < m->n; i++)
                if (is_divided(m, i))
                        chosen[n++] = i + 1;
        return n;
}

/* The only entry of that kind whose UUID begins with the word; -1. */
static int begins(const struct machine *m, int instance, const char *word)
{
        int i, found = -1;

        for (i = 0; i < m->n; i++)
                if (is_instance(m, i) == instance && !strncmp(m->uuid[i], word, strlen(word))) {
                        if (found >= 0)
                                return -1;
                        found = i;
                }
        return found;
}

static int by_number(const struct machine *m, const char *word)
{
        int all[STANDIN_MOST], n = enumerate(m, all);
        char *end;
        long number = strtol(word, &end, 10);

        return end != word && number >= 0 && number < n ? all[number] : -1;
}

static int by_gpu(const struct machine *m, const char *word)
{
        int gpu = begins(m, 0, word);

        return gpu >= 0 && is_divided(m, gpu) ? gpu + 1 : gpu;
}

/* "GPU-.../I/0", the older form without its "MIG-": here the I-th instance of each GPU has that number, from 1. */
static int by_numbers(const struct machine *m, char *word)
{
        char *slash = strchr(word, '/'), *compute = slash ? strchr(slash + 1, '/') : NULL;
        unsigned long i, k;
        int gpu;

        if (!compute || strspn(slash + 1, "0123456789") != (size_t)(compute - slash - 1) ||
            strspn(compute + 1, "0123456789") != strlen(compute + 1) || !compute[1])
                return -1;
        *slash = '\0';
        gpu = begins(m, 0, word);
        i = strtoul(slash + 1, NULL, 10);
        if (gpu < 0 || i < 1 || i > STANDIN_MOST || strtoul(compute + 1, NULL, 10) != 0)
                return -1;
        for (k = 1; k <= i; k++)
                if (!is_instance(m, gpu + (int)k))
                        return -1;
        return gpu + (int)i;
}

static int by_instance(const struct machine *m, char *word)
{
        int found = begins(m, 1, word);

        return found < 0 && !strncmp(word, "MIG-GPU-", 8) ? by_numbers(m, word + 4) : found;
}

/* 'G', 'M', or 'n' for a list of numbers. */
static char kind_of(const char *word)
{
        return !strncmp(word, "GPU-", 4) || !strncmp(word, "MIG-", 4) ? word[0] : 'n';
}

static int read_list(const struct machine *m, char *rest, int *chosen)
{
        const char kind = kind_of(rest);
        char *word;
        int i, k, n = 0;

        while ((word = strsep(&rest, ","))) {
                if (kind_of(word) != kind)
                        break;
                i = kind == 'n' ? by_number(m, word) : kind == 'G' ? by_gpu(m, word) : by_instance(m, word);
                if (i < 0)
                        break;
                for (k = 0; k < n; k++)
                        if (chosen[k] == i)
                                return 0;
                chosen[n++] = i;
        }
        return n;
}

STANDIN_API int standin_visible(const char *const *uuid, int n, const char *text, int *chosen)
{
        const struct machine m = {uuid, n};
        char *copy = strdup(text ? text : "");
        int i, seen;

        if (!copy)
                abort();
        seen = !text ? enumerate(&m, chosen) : *text ? read_list(&m, copy, chosen) : 0;
        free(copy);
        for (i = 0; i < seen; i++)
                if (is_instance(&m, chosen[i])) {
                        chosen[0] = chosen[i];
                        return 1;
                }
        return seen;
}
