/* SPDX-License-Identifier: BSD-3-Clause */
/* names: tables of words for enums, and the rules for names of tensors.  All who write words call in. */
#include "names.h"

#include <errno.h>
#include <string.h>
#include "utf8.h"

static const struct {
        const char *word;
        size_t bytes;
} dtypes[] = {
        [STINT_U8] = {"uint8", 1},      [STINT_I8] = {"int8", 1},          [STINT_U16] = {"uint16", 2},
        [STINT_I16] = {"int16", 2},     [STINT_U32] = {"uint32", 4},       [STINT_I32] = {"int32", 4},
        [STINT_U64] = {"uint64", 8},    [STINT_I64] = {"int64", 8},        [STINT_F16] = {"float16", 2},
        [STINT_BF16] = {"bfloat16", 2}, [STINT_F32] = {"float32", 4},      [STINT_F64] = {"float64", 8},
        [STINT_C64] = {"complex64", 8}, [STINT_C128] = {"complex128", 16}, [STINT_BOOL] = {"bool", 1},
};

static const char *const roles[] = {
        [STINT_ROLE_AUTO] = "other",          [STINT_ROLE_MODEL] = "model",     [STINT_ROLE_LOSS] = "loss",
        [STINT_ROLE_OPTIMIZER] = "optimizer", [STINT_ROLE_RNG] = "rng",         [STINT_ROLE_RNG_DEVICE] = "rng_device",
        [STINT_ROLE_DATA] = "data",           [STINT_ROLE_METRICS] = "metrics", [STINT_ROLE_OTHER] = "other",
};

static const char *const devices[] = {
        [STINT_DEVICE_AUTO] = "?",
        [STINT_DEVICE_HOST] = "host",
        [STINT_DEVICE_SIM] = "sim",
        [STINT_DEVICE_CUDA] = "cuda",
};

static const char *const goals[] = {
        [STINT_GOAL_NONE] = "none",
        [STINT_GOAL_MIN] = "min",
        [STINT_GOAL_MAX] = "max",
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const char *dtype_name(enum stint_dtype dtype)
{
        return (size_t)dtype < COUNT(dtypes) ? dtypes[dtype].word : NULL;
}

size_t dtype_size(enum stint_dtype dtype)
{
        return (size_t)dtype < COUNT(dtypes) ? dtypes[dtype].bytes : 0;
}

const char *role_name(enum stint_role role)
{
        return (size_t)role < COUNT(roles) ? roles[role] : "other";
}

enum stint_role role_from_name(const char *name)
{
        /* Not in this list: which generator is a device's, no name can say; the program sets STINT_ROLE_RNG_DEVICE. */
        static const enum stint_role by_name[] = {STINT_ROLE_MODEL, STINT_ROLE_LOSS, STINT_ROLE_OPTIMIZER,
                                                  STINT_ROLE_RNG,   STINT_ROLE_DATA, STINT_ROLE_METRICS};
        size_t n = strcspn(name, "/");

        for (size_t i = 0; i < COUNT(by_name); i++) {
                const char *word = roles[by_name[i]];

                if (strlen(word) == n && memcmp(word, name, n) == 0)
                        return by_name[i];
        }
        return STINT_ROLE_OTHER;
}

int role_is_own(enum stint_role role)
{
        return role == STINT_ROLE_RNG || role == STINT_ROLE_RNG_DEVICE || role == STINT_ROLE_DATA;
}

const char *device_name(enum stint_device device)
{
        return (size_t)device < COUNT(devices) ? devices[device] : "?";
}

const char *goal_name(enum stint_goal goal)
{
        return (size_t)goal < COUNT(goals) ? goals[goal] : "none";
}

int goal_from_name(const char *word)
{
        for (size_t i = 0; i < COUNT(goals); i++)
                if (strcmp(word, goals[i]) == 0)
                        return (int)i;
        return -1;
}

static int is_dots(const char *component, size_t n)
{
        return (n == 1 || n == 2) && memcmp(component, "..", n) == 0;
}

/* The name is not in these sentences where its bytes may be such that no terminal should see them. */
static int check_characters(const char *name, struct stint_error *err)
{
        uint32_t character;
        int length;

        for (const char *at = name; *at; at += length) {
                length = utf8_next(at, &character);
                if (length == 0)
                        return error_set(err, EINVAL, "the name of a tensor is not UTF-8: byte %zu is 0x%02x",
                                         at - name, (unsigned char)*at);
                if (utf8_is_control(character))
                        return error_set(err, EINVAL,
                                         "the name of a tensor has a control character, U+%04X, at byte %zu",
                                         (unsigned)character, at - name);
        }
        return 0;
}

int tensor_name_check(const char *name, struct stint_error *err)
{
        size_t n;

        if (!name || !*name)
                return error_set(err, EINVAL, "a tensor needs a name; this one is empty");
        n = strnlen(name, STINT_MAX_NAME + 1);
        if (n > STINT_MAX_NAME)
                return error_set(err, EINVAL, "the name of a tensor is longer than %d bytes", STINT_MAX_NAME);
        if (check_characters(name, err) < 0)
                return -1;
        for (const char *component = name;; component += n + 1) {
                n = strcspn(component, "/");
                if (n == 0)
                        return error_set(err, EINVAL,
                                         "'%s': a name neither begins nor ends with a slash, nor has two in a row",
                                         name);
                if (is_dots(component, n))
                        return error_set(err, EINVAL, "'%s': no component of a name may be '.' or '..'", name);
                if (component[n] == '\0')
                        return 0;
        }
}
