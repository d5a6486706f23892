/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * srun_stand_in: stands in for Slurm's srun where there is none: starts as many copies of a program as --ntasks says,
 * each as the task of a node of its own, gives all of them its stdin, and merges what they write line by line.
 * tests/flow finds it by STINT_SRUN.  Like srun, it ends its tasks when it is killed, says on stderr how a task ended
 * that ended badly, ends all then if --kill-on-bad-exit=1, and exits with the highest code.  It refuses an environment
 * in which anything of Slurm's is left but what a helper step needs, and appends its arguments to $TEST_DIR/srun.log.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TASKS_MOST 16

struct task {
        int number;
        pid_t pid;
        int to, from;
        pthread_t reader;
};

static struct task tasks[TASKS_MOST];
static int n_tasks = 1, kill_on_bad_exit;
static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
extern char **environ;

static void refuse(const char *why, const char *what)
{
        fprintf(stderr, "srun: error: %s: %s\n", why, what);
        exit(99);
}

static void check_environment(void)
{
        char **at;

        for (at = environ; *at != NULL; at++)
                if ((!strncmp(*at, "SLURM", 5) || !strncmp(*at, "SRUN_", 5) || !strncmp(*at, "SBATCH_", 7)) &&
                    strncmp(*at, "SLURM_JOB_ID=", 13) != 0 && strncmp(*at, "SLURM_CONF=", 11) != 0 &&
                    strcmp(*at, "SLURM_EXPORT_ENV=ALL") != 0)
                        refuse("this would change the step", *at);
        if (getenv("SLURM_JOB_ID") == NULL || getenv("SLURM_EXPORT_ENV") == NULL)
                refuse("missing in the environment", "SLURM_JOB_ID or SLURM_EXPORT_ENV");
}

/* Where the program begins. */
static char **read_options(int argc, char **argv)
{
        const char *dir = getenv("TEST_DIR");
        char path[300];
        FILE *log;
        int i;

        snprintf(path, sizeof path, "%.280s/srun.log", dir != NULL ? dir : "/tmp");
        log = fopen(path, "a");
        for (i = 1; i < argc && log != NULL; i++)
                fprintf(log, "%s%s", argv[i], i + 1 < argc ? " " : "\n");
        if (log != NULL)
                fclose(log);
        for (i = 1; i < argc && argv[i][0] == '-'; i++) {
                if (!strncmp(argv[i], "--ntasks=", 9))
                        n_tasks = atoi(argv[i] + 9);
                if (!strcmp(argv[i], "--kill-on-bad-exit=1"))
                        kill_on_bad_exit = 1;
        }
        if (i == argc || n_tasks < 1 || n_tasks > TASKS_MOST)
                refuse("no program, or too many tasks", argv[argc - 1]);
        return argv + i;
}

/* ---- tasks ----------------------------------------------------------------------------------------------------- */

static void become_task(const struct task *t, const int in[2], const int out[2], char **program)
{
        char number[12], node[16];

        snprintf(number, sizeof number, "%d", t->number);
        snprintf(node, sizeof node, "n%d", t->number + 1);
        setenv("SLURM_PROCID", number, 1);
        setenv("SLURMD_NODENAME", node, 1);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setsid();
        dup2(in[0], 0);
        dup2(out[1], 1);
        signal(SIGTERM, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);
        execvp(program[0], program);
        fprintf(stderr, "slurmstepd-%s: error: execve(): %s: %s\n", node, program[0], strerror(errno));
        _exit(2);
}

static void start(struct task *t, int number, char **program)
{
        int in[2], out[2];

        t->number = number;
        if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
                refuse("no pipe", strerror(errno));
        t->pid = fork();
        if (t->pid == 0)
                become_task(t, in, out, program);
        close(in[0]);
        close(out[1]);
        t->to = in[1];
        t->from = out[0];
}

/* ---- streams --------------------------------------------------------------------------------------------------- */

static void write_all(int fd, const char *bytes, size_t n)
{
        ssize_t done;

        for (; n > 0; bytes += done, n -= (size_t)done) {
                done = write(fd, bytes, n);
                if (done < 0 && errno == EINTR)
                        done = 0;
                else if (done < 0)
                        return; /* that one is gone */
        }
}

static void *merge(void *arg)
{
        struct task *t = arg;
        FILE *from = fdopen(t->from, "r");
        char *line = NULL;
        size_t room = 0;
        ssize_t n;

        while (from != NULL && (n = getline(&line, &room, from)) > 0) {
                pthread_mutex_lock(&out_lock);
                write_all(STDOUT_FILENO, line, (size_t)n);
                pthread_mutex_unlock(&out_lock);
        }
        free(line);
        return NULL;
}

static void *broadcast(void *arg)
{
        char bytes[700]; /* lines are cut anywhere */
        ssize_t n;
        int i;

        (void)arg;
        while ((n = read(STDIN_FILENO, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR))
                for (i = 0; i < n_tasks && n > 0; i++)
                        write_all(tasks[i].to, bytes, (size_t)n);
        for (i = 0; i < n_tasks; i++)
                close(tasks[i].to);
        return NULL;
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

static int code_of(int status)
{
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int wait_for_all(void)
{
        int left, status, i, worst = 0;
        pid_t pid;

        for (left = n_tasks; left > 0;) {
                pid = wait(&status);
                for (i = 0; i < n_tasks && tasks[i].pid != pid; i++)
                        ;
                if (i == n_tasks)
                        continue;
                left--;
                tasks[i].pid = 0;
                if (code_of(status) == 0)
                        continue;
                fprintf(stderr, "srun: error: n%d: task %d: ended with %d\n", i + 1, i, code_of(status));
                worst = code_of(status) > worst ? code_of(status) : worst;
                for (i = 0; i < n_tasks && kill_on_bad_exit; i++)
                        if (tasks[i].pid > 0)
                                kill(tasks[i].pid, SIGKILL);
        }
        return worst;
}

int main(int argc, char **argv)
{
        char **program;
        pthread_t in;
        int i, worst;

        signal(SIGPIPE, SIG_IGN);
        signal(SIGTERM, SIG_IGN); /* at a preemption Slurm signals steps, and not the srun of one */
        check_environment();
        program = read_options(argc, argv);
        for (i = 0; i < n_tasks; i++)
                start(&tasks[i], i, program);
        for (i = 0; i < n_tasks; i++)
                pthread_create(&tasks[i].reader, NULL, merge, &tasks[i]);
        pthread_create(&in, NULL, broadcast, NULL);
        worst = wait_for_all();
        for (i = 0; i < n_tasks; i++)
                pthread_join(tasks[i].reader, NULL);
        return worst;
}
