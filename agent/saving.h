/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * saving: one save as the agent sees it: ask the programs, take their snapshots, have them written, report.  Which
 * saves there are, and what they amount to, is decided by `stint run`.
 */
#ifndef STINT_SAVING_H
#define STINT_SAVING_H

#include "ranks.h"

/* `stint run` wants a save, or a further attempt at one. */
void saving_ask(struct ranks *r, const struct wire_run_save *m);

/* The save that was asked for last is asked of that program once more: what it streamed came to nothing. */
void saving_ask_again(struct rank *rank);

/* ... and says what became of it: programs hear it, and what was kept for another attempt is let go. */
void saving_result(struct ranks *r, const struct wire_run_result *m);

/* A program has copied its state, or could not. */
void saving_snapshot(struct rank *rank, const struct wire_snapshot *m);
void saving_streamed(struct rank *rank, const struct wire_streamed *m); /* all of it has come, after SNAPSHOT */
void saving_snapshot_failed(struct rank *rank, const struct wire_snapshot_failed *m);

/* A program's connection is over: a save that it had not reached fails; one that is in staging goes on. */
void saving_gone(struct rank *rank);

/* No further attempt will come: lets go of the snapshots kept for one.  What waits to be written is written still. */
void saving_forget(struct rank *rank);

/* Whether a snapshot of that program may still be needed. */
int saving_keeps(const struct rank *rank);

/* The program has another image now. */
void saving_image_came(struct rank *rank);

/*
 * `stint run` is gone in the midst of a grace: asks the programs for a last save, unless one is on its way.  0: there is
 * none to ask, or it is not known what to ask for, because this stint has not saved yet.
 */
int saving_ask_alone(struct ranks *r);

/* Whether the state of a program is on its way through a window. */
int saving_streams(const struct ranks *r);

/* Whether a program has yet to come to its safe point for a save. */
int saving_awaited(const struct ranks *r);

#endif
