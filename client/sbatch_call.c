/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sbatch_call: starts sbatch and hears what it says.  submission.c calls in: for a user who waits at a prompt, and for
 * a stint that queues its successor, which must not hang with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"
#include "sbatch_call.h"

#define LINE 512
#define LINGER                                                                                                         \
        (5 *                                                                                                           \
         CLOCK_SECOND) /* for a quiet sbatch that has named its job to end: with --wait in the script it would not */

/* One of its two outputs, gathered into lines. */
struct heard {
        int fd;
        char line[LINE];
        size_t n;
};

/* ---- what it says ---------------------------------------------------------------------------------------------- */

int sbatch_job_read(const char *line, char *job)
{
        static const char says[] = "Submitted batch job ";
        const char *id = !strncmp(line, says, sizeof says - 1) ? line + sizeof says - 1 : line;
        size_t n = strspn(id, "0123456789");
        const char *rest = id + n;

        if (!n || n >= SBATCH_JOB)
                return 0;
        if (id == line ? *rest && *rest != ';' && *rest != '\n' : *rest && *rest != ' ' && *rest != '\n')
                return 0;
        memcpy(job, id, n);
        job[n] = '\0';
        return 1;
}

static void hear_line(struct sbatch_call *c, const char *line)
{
        if (!c->job[0])
                sbatch_job_read(line, c->job);
}

static void hear_bytes(struct sbatch_call *c, struct heard *h, const char *bytes, size_t n, int lines)
{
        for (size_t i = 0; i < n; i++) {
                if (h->n < sizeof h->line - 1)
                        h->line[h->n++] = bytes[i];
                if (bytes[i] != '\n' || !lines)
                        continue;
                h->line[h->n] = '\0';
                hear_line(c, h->line);
                h->n = 0;
        }
        h->line[h->n] = '\0';
}

/* 0 when there may be more to hear. */
static int hear(struct sbatch_call *c, struct heard *h, int is_stdout)
{
        char bytes[4096];
        ssize_t n = read(h->fd, bytes, sizeof bytes);

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return 0;
        if (n <= 0) {
                if (is_stdout && h->n > 0)
                        hear_line(c, h->line);
                return -1;
        }
        if (is_stdout && c->show) {
                fwrite(bytes, 1, (size_t)n, stdout);
                fflush(stdout);
        }
        hear_bytes(c, h, bytes, (size_t)n, is_stdout);
        return 0;
}

/* Until both outputs are closed: 0; -1 when the time was up before. */
static int hear_all(struct sbatch_call *c, struct heard *out, struct heard *words)
{
        struct pollfd fds[2] = {{.fd = out->fd, .events = POLLIN}, {.fd = words->fd, .events = POLLIN}};
        int64_t until_ns = c->limit_ns == CLOCK_NEVER ? CLOCK_NEVER : clock_now() + c->limit_ns;
        int named = 0;

        while (fds[0].fd >= 0 || fds[1].fd >= 0) {
                int64_t left_ns = until_ns == CLOCK_NEVER ? 0 : until_ns - clock_now();

                if (until_ns != CLOCK_NEVER && left_ns <= 0)
                        return -1;
                if (poll(fds, 2, until_ns == CLOCK_NEVER ? -1 : (int)(left_ns / CLOCK_MS) + 1) < 0 && errno != EINTR)
                        return -1;
                if (fds[0].revents && hear(c, out, 1))
                        fds[0].fd = -1;
                if (fds[1].revents && hear(c, words, 0))
                        fds[1].fd = -1;
                if (c->quiet && c->job[0] && !named && until_ns != CLOCK_NEVER && until_ns - clock_now() > LINGER)
                        until_ns = clock_now() + LINGER;
                named = c->job[0] != '\0';
        }
        return 0;
}

/* ---- its process ----------------------------------------------------------------------------------------------- */

static int start(const struct sbatch_call *c, int out, int words, pid_t *pid)
{
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attributes;
        sigset_t none, usual;
        int rc;

        sigemptyset(&none);
        sigemptyset(&usual);
        sigaddset(&usual, SIGPIPE);
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &usual);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        posix_spawn_file_actions_init(&files);
        if (c->input)
                posix_spawn_file_actions_addopen(&files, STDIN_FILENO, c->input, O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
        if (words >= 0)
                posix_spawn_file_actions_adddup2(&files, words, STDERR_FILENO);
        if (c->directory)
                posix_spawn_file_actions_addchdir_np(&files, c->directory);
        rc = posix_spawnp(pid, c->words[0], &files, &attributes, c->words, c->environ);
        posix_spawn_file_actions_destroy(&files);
        posix_spawnattr_destroy(&attributes);
        return rc;
}

/* Its own id is waited for, and no other: who calls may have children that others wait for. */
static int reap(pid_t pid)
{
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return 128;
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void close_all(int *fds, int n)
{
        for (int i = 0; i < n; i++)
                if (fds[i] >= 0)
                        close(fds[i]);
}

static int cannot_start(const struct sbatch_call *c, int code, struct stint_error *err)
{
        if (code == ENOENT && (!c->directory || access(c->directory, F_OK) == 0))
                return error_set(err, ENOENT, "there is no %s in PATH: is this a node of a Slurm cluster?",
                                 c->words[0]);
        return error_system(err, code, "%s cannot be started in %s", c->words[0], c->directory ? c->directory : ".");
}

/* The last thing it said is the reason, whatever warnings went before. */
static int say_why(const struct sbatch_call *c, struct heard *words, struct stint_error *err)
{
        char *line = words->line, *end = line + strlen(line), *last;

        while (end > line && end[-1] == '\n')
                *--end = '\0';
        last = strrchr(line, '\n');
        return error_set(err, EINVAL, "sbatch exited with %d: %s", c->exit_code, last ? last + 1 : line);
}

int sbatch_call(struct sbatch_call *c, struct stint_error *err)
{
        int fds[4] = {-1, -1, -1, -1}, rc, late;
        struct heard out = {0}, words = {0};
        pid_t pid;

        c->job[0] = '\0';
        c->exit_code = 0;
        if (pipe2(fds, O_CLOEXEC) || (c->quiet && pipe2(fds + 2, O_CLOEXEC))) {
                rc = errno;
                close_all(fds, 4);
                return error_system(err, rc, "no pipe to hear sbatch with");
        }
        rc = start(c, fds[1], fds[3], &pid);
        close_all(fds + 1, 1);
        close_all(fds + 3, 1);
        if (rc) {
                close_all(fds, 1);
                close_all(fds + 2, 1);
                return cannot_start(c, rc, err);
        }
        out.fd = fds[0];
        words.fd = fds[2];
        late = hear_all(c, &out, &words);
        if (late)
                kill(pid, SIGKILL);
        c->exit_code = reap(pid);
        close_all(fds, 1);
        close_all(fds + 2, 1);
        if (late && c->job[0]) {
                c->exit_code = 0;
                return 0;
        }
        if (late)
                return error_set(err, ETIMEDOUT,
                                 "sbatch has not answered within %d s; Slurm may have the job all the same",
                                 (int)(c->limit_ns / CLOCK_SECOND));
        if (c->quiet && c->exit_code)
                say_why(c, &words, err);
        return 0;
}
