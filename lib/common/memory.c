/* SPDX-License-Identifier: BSD-3-Clause */
/* memory: what /proc/meminfo says, and madvise(2).  Called by the agent's staging and by stintd's grants. */
#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older kernels answer EINVAL */
#endif

#define PAGE 4096

int64_t memory_available(void)
{
        char line[128];
        long long available_kib = -1;
        int known = 0;
        FILE *f = fopen("/proc/meminfo", "re");

        if (!f)
                return -1;
        while (!known && fgets(line, sizeof line, f))
                known = sscanf(line, "MemAvailable: %lld kB", &available_kib) == 1;
        fclose(f);
        return known && available_kib >= 0 && available_kib < INT64_MAX / 1024 ? available_kib * 1024 : -1;
}

int memory_populate(void *memory, uint64_t bytes, struct stint_error *err)
{
        volatile unsigned char *page = memory;
        uint64_t at;

        if (madvise(memory, bytes, MADV_POPULATE_WRITE) == 0)
                return 0;
        if (errno != EINVAL)
                return error_system(err, errno == EFAULT ? ENOMEM : errno,
                                    "the memory for staging cannot be made present");
        for (at = 0; at < bytes; at += PAGE)
                page[at] = page[at]; /* a write is what makes the page */
        return 0;
}
