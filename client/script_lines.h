/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * script_lines: what a batch script says before it runs: its #SBATCH lines, as sbatch reads them, and its first
 * `stint run`.  Reads text, opens nothing, runs nothing.
 */
#ifndef STINT_SCRIPT_LINES_H
#define STINT_SCRIPT_LINES_H

#include <stddef.h>
#include "error.h"

struct script_lines {
        char **words; /* of all #SBATCH lines one after the other, NULL at the end: for sbatch_words_read */
        size_t n;
        int is_script;    /* it begins with "#!", without which sbatch refuses it */
        int has_run;      /* it has a `stint run` */
        int runs;         /* how many */
        char *dir, *name; /* of the first one's --stint-dir and --stint-name, when they stand there as plain text */
        int hidden;       /* they are there, and only the shell knows what they will be ("$HOME/run") */
};

/*
 * Reads n bytes of a script.  -1 with EINVAL when an #SBATCH line has a quote that is not closed (sbatch refuses it
 * too), ENOMEM.
 */
int script_lines_read(struct script_lines *s, const char *text, size_t n, struct stint_error *err);

void script_lines_fini(struct script_lines *s);

#endif
