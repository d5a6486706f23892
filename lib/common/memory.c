/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory: what /proc/meminfo and the control groups say, and madvise(2).  Called by the agent's staging and by stintd's
 * grants.
 */
#include "memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older kernels answer EINVAL */
#endif

#define PAGE 4096
#define PATH_BYTES 4096

/* What the kernel has for everybody. */
static int64_t available_here(void)
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

/* ---- control groups ---------------------------------------------------------------------------------------------- */

/* The files of one group, by version. */
struct group_files {
        const char *limit, *used, *reclaimable; /* the last is a word of memory.stat */
};

/* The number that the file begins with, or that follows `word` in it; -1: there is none, or it is "max". */
static int64_t number_in(const char *folder, const char *name, const char *word)
{
        char path[PATH_BYTES], line[128];
        int64_t number = -1;
        const size_t n = strlen(word);
        FILE *f;

        if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path)
                return -1;
        f = fopen(path, "re");
        while (f && number < 0 && fgets(line, sizeof line, f))
                if (strncmp(line, word, n) == 0 && sscanf(line + n, "%" SCNd64, &number) != 1)
                        number = -1;
        if (f)
                fclose(f);
        return number;
}

/* Page cache that nobody has touched lately counts as used, and is given up before anybody is killed. */
static int64_t left_in(const char *folder, const struct group_files *files)
{
        const int64_t limit = number_in(folder, files->limit, ""), used = number_in(folder, files->used, "");
        const int64_t reclaimable = number_in(folder, "memory.stat", files->reclaimable);

        if (limit < 0 || used < 0)
                return -1;
        if (used - (reclaimable > 0 ? reclaimable : 0) > limit)
                return 0;
        return limit - used + (reclaimable > 0 ? reclaimable : 0);
}

/* The group and all above it: each may have a limit. */
static int64_t narrowest(const char *mount, const char *group, const struct group_files *files)
{
        char folder[PATH_BYTES];
        const size_t root = strlen(mount);
        int64_t least = -1, left;
        char *slash;

        if ((size_t)snprintf(folder, sizeof folder, "%s%s", mount, group) >= sizeof folder)
                return -1;
        for (;;) {
                left = left_in(folder, files);
                if (left >= 0 && (least < 0 || left < least))
                        least = left;
                slash = strrchr(folder + root, '/');
                if (!slash)
                        return least;
                *slash = '\0';
        }
}

/* "0::/system.slice/job" of version 2, or "9:cpu,memory:/job" of version 1: the group, and where such are mounted. */
static const char *group_of(char *line, int *version)
{
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;

        line[strcspn(line, "\n")] = '\0';
        if (!group)
                return NULL;
        *group++ = '\0';
        *version = controllers[1] == '\0' ? 2 : 1;
        if (*version == 1 && strcmp(controllers + 1, "memory") != 0 && !strstr(controllers + 1, ",memory") &&
            strncmp(controllers + 1, "memory,", 7) != 0)
                return NULL;
        return group;
}

int64_t memory_left_in_groups(const char *membership, const char *mount)
{
        static const struct group_files first = { "memory.limit_in_bytes", "memory.usage_in_bytes",
                                                  "total_inactive_file " },
                                        second = { "memory.max", "memory.current", "inactive_file " };
        char line[PATH_BYTES], below[PATH_BYTES];
        int64_t least = -1, left;
        const char *group;
        int version;
        FILE *f = fopen(membership, "re");

        while (f && fgets(line, sizeof line, f)) {
                group = group_of(line, &version);
                if (!group || (size_t)snprintf(below, sizeof below, "%s%s", mount, version == 1 ? "/memory" : "") >=
                                      sizeof below)
                        continue;
                left = narrowest(below, group, version == 1 ? &first : &second);
                if (left >= 0 && (least < 0 || left < least))
                        least = left;
        }
        if (f)
                fclose(f);
        return least;
}

int64_t memory_available(void)
{
        const int64_t here = available_here(), left = memory_left_in_groups("/proc/self/cgroup", "/sys/fs/cgroup");

        return left >= 0 && (here < 0 || left < here) ? left : here;
}

/* ---- pages ------------------------------------------------------------------------------------------------------- */

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
