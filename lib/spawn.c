/* SPDX-License-Identifier: BSD-3-Clause */
/* spawn: starting the coordinator of a program that has none.  session calls in. */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define SPAWN_PATH 4096
#define SPAWN_FD 3    /* where the coordinator finds the pipe on which it says that it is ready */
#define SPAWN_LINE 600
#define STACK_BYTES 32768 /* for the few system calls between a process's birth and its program */
#define SPAWN_AGAIN_NS (200 * CLOCK_MS) /* between two tries while another coordinator is only just starting */

/* ---- which program -------------------------------------------------------------------------------------------- */

static int is_program(char *out, const char *dir, size_t length, const char *name)
{
        int n = length ? snprintf(out, SPAWN_PATH, "%.*s/%s", (int)length, dir, name)
                       : snprintf(out, SPAWN_PATH, "%s", name);

        return n > 0 && n < SPAWN_PATH && access(out, X_OK) == 0;
}

static int find_program(char *out, struct stint_error *err)
{
        const char *named = getenv("STINT_BIN"), *path = getenv("PATH"), *end;

        if (named && *named) {
                if (is_program(out, "", 0, named))
                        return 0;
                return error_system(err, errno, "STINT_BIN names %s, which cannot be executed", named);
        }
        if (is_program(out, BINDIR, strlen(BINDIR), "stint"))
                return 0;
        for (; path && *path; path = *end ? end + 1 : end) {
                end = path + strcspn(path, ":");
                if (end > path && is_program(out, path, (size_t)(end - path), "stint"))
                        return 0;
        }
        return error_set(err, ENOENT,
                         "the program `stint` is neither in %s nor in PATH; install it, or name it in STINT_BIN",
                         BINDIR);
}

/* ---- starting it ---------------------------------------------------------------------------------------------- */

/* What the new processes need; all of them share the program's memory until the last one executes. */
struct birth {
        char *const *argv;
        int ready, null;
        char *stacks; /* two of STACK_BYTES */
};

