/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doctor_cluster: what a Slurm cluster's settings mean for checkpoints, in plain words.  cmd_doctor.c calls in; the
 * settings come from stint-slurm, and doctor_settings is what the tests call with settings of their own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "doctor.h"
#include "duration.h"
#include "scheduler.h"

#define ANSWER_LIMIT (5 * CLOCK_SECOND)    /* as long as `stint run` waits for one */
#define SETTINGS_LIMIT (20 * CLOCK_SECOND) /* three requests, and a person who waits */
#define SHORT_GRACE_S 5
#define START_BEYOND_S 5 /* stint sets StartTime so long after KillWait */

/* ---- preemption -------------------------------------------------------------------------------------------------- */

static void say_requeue_preemption(const struct doctor *d, const struct cluster *c)
{
        if (c->part_grace_s == 0)
                doctor_found(d, "preemption", FINDING_WARNING,
                             "GraceTime of partition %s is 0: a preemption kills at once, and only KillWait (%u s) "
                             "remains for the last save; what it cannot write is trained again from the last interval "
                             "save. Ask for a GraceTime of at least the time of a save, or lower --stint-interval",
                             c->partition, c->kill_wait_s);
        else if (c->part_grace_s < SHORT_GRACE_S)
                doctor_found(d, "preemption", FINDING_WARNING,
                             "a preempted job of partition %s has %u s (GraceTime) and then KillWait (%u s): a save that "
                             "takes longer is lost. Ask for more, or lower --stint-interval",
                             c->partition, c->part_grace_s, c->kill_wait_s);
        else
                doctor_found(d, "preemption", FINDING_OK,
                             "a preempted job of partition %s has %u s (GraceTime) for its last save, and is requeued",
                             c->partition, c->part_grace_s);
}

static void say_cancel_preemption(const struct doctor *d, const struct cluster *c)
{
        doctor_found(d, "preemption", FINDING_WARNING,
                     "PreemptMode of partition %s is CANCEL: a preempted job is not requeued, after %u s (GraceTime) and "
                     "KillWait (%u s) it is over. Only a chain goes on by itself: stint submit --stint-mode=chain",
                     c->partition, c->part_grace_s, c->kill_wait_s);
}

static void say_preemption(const struct doctor *d, const struct cluster *c)
{
        switch ((enum cluster_preempt)c->part_preempt) {
        case CLUSTER_PREEMPT_REQUEUE:
                say_requeue_preemption(d, c);
                break;
        case CLUSTER_PREEMPT_CANCEL:
                say_cancel_preemption(d, c);
                break;
        case CLUSTER_PREEMPT_SUSPEND:
                doctor_found(d, "preemption", FINDING_WARNING,
                             "PreemptMode of partition %s is SUSPEND: a preempted job stands still with its memory, and "
                             "saves nothing; it is as safe as its last checkpoint. Lower --stint-interval",
                             c->partition);
                break;
        case CLUSTER_PREEMPT_OFF:
                doctor_found(d, "preemption", FINDING_OK, "jobs of partition %s are not preempted", c->partition);
                break;
        case CLUSTER_PREEMPT_UNKNOWN:
                break;
        }
        if (strcmp(c->preempt_type, "preempt/qos") == 0)
                doctor_found(d, "preemption", FINDING_OK,
                             "the QOS decides here (preempt/qos): its own PreemptMode and GraceTime count before those of "
                             "the partition: sacctmgr show qos format=name,preemptmode,gracetime");
        if (c->preempt_gang)
                doctor_found(d, "preemption", FINDING_OK,
                             "jobs may take turns (GANG): a suspended job's time stands still, and stint with it");
        if (c->user_signal)
                doctor_found(d, "preemption", FINDING_WARNING,
                             "preempt_send_user_signal is set: a job with --signal hears that signal at a preemption and "
                             "no SIGTERM, so stint learns of it only at its next question. Leave --signal out");
}

/* ---- time limits and requeue ------------------------------------------------------------------------------------- */

static uint32_t over_time(const struct cluster *c)
{
        return c->part_over_time_min != CLUSTER_UNKNOWN ? c->part_over_time_min : c->over_time_min;
}

static void say_limits(const struct doctor *d, const struct cluster *c)
{
        uint32_t over_min = over_time(c);
        char most[40] = "have no longest time", reserve[80] = "";

        if (c->part_max_min != CLUSTER_UNLIMITED)
                snprintf(most, sizeof most, "run %u min at most", c->part_max_min);
        if (over_min == CLUSTER_UNLIMITED)
                snprintf(reserve, sizeof reserve, "OverTimeLimit (without end) and ");
        else if (over_min != 0)
                snprintf(reserve, sizeof reserve, "OverTimeLimit (%u min) and ", over_min);
        doctor_found(d, "time limit", FINDING_OK,
                     "jobs of partition %s %s. %sKillWait (%u s) after the limit %s reserve and no budget: stint saves "
                     "before the limit",
                     c->partition, most, reserve, c->kill_wait_s, reserve[0] != '\0' ? "are" : "is");
}

