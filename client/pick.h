/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pick: which run directory a verb is about, and which of its checkpoints: the one named, or the only or newest one. */
#ifndef STINT_PICK_H
#define STINT_PICK_H

#include <stddef.h>
#include "catalog.h"
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

/*
 * The checkpoint that a word means: NULL or "newest", "best", a step, or a name as `stint ls` shows it.  NULL and err
 * when there is none.  One whose manifest does not hold may be it: has_manifest tells.
 */
const struct catalog_entry *pick_checkpoint(const struct catalog *c, const char *word, struct stint_error *err);

struct pick_list {
        char (*runs)[RUNDIR_PATH];
        size_t n;
};

/* All runs named by words, or without any "." or every *.stint here, by name.  An empty list is not an error. */
int pick_runs(struct pick_list *list, char **words, struct stint_error *err);

void pick_list_fini(struct pick_list *list);

#endif
