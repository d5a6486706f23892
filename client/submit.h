/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * submit: what `stint submit` knows of the job it is about to hand to sbatch: its words, its script, its run directory,
 * the cluster.  cmd_submit.c has the story, submit_find.c looks things up, submit_checks.c finds what will go wrong.
 */
#ifndef STINT_SUBMIT_H
#define STINT_SUBMIT_H

#include "cluster.h"
#include "error.h"
#include "rundir.h"
#include "scheduler.h"
#include "sbatch_words.h"
#include "script_lines.h"
#include "submission.h"

struct submit {
        /* the command line */
        char *const *argv;         /* the words behind "submit", NULL at the end */
        struct sbatch_words words; /* its options */
        const char *dir_option, *name_option;
        enum submission_mode mode;
        int anywhere;

        /* the script */
        const char *script; /* as it was given; NULL: from stdin, or --wrap */
        int from_stdin;
        char *text;
        size_t size;
        struct script_lines lines;
        struct sbatch_words script_words;

        /* the run */
        char job_dir[RUNDIR_PATH]; /* where the job will run */
        char run[RUNDIR_PATH];     /* its directory; of an array with %a for the task */
        const char *array;         /* what --array says; NULL: it is none */

        struct cluster cluster;
        int has_cluster; /* it has answered */
};

/* Where an option was found: the command line counts, then the environment, then the script. */
enum submit_where { SUBMIT_NOWHERE = 0, SUBMIT_LINE, SUBMIT_ENVIRONMENT, SUBMIT_SCRIPT };

/* How an option is set in the end, with its value ("" for none) in *value (may be NULL). */
enum submit_where submit_option(const struct submit *s, const char *name, const char **value);
const char *submit_where_name(enum submit_where where);

/* Whether Slurm may requeue the job by itself: 1, 0, or -1 when nothing says so; *where receives what does. */
int submit_requeue(const struct submit *s, enum submit_where *where);

/* Reads the script that will run, from its file, from PATH as sbatch does, or from stdin. */
int submit_find_script(struct submit *s, struct stint_error *err);

/* Finds the run directory: by our options, by those of the script's `stint run`, or the default of `stint run`. */
int submit_find_run(struct submit *s, struct stint_error *err);

/* The run directory of a task; run itself when it is no array.  out: RUNDIR_PATH bytes.  Answers out. */
const char *submit_task_run(const struct submit *s, int task, char *out);

/*
 * What can be known before anything is queued: warnings are said; -1 with the first thing that cannot be left so.
 */
int submit_check(struct submit *s, struct stint_error *err);

/* 0 when the run neither runs nor waits in the queue; -1 with EBUSY and who has it.  Waits for a job that is ending. */
int submit_check_free(const char *run, struct scheduler *slurm, struct stint_error *err);

void submit_fini(struct submit *s);

#endif
