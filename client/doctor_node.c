/* SPDX-License-Identifier: GPL-2.0-or-later */
/* doctor_node: what a stint would meet on this machine: agent, memory, clocks, limits.  cmd_doctor.c calls in. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include "clock.h"
#include "doctor.h"
#include "libexec.h"
#include "print.h"
#include "rundir.h"

#define AGENT_ANSWER_S 5               /* after which an agent that says nothing is broken */
#define SMALL_SHM (INT64_C(128) << 20) /* containers often have 64 MiB */
#define FEW_FILES 256
#define LITTLE_MEMORY (INT64_C(16) << 20) /* not even a window */

/* ---- the agent --------------------------------------------------------------------------------------------------- */

/* Between fork and exec: the alarm survives it and ends an agent that does not answer. */
static void agent_exec(const char *path, int out)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        alarm(AGENT_ANSWER_S);
        if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
            dup2(null, STDERR_FILENO) >= 0)
                execl(path, "stint-agent", "--version", (char *)NULL);
        _exit(127);
}

/* Its first line; -1 unless it says one and exits with 0. */
static int agent_version(const char *path, char *line, size_t size)
{
        int pipe_fds[2], status = -1;
        ssize_t n;
        pid_t pid;

        if (pipe2(pipe_fds, O_CLOEXEC))
                return -1;
        pid = fork();
        if (!pid)
                agent_exec(path, pipe_fds[1]);
        close(pipe_fds[1]);
        n = pid > 0 ? read(pipe_fds[0], line, size - 1) : -1;
        close(pipe_fds[0]);
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                continue;
        line[n > 0 ? n : 0] = '\0';
        line[strcspn(line, "\n")] = '\0';
        return *line && WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -1;
}

