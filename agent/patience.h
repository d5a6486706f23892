/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * patience: how long a streamed save may hold training.  A disk that hangs holds the program that fills the window; the
 * limit of a final save is the deadline, and that of all others is here.  Called by watch.
 */
#ifndef STINT_PATIENCE_H
#define STINT_PATIENCE_H

#include "deadline.h"
#include "ranks.h"

/*
 * Ends the saves that have held training for longer than deadline_patience: their programs train on, and the writes fail
 * when the disk lets go of them.  Until then they are in flight, as any write that hangs.
 */
void patience_look(struct ranks *r, const struct deadline_measured *measured, uint64_t state_bytes);

/* What became of a save. */
void patience_result(struct ranks *r, const struct wire_run_result *m);

#endif
