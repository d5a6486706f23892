/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sbatch_call: one call of sbatch: its words, its folder, its environment, and the job that it says it has queued. */
#ifndef STINT_SBATCH_CALL_H
#define STINT_SBATCH_CALL_H

#include <stddef.h>
#include <stdint.h>
#include "error.h"

#define SBATCH_JOB 64

struct sbatch_call {
        char *const *words;    /* "sbatch" first, NULL at the end */
        char *const *environ;  /* NULL at the end */
        const char *directory; /* NULL: this one */
        const char *input;     /* a file for its stdin; NULL: ours */
        int64_t limit_ns;      /* then it is killed; CLOCK_NEVER: as long as it takes */
        int show;              /* what it says on stdout goes to ours, as it comes */
        int quiet;             /* what it says on stderr goes into the error, and not to ours */

        int exit_code;        /* what became of it: 128 + signal when that ended it */
        char job[SBATCH_JOB]; /* "" when it named none, as with --quiet or --test-only */
};

/*
 * 0 when sbatch ran, whatever it exited with; -1 with ENOENT when there is none in PATH, ETIMEDOUT when it was killed
 * because its time was up.  Not through the shell.  Blocks; callable in a thread.
 * With quiet, err is filled in too when it exited with another code than 0.
 */
int sbatch_call(struct sbatch_call *c, struct stint_error *err);

/*
 * Reads the id in a line of sbatch's: "Submitted batch job 7", "... 7 on cluster c", or with --parsable "7" and "7;c".
 * 1 with the id in job (SBATCH_JOB bytes); 0 when it is another line.
 */
int sbatch_job_read(const char *line, char *job);

#endif
