/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory: how much this node has to give, shared memory mapped, and pages made present before they are needed.  For
 * whoever makes staging or maps an image.
 *
 * Pages of 2 MiB are what makes an image cheap: they are had several times as quickly as 512 small ones, and another
 * process that maps them enters each with one fault, where small ones cost it as much as copying their bytes does.
 * Whoever makes an image asks for them, before anybody else has it mapped; who maps it needs only the right address.
 */
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

#define MEMORY_LARGE_PAGE (UINT64_C(2) << 20)

/*
 * Maps `bytes` of shared memory from the offset `at`, at an address where large pages can stay large if `at` is a
 * multiple of theirs.  munmap lets go of it.  NULL with errno.
 */
void *memory_map(int fd, uint64_t at, uint64_t bytes, int protection);

/* How pages come: each way goes on with the next one where the kernel does not have it. */
enum memory_way {
        MEMORY_LARGE, /* as large ones, Linux 6.1; where there is none to be had, and at the end, small ones */
        MEMORY_SMALL, /* as they are, and small where there are none; Linux 5.14 */
        MEMORY_TOUCH  /* one after another */
};

/*
 * Makes every page of mapped memory present, as writing it would, and changes no byte; others may write there
 * meanwhile.  -1 with ENOMEM.
 */
int memory_populate(void *memory, uint64_t bytes, enum memory_way way, struct stint_error *err);

/*
 * Goes through memory whose pages are present, a byte of each, so that nobody's copy is the first access.  Where a
 * hypervisor keeps page tables of its own beside the guest's, the first access through each new mapping costs a trap
 * that neither the guest's page tables nor its counters of faults show.  Changes no byte; others may write there
 * meanwhile, if this process may.
 */
void memory_enter(void *memory, uint64_t bytes, int writing);

/*
 * Makes those whole pieces of 2 MiB that lie in the memory one page each.  -1 when any of them is none: with EINVAL or
 * ENOSYS the kernel does not do that here, and with other codes it could not now.  What was there stays.
 */
int memory_make_large(void *memory, uint64_t bytes);

#endif
