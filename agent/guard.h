/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guard: who watches over the agent of a node, where one line to `stint run` is shared by the agents of several.  That
 * one of them died, a shared line cannot tell; its guard does, and starts it again in place, whatever becomes of the
 * others.
 */
#ifndef STINT_GUARD_H
#define STINT_GUARD_H

#include <stdint.h>
#include "error.h"

#define GUARD_RESTARTS 3                              /* so often within GUARD_RESTARTS_IN an agent is started again */
#define GUARD_RESTARTS_IN (60 * INT64_C(1000000000))

/*
 * Divides the process in two and answers 0 in the child, which is the agent of this node and dies with its guard.  The
 * parent is the guard and does not come back: it passes SIGTERM on, for Slurm may signal the tasks of a step alone, and
 * exits as its last agent did.  -1 when there can be no child.  Before any thread is made, with SIGTERM blocked.
 */
int guard_begin(uint32_t node, struct stint_error *err);

#endif
