/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * together: several trainers on one machine as the ranks of one training.  They agree by way of a file that all of them
 * map: what stint_mpi.h does between nodes.  The trainer calls in.
 */
#ifndef STINT_BENCH_TOGETHER_H
#define STINT_BENCH_TOGETHER_H

#include <stint.h>

/* PATH: a file of zeros, one page at least, that is there already.  NULL with errno. */
const struct stint_agree *together_open(const char *path, int rank, int ranks);

#endif
