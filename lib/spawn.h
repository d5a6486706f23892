/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spawn: a program that was started without `stint run` gets a coordinator of its own: `stint run --attend`, with no
 * child to supervise, which ends when the program has gone.  session calls in.
 */
#ifndef STINT_SPAWN_H
#define STINT_SPAWN_H

#include <stddef.h>
#include <stdint.h>
#include "error.h"

/*
 * Starts a coordinator for the run directory and waits until its agent is ready, at most until that time; agent (size
 * bytes) receives where it listens.  When another process of this run has started one already, its agent is the answer.
 * The coordinator is no child of this process, has no signal, terminal or descriptor in common with it but stderr.
 */
int spawn_coordinator(const char *dir, char *agent, size_t size, int64_t until_ns, struct stint_error *err);

#endif
