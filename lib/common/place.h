/* SPDX-License-Identifier: BSD-3-Clause */
/* place: where the agent of a job is found by a program that was told nothing. */
#ifndef STINT_PLACE_H
#define STINT_PLACE_H

#include <stddef.h>
#include "error.h"

/*
 * The well-known name of an agent of this user in this job on this node: "stint-UID-JOB-NODE".  Both ends make it from
 * the same things: the effective uid, SLURM_JOB_ID and node_name().  -1 with ENOENT outside a job, ENAMETOOLONG.
 */
int place_well_known(char *out, size_t size, struct stint_error *err);

#endif
