/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slurm_child: starting stint-slurm, and burying it.  scheduler.c calls in.  A child is waited for by its id only,
 * which leaves the children of libuv's loop to libuv, and those of a job manager to it.
 */
#include "slurm_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "libexec.h"

#define CHILD_PATH 4096
#define CHILD_ENVIRONMENT 4200
#define CHILD_END_MS 300 /* an ended or killed process is gone within a few; one that hangs in the kernel is left */
#define CHILD_WORDS 240  /* of what it said, the end */

void slurm_child_init(struct slurm_child *c)
{
        *c = (struct slurm_child){ .fd = -1, .words = -1 };
}

/* ---- beginning ------------------------------------------------------------------------------------------------- */

/* The same descriptor clear of 0, 1 and 2, which the child gets anew; -1 with errno. */
static int high(int fd)
{
        int moved, code;

        if (fd < 0 || fd > 2)
                return fd;
        moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        code = errno;
        close(fd);
        errno = code;
        return moved;
}

/* Both ends of its socket, ours non-blocking, and the memory for its words. */
static int make_ends(struct slurm_child *c, int *theirs, struct stint_error *err)
{
        int ends[2], code;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return error_system(err, errno, "no socket to speak with stint-slurm");
        c->fd = high(ends[0]);
        *theirs = high(ends[1]);
        c->words = high(memfd_create("stint-slurm stderr", MFD_CLOEXEC));
        code = errno;
        if (c->fd >= 0 && *theirs >= 0 && c->words >= 0 && fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0)
                return 0;
        if (*theirs >= 0)
                close(*theirs);
        return error_system(err, code, "no descriptors to speak with stint-slurm");
}

/*
 * What would end a step of the job is blocked from its first instruction on: a question that is on its way when the
 * job's signals come is still answered.  It ends when its socket does, and by its own alarm.
 */