/* A handler of the program must not run where there is only its memory; what is ignored stays so, but for some. */
static void reset_signals(void)
{
        static const int reset[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGCHLD, SIGUSR1, SIGUSR2, SIGALRM };
        struct sigaction action, was;
        sigset_t none;
        size_t i;
        int n;

        memset(&action, 0, sizeof action);
        action.sa_handler = SIG_DFL;
        for (n = 1; n < NSIG; n++)
                if (sigaction(n, NULL, &was) == 0 && was.sa_handler != SIG_IGN && was.sa_handler != SIG_DFL)
                        sigaction(n, &action, NULL);
        for (i = 0; i < sizeof reset / sizeof reset[0]; i++)
                sigaction(reset[i], &action, NULL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the memory of a process that may have threads: system calls only, nothing that could take a lock. */
static int become_coordinator(void *arg)
{
        const struct birth *b = arg;

        reset_signals();
        if (dup2(b->null, 0) < 0 || dup2(b->null, 1) < 0 || dup2(b->ready, SPAWN_FD) < 0)
                return 127;
        close_range(SPAWN_FD + 1, ~0u, 0);
        execv(b->argv[0], b->argv);
        return 127;
}

/* As vfork does it: the caller goes on when the other one executes, or ends. */
static pid_t give_birth(int (*life)(void *arg), char *stack, struct birth *b)
{
        return clone(life, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, b);
}

static int stand_between(void *arg)
{
        struct birth *b = arg;

        setsid();
        return give_birth(become_coordinator, b->stacks + STACK_BYTES, b) < 0 ? errno : 0;
}

/*
 * Two births, so that the coordinator belongs to init: a program that waits for all of its children must not wait for
 * this one.  No fork: that would copy the page tables of all of the program's state, twice, and each of its pages would
 * cost a fault when it is written next, in the middle of the restore.  Signals are blocked meanwhile: a handler of the
 * program must not run in the child.
 */
static int start_detached(struct birth *b, struct stint_error *err)
{
        sigset_t all, before;
        int status = 0, code;
        pid_t pid, waited;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pid = give_birth(stand_between, b->stacks, b);
        code = errno;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (pid < 0)
                return error_system(err, code, "no process for %s", b->argv[0]);
        do
                waited = waitpid(pid, &status, 0);
        while (waited < 0 && errno == EINTR);
        /* A program that ignores SIGCHLD has no status to ask for; the pipe tells then. */
        if (waited == pid && WIFEXITED(status) && WEXITSTATUS(status))
                return error_system(err, WEXITSTATUS(status), "no process for %s", b->argv[0]);
        return 0;
}

static int spawn(char *const *argv, int ready, int null, struct stint_error *err)
{
        struct birth b = { .argv = argv, .ready = ready, .null = null, .stacks = malloc((size_t)2 * STACK_BYTES) };
        int rc;

        if (!b.stacks)
                return error_set(err, ENOMEM, "no memory to start %s", argv[0]);
        rc = start_detached(&b, err);
        free(b.stacks);
        return rc;
}

/* A pipe whose ends are close-on-exec and clear of the descriptors that the child rearranges. */
static int high_pipe(int ends[2], struct stint_error *err)
{
        int low[2], code;

        if (pipe2(low, O_CLOEXEC) < 0)
                return error_system(err, errno, "no pipe to hear of the coordinator");
        ends[0] = fcntl(low[0], F_DUPFD_CLOEXEC, SPAWN_FD + 1);
        ends[1] = fcntl(low[1], F_DUPFD_CLOEXEC, SPAWN_FD + 1);
        code = errno;
        close(low[0]);
        close(low[1]);
        if (ends[0] >= 0 && ends[1] >= 0)
                return 0;
        if (ends[0] >= 0)
                close(ends[0]);
        return error_system(err, code, "no pipe to hear of the coordinator");
}

static int high_null(struct stint_error *err)
{
        int low = open("/dev/null", O_RDWR | O_CLOEXEC), null;

        null = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, SPAWN_FD + 1);
        if (null < 0)
                error_system(err, errno, "/dev/null cannot be opened");
        if (low >= 0)
                close(low);
        return null;
}

/* Starts `stint run --stint-dir DIR --attend 3`; answers the end of the pipe to read from. */
static int start(const char *program, const char *dir, struct stint_error *err)
{
        char fd_text[12];
        char *argv[] = {
                (char *)(uintptr_t)program, "run", "--stint-dir", (char *)(uintptr_t)dir, "--attend", fd_text, NULL
        };
        int ends[2] = { -1, -1 }, null, rc;

        snprintf(fd_text, sizeof fd_text, "%d", SPAWN_FD);
        if (high_pipe(ends, err) < 0)
                return -1;
        null = high_null(err);
        rc = null < 0 ? -1 : spawn(argv, ends[1], null, err);
        close(ends[1]);
        if (null >= 0)
                close(null);
        if (rc < 0) {
                close(ends[0]);
                return -1;
        }
        return ends[0];
}

/* ---- hearing of it -------------------------------------------------------------------------------------------- */

/* Reads one line, without its newline: 0, or -1 with ETIMEDOUT, or ECHILD when it ended without a word. */
static int read_line(int fd, char *line, size_t size, int64_t until_ns, struct stint_error *err)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };
        size_t have = 0;
        int64_t left;
        ssize_t n;

        while (have + 1 < size) {
                left = until_ns - clock_now();
                if (left <= 0)
                        return error_set(err, ETIMEDOUT,
                                         "the coordinator (`stint run --attend`) was not ready in time");
                if (poll(&p, 1, (int)(left / CLOCK_MS < 1000 ? left / CLOCK_MS + 1 : 1000)) <= 0)
                        continue;
                n = read(fd, line + have, 1);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return error_set(err, ECHILD,
                                         "the coordinator (`stint run --attend`) ended without saying why");
                if (line[have] == '\n')
                        break;
                have++;
        }
        line[have] = '\0';
        return 0;
}

/* Understands the line: 0 with the agent's name, 1 when another coordinator holds the run but has no agent yet, -1. */
static int understand(const char *line, char *agent, size_t size, struct stint_error *err)
{
        const char *rest = strchr(line, ' ');

        rest = rest ? rest + 1 : "";
        if (!strncmp(line, "error ", 6))
                return error_set(err, EBUSY, "%s", rest);
        if (!strncmp(line, "held", 4) && !*rest)
                return 1;
        if ((strncmp(line, "agent ", 6) && strncmp(line, "held ", 5)) || !*rest || strlen(rest) >= size)
                return error_set(err, EPROTO, "the coordinator said '%.80s', which this libstint does not understand",
                                 line);
        strcpy(agent, rest);
        return 0;
}

static void pause_before_next(void)
{
        struct timespec t = { .tv_nsec = SPAWN_AGAIN_NS };

        nanosleep(&t, NULL);
}

int spawn_coordinator(const char *dir, char *agent, size_t size, int64_t until_ns, struct stint_error *err)
{
        char program[SPAWN_PATH], line[SPAWN_LINE];
        int fd, rc;

        if (find_program(program, err) < 0)
                return -1;
        for (;;) {
                fd = start(program, dir, err);
                if (fd < 0)
                        return -1;
                rc = read_line(fd, line, sizeof line, until_ns, err);
                close(fd);
                if (rc == 0)
                        rc = understand(line, agent, size, err);
                if (rc <= 0)
                        return rc;
                pause_before_next();
        }
}
