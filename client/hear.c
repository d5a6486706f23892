/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hear: starts a program, reads what it says, and gives up in time.  doctor_devices.c calls in. */
#include "hear.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "clock.h"

extern char **environ;

/* What comes until its end: HEAR_ANSWERED, when all of it came and fits. */
static enum hear read_until(int fd, char *out, size_t size, int64_t until_ns)
{
        size_t used = 0;

        for (;;) {
                struct pollfd p = {.fd = fd, .events = POLLIN};
                int64_t left_ns = until_ns - clock_now();
                ssize_t n;

                if (left_ns <= 0)
                        return HEAR_HANGS;
                if (poll(&p, 1, (int)(left_ns / CLOCK_MS) + 1) <= 0)
                        continue;
                if (used + 1 == size)
                        return HEAR_FAILED;
                n = read(fd, out + used, size - used - 1);
                if (n < 0 && errno != EINTR)
                        return HEAR_FAILED;
                if (n == 0)
                        return HEAR_ANSWERED;
                used += n > 0 ? (size_t)n : 0;
                out[used] = '\0';
        }
}

static int start(char *const *words, int out, pid_t *pid)
{
        posix_spawn_file_actions_t files;
        int rc;

        posix_spawn_file_actions_init(&files);
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
        posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        rc = posix_spawnp(pid, words[0], &files, NULL, words, environ);
        posix_spawn_file_actions_destroy(&files);
        return rc;
}

/* How it ended, once its stdout has: a program that lives on behind a closed stdout hangs too. */
static enum hear await_end(pid_t pid, int64_t until_ns)
{
        struct pollfd p = {.fd = pidfd_open(pid, 0), .events = POLLIN};
        int64_t left_ns = until_ns - clock_now();
        int status = 0;

        while (p.fd >= 0 && left_ns > 0 && poll(&p, 1, (int)(left_ns / CLOCK_MS) + 1) < 0 && errno == EINTR)
                left_ns = until_ns - clock_now();
        if (p.fd >= 0)
                close(p.fd);
        if (waitpid(pid, &status, WNOHANG) != pid)
                return HEAR_HANGS;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? HEAR_ANSWERED : HEAR_FAILED;
}

enum hear hear(char *const *words, int64_t limit_ns, char *out, size_t size)
{
        int64_t until_ns = clock_now() + limit_ns;
        enum hear heard;
        int fds[2], rc;
        pid_t pid;

        out[0] = '\0';
        if (pipe2(fds, O_CLOEXEC))
                return HEAR_FAILED;
        rc = start(words, fds[1], &pid);
        close(fds[1]);
        heard = rc == ENOENT ? HEAR_NONE : rc != 0 ? HEAR_FAILED : read_until(fds[0], out, size, until_ns);
        close(fds[0]);
        if (rc != 0)
                return heard;
        if (heard == HEAR_ANSWERED && (heard = await_end(pid, until_ns)) != HEAR_HANGS)
                return heard;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, WNOHANG);
        return heard;
}
