/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * restoring: one restore as the agent sees it: a program asks, `stint run` chooses a checkpoint, the file is read and
 * checked, and handed over once every rank of the run has its own.
 */
#ifndef STINT_RESTORING_H
#define STINT_RESTORING_H

#include "ranks.h"

/* A program wants its state back, and says later what it made of it. */
void restoring_ask(struct rank *rank, const struct wire_restore *m);
void restoring_done(struct rank *rank, const struct wire_restore_done *m);

/* `stint run` says what the next checkpoint is made of, and which it is, or that there is none; and later that every
 * rank has read it. */
void restoring_pieces(struct ranks *r, const struct wire_run_pieces *m);
void restoring_read(struct ranks *r, const struct wire_run_restore *m);
void restoring_use(struct ranks *r, const struct wire_run_use *m);

/* The program is gone: nobody takes what is being brought to it. */
void restoring_gone(struct rank *rank);

/* Lets go of an image that was read and not handed over. */
void restoring_drop(struct rank *rank);

#endif
