/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * submit_checks: what would go wrong hours later, said before the job is queued.  Nothing that the script or the user
 * says is overridden: conflicts are told.  cmd_submit.c calls in.
 */
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "duration.h"
#include "jobs.h"
#include "log.h"
#include "run_identity.h"
#include "run_lease.h"
#include "run_measured.h"
#include "submit.h"

#define MAGIC_XFS 0x58465342
#define COMPLETING_LIMIT (90 * CLOCK_SECOND)

/* ---- the cluster ----------------------------------------------------------------------------------------------- */

static void ask_cluster(struct submit *s, struct scheduler *slurm)
{
        const char *partition;
        char first[64];
        struct stint_error err = {0};

        submit_option(s, "partition", &partition);
        snprintf(first, sizeof first, "%.*s", (int)strcspn(partition, ","), partition);
        s->has_cluster = !scheduler_cluster_wait(slurm, first, JOBS_ANSWER_LIMIT, &s->cluster, &err);
        if (!s->has_cluster)
                log_warning(
                        "submit: Slurm's settings are not known (%s), so they are not checked against what a run needs",
                        err.text);
}

/* ---- the filesystem -------------------------------------------------------------------------------------------- */

static const char *local_filesystem(const char *path)
{
        static const struct {
                unsigned long magic;
                const char *name;
        } local[] = {{EXT4_SUPER_MAGIC, "ext4"}, {MAGIC_XFS, "XFS"},     {BTRFS_SUPER_MAGIC, "Btrfs"},
                     {TMPFS_MAGIC, "tmpfs"},     {RAMFS_MAGIC, "ramfs"}, {OVERLAYFS_SUPER_MAGIC, "overlay"}};
        struct statfs fs;

        if (statfs(path, &fs))
                return NULL;
        for (size_t i = 0; i < sizeof local / sizeof *local; i++)
                if (local[i].magic == (unsigned long)fs.f_type)
                        return local[i].name;
        return NULL;
}

/* The directory may not be there yet: then the one above counts. */
static const char *existing(const char *path, char *out)
{
        snprintf(out, RUNDIR_PATH, "%s", path);
        while (access(out, F_OK) && strrchr(out, '/') > out)
                *strrchr(out, '/') = '\0';
        return out;
}

static int check_filesystem(const struct submit *s, struct stint_error *err)
{
        char path[RUNDIR_PATH];
        const char *name = local_filesystem(existing(s->run, path));

        if (!name || s->anywhere || (s->has_cluster && s->cluster.one_host))
                return 0;
        return error_set(
                err, EXDEV,
                "%s is on %s, which is this host's own: the next stint may start on a node that does not see it; use a "
                "directory that all nodes share (--stint-dir), or --stint-anywhere when this one is shared after all",
                s->run, name);
}

/* ---- the script and its options -------------------------------------------------------------------------------- */

static int check_script(const struct submit *s, struct stint_error *err)
{
        int wraps = sbatch_words_find(&s->words, "wrap") != NULL;

        if (!wraps && !s->lines.is_script)
                return error_set(err, ENOEXEC, "%s does not begin with #!, so sbatch will not take it",
                                 s->script ? s->script : "what stands on standard input");
        if (!s->lines.has_run)
                log_warning("submit: no `stint run` was found in the script: without it nothing is saved, and nothing "
                            "continued");
        if (s->lines.runs > 1)
                log_warning("submit: the script has %d `stint run`; only the first is continued by this submission",
                            s->lines.runs);
        if (s->lines.hidden && !s->lines.dir && !s->lines.name)
                log_warning("submit: the script's `stint run` names its run by what only the shell knows; this "
                            "submission is "
                            "kept in %s, and a run elsewhere has no `stint resume` and no successor",
                            s->run);
        return 0;
}

static int check_requeue(struct submit *s, struct stint_error *err)
{
        enum submit_where where;
        int requeue = submit_requeue(s, &where);

        if (requeue == 0 && s->mode == SUBMISSION_REQUEUE)
                return error_set(
                        err, EINVAL,
                        "--stint-mode=requeue, but --no-requeue in %s: remove one of them, or use --stint-mode=chain",
                        submit_where_name(where));
        if (requeue == 0 && s->mode == SUBMISSION_AUTO) {
                log_notice("submit: --no-requeue in %s, so each stint is a job of its own (--stint-mode=chain)",
                           submit_where_name(where));
                s->mode = SUBMISSION_CHAIN;
        }
        if (requeue < 0 && s->has_cluster && !s->cluster.job_requeue && s->mode != SUBMISSION_CHAIN)
                log_warning("submit: this cluster does not requeue jobs by itself (JobRequeue=0): after a preemption "
                            "or the "
                            "failure of a node the run stands still; --requeue lets it go on");
        return 0;
}

static void check_output(const struct submit *s)
{
        const char *mode;
        enum submit_where where = submit_option(s, "open-mode", &mode);

        if (where != SUBMIT_NOWHERE && (*mode == 't' || *mode == 'T'))
                log_warning("submit: --open-mode=%s in %s: the output of earlier stints is lost each time one starts; "
                            "append "
                            "keeps it",
                            mode, submit_where_name(where));
}

static void check_signal(const struct submit *s)
{
        const char *signal;
        enum submit_where where = submit_option(s, "signal", &signal);

        if (where == SUBMIT_NOWHERE)
                return;
        log_warning("submit: --signal=%s in %s: the program gets that signal too, with all its processes; stint needs "
                    "none, it "
                    "knows the limit",
                    signal, submit_where_name(where));
        if (s->has_cluster && s->cluster.user_signal && !strchr(signal, 'B'))
                log_warning("submit: on this cluster that signal replaces SIGTERM at a preemption "
                            "(preempt_send_user_signal), and "
                            "then stint hears of it at its next question only");
}

