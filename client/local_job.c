/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * local_job: the local scheduler.  It stands where a cluster's controller and node daemon stand: it starts `stint run`
 * as a job, answers its questions, and ends it with the signals and the waits that Slurm uses, so that everything above
 * scheduler.h meets on a laptop what it will meet on a cluster.  cmd_run.c calls in.
 *
 * A job is the process that was started and everything that descends from it; of these, all but that first process are
 * its "steps".  This process adopts orphans, so a job is over when no descendant lives any more, and not before.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>
#include "clock.h"
#include "deadline.h"
#include "duration.h"
#include "local_door.h"
#include "log.h"
#include "process_tree.h"
#include "run.h"
#include "scheduler.h"
#include "wire.h"

/* What dies slowly is looked at again so often: processes that were born while others were killed, or that hang
 * in I/O. */
#define KILL_AGAIN_MS 100

enum phase { PHASE_RUNNING, PHASE_ENDING, PHASE_KILLING, PHASE_OVER };
enum end_why { END_ITSELF, END_LIMIT, END_PREEMPTED, END_REQUEUED, END_CANCELLED };

struct job {
        const struct run_options *o;
        char **argv;
        char program[RUNDIR_PATH]; /* the stint to start */
        char id[16];
        int restarts; /* = requeues of this invocation */

        uv_loop_t loop;
        uv_signal_t on_child, on_interrupt, on_terminate, on_hangup;
        uv_timer_t end_timer, preempt_timer, kill_timer;
        struct local_door door;

        pid_t batch;      /* the first process; 0 when it is gone */
        int batch_status; /* as of waitpid(2) */
        enum phase phase;
        enum end_why why;
        int64_t end_ns; /* CLOCK_BOOTTIME; CLOCK_NEVER without a limit */
        enum deadline_cause cause;
        int exit_code;
};

static void job_settle(struct job *j);

/* ---- signals to the job ------------------------------------------------------------------------------------------ */

static const int signals_term[] = {SIGTERM, 0};
static const int signals_cont_term[] = {SIGCONT, SIGTERM, 0};
static const int signals_kill[] = {SIGKILL, 0};

static int job_signal(struct job *j, pid_t except, const int *signals)
{
        struct stint_error err;
        int n = process_tree_signal(except, signals, &err);

        if (n < 0)
                log_error("local: job %s cannot be signalled: %s", j->id, err.text);
        return n;
}

/*
 * The steps of the job, which hear of its end before the batch process does.  The agent is the only one: the program
 * was started by the batch process itself, and belongs to it.  (A launcher such as mpirun would take its ranks with
 * it.)
 */
static void job_signal_steps(const int *signals)
{
        struct stint_error err;

        if (process_tree_signal_program("stint-agent", signals, &err) < 0)
                log_error("local: the steps of the job cannot be signalled: %s", err.text);
}

static void timer_set(uv_timer_t *timer, uv_timer_cb callback, int64_t ns)
{
        uv_update_time(timer->loop);
        uv_timer_start(timer, callback, ns > 0 ? (uint64_t)((ns + CLOCK_MS - 1) / CLOCK_MS) : 0, 0);
}

static void on_kill_timer(uv_timer_t *timer)
{
        struct job *j = timer->data;

        if (j->phase == PHASE_ENDING)
                log_notice("local: killed");
        j->phase = PHASE_KILLING;
        job_signal(j, 0, signals_kill);
        timer_set(timer, on_kill_timer, KILL_AGAIN_MS * CLOCK_MS);
        job_settle(j);
}

/* Whoever is left after the kill wait is killed. */
static void job_ending(struct job *j, enum end_why why)
{
        j->phase = PHASE_ENDING;
        j->why = why;
        uv_timer_stop(&j->end_timer);
        uv_timer_stop(&j->preempt_timer);
        timer_set(&j->kill_timer, on_kill_timer, j->o->kill_wait_ns);
}

/* As slurmd ends a job: its steps first, then everything with the batch process, and later the kill. */
static void job_end(struct job *j, enum end_why why)
{
        job_ending(j, why);
        job_signal_steps(signals_term);
        job_signal(j, 0, signals_cont_term);
        job_settle(j);
}

static void on_end_timer(uv_timer_t *timer)
{
        struct job *j = timer->data;

        if (j->cause == DEADLINE_PREEMPTED) {
                log_notice("local: the grace is over");
                job_end(j, END_PREEMPTED);
        } else {
                log_notice("local: time limit reached");
                job_end(j, END_LIMIT);
        }
}

