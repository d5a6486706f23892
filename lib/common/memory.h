/* SPDX-License-Identifier: BSD-3-Clause */
/* memory: how much this node has to give, and pages made present before they are needed.  For whoever makes staging. */
#ifndef STINT_MEMORY_H
#define STINT_MEMORY_H

#include <stdint.h>
#include "error.h"

/* Bytes that the kernel could give without swapping; -1 when it does not say. */
int64_t memory_available(void);

/* Makes every page of mapped memory present, as writing it would.  -1 with ENOMEM. */
int memory_populate(void *memory, uint64_t bytes, struct stint_error *err);

#endif