static void check_export(const struct submit *s)
{
        const char *list;

        if (submit_option(s, "export", &list) != SUBMIT_NOWHERE && !strcasecmp(list, "NONE"))
                log_notice("submit: --export=NONE: the job has none of this environment");
}

/* ---- the time that is left ------------------------------------------------------------------------------------- */

static void check_grace(const struct submit *s)
{
        int64_t grace_ns = (int64_t)s->cluster.part_grace_s * CLOCK_SECOND,
                wait_ns = (int64_t)s->cluster.kill_wait_s * CLOCK_SECOND;
        int64_t cost_ns;
        struct measured known;
        struct deadline_measured m;
        char has[32], kill[32], needs[32];

        if (!s->has_cluster || !*s->cluster.partition || s->cluster.part_preempt == CLUSTER_PREEMPT_OFF)
                return;
        measured_read(&known, s->run);
        m = measured_costs(&known);
        cost_ns = m.delay_ns + m.snapshot_ns + m.write_ns + m.commit_ns;
        duration_format(has, sizeof has, grace_ns);
        duration_format(kill, sizeof kill, wait_ns);
        duration_format(needs, sizeof needs, cost_ns);
        if (!m.saves)
                log_notice("submit: a preemption in %s leaves %s (GraceTime) and at most %s more (KillWait); how long "
                           "a save "
                           "takes is not known yet",
                           s->cluster.partition, has, kill);
        else if (cost_ns > grace_ns + wait_ns)
                log_warning(
                        "submit: a preemption in %s leaves %s (GraceTime) and at most %s more (KillWait), and saves of "
                        "this "
                        "run have taken %s: what it costs then is the time since the last one; see --stint-interval of "
                        "`stint run`",
                        s->cluster.partition, has, kill, needs);
        else if (cost_ns > grace_ns)
                log_warning("submit: a preemption in %s leaves %s (GraceTime), and saves of this run have taken %s: "
                            "they rest on "
                            "KillWait (%s)",
                            s->cluster.partition, has, needs, kill);
}

/* ---- the run itself -------------------------------------------------------------------------------------------- */

static int check_marks(const char *run, struct stint_error *err)
{
        struct stopped stopped;
        int64_t step;

        if (done_read(run, &step))
                return error_set(
                        err, EALREADY,
                        "training is complete in %s (DONE), there is nothing to run: another training needs another "
                        "--stint-dir or --stint-name",
                        run);
        if (stopped_read(run, &stopped))
                return error_set(err, EALREADY, "%s was %s by %s: `stint resume %s` goes on with it", run,
                                 stopped.cancelled ? "cancelled" : "stopped", stopped.by, run);
        return 0;
}

static int check_holder(const char *run, struct stint_error *err)
{
        struct lease_holder holder;
        int over;

        if (lease_read(run, &holder, &over, NULL) || over != 0)
                return 0;
        return error_set(err, EBUSY,
                         "%s runs now (stint %u on %s, pid %d): it goes on by itself, or is stopped by `stint stop %s`",
                         run, holder.stint, holder.host, (int)holder.pid, run);
}

/* One that Slurm is ending will be over, or in the queue again, in a moment. */
static int check_queued(const char *run, struct scheduler *slurm, struct stint_error *err)
{
        const int64_t until_ns = clock_now() + COMPLETING_LIMIT;
        const struct timespec pause = {1, 0};
        struct jobs_one *alive;
        struct jobs jobs;
        int silent;

        jobs_find(&jobs, run);
        for (;;) {
                silent = jobs_ask(&jobs, slurm);
                alive = jobs_alive(&jobs);
                if (!alive || alive->state != SCHEDULER_COMPLETING || clock_now() > until_ns)
                        break;
                nanosleep(&pause, NULL);
        }
        if (alive)
                return error_set(err, EBUSY, "job %s of %s is %s already: one at a time; `stint cancel %s` ends it",
                                 alive->id, run, scheduler_state_name(alive->state), run);
        if (silent)
                log_warning("submit: whether job %s of this run still is in the queue is not known: %s",
                            jobs.one[jobs.n - 1].id, jobs.one[jobs.n - 1].text);
        return 0;
}

int submit_check_free(const char *run, struct scheduler *slurm, struct stint_error *err)
{
        return check_holder(run, err) || check_queued(run, slurm, err) ? -1 : 0;
}

/* A run that is there already must be ours, at its end for now, and not in the queue. */
static int check_run(const struct submit *s, struct scheduler *slurm, struct stint_error *err)
{
        struct identity identity;

        if (s->array)
                return 0; /* each task looks for itself when it starts */
        if (!identity_read(&identity, s->run, err))
                identity_fini(&identity);
        else if (err->code != ENOENT)
                return -1;
        if (check_marks(s->run, err) || check_holder(s->run, err))
                return -1;
        return s->has_cluster ? check_queued(s->run, slurm, err) : 0; /* who is silent is not asked once more */
}

int submit_check(struct submit *s, struct stint_error *err)
{
        struct scheduler slurm;
        int rc;

        if (check_script(s, err))
                return -1;
        scheduler_open_slurm(&slurm, "", 0);
        ask_cluster(s, &slurm);
        rc = check_requeue(s, err) || check_filesystem(s, err) || check_run(s, &slurm, err) ? -1 : 0;
        scheduler_close(&slurm);
        if (rc)
                return -1;
        check_output(s);
        check_signal(s);
        check_export(s);
        check_grace(s);
        return 0;
}
