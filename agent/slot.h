/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slot: the file of a checkpoint that `stint run` has retired (client/run_slots.c), taken to be written over: blocks
 * that a disk has given out already are written at twice the speed of new ones.  The writer calls in.
 */
#ifndef STINT_SLOT_H
#define STINT_SLOT_H

#include <stdint.h>

/*
 * Takes the slot of that name, "rank-00000-of-00004.h5", by renaming it to `to`, where nothing may be yet; answers a
 * descriptor for reading and writing.  -1: there is none that may be used, and nothing stands at `to` because of it.
 * May be used: a regular file of exactly these bytes and of this user, that has one name, and that nobody on this node
 * has open.  Of another size, or with another name: it is removed, for nothing will ever fit it.
 */
int slot_take(const char *checkpoints, const char *name, const char *to, uint64_t bytes);

#endif