/* Only the steps hear of it; the batch process has to ask, as on Slurm. */
static void on_preempt_timer(uv_timer_t *timer)
{
        struct job *j = timer->data;
        int64_t end_ns = clock_now() + j->o->grace_ns;
        char text[32];

        if (end_ns < j->end_ns)
                j->end_ns = end_ns;
        j->cause = DEADLINE_PREEMPTED;
        log_notice("local: preempting: %s of grace", duration_format(text, sizeof text, j->end_ns - clock_now()));
        timer_set(&j->end_timer, on_end_timer, j->end_ns - clock_now());
        job_signal_steps(signals_cont_term);
}

/* A signal to this process cancels the job; a second one does not wait any longer. */
static void on_cancel(uv_signal_t *handle, int signum)
{
        struct job *j = handle->data;

        (void)signum;
        if (j->phase == PHASE_OVER)
                return;
        if (j->why == END_CANCELLED) {
                timer_set(&j->kill_timer, on_kill_timer, 0);
                return;
        }
        log_notice("local: cancelled");
        if (j->phase == PHASE_KILLING)
                j->why = END_CANCELLED;
        else
                job_end(j, END_CANCELLED);
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

/* The handlers of the loop write into a pipe that parent and child share; what is ignored stays ignored. */
static void child_drop_handlers(void)
{
        static const int handled[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP};
        struct sigaction was;

        for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
                if (!sigaction(handled[i], NULL, &was) && was.sa_handler != SIG_IGN)
                        signal(handled[i], SIG_DFL);
}

/* Between fork and exec. The job has a session of its own, so that a key at the terminal reaches this process alone. */
static void child_exec(const struct job *j, pid_t manager, const sigset_t *mask)
{
        int null;

        child_drop_handlers();
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != manager)
                _exit(EXIT_OWN);
        setsid();
        null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0)
                _exit(EXIT_OWN);
        sigprocmask(SIG_SETMASK, mask, NULL);
        execv(j->program, j->argv);
        dprintf(STDERR_FILENO, "stint: local: cannot execute %s: %s\n", j->program, strerror(errno));
        _exit(errno == ENOENT ? EXIT_NO_PROGRAM : EXIT_NO_EXEC);
}

/* Signals are blocked over the fork: a handler of the loop that ran in the child would write into the parent's pipe. */
static int job_fork(struct job *j)
{
        pid_t manager = getpid();
        sigset_t all, mask;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &mask);
        j->batch = fork();
        if (!j->batch)
                child_exec(j, manager, &mask);
        sigprocmask(SIG_SETMASK, &mask, NULL);
        if (j->batch < 0) {
                log_error("local: job %s cannot be started: %s", j->id, strerror(errno));
                j->batch = 0;
                return -1;
        }
        return 0;
}

static int64_t preempt_after(const struct job *j)
{
        return j->restarts < j->o->preempt_count ? j->o->preempt_after_ns[j->restarts] : 0;
}

static int job_start(struct job *j)
{
        const struct run_options *o = j->o;
        char text[32], restarts[16];

        snprintf(restarts, sizeof restarts, "%d", j->restarts);
        if (setenv("STINT_LOCAL_RESTARTS", restarts, 1) || job_fork(j)) {
                j->exit_code = EXIT_OWN;
                return -1;
        }
        j->phase = PHASE_RUNNING;
        j->why = END_ITSELF;
        j->end_ns = o->limit_ns ? clock_now() + o->limit_ns : CLOCK_NEVER;
        j->cause = o->limit_ns ? DEADLINE_LIMIT : DEADLINE_NONE;
        if (o->limit_ns)
                timer_set(&j->end_timer, on_end_timer, o->limit_ns);
        if (preempt_after(j))
                timer_set(&j->preempt_timer, on_preempt_timer, preempt_after(j));
        log_notice("local: job %s started (restart %d, %s%s)", j->id, j->restarts,
                   o->limit_ns ? "time limit " : "no time limit",
                   o->limit_ns ? duration_format(text, sizeof text, o->limit_ns) : "");
        return 0;
}

/* Every child is reaped here: the batch process, and the orphans of the job that were adopted. */
static void job_reap(struct job *j)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                if (pid != j->batch)
                        continue;
                j->batch = 0;
                j->batch_status = status;
        }
}

/* ---- the end of a job -------------------------------------------------------------------------------------------- */

static int may_requeue(const struct job *j)
{
        return j->why != END_CANCELLED && (j->o->requeues < 0 || j->restarts < j->o->requeues);
}

