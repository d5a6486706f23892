/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * submission: RUN/submit.json and RUN/script: how a run was submitted to Slurm, complete enough to do it again. Written
 * by `stint submit` and `stint resume`; read by them and by a stint that queues its successor.
 */
#ifndef STINT_SUBMISSION_H
#define STINT_SUBMISSION_H

#include <stdint.h>
#include "error.h"
#include "sbatch_call.h"

#define SUBMISSION_FILE "submit.json"
#define SUBMISSION_SCRIPT "script"

enum submission_mode {
        SUBMISSION_AUTO = 0, /* requeued; where that is refused, by a successor */
        SUBMISSION_REQUEUE,  /* requeued, or not continued */
        SUBMISSION_CHAIN     /* by a successor, which is queued early */
};

struct submission {
        char **arguments;        /* of sbatch, one word each, "--time=60"; NULL at the end */
        char **script_arguments; /* NULL at the end */
        char **environment;      /* the SBATCH_... of whoever submitted it, "NAME=value"; NULL at the end */
        char *job_name;          /* what the job is called; NULL: the arguments say it, or sbatch finds a name */
        char *directory;         /* from where it was submitted */
        int has_script;          /* RUN/script is it; else --wrap is among the arguments */
        int array_task;          /* the run is this task of an array; -1: of none */
        enum submission_mode mode;
        char cluster[64];     /* "" when it was not known */
        char job[SBATCH_JOB]; /* the last one that was submitted by a verb; "" */
};

/*
 * Reads RUN/submit.json.  -1 with ENOENT when there is none; EPERM when it, or the script, is not this user's own file:
 * what they say is run with the user's rights.
 */
int submission_read(struct submission *s, const char *run_dir, struct stint_error *err);

/* Writes it, durably. */
int submission_write(const struct submission *s, const char *run_dir, struct stint_error *err);

/* Writes RUN/script, durably. */
int submission_write_script(const char *run_dir, const char *text, size_t n, struct stint_error *err);

void submission_fini(struct submission *s);

const char *submission_mode_name(enum submission_mode mode);

/* Reads one of these names: 0, or -1. */
int submission_mode_read(enum submission_mode *mode, const char *name);

/*
 * The environment for sbatch: this process's, without what belongs to one job or one stint (SLURM_* but SLURM_CONF,
 * SRUN_*, the numbers of its devices, STINT_DIR and what else `stint run` tells its program), and STINT_DIR for
 * run_dir.  With `recorded` not NULL its SBATCH_* stand instead of this process's.  To be given to
 * submission_free_words.
 */
char **submission_environment(const char *run_dir, const struct submission *recorded);
void submission_free_words(char **words);

/* How a run is submitted once more. */
struct submission_again {
        char *const *more; /* options behind the recorded ones, which then count; NULL: none */
        const char *after; /* the job that has to be over before; NULL: none */
        int64_t limit_ns;  /* CLOCK_NEVER: as long as sbatch takes */
        int show;          /* sbatch's own line goes to stdout */
        int quiet;         /* what it says on stderr goes to err */
};

/*
 * Submits the run as it was recorded.  0: job (SBATCH_JOB bytes) is queued.  -1 with the reason; EINVAL when sbatch
 * refused, which with `quiet` 0 it has said itself.
 */
int submission_again(const struct submission *s, const char *run_dir, const struct submission_again *how, char *job,
                     struct stint_error *err);

#endif
