/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libexec: where the programs lie that stint starts for itself, stint-agent and stint-slurm.  `stint run`, `stint doctor`
 * and slurm_child call in.
 */
#ifndef STINT_LIBEXEC_H
#define STINT_LIBEXEC_H

#include <stddef.h>

/*
 * The path of that program: in $STINT_LIBEXEC_DIR when that is set, whether it is there or not; else where it was
 * installed; else with this program, which was moved as a whole, or lies in a build tree, where the other is in `built`.
 * One that is nowhere is said to be where it would be installed.
 */
void libexec_program(char *out, size_t size, const char *name, const char *built);

#endif
