/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_successor: the job that carries on after this one, in chain mode queued early, else only when this one is not run
 * again.  It waits for the end of this job (afterany), and the journal has its number: this job, run again, finds it
 * there and queues no other.
 */
#ifndef STINT_RUN_SUCCESSOR_H
#define STINT_RUN_SUCCESSOR_H

#include <jansson.h>
#include <stdint.h>
#include "submission.h"

struct run;

struct successor {
        int opened;                /* successor_open was here */
        int possible;              /* this is a job of Slurm, and the run knows how it was submitted */
        int chain;                 /* chain mode: a successor goes before a requeue */
        int early;                 /* and it is queued as soon as this job is known to run */
        int queueing;              /* a thread is at it */
        int refused;               /* Slurm has it, and it was cancelled: somebody wants no other */
        int64_t again_ns;          /* when the next attempt is due, after one that failed; 0: none did */
        struct submission record;
        char after[SBATCH_JOB];    /* what it waits for: this job, as sbatch names it */
        char job[SBATCH_JOB];      /* its number; "" until it is queued */
};

/* Reads how this run was submitted, and which successor the journal has already. */
void successor_open(struct run *r);

/* In chain mode: queues it, or finds the one that is queued, in a thread. */
void successor_begin(struct run *r);

/* Once a second: tries again what failed. */
void successor_tick(struct run *r);

/* A successor may be queued: the mode of the run is not requeue alone. */
int successor_may(const struct run *r);

/*
 * The end of the stint, which is to be continued by a successor: 1 when one is queued, now or before; 0 with the reason
 * in text.  Blocks.
 */
int successor_ensure(struct run *r, char *text, size_t size);

/* The end of the chain: one that is queued is cancelled. */
void successor_withdraw(struct run *r);

void successor_close(struct run *r);

/*
 * 1 when this job was queued as successor of a job that was cancelled since: it is not to go on with its run.  Asked
 * before anything of the run is touched.
 */
int successor_of_cancelled(struct run *r, char *predecessor, size_t size);

/* From the lines of a journal: the successor of that job, not withdrawn, and the job whose successor that job is.  "". */
const char *successor_in_journal(const json_t *lines, const char *after);
const char *successor_predecessor(const json_t *lines, const char *job);

/* How many stints in a row, up to the last that has ended, were killed or ran into their limit and landed nothing. */
unsigned successor_idle(const json_t *lines);

#endif
