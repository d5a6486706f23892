/* SPDX-License-Identifier: BSD-3-Clause */
/* reach: from a session without an agent to one that has been welcomed. */
#ifndef STINT_REACH_H
#define STINT_REACH_H

#include <stdint.h>
#include "session.h"

#define REACH_FIRST_NS (50 * CLOCK_MS) /* the wait before the first try again; each one after it is twice as long */
#define REACH_BACK_NS (10 * CLOCK_SECOND) /* for an agent that broke off while a save or a restore waits for it */

/* Finds the agent that is named in the environment, or starts a coordinator for dir (NULL: as the environment says). */
int reach_first(struct session *s, const char *dir, struct stint_error *err);

/*
 * One more try after the connection broke; the coordinator of a program without `stint run` is started again once.  -1
 * sets when to try next, or ->off when the agent refused for good.
 */
int reach_again(struct session *s);

/* Tries to reach the agent until then: 0, or -1. */
int reach_until(struct session *s, int64_t until_ns);

#endif