static void say_requeue(const struct doctor *d, const struct cluster *c)
{
        uint32_t wait_s = c->kill_wait_s + START_BEYOND_S;

        if (!c->job_requeue)
                doctor_found(d, "requeue", FINDING_WARNING,
                             "JobRequeue=0: Slurm does not run a job again by itself. stint changes that for its own job "
                             "when it is due, but a broken node or a preemption before that ends the run: give sbatch "
                             "--requeue");
        else if (wait_s < c->cred_expire_s + 1)
                doctor_found(d, "requeue", FINDING_OK,
                             "a job that is requeued waits %u s here (cred_expire); stint shortens that to %u s (KillWait "
                             "and %d s)",
                             c->cred_expire_s + 1, wait_s, START_BEYOND_S);
        else
                doctor_found(d, "requeue", FINDING_OK, "a job that is requeued waits %u s here (cred_expire)",
                             c->cred_expire_s + 1);
        if (!c->job_file_append)
                doctor_found(d, "output", FINDING_WARNING,
                             "a job's output file is cut off each time it is requeued (JobFileAppend=0): give sbatch "
                             "--open-mode=append");
        else
                doctor_found(d, "output", FINDING_OK, "a job that is requeued goes on in its output file");
}

/* ---- devices, processes, requests -------------------------------------------------------------------------------- */

/* Of cgroup.conf nothing is told by a controller that has none. */
static void say_devices(const struct doctor *d, const struct cluster *c)
{
        if (strstr(c->task_plugin, "task/cgroup") == NULL || c->constrain_devices == 0)
                doctor_found(d, "GPUs", FINDING_WARNING,
                             "jobs are not confined to their GPUs (%s): CUDA_VISIBLE_DEVICES has the numbers of the whole "
                             "node, other on each one. stint takes none of them for granted, a program should not either; "
                             "task/cgroup and ConstrainDevices=yes would confine them",
                             strstr(c->task_plugin, "task/cgroup") == NULL ? "TaskPlugin without task/cgroup"
                                                                           : "ConstrainDevices=no");
        else
                doctor_found(d, "GPUs", FINDING_OK,
                             "jobs are confined by task/cgroup%s; the numbers in CUDA_VISIBLE_DEVICES begin at 0 in each "
                             "step",
                             c->constrain_devices == CLUSTER_UNKNOWN ? ", if cgroup.conf has ConstrainDevices=yes" : "");
        if (strcmp(c->proctrack, "proctrack/pgid") == 0)
                doctor_found(d, "processes", FINDING_WARNING,
                             "proctrack/pgid loses processes that leave their group: what a killed stint leaves behind may "
                             "write on. proctrack/cgroup does not");
}

static void say_requests(const struct doctor *d, const struct cluster *c)
{
        if (c->rate_limit)
                doctor_found(d, "requests", FINDING_OK,
                             "the controller limits requests per user (rl_enable), over the whole cluster; a stint has fewer "
                             "than 6 and one per 300 s. Leave AskAs=owner in stint.conf, so that jobs of different users do "
                             "not share one limit");
        if (c->private_jobs)
                doctor_found(d, "requests", FINDING_OK,
                             "PrivateData has jobs: only its owner sees a job, so AskAs=owner in stint.conf must stay");
}

