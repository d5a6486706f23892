/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * listener: the abstract names on which programs connect to this agent.  Called by ranks and main; whoever comes in
 * goes on to ranks_add().
 */
#ifndef STINT_LISTENER_H
#define STINT_LISTENER_H

#include "ranks.h"

/* Listens under one name more; at most RANKS_NAMES of them. */
int listener_open(struct ranks *r, const char *name, struct stint_error *err);

/* Listens no more. */
void listener_close(struct ranks *r);

#endif
