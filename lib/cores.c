/* SPDX-License-Identifier: BSD-3-Clause */
/* cores: the affinity mask and the quotas of the control groups.  lib/copy.c calls in. */
#include "cores.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define MOST_CPUS (1 << 20) /* more than any kernel is built for */
#define CGROUPS "/sys/fs/cgroup"

/* The kernel refuses a mask that is shorter than its own, so this one grows. */
static int cores_of_mask(void)
{
        int cpus, count = 0, refused;
        cpu_set_t *mask;
        size_t bytes;

        for (cpus = CPU_SETSIZE; cpus <= MOST_CPUS && !count; cpus *= 4) {
                mask = CPU_ALLOC(cpus);
                if (!mask)
                        break;
                bytes = CPU_ALLOC_SIZE(cpus);
                refused = sched_getaffinity(0, bytes, mask) < 0;
                count = refused ? 0 : CPU_COUNT_S(bytes, mask);
                CPU_FREE(mask);
                if (refused && errno != EINVAL)
                        break;
        }
        return count > 0 ? count : 1;
}

int cores_of_quota(const char *text)
{
        long long quota_us, period_us;
        long long cores;

        if (sscanf(text, "%lld %lld", &quota_us, &period_us) != 2 || quota_us <= 0 || period_us <= 0)
                return 0;
        cores = quota_us / period_us + (quota_us % period_us != 0);
        return cores < INT_MAX ? (int)cores : 0;
}

/* One line of a small file; -1 when there is none. */
static int read_line(const char *path, char *line, size_t size)
{
        FILE *f = fopen(path, "re");
        int rc;

        if (!f)
                return -1;
        rc = fgets(line, (int)size, f) ? 0 : -1;
        fclose(f);
        return rc;
}

/* The group of this process in the hierarchy of version 2: "/a/b"; -1 when it is in none. */
static int own_group(char *group, size_t size)
{
        char line[PATH_MAX];
        int found = 0;
        FILE *f = fopen("/proc/self/cgroup", "re");

        if (!f)
                return -1;
        while (!found && fgets(line, sizeof line, f))
                found = !strncmp(line, "0::/", 4);
        fclose(f);
        if (!found || strlen(line + 3) >= size)
                return -1;
        strcpy(group, line + 3);
        group[strcspn(group, "\n")] = '\0';
        return 0;
}

/* The least of the quotas of the group and of those it is in; 0: none has one. */
static int cores_of_groups(void)
{
        char group[PATH_MAX], path[PATH_MAX + sizeof CGROUPS + sizeof "/cpu.max"], line[64];
        int least = 0, cores;
        char *end;

        if (own_group(group, sizeof group) < 0)
                return 0;
        while ((end = strrchr(group, '/'))) {
                snprintf(path, sizeof path, "%s%s/cpu.max", CGROUPS, group);
                cores = read_line(path, line, sizeof line) == 0 ? cores_of_quota(line) : 0;
                least = cores && (!least || cores < least) ? cores : least;
                *end = '\0';
        }
        return least;
}

int cores_usable(void)
{
        int mask = cores_of_mask(), quota = cores_of_groups();

        return quota && quota < mask ? quota : mask;
}