void doctor_settings(const struct doctor *d, const struct cluster *c)
{
        doctor_found(d, "cluster", FINDING_OK, "%s: Slurm %s, %u nodes%s; stint was built for Slurm %s", c->name,
                     c->version, c->nodes, c->one_host && c->nodes > 1 ? ", all of them simulated on one host" : "",
                     c->library);
        if (c->partition[0] == '\0') {
                doctor_found(d, "partition", FINDING_WARNING, "there is no partition %s here: name one with --partition",
                             d->partition != NULL && d->partition[0] != '\0' ? d->partition : "that is the default one");
        } else {
                say_limits(d, c);
                say_preemption(d, c);
        }
        say_requeue(d, c);
        say_devices(d, c);
        say_requests(d, c);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static int is_file(const char *path)
{
        return access(path, R_OK) == 0;
}

/* Where sbatch lies, so that a Slurm in a place of its own is found by its etc; whether it is anywhere. */
static int find_sbatch(char *conf, size_t size)
{
        const char *path = getenv("PATH");

        while (path && *path) {
                char file[RUNDIR_PATH];
                size_t n = strcspn(path, ":");

                if ((size_t)snprintf(file, sizeof file, "%.*s/sbatch", (int)n, path) < sizeof file &&
                    access(file, X_OK) == 0) {
                        snprintf(conf, size, "%.*s/../etc/slurm.conf", (int)n, path);
                        return 1;
                }
                path += n + (path[n] == ':');
        }
        return 0;
}

enum whereabouts { NO_SLURM, SLURM_WITHOUT_CONF, SLURM_HERE };

/* libslurm waits a minute for a slurm.conf that is not there, so it is looked for first. */
static enum whereabouts find_slurm(void)
{
        static const char *const usual[] = {
                "/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf", "/run/slurm/conf/slurm.conf",
                "/var/run/slurm/conf/slurm.conf", "/usr/local/etc/slurm.conf",
        };
        const char *named = getenv("SLURM_CONF");
        char beside[RUNDIR_PATH + 32];
        size_t i;

        if (named && *named)
                return SLURM_HERE;
        for (i = 0; i < sizeof usual / sizeof usual[0]; i++)
                if (is_file(usual[i]))
                        return SLURM_HERE;
        if (!find_sbatch(beside, sizeof beside))
                return NO_SLURM;
        return is_file(beside) ? SLURM_HERE : SLURM_WITHOUT_CONF;
}

static const char *left_text(char *out, size_t size, int64_t left_ns)
{
        char left[32];

        if (left_ns == CLOCK_NEVER)
                return "no limit";
        snprintf(out, size, "%s left", duration_format(left, sizeof left, left_ns));
        return out;
}

/* What Slurm says of the job that this is; whether it says anything. */
static int say_job(const struct doctor *d, struct scheduler *s)
{
        const struct scheduler_query query = { .question = SCHEDULER_STATE };
        struct scheduler_answer a;
        struct stint_error err = { 0 };
        char left[48];

        if (scheduler_ask_wait(s, &query, ANSWER_LIMIT, &a, &err) < 0 || a.failed) {
                doctor_found(d, "scheduler", FINDING_PROBLEM,
                             "this is Slurm job %s, and nobody says how long it has: %s. A stint here goes by the last "
                             "deadline it was told; look whether slurmctld and munged run: scontrol ping",
                             s->job, err.code != 0 ? err.text : a.text);
                return 0;
        }
        if (a.state != SCHEDULER_RUNNING)
                doctor_found(d, "scheduler", FINDING_WARNING, "this is Slurm job %s, which is %s", s->job,
                             scheduler_state_name(a.state));
        else if (!a.can_requeue)
                doctor_found(d, "scheduler", FINDING_WARNING,
                             "this is Slurm job %s, with %s, and it cannot be requeued: %s", s->job,
                             left_text(left, sizeof left, a.left_ns), a.text);
        else
                doctor_found(d, "scheduler", FINDING_OK, "this is Slurm job %s, with %s%s%s%s", s->job,
                             left_text(left, sizeof left, a.left_ns), a.cause != DEADLINE_NONE ? " (" : "",
                             a.cause != DEADLINE_NONE ? deadline_cause_name(a.cause) : "",
                             a.cause != DEADLINE_NONE ? ")" : "");
        return 1;
}

/* A job that nobody answers is a problem; on a login node a stint of its own can still have the local scheduler. */
static void say_cluster(const struct doctor *d, struct scheduler *s)
{
        const char *partition = d->partition != NULL ? d->partition : getenv("SLURM_JOB_PARTITION");
        struct stint_error err = { 0 };
        struct cluster cluster;

        if (scheduler_cluster_wait(s, partition, SETTINGS_LIMIT, &cluster, &err) == 0)
                doctor_settings(d, &cluster);
        else
                doctor_found(d, "cluster", s->job[0] != '\0' ? FINDING_PROBLEM : FINDING_WARNING,
                             "Slurm does not tell its settings: %s. Look whether slurmctld and munged run: scontrol ping",
                             err.text);
}

void doctor_cluster(const struct doctor *d)
{
        const char *job = getenv("SLURM_JOB_ID"), *local = getenv("STINT_LOCAL_JOB");
        enum whereabouts where = find_slurm();
        struct scheduler s;
        int answers = 1;

        if (local && *local) {
                doctor_found(d, "scheduler", FINDING_OK, "the local scheduler, and this is inside one of its jobs");
                return;
        }
        if (!(job && *job) && where != SLURM_HERE) {
                doctor_found(d, "scheduler", FINDING_OK, "%s; the local scheduler (--stint-limit and others) is built in",
                             where == NO_SLURM ? "there is no Slurm here"
                                               : "Slurm is installed, but no slurm.conf was found (SLURM_CONF names one)");
                return;
        }
        scheduler_open_slurm(&s, job ? job : "", 0);
        if (s.job[0] != '\0')
                answers = say_job(d, &s);
        else
                doctor_found(d, "scheduler", FINDING_OK,
                             "Slurm, and this is outside of its jobs; the local scheduler is built in besides");
        if (answers)
                say_cluster(d, &s);
        scheduler_close(&s);
}
