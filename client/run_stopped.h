/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_stopped: a stint notices that somebody has stopped or cancelled its run, from whatever node: RUN/STOPPED is
 * there.
 */
#ifndef STINT_RUN_STOPPED_H
#define STINT_RUN_STOPPED_H

struct run;

/* Looks for RUN/STOPPED, once a second at most every few: a final save, or without one when it was cancelled. */
void stopped_look(struct run *r);

/* Whether the run is stopped now; says so once.  Asked before a stint begins and before it is continued. */
int stopped_is(struct run *r);

#endif
