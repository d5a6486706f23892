/* SPDX-License-Identifier: BSD-3-Clause */
/* memory: how much this node has to give, and pages made present before they are needed.  For whoever makes staging. */
#ifndef STINT_MEMORY_H
#define STINT_MEMORY_H

#include <stdint.h>
#include "error.h"

/*
 * Bytes that this process could still be given: what the kernel has without swapping, or less where a control group
 * that it is in has a limit.  -1 when nothing says.
 */
int64_t memory_available(void);

/*
 * What is left of the narrowest limit of the memory groups that a file like /proc/self/cgroup tells of, below the
 * folder where they are mounted; -1 for none.  Version 2, and the memory controller of version 1.
 */
int64_t memory_left_in_groups(const char *membership, const char *mount);

/* Makes every page of mapped memory present, as writing it would.  -1 with ENOMEM. */
int memory_populate(void *memory, uint64_t bytes, struct stint_error *err);

#endif
