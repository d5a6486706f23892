/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pick: which run directory a verb is about: the one named, or the only one there is here. */
#ifndef STINT_PICK_H
#define STINT_PICK_H

#include <stddef.h>
#include "error.h"
#include "rundir.h"

/*
 * The run that `named` is (NULL: "." when it is one, else the only *.stint here) into out, RUNDIR_PATH bytes.  -1 when
 * there is none or more than one, with what to do.
 */
int pick_run(char *out, const char *named, struct stint_error *err);

/*
 * As pick_run, with the words of a verb, of which at most `most` are allowed: the first may be the run directory or
 * left out when it is none.  *rest receives the words behind it.
 */
int pick_from_words(char *out, char **words, int most, char ***rest, struct stint_error *err);

struct pick_list {
        char (*runs)[RUNDIR_PATH];
        size_t n;
};

/* All runs named by words, or without any "." or every *.stint here, by name.  An empty list is not an error. */
int pick_runs(struct pick_list *list, char **words, struct stint_error *err);

void pick_list_fini(struct pick_list *list);

#endif
