/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * process_tree: who descends from this process, read from /proc; the local scheduler ends its jobs with it, because a
 * program's helpers may have left its process group and its session, but never its ancestors.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "process_tree.h"

struct process {
        pid_t pid, parent;
        unsigned long long start_ticks; /* tells this process from a later one with the same pid */
        char state;
        int ours;
};

struct snapshot {
        struct process *all;
        size_t n, room;
};

int process_tree_adopt(struct stint_error *err)
{
        if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
                return error_system(err, errno,
                                    "cannot become the parent of the job's orphans (PR_SET_CHILD_SUBREAPER)");
        return 0;
}

/* The name of a program stands in brackets and may contain any of them, so what follows is found behind the last
 * one. */
static int process_read(pid_t pid, struct process *p)
{
        char path[64], line[1024], *rest;
        int fd, parent;
        ssize_t n;

        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -1;
        n = read(fd, line, sizeof line - 1);
        close(fd);
        if (n <= 0)
                return -1;
        line[n] = '\0';
        rest = strrchr(line, ')');
        /* Fields 3 (state), 4 (parent) and 22 (start time) of proc(5). */
        if (!rest || sscanf(rest + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                            &p->state, &parent, &p->start_ticks) != 3)
                return -1;
        p->pid = pid;
        p->parent = parent;
        p->ours = 0;
        return 0;
}

static int snapshot_add(struct snapshot *s, const struct process *p)
{
        if (s->n == s->room) {
                size_t room = s->room ? 2 * s->room : 512;
                struct process *all = realloc(s->all, room * sizeof *all);

                if (!all)
                        return -1;
                s->all = all;
                s->room = room;
        }
        s->all[s->n++] = *p;
        return 0;
}

static int by_pid(const void *a, const void *b)
{
        const struct process *x = a, *y = b;

        return (x->pid > y->pid) - (x->pid < y->pid);
}

static struct process *snapshot_find(const struct snapshot *s, pid_t pid)
{
        const struct process key = {.pid = pid};

        return s->n ? bsearch(&key, s->all, s->n, sizeof key, by_pid) : NULL;
}

/*
 * Children may have smaller pids than their parents, so the marking is repeated until it finds nothing new.  `but` (0:
 * nobody) is not ours, and neither are those that come from it.
 */
static void snapshot_mark(struct snapshot *s, pid_t but)
{
        pid_t self = getpid();
        int found = 1;

        while (found) {
                found = 0;
                for (size_t i = 0; i < s->n; i++) {
                        struct process *parent, *p = &s->all[i];

                        if (p->ours || p->pid == but)
                                continue;
                        parent = snapshot_find(s, p->parent);
                        if (p->parent == self || (parent && parent->ours))
                                p->ours = found = 1;
                }
        }
}

static int snapshot_take(struct snapshot *s, pid_t but, struct stint_error *err)
{
        DIR *dir = opendir("/proc");
        const struct dirent *entry;
        int rc = 0;

        memset(s, 0, sizeof *s);
        if (!dir)
                return error_system(err, errno, "cannot list the processes in /proc");
        while (!rc && (entry = readdir(dir))) {
                struct process p;
                char *end;
                long pid = strtol(entry->d_name, &end, 10);

                if (pid > 0 && !*end && !process_read((pid_t)pid, &p))
                        rc = snapshot_add(s, &p);
        }
        closedir(dir);
        if (rc) {
                free(s->all);
                return error_set(err, ENOMEM, "no memory to list the processes of the job");
        }
        if (s->n)
                qsort(s->all, s->n, sizeof *s->all, by_pid);
        snapshot_mark(s, but);
        return 0;
}

static int alive(const struct process *p)
{
        return p->state != 'Z' && p->state != 'X';
}

/* Through a descriptor, and only when that still is the process that was seen: its pid may belong to a stranger
 * by now. */
static void process_signal(const struct process *p, const int *signals)
{
        struct process now;
        int fd = pidfd_open(p->pid, 0);

        if (fd < 0)
                return;
        if (!process_read(p->pid, &now) && now.start_ticks == p->start_ticks)
                while (*signals)
                        pidfd_send_signal(fd, *signals++, NULL, 0);
        close(fd);
}

static int runs_program(pid_t pid, const char *program)
{
        char path[64], name[32];
        ssize_t n;
        int fd;

        snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 0;
        n = read(fd, name, sizeof name - 1);
        close(fd);
        if (n <= 0)
                return 0;
        name[n - 1] = '\0'; /* the line's end */
        return strcmp(name, program) == 0;
}

static int signal_each(pid_t except, pid_t but, const char *program, const int *signals, struct stint_error *err)
{
        struct snapshot s;
        int n = 0;

        if (snapshot_take(&s, but, err))
                return -1;
        for (size_t i = 0; i < s.n; i++) {
                const struct process *p = &s.all[i];

                if (!p->ours || !alive(p) || p->pid == except || (program && !runs_program(p->pid, program)))
                        continue;
                process_signal(p, signals);
                n++;
        }
        free(s.all);
        return n;
}

int process_tree_signal(pid_t except, const int *signals, struct stint_error *err)
{
        return signal_each(except, 0, NULL, signals, err);
}

int process_tree_signal_but(pid_t but, const int *signals, struct stint_error *err)
{
        return signal_each(0, but, NULL, signals, err);
}

int process_tree_signal_program(const char *program, const int *signals, struct stint_error *err)
{
        return signal_each(0, 0, program, signals, err);
}

int process_tree_count(struct stint_error *err)
{
        static const int none[] = {0};

        return process_tree_signal(0, none, err);
}
