/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * names: words for the enums of stint.h, and which names a tensor may have.  Files, messages and verbs use these words.
 */
#ifndef STINT_NAMES_H
#define STINT_NAMES_H

#include "error.h"

/* "float32", "bfloat16", "bool", ...: h5py's and numpy's words; NULL for a value that is none. */
const char *dtype_name(enum stint_dtype dtype);
size_t dtype_size(enum stint_dtype dtype);

/* "model", "optimizer", "rng", ...; "other" for anything unknown. */
const char *role_name(enum stint_role role);

/* The role that a name's first component stands for; STINT_ROLE_OTHER when it stands for none. */
enum stint_role role_from_name(const char *name);

/* 1 for state that is of a rank and of no other: generators, and the position in the data. */
int role_is_own(enum stint_role role);

/* "host", "sim", "cuda"; "?" for anything else. */
const char *device_name(enum stint_device device);

/* "min", "max", "none"; and back: -1 for another word. */
const char *goal_name(enum stint_goal goal);
int goal_from_name(const char *word);

/* 0 when name may name a tensor (the rules are at stint_attach), else -1 with EINVAL and the rule that it breaks. */
int tensor_name_check(const char *name, struct stint_error *err);

#endif
