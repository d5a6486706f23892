/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_attend: `stint run --attend FD`: the coordinator of programs that were started by themselves.  It has no child;
 * it says once, on that descriptor, where its agent is ("agent NAME"), whose agent there is already ("held NAME"), or
 * why there is none ("error TEXT"), and ends when the last rank has gone.
 */
#ifndef STINT_RUN_ATTEND_H
#define STINT_RUN_ATTEND_H

#include "error.h"

struct run;

/* The agent is ready, or will not be. */
void attend_tell(struct run *r, int ready);

/* It could not even begin.  When another attending coordinator on this host was first, its agent is named. */
void attend_refuse(struct run *r, const struct stint_error *err);

/* 1 when no rank is left, and none has come back for a while. */
int attend_is_over(const struct run *r);

#endif
