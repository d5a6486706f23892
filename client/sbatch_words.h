/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sbatch_words: which options of sbatch a line of words has, and where its script begins.  What they mean is sbatch's
 * affair; only where one ends and the next begins must be known here, and a few that stint has a word on.
 */
#ifndef STINT_SBATCH_WORDS_H
#define STINT_SBATCH_WORDS_H

#include <stddef.h>
#include "error.h"

struct sbatch_option {
        char *name;       /* "open-mode"; an option sbatch_words does not know as it was written, without dashes */
        char *value;      /* NULL: none */
        int first, words; /* where in the line it stands; two of a bundle ("-HQ") stand in the same place */
        int ours;         /* --stint-... : not for sbatch */
};

struct sbatch_words {
        struct sbatch_option *options;
        size_t n;
        int script; /* index of the first word that is no option; of the NULL behind the last one: there is none */
};

/*
 * Reads words (NULL at the end) as sbatch(1) 22.05 to 25.05 would: "--name=value", "--name value", unambiguous
 * abbreviations, "-N2", "-N 2", bundles of letters, "--", and ":" between the parts of a heterogeneous job.  -1 with
 * EINVAL when an option is not known and the word behind it may be its value or the script: nobody here guesses.
 */
int sbatch_words_read(struct sbatch_words *w, char *const *words, struct stint_error *err);

/* The last of that name, which is the one that counts; NULL. */
const struct sbatch_option *sbatch_words_find(const struct sbatch_words *w, const char *name);

/*
 * The line with one word an option, "--open-mode=append", for a later sbatch with the same wishes.  Left out is what
 * was meant for that one time, or for who was looking: --begin, --dependency, --hold, --parsable, --quiet, --test-only,
 * --wait, and stint's own.  NULL at its end, to be given to sbatch_words_free_line; NULL: no memory.
 */
char **sbatch_words_again(const struct sbatch_words *w);
void sbatch_words_free_line(char **line);

void sbatch_words_fini(struct sbatch_words *w);

/*
 * The task numbers that --array=TEXT names ("0-3,7,10-20:5%2"), in order, at most `most` of them into out.  Answers how
 * many there are; -1 when it cannot be read.
 */
int sbatch_array_read(const char *text, int *out, int most);

#endif
