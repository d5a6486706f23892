/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * node: what this node is called, and paths and socket names that contain it.  Several simulated nodes can share one
 * machine, so a name that is the same on all nodes of a job is a pattern: "%n" in it stands for the node.
 */
#ifndef STINT_NODE_H
#define STINT_NODE_H

#include <stddef.h>
#include "error.h"

#define NODE_NAME 64 /* longest node name, its NUL counted */

/* SLURMD_NODENAME, which slurmstepd sets, else the host's name up to its first dot.  Answers out. */
const char *node_name(char out[NODE_NAME]);

/*
 * Copies pattern into out with every "%n" replaced by the node's name (node NULL: that of node_name) and "%%" by "%".
 * -1 with EINVAL for another letter after a percent sign, ENAMETOOLONG when it does not fit.
 */
int node_expand(char *out, size_t size, const char *pattern, const char *node, struct stint_error *err);

#endif
