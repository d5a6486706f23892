/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slurm_call: libslurm behind an alarm.  It blocks 20 s and more when the controller is away, a minute when munged is,
 * and sleeps without bound when it is told to come back later; nothing of that can be interrupted from inside, so the
 * alarm ends the process, and what was asked stands on its stderr.
 */
#include "slurm_call.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"

#define CALL_LIMIT_S 30

/* SHOW_LOCAL: without it every question is two, for the federation is asked for first. */
#define SHOW_IT (SHOW_ALL | SHOW_LOCAL)

static unsigned limit_s = CALL_LIMIT_S;
static int64_t begun_ns;
static char asked[80]; /* what the call that is under way is for */
static char last_words[160];

void call_limit(unsigned seconds)
{
        limit_s = seconds != 0 ? seconds : CALL_LIMIT_S;
}

/*
 * Ends the process as if there were no handler. That is not left to SA_RESETHAND: libslurm takes the handler away while
 * it speaks to munge, and puts it back without its flags.
 */
static void on_alarm(int signum)
{
        if (write(STDERR_FILENO, last_words, strlen(last_words)) < 0)
                last_words[0] = '\0'; /* nobody reads stderr; it ends all the same */
        signal(signum, SIG_DFL);
        raise(signum);
}

static void begin(const char *what)
{
        snprintf(asked, sizeof asked, "%s", what);
        snprintf(last_words, sizeof last_words, "%s took more than %u s\n", asked, limit_s);
        begun_ns = clock_now();
        errno = 0;
        alarm(limit_s);
}

/* ---- failures in words ----------------------------------------------------------------------------------------- */

/* Communication has the numbers below 2000, credentials those from 6000; libslurm passes some of the system's, too. */
static int errno_of(int code)
{
        if (code == ESLURM_INVALID_JOB_ID || code == ESLURM_ALREADY_DONE || code == ESLURM_JOB_FINISHED)
                return ESRCH;
        if (code == ESLURM_JOB_PENDING)
                return EALREADY;
        if (code == ESLURM_DISABLED || code == ESLURM_ACCESS_DENIED || code == ESLURM_USER_ID_MISSING ||
            code == ESLURM_BATCH_ONLY)
                return EPERM;
        if (code == SLURM_PROTOCOL_AUTHENTICATION_ERROR || code >= ESLURM_AUTH_CRED_INVALID)
                return EACCES;
        if (code < 2000 || code == SLURM_PROTOCOL_SOCKET_IMPL_TIMEOUT || code == ESLURM_IN_STANDBY_MODE)
                return ETIMEDOUT;
        return EIO;
}

static int failed(const char *who, int code, struct stint_error *err)
{
        int as = errno_of(code);
        char why[160];

        snprintf(why, sizeof why, "%s", slurm_strerror(code));
        if (as == ETIMEDOUT)
                return error_set(err, as, "%s did not answer within %.0f s (%s)", who,
                                 (double)(clock_now() - begun_ns) / (double)CLOCK_SECOND, why);
        if (as == EACCES)
                return error_set(err, as, "%s: %s does not take this node's credential (%s): is munged running here?",
                                 asked, who, why);
        return error_set(err, as, "%s: Slurm says: %s", asked, why);
}

/* Ends a call that answered rc. The code is errno's, or, of some calls, rc itself. */
static int end(const char *who, int rc, struct stint_error *err)
{
        int code = errno;

        alarm(0);
        if (rc == SLURM_SUCCESS)
                return 0;
        return failed(who, rc > 0 ? rc : code, err);
}

static int end_controller(int rc, struct stint_error *err)
{
        return end("slurmctld", rc, err);
}

/* ---- the calls ------------------------------------------------------------------------------------------------- */

void call_init(void)
{
        signal(SIGALRM, on_alarm);
        begin("reading slurm.conf");
        slurm_init(NULL);
        alarm(0);
}

int call_load_job(uint32_t job, job_info_msg_t **out, struct stint_error *err)
{
        begin("asking for the job");
        *out = NULL;
        return end_controller(slurm_load_job(out, job, SHOW_IT), err);
}

int call_load_reservations(reserve_info_msg_t **out, struct stint_error *err)
{
        begin("asking for the reservations");
        *out = NULL;
        return end_controller(slurm_load_reservations(0, out), err);
}

int call_load_partitions(partition_info_msg_t **out, struct stint_error *err)
{
        begin("asking for the partitions");
        *out = NULL;
        return end_controller(slurm_load_partitions(0, out, SHOW_IT), err);
}

int call_load_nodes(node_info_msg_t **out, struct stint_error *err)
{
        begin("asking for the nodes");
        *out = NULL;
        return end_controller(slurm_load_node(0, out, SHOW_IT), err);
}

int call_load_conf(slurm_conf_t **out, struct stint_error *err)
{
        begin("asking for the configuration");
        *out = NULL;
        return end_controller(slurm_load_ctl_conf(0, out), err);
}

/* By its number: the form with text takes the number of an array for the whole array. */
int call_requeue(uint32_t job, struct stint_error *err)
{
        begin("requeueing the job");
        return end_controller(slurm_requeue(job, 0), err);
}

int call_update(job_desc_msg_t *change, struct stint_error *err)
{
        begin("changing the job");
        return end_controller(slurm_update_job(change), err);
}

int call_cancel(uint32_t job, struct stint_error *err)
{
        begin("cancelling the job");
        return end_controller(slurm_kill_job(job, SIGKILL, 0), err);
}

int call_whose(pid_t pid, uint32_t *job, struct stint_error *err)
{
        begin("asking for the job of a process");
        *job = 0;
        return end("slurmd of this node", slurm_pid2jobid(pid, job), err);
}

/* slurm_conf is exported by every libslurm from 21.08 to 26.05, without a header that says so. */
const slurm_conf_t *call_own_conf(void)
{
        return dlsym(RTLD_DEFAULT, "slurm_conf");
}
