/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_requeue: asking the scheduler to run this job again, once everything else is over, and waiting to be ended. */
#ifndef STINT_RUN_REQUEUE_H
#define STINT_RUN_REQUEUE_H

#include <stddef.h>
#include "run_journal.h"
#include "scheduler.h"

enum requeued {
        REQUEUE_NOT = 0, /* the job was cancelled, or nobody says that it was not: the chain ends */
        REQUEUE_GRANTED,
        REQUEUE_REFUSED  /* the job stands, and is not run again by this scheduler: a successor may follow it */
};

/*
 * One question: the scheduler looks whether the job was cancelled, and if not puts it back.  Where nobody answers it is
 * asked again for patience_ns (of Slurm alone: while its controller is away it ends no job either).  The outcome goes to
 * the journal, and in words into text (size bytes).  Blocks.
 */
enum requeued requeue_ask(struct scheduler *s, struct journal *j, int64_t patience_ns, char *text, size_t size);

/* What an answer means, or its absence (answer NULL, err); for tests. */
enum requeued requeue_outcome(const struct scheduler_answer *answer, const struct stint_error *err, int *again);

/*
 * Waits until this process is killed, or for limit_ns: whatever else ends here in a grace, Slurm takes for the end of the
 * job, and does not run it again.  SIGTERM and SIGINT, which come before the kill, end nothing.  1: the batch script went
 * first, so the job is over, and this is a leftover of it that nobody may kill; 0: nothing has happened in that time.
 */
int requeue_wait_for_end(int64_t limit_ns);

#endif
