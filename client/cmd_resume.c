/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_resume: `stint resume`: goes on with a run that was stopped, cancelled, or left standing: takes away the mark,
 * and submits it as it was submitted before, with other options of sbatch where they are given.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "cmd.h"
#include "jobs.h"
#include "log.h"
#include "options.h"
#include "pick.h"
#include "run.h"
#include "run_identity.h"
#include "sbatch_words.h"
#include "submission.h"
#include "submit.h"

static const struct flag table[] = {
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static void help(void)
{
        printf("Usage: stint resume [RUN] [SBATCH-OPTION...]\n\n"
               "Goes on with a run that was stopped or cancelled, or whose chain has ended: submits it once more, as "
               "`stint "
               "submit`\ndid, with the options that are given here in place of those it had.\n");
        flags_help(table, stdout);
}

struct resuming {
        char run[RUNDIR_PATH];
        char **more;                 /* options as they were given; borrowed */
        struct sbatch_words options; /* the same, read */
        struct submission submission;
        struct stopped stopped;
        int was_stopped;
};

/* ---- the command line ------------------------------------------------------------------------------------------ */

/* "RUN OPTION...", "OPTION... RUN", or without RUN: the run is taken out of the words, which then are all options. */
static int read_words(struct resuming *r, char **words, struct stint_error *err)
{
        struct sbatch_words first;
        const char *named = NULL;
        char picked[RUNDIR_PATH];
        size_t n = 0;

        if (sbatch_words_read(&first, words, err))
                return -1;
        while (words[n])
                n++;
        if ((size_t)first.script < n) {
                named = words[first.script];
                memmove(words + first.script, words + first.script + 1, (n - (size_t)first.script) * sizeof *words);
        }
        sbatch_words_fini(&first);
        r->more = words;
        if (sbatch_words_read(&r->options, words, err))
                return -1;
        if (words[r->options.script])
                return error_set(err, EINVAL, "'%s' is one word too many; --help tells which there are",
                                 words[r->options.script]);
        if (sbatch_words_find(&r->options, "help"))
                return 0;
        for (size_t i = 0; i < r->options.n; i++)
                if (r->options.options[i].ours)
                        return error_set(err, EINVAL, "--%s belongs to `stint submit`: the run has its own already",
                                         r->options.options[i].name);
        if (pick_run(picked, named, err))
                return -1;
        return run_options_dir(r->run, NULL, picked, err);
}

/* ---- once more ------------------------------------------------------------------------------------------------- */

/* What was given this time counts for the stints after it too. */
static int remember(struct resuming *r, const char *job, struct stint_error *err)
{
        char **again = sbatch_words_again(&r->options), **all;
        size_t n = 0, m = 0;

        while (r->submission.arguments[n])
                n++;
        while (again && again[m])
                m++;
        all = again ? realloc(r->submission.arguments, (n + m + 1) * sizeof *all) : NULL;
        if (!all) {
                sbatch_words_free_line(again);
                return error_set(err, ENOMEM, "no memory for the submission");
        }
        memcpy(all + n, again, (m + 1) * sizeof *all);
        free(again);
        r->submission.arguments = all;
        memcpy(r->submission.job, job, sizeof r->submission.job);
        return submission_write(&r->submission, r->run, err);
}

static int submit_again(struct resuming *r, struct stint_error *err)
{
        const struct submission_again how = {.more = r->more, .limit_ns = CLOCK_NEVER, .show = 1};
        struct stint_error trouble;
        char job[SBATCH_JOB] = "";

        if (submission_again(&r->submission, r->run, &how, job, err) && err->code != ENOMSG) {
                if (r->was_stopped && stopped_write(r->run, r->stopped.cancelled, &trouble))
                        log_warning("resume: %s", trouble.text);
                return -1;
        }
        if (*job && remember(r, job, &trouble))
                log_warning("resume: job %s is queued, but the run does not know its number: %s", job, trouble.text);
        return 0;
}

/* A run that was started by hand is started by hand again. */
static void say_command(const struct resuming *r)
{
        struct identity identity = {0};
        struct stint_error err;
        char command[400] = "PROGRAM";

        if (!identity_read(&identity, r->run, &err) && json_array_size(identity.command) > 0)
                identity_command(command, sizeof command, &identity);
        identity_fini(&identity);
        printf("stint run --stint-dir %s -- %s\n", r->run, command);
        log_notice("resume: this run was not submitted by `stint submit`: the command above goes on with it");
}

static int check(struct resuming *r, struct stint_error *err)
{
        struct scheduler slurm;
        int64_t step;
        int rc;

        if (cmd_own_run(r->run, err))
                return -1;
        if (done_read(r->run, &step))
                return error_set(err, EALREADY, "training is complete in %s (DONE); there is nothing to go on with",
                                 r->run);
        if (jobs_open_slurm(&slurm, r->run, err))
                return -1;
        rc = submit_check_free(r->run, &slurm, err);
        scheduler_close(&slurm);
        return rc;
}

static int resume(struct resuming *r, struct stint_error *err)
{
        int rc;

        if (check(r, err))
                return -1;
        rc = submission_read(&r->submission, r->run, err);
        if (rc && err->code != ENOENT)
                return -1;
        if (rc && *r->more)
                return error_set(err, EINVAL, "%s was not submitted by `stint submit`, so there is no sbatch for %s",
                                 r->run, *r->more);
        r->was_stopped = stopped_read(r->run, &r->stopped);
        if (r->was_stopped && stopped_remove(r->run, err))
                return -1;
        if (!rc)
                return submit_again(r, err);
        say_command(r);
        return 0;
}

int cmd_resume(int argc, char **argv)
{
        struct resuming r = {.submission.array_task = -1};
        struct stint_error err;
        int rc;

        (void)argc;
        rc = read_words(&r, argv + 1, &err);
        if (!rc && sbatch_words_find(&r.options, "help"))
                help();
        else if (!rc)
                rc = resume(&r, &err);
        sbatch_words_fini(&r.options);
        submission_fini(&r.submission);
        return rc ? cmd_fail("resume", &err) : 0;
}