static void set_signals(posix_spawnattr_t *attributes)
{
        static const int blocked[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGPIPE };
        sigset_t mask, all;
        size_t i;

        sigemptyset(&mask);
        for (i = 0; i < sizeof blocked / sizeof blocked[0]; i++)
                sigaddset(&mask, blocked[i]);
        sigfillset(&all);
        posix_spawnattr_setsigmask(attributes, &mask);
        posix_spawnattr_setsigdefault(attributes, &all);
        posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

/* Nothing of a job's environment may decide what libslurm does, but which cluster this is and which node. */
static void set_environment(char text[2][CHILD_ENVIRONMENT], char *environment[3])
{
        static const char *const kept[] = { "SLURM_CONF", "SLURMD_NODENAME" };
        const char *value;
        int i, n = 0;

        for (i = 0; i < 2; i++) {
                value = getenv(kept[i]);
                if (value == NULL || value[0] == '\0')
                        continue;
                snprintf(text[n], CHILD_ENVIRONMENT, "%s=%s", kept[i], value);
                environment[n] = text[n];
                n++;
        }
        environment[n] = NULL;
}

static int spawn(struct slurm_child *c, const char *program, int theirs)
{
        char text[2][CHILD_ENVIRONMENT], name[] = "stint-slurm";
        char *environment[3], *argv[] = { name, NULL };
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attributes;
        int rc;

        set_environment(text, environment);
        posix_spawnattr_init(&attributes);
        set_signals(&attributes);
        posix_spawn_file_actions_init(&files);
        rc = posix_spawn_file_actions_adddup2(&files, theirs, STDIN_FILENO);
        if (rc == 0)
                rc = posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        if (rc == 0)
                rc = posix_spawn_file_actions_adddup2(&files, c->words, STDERR_FILENO);
        if (rc == 0)
                rc = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
        if (rc == 0)
                rc = posix_spawn(&c->pid, program, &files, &attributes, argv, environment);
        if (rc != 0)
                c->pid = 0;
        posix_spawn_file_actions_destroy(&files);
        posix_spawnattr_destroy(&attributes);
        return rc;
}

static void close_ours(struct slurm_child *c)
{
        if (c->fd >= 0)
                close(c->fd);
        if (c->words >= 0)
                close(c->words);
        c->fd = c->words = -1;
}

/* How many of those that were killed are still not gone. */
static int bury(struct slurm_child *c)
{
        int i, left = 0;

        for (i = 0; i < SLURM_CHILD_DYING; i++) {
                if (c->dying[i] != 0 && waitpid(c->dying[i], NULL, WNOHANG) != 0)
                        c->dying[i] = 0;
                left += c->dying[i] != 0;
        }
        return left;
}

static int no_program(const char *program, int code, struct stint_error *err)
{
        return error_system(err, code,
                            "%s cannot be started, so Slurm cannot be asked; install stint with its Slurm part, or set "
                            "STINT_LIBEXEC_DIR to the folder of stint-slurm",
                            program);
}

int slurm_child_start(struct slurm_child *c, struct stint_error *err)
{
        char program[CHILD_PATH];
        int theirs = -1, rc;

        if (bury(c) == SLURM_CHILD_DYING)
                return error_set(err, EAGAIN,
                                 "%d stint-slurm were killed and do not end: they hang in the kernel, probably on a "
                                 "filesystem that does not answer",
                                 SLURM_CHILD_DYING);
        libexec_program(program, sizeof program, "stint-slurm", "daemon");
        if (access(program, X_OK) < 0)
                return no_program(program, errno, err);
        if (make_ends(c, &theirs, err) < 0) {
                close_ours(c);
                return -1;
        }
        rc = spawn(c, program, theirs);
        close(theirs);
        if (rc == 0)
                return 0;
        close_ours(c);
        return no_program(program, rc, err);
}

/* ---- end ------------------------------------------------------------------------------------------------------- */

/* Before Linux 5.3 nothing but SIGCHLD tells of an end, and that is the loop's: it is looked at every millisecond. */
static int reap_by_looking(pid_t pid, int wait_ms, int *status)
{
        const struct timespec moment = { 0, CLOCK_MS };

        while (waitpid(pid, status, WNOHANG) == 0) {
                if (wait_ms-- <= 0)
                        return 0;
                nanosleep(&moment, NULL);
        }
        return 1;
}

/* Whether it is reaped, after at most wait_ms. */
static int reap(pid_t pid, int wait_ms, int *status)
{
        static int no_pidfd;
        struct pollfd p = { .events = POLLIN, .fd = -1 };

        if (!no_pidfd)
                p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (p.fd < 0) {
                no_pidfd |= errno == ENOSYS;
                return reap_by_looking(pid, wait_ms, status);
        }
        poll(&p, 1, wait_ms);
        close(p.fd);
        return waitpid(pid, status, WNOHANG) != 0;
}

/* The last line with something in it. */
static void last_words(int fd, char *out, size_t size)
{
        char bytes[CHILD_WORDS + 1];
        off_t end = lseek(fd, 0, SEEK_END);
        ssize_t n, first, i;

        out[0] = '\0';
        n = end <= 0 ? 0 : pread(fd, bytes, CHILD_WORDS, end > CHILD_WORDS ? end - CHILD_WORDS : 0);
        while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == ' '))
                n--;
        if (n <= 0)
                return;
        for (first = n; first > 0 && bytes[first - 1] != '\n'; first--)
                ;
        for (i = first; i < n; i++)
                if ((unsigned char)bytes[i] < ' ' || (unsigned char)bytes[i] > '~')
                        bytes[i] = '?';
        snprintf(out, size, ": %.*s", (int)(n - first), bytes + first);
}

static void say_why(const struct slurm_child *c, int status, char *why, size_t size)
{
        char words[CHILD_WORDS + 3];

        last_words(c->words, words, sizeof words);
        if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
                snprintf(why, size, "Slurm did not answer it in time%s", words);
        else if (status >= 0 && WIFSIGNALED(status))
                snprintf(why, size, "it was ended by signal %d%s", WTERMSIG(status), words);
        else if (status >= 0 && WIFEXITED(status))
                snprintf(why, size, "it ended with exit status %d%s", WEXITSTATUS(status), words);
        else
                snprintf(why, size, "it ended%s", words);
}

/* Sees to its end, for which it has wait_ms by itself; answers its status, -1 when that is not known. */
static int end(struct slurm_child *c, int wait_ms)
{
        int status = -1, i, gone;

        if (c->pid == 0)
                return -1;
        gone = reap(c->pid, wait_ms, &status);
        if (!gone) {
                kill(c->pid, SIGKILL); /* not reaped, so its id is still its own */
                gone = reap(c->pid, CHILD_END_MS, &status);
        }
        for (i = 0; !gone && i < SLURM_CHILD_DYING; i++)
                if (c->dying[i] == 0) {
                        c->dying[i] = c->pid;
                        gone = 1;
                }
        c->pid = 0;
        return status;
}

void slurm_child_reap(struct slurm_child *c, char *why, size_t size)
{
        say_why(c, end(c, CHILD_END_MS), why, size);
}

void slurm_child_kill(struct slurm_child *c)
{
        end(c, 0);
}

void slurm_child_end(struct slurm_child *c)
{
        end(c, 0);
        close_ours(c);
        bury(c);
}