static int wants_requeue(const struct job *j)
{
        return j->why == END_REQUEUED || (j->why == END_PREEMPTED && may_requeue(j));
}

static void stop_all(struct job *j);

/* What the whole invocation exits with. A job that had to be killed at its end was stopped, not broken: it
 * continues. */
static void job_verdict(struct job *j)
{
        if (WIFEXITED(j->batch_status))
                j->exit_code = WEXITSTATUS(j->batch_status);
        else if (j->why == END_LIMIT || j->why == END_PREEMPTED)
                j->exit_code = EXIT_CONTINUE;
        else
                j->exit_code = 128 + WTERMSIG(j->batch_status);
        if (j->why == END_LIMIT && j->exit_code != 0)
                log_notice("local: job %s ended at its time limit and was not requeued (exit %d); the same command "
                           "continues it",
                           j->id, j->exit_code);
        else if (j->why == END_PREEMPTED)
                log_notice("local: job %s was preempted and has used its %d requeues (exit %d); the same command "
                           "continues it",
                           j->id, j->o->requeues, j->exit_code);
        else
                log_notice("local: job %s ended (%s, exit %d)", j->id,
                           j->why == END_CANCELLED ? "cancelled" : "by itself", j->exit_code);
}

static void job_over(struct job *j)
{
        uv_timer_stop(&j->kill_timer);
        uv_timer_stop(&j->end_timer);
        uv_timer_stop(&j->preempt_timer);
        j->phase = PHASE_OVER;
        job_reap(j); /* what died since the last SIGCHLD */
        if (wants_requeue(j)) {
                log_notice("local: requeued");
                j->restarts++;
                if (!job_start(j))
                        return;
                j->phase = PHASE_OVER;
        } else {
                job_verdict(j);
        }
        stop_all(j);
}

/* Called whenever something of the job may have ended. */
static void job_settle(struct job *j)
{
        struct stint_error err;

        if (j->phase == PHASE_OVER || j->batch)
                return;
        if (j->phase == PHASE_RUNNING) {
                job_ending(j, END_ITSELF);
                job_signal(j, 0, signals_cont_term);
        }
        if (process_tree_count(&err) == 0)
                job_over(j);
}

