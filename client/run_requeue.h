/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_requeue: asking the scheduler to run this job again, once everything else is over, and waiting to be ended. */
#ifndef STINT_RUN_REQUEUE_H
#define STINT_RUN_REQUEUE_H

#include "run_journal.h"
#include "scheduler.h"

enum requeued { REQUEUE_NOT = 0, REQUEUE_GRANTED };

/*
 * Asks how things stand, and, unless the job was cancelled or nobody answers, to be requeued.  The answer goes to the
 * journal.  Blocks, at most a few seconds.  text (size bytes) receives why not.
 */
enum requeued requeue_ask(struct scheduler *s, struct journal *j, char *text, size_t size);

/*
 * Waits until this process is ended, or for limit_ns; SIGTERM ends it too.  Never exit early in a grace: the scheduler
 * would take that for the end of the job.
 */
void requeue_wait_for_end(int64_t limit_ns);

#endif
