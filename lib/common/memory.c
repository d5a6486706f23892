/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory: what /proc/meminfo and the control groups say, mmap(2) and madvise(2).  Called by the agent's staging and
 * reader, by stintd's grants, and by libstint's images and mapping.
 */
#include "memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older kernels answer EINVAL */
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; older kernels answer EINVAL */
#endif

#define PAGE 4096
#define PATH_BYTES 4096
/*
 * At a time.  Each MADV_COLLAPSE begins with a call to all processors, so it should have more to do than one page; and
 * nobody should wait long for the memory map meanwhile.
 */
#define STEP (16 * MEMORY_LARGE_PAGE)

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

/* The first address at or behind it where a large page may begin. */
static unsigned char *large_boundary(void *memory)
{
        return (unsigned char *)memory + (-(uintptr_t)memory & (MEMORY_LARGE_PAGE - 1));
}

static void *map(void *where, int flags, int fd, uint64_t at, uint64_t bytes, int protection)
{
        void *memory = mmap(where, bytes, protection, MAP_SHARED | flags, fd, (off_t)at);

        return memory == MAP_FAILED ? NULL : memory;
}

/* Takes more addresses than it needs and gives back those around it. */
void *memory_map(int fd, uint64_t at, uint64_t bytes, int protection)
{
        const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) & ~(page - 1);
        const uint64_t reserved = whole + MEMORY_LARGE_PAGE;
        unsigned char *around, *memory;
        int code;

        if (bytes < MEMORY_LARGE_PAGE || reserved < bytes)
                return map(NULL, 0, fd, at, bytes, protection);
        around = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (around == MAP_FAILED) /* there may be a limit to addresses */
                return map(NULL, 0, fd, at, bytes, protection);
        memory = map(large_boundary(around), MAP_FIXED, fd, at, bytes, protection);
        if (!memory) {
                code = errno;
                munmap(around, reserved);
                errno = code;
                return NULL;
        }
        if (memory > around)
                munmap(around, (size_t)(memory - around));
        munmap(memory + whole, MEMORY_LARGE_PAGE - (uint64_t)(memory - around));
        return memory;
}

/* One small page in each: where there is nothing at all, nothing is collapsed.  0, or why not. */
static int begin_each(unsigned char *memory, uint64_t bytes)
{
        uint64_t at;

        for (at = 0; at < bytes; at += MEMORY_LARGE_PAGE)
                if (madvise(memory + at, PAGE, MADV_POPULATE_WRITE) < 0)
                        return errno;
        return 0;
}

int memory_make_large(void *memory, uint64_t bytes)
{
        unsigned char *at = large_boundary(memory), *end = (unsigned char *)memory + bytes;
        int code, failed = 0;
        uint64_t n;

        for (; end > at && (uint64_t)(end - at) >= MEMORY_LARGE_PAGE; at += n) {
                n = (uint64_t)(end - at) & ~(MEMORY_LARGE_PAGE - 1);
                n = n < STEP ? n : STEP;
                code = begin_each(at, n);
                if (code == 0 && madvise(at, n, MADV_COLLAPSE) < 0)
                        code = errno;
                failed = code ? code : failed;
                if (code == EINVAL || code == ENOSYS)
                        break;
        }
        errno = failed;
        return failed ? -1 : 0;
}

/* A write is what makes a page, and one that changes nothing does no harm to whoever writes there too. */
static void touch(unsigned char *memory, uint64_t bytes)
{
        uint64_t at;

        for (at = 0; at < bytes; at += PAGE)
                __atomic_fetch_or(memory + at, 0, __ATOMIC_RELAXED);
}

void memory_enter(void *memory, uint64_t bytes, int writing)
{
        const volatile unsigned char *page = memory;
        uint64_t at;

        if (writing)
                touch(memory, bytes);
        for (at = 0; !writing && at < bytes; at += PAGE)
                (void)page[at];
}

int memory_populate(void *memory, uint64_t bytes, enum memory_way way, struct stint_error *err)
{
        unsigned char *piece = memory;
        uint64_t at, n;

        for (at = 0; at < bytes; at += n, piece += n) {
                n = bytes - at < STEP ? bytes - at : STEP;
                if (way == MEMORY_LARGE && memory_make_large(piece, n) < 0 && (errno == EINVAL || errno == ENOSYS))
                        way = MEMORY_SMALL;
                if (way < MEMORY_TOUCH && madvise(piece, n, MADV_POPULATE_WRITE) == 0)
                        continue;
                if (way < MEMORY_TOUCH && errno != EINVAL)
                        return error_system(err, errno == EFAULT ? ENOMEM : errno,
                                            "the memory for staging cannot be made present");
                way = MEMORY_TOUCH;
                touch(piece, n);
        }
        return 0;
}