static void check_agent(const struct doctor *d)
{
        char path[RUNDIR_PATH], version[100];

        libexec_program(path, sizeof path, "stint-agent", "agent");
        if (access(path, X_OK))
                doctor_found(d, "agent", FINDING_PROBLEM,
                             "%s cannot be executed: %s; install stint whole, or set STINT_LIBEXEC_DIR to the folder "
                             "that has it",
                             path, strerror(errno));
        else if (agent_version(path, version, sizeof version))
                doctor_found(d, "agent", FINDING_PROBLEM,
                             "%s does not answer --version; run it by hand to see why (a library that is missing?)",
                             path);
        else if (!strstr(version, PACKAGE_VERSION))
                doctor_found(d, "agent", FINDING_WARNING,
                             "%s is '%s', and this is stint %s: install the two from one build", path, version,
                             PACKAGE_VERSION);
        else
                doctor_found(d, "agent", FINDING_OK, "%s (%s)", path, version);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* A line such as "MemAvailable:   123 kB" in a file of /proc; -1 when it is not there. */
static int64_t proc_kib(const char *file, const char *key)
{
        char line[200];
        long long kib = -1;
        FILE *f = fopen(file, "re");

        while (f && fgets(line, sizeof line, f))
                if (!strncmp(line, key, strlen(key)) && sscanf(line + strlen(key), " %lld", &kib) == 1)
                        break;
        if (f)
                fclose(f);
        return kib;
}

static int64_t read_number(const char *path)
{
        long long value = -1;
        FILE *f = fopen(path, "re");

        if (f && fscanf(f, "%lld", &value) != 1)
                value = -1; /* "max" */
        if (f)
                fclose(f);
        return value;
}

/* What this process's own control group still allows; -1 without a limit.  Those above it are not looked at. */
static int64_t group_left(void)
{
        char line[RUNDIR_PATH], path[RUNDIR_PATH + 64];
        int64_t most = -1, now = -1;
        FILE *f = fopen("/proc/self/cgroup", "re");

        while (f && fgets(line, sizeof line, f)) {
                if (strncmp(line, "0::", 3))
                        continue;
                line[strcspn(line, "\n")] = '\0';
                snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", line + 3);
                most = read_number(path);
                snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.current", line + 3);
                now = read_number(path);
        }
        if (f)
                fclose(f);
        return most >= 0 && now >= 0 ? (most > now ? most - now : 0) : -1;
}

static void check_memory(const struct doctor *d)
{
        int64_t kib = proc_kib("/proc/meminfo", "MemAvailable:"), left = group_left();
        int64_t available = kib < 0 ? -1 : kib * 1024;
        char have[32], need[32];

        if (left >= 0 && (available < 0 || left < available))
                available = left;
        print_size(have, sizeof have, available);
        print_size(need, sizeof need, d->state_bytes);
        if (!d->state_bytes)
                doctor_found(d, "memory", FINDING_OK,
                             "%s available; a run takes its state once more for staging, beside the program", have);
        else if (available >= 0 && available < LITTLE_MEMORY)
                doctor_found(d, "memory", FINDING_PROBLEM, "%s available, which is too little to save anything", have);
        else if (available >= 0 && available < d->state_bytes)
                doctor_found(d, "memory", FINDING_WARNING,
                             "%s available, and no memory for a whole image of %s: saves would be streamed and training "
                             "would wait while they are written; ask for more memory",
                             have, need);
        else
                doctor_found(d, "memory", FINDING_OK, "%s available, staging takes %s of it beside the program", have,
                             need);
}

static void check_shm(const struct doctor *d)
{
        struct statvfs fs;
        char size[32], left[32], need[32];
        int64_t total, available;

        if (statvfs("/dev/shm", &fs)) {
                doctor_found(d, "/dev/shm", FINDING_WARNING,
                             "not there (%s): helpers of training programs often need it", strerror(errno));
                return;
        }
        total = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
        available = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
        print_size(size, sizeof size, total);
        print_size(left, sizeof left, available);
        print_size(need, sizeof need, d->state_bytes);
        if (total < SMALL_SHM)
                doctor_found(d, "/dev/shm", FINDING_WARNING,
                             "%s, %s of it free: too small for the data loaders of most programs (in a container: "
                             "--shm-size); "
                             "staging is not counted there",
                             size, left);
        else
                doctor_found(d, "/dev/shm", FINDING_OK, "%s, %s of it free%s%s", size, left,
                             d->state_bytes ? "; the state is " : "", d->state_bytes ? need : "");
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static void check_clock(const struct doctor *d)
{
        const int64_t year_2024 = INT64_C(1704067200) * CLOCK_SECOND;
        int64_t now_ns = clock_wall();
        char when[32];

        clock_format(when, sizeof when, now_ns);
        if (now_ns < year_2024)
                doctor_found(d, "clock", FINDING_WARNING, "it says %s: set it, or journals and ages will be wrong",
                             when);
        else
                doctor_found(d, "clock", FINDING_OK, "%s", when);
}

static void limit_text(char *out, size_t size, rlim_t value, int bytes)
{
        if (value == RLIM_INFINITY)
                snprintf(out, size, "unlimited");
        else if (bytes)
                print_size(out, size, (int64_t)value);
        else
                snprintf(out, size, "%llu", (unsigned long long)value);
}

static void check_limits(const struct doctor *d)
{
        struct rlimit files = {RLIM_INFINITY, RLIM_INFINITY}, locked = files, size = files;
        char text[3][32];

        getrlimit(RLIMIT_NOFILE, &files);
        getrlimit(RLIMIT_MEMLOCK, &locked);
        getrlimit(RLIMIT_FSIZE, &size);
        limit_text(text[0], sizeof text[0], files.rlim_cur, 0);
        limit_text(text[1], sizeof text[1], locked.rlim_cur, 1);
        limit_text(text[2], sizeof text[2], size.rlim_cur, 1);
        if (size.rlim_cur != RLIM_INFINITY && (!d->state_bytes || size.rlim_cur < (rlim_t)d->state_bytes))
                doctor_found(d, "limits", d->state_bytes ? FINDING_PROBLEM : FINDING_WARNING,
                             "files may not grow beyond %s (ulimit -f): a larger checkpoint cannot be written",
                             text[2]);
        else if (files.rlim_cur < FEW_FILES)
                doctor_found(d, "limits", FINDING_WARNING, "only %s open files (ulimit -n): raise it to %d or more",
                             text[0], FEW_FILES);
        else
                doctor_found(d, "limits", FINDING_OK, "%s open files, %s locked memory, file size %s", text[0], text[1],
                             text[2]);
}

void doctor_node(const struct doctor *d)
{
        check_agent(d);
        check_memory(d);
        check_shm(d);
        check_clock(d);
        check_limits(d);
}