static void on_child(uv_signal_t *handle, int signum)
{
        (void)signum;
        job_reap(handle->data);
        job_settle(handle->data);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

static enum scheduler_state job_state(const struct job *j)
{
        if (j->why == END_CANCELLED)
                return SCHEDULER_CANCELLED;
        return j->phase == PHASE_RUNNING && j->why != END_REQUEUED ? SCHEDULER_RUNNING : SCHEDULER_COMPLETING;
}

static void answer_requeue(struct job *j, struct wire_scheduler_answer *answer)
{
        if (j->why != END_REQUEUED && !may_requeue(j)) {
                answer->failed = j->why == END_CANCELLED ? ECANCELED : EPERM;
        } else if (j->why != END_REQUEUED) {
                log_notice("local: a requeue was asked for and granted");
                j->why = END_REQUEUED;
        }
}

/* A requeue that was granted ends the job, once whoever asked has been told. */
static void on_answered(void *arg)
{
        struct job *j = arg;

        if (j->why == END_REQUEUED && j->phase == PHASE_RUNNING)
                job_end(j, END_REQUEUED);
}

static void say_no_requeue(const struct job *j, struct wire_scheduler_answer *answer)
{
        if (j->why == END_CANCELLED)
                wire_text(answer->text, sizeof answer->text, "the job was cancelled");
        else
                snprintf(answer->text, sizeof answer->text, "all %d requeues of --stint-requeues are used",
                         j->o->requeues);
}

/* Whether a question can be answered here: there is one job, and two things to ask of it. */
static int is_for_us(const struct job *j, const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer)
{
        if (ask->question != SCHEDULER_STATE && ask->question != SCHEDULER_REQUEUE) {
                answer->failed = EINVAL;
                wire_text(answer->text, sizeof answer->text, "the local scheduler does not know that question");
        } else if (ask->job[0] != '\0' && strcmp(ask->job, j->id) != 0) {
                answer->failed = ESRCH;
                wire_text(answer->text, sizeof answer->text, "the local scheduler knows no job but its own");
        }
        return answer->failed == 0;
}

static void on_question(void *arg, const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer)
{
        struct job *j = arg;

        WIRE_INIT(answer, WIRE_SCHEDULER_ANSWER);
        answer->question = ask->question;
        answer->uid = (uint32_t)getuid();
        answer->nodes = 1;
        if (!is_for_us(j, ask, answer))
                return;
        wire_text(answer->job, sizeof answer->job, j->id);
        if (ask->question == SCHEDULER_REQUEUE)
                answer_requeue(j, answer);
        answer->state = job_state(j);
        answer->cause = j->cause;
        answer->can_requeue = (uint32_t)may_requeue(j);
        if (!answer->can_requeue)
                say_no_requeue(j, answer);
        answer->restarts = (uint32_t)j->restarts;
        answer->left_ns = j->end_ns == CLOCK_NEVER ? CLOCK_NEVER : j->end_ns - clock_now();
        if (answer->left_ns < 0)
                answer->left_ns = 0;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void close_handle(uv_handle_t *handle)
{
        if (handle->loop && !uv_is_closing(handle))
                uv_close(handle, NULL);
}

/* Closes everything, after which the loop ends by itself. */
static void stop_all(struct job *j)
{
        close_handle((uv_handle_t *)&j->on_child);
        close_handle((uv_handle_t *)&j->on_interrupt);
        close_handle((uv_handle_t *)&j->on_terminate);
        close_handle((uv_handle_t *)&j->on_hangup);
        close_handle((uv_handle_t *)&j->end_timer);
        close_handle((uv_handle_t *)&j->preempt_timer);
        close_handle((uv_handle_t *)&j->kill_timer);
        local_door_close(&j->door);
}

/* A hangup that was ignored when this started stays ignored: that is what nohup(1) is for. */
static int cancel_on(struct job *j, uv_signal_t *handle, int signum)
{
        struct sigaction was;

        handle->data = j;
        if (uv_signal_init(&j->loop, handle))
                return -1;
        if (!sigaction(signum, NULL, &was) && was.sa_handler == SIG_IGN && signum == SIGHUP)
                return 0;
        return uv_signal_start(handle, on_cancel, signum);
}

static int loop_open(struct job *j)
{
        if (uv_loop_init(&j->loop))
                return -1;
        j->on_child.data = j->end_timer.data = j->preempt_timer.data = j->kill_timer.data = j;
        return uv_timer_init(&j->loop, &j->end_timer) || uv_timer_init(&j->loop, &j->preempt_timer) ||
                               uv_timer_init(&j->loop, &j->kill_timer) || uv_signal_init(&j->loop, &j->on_child) ||
                               uv_signal_start(&j->on_child, on_child, SIGCHLD) ||
                               cancel_on(j, &j->on_interrupt, SIGINT) || cancel_on(j, &j->on_terminate, SIGTERM) ||
                               cancel_on(j, &j->on_hangup, SIGHUP) || local_door_watch(&j->door, &j->loop)
                       ? -1
                       : 0;
}

/* Which stint a job runs: the one that the environment names, as libstint does when it starts one, else this
 * very file. */
static void find_program(struct job *j)
{
        const char *named = getenv("STINT_BIN");
        ssize_t n;

        if (named && *named) {
                snprintf(j->program, sizeof j->program, "%s", named);
                return;
        }
        n = readlink("/proc/self/exe", j->program, sizeof j->program - 1);
        if (n > 0)
                j->program[n] = '\0';
        else
                snprintf(j->program, sizeof j->program, "/proc/self/exe");
}

static int set_environment(const struct job *j, struct stint_error *err)
{
        if (setenv("STINT_LOCAL_JOB", j->door.name, 1) == 0 && setenv("STINT_LOCAL_JOB_ID", j->id, 1) == 0)
                return 0;
        return error_system(err, errno, "cannot set the environment of the job");
}

int local_job(const struct run_options *o, char **argv)
{
        struct job j = {.o = o, .argv = argv, .door = {.on_question = on_question, .on_answered = on_answered}};
        struct stint_error err;

        snprintf(j.id, sizeof j.id, "%d", (int)getpid());
        find_program(&j);
        j.door.arg = &j;
        if (process_tree_adopt(&err) || local_door_open(&j.door, j.id, &err) || set_environment(&j, &err)) {
                log_error("local: %s", err.text);
                return EXIT_OWN;
        }
        if (loop_open(&j)) {
                log_error("local: the event loop cannot be made; is the limit on open files (ulimit -n) very low?");
                return EXIT_OWN;
        }
        if (job_start(&j))
                stop_all(&j);
        uv_run(&j.loop, UV_RUN_DEFAULT);
        close(j.door.fd);
        if (uv_loop_close(&j.loop)) {
                log_error("local: a handle of the event loop was left open");
                abort();
        }
        return j.exit_code;
}
