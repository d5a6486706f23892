/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmd_cancel: `stint cancel`: ends a chain now, without a save.  Its jobs are cancelled by their numbers, those that
 * run and those that wait; the mark RUN/STOPPED holds off what nobody here can reach.
 */
#include <errno.h>
#include <stdio.h>
#include "cmd.h"
#include "jobs.h"
#include "log.h"
#include "pick.h"
#include "print.h"
#include "run.h"
#include "run_identity.h"
#include "run_lease.h"

struct cancel_options {
        int json;
};

static const struct flag table[] = {
        {"--json", NULL, offsetof(struct cancel_options, json), flag_switch, "as JSON", NULL},
        {NULL, NULL, 0, NULL, NULL, NULL},
};

static const char usage[] = "Usage: stint cancel [OPTION...] [RUN]\n\n"
                            "Ends a run's chain now: its jobs are cancelled, nothing is saved, and nothing starts "
                            "again before `stint resume`.";

struct cancelling {
        const char *run;
        json_t *jobs;  /* ids of those that were cancelled */
        int runs_here; /* it runs without Slurm, and will see the mark */
};

/* All are tried; -1 with the first that could not be. */
static int cancel_alive(struct cancelling *c, struct jobs *jobs, struct scheduler *slurm, struct stint_error *err)
{
        struct stint_error why;
        int rc = 0;

        for (int i = 0; i < jobs->n; i++) {
                const struct jobs_one *job = &jobs->one[i];

                if (job->known && (job->state == SCHEDULER_ENDED || job->state == SCHEDULER_CANCELLED))
                        continue;
                if (!jobs_cancel(job, slurm, &why))
                        json_array_append_new(c->jobs, json_string(job->id));
                else if (!rc)
                        rc = error_set(err, why.code, "%s", why.text);
        }
        return rc;
}

static int cancel_jobs(struct cancelling *c, struct stint_error *err)
{
        struct scheduler slurm;
        struct jobs jobs;
        int rc;

        jobs_find(&jobs, c->run);
        if (!jobs.n)
                return 0;
        if (jobs_open_slurm(&slurm, c->run, err))
                return -1;
        jobs_ask(&jobs, &slurm);
        rc = cancel_alive(c, &jobs, &slurm, err);
        scheduler_close(&slurm);
        return rc;
}

static int show(const struct cancelling *c, int json, struct stint_error *err)
{
        size_t n = json_array_size(c->jobs);

        if (json)
                return print_json(
                        json_pack("{s:o, s:O, s:b}", "run", print_string(c->run), "cancelled", c->jobs, "ending", c->runs_here),
                        stdout, err);
        for (size_t i = 0; i < n; i++)
                printf("job %s is cancelled\n", json_string_value(json_array_get(c->jobs, i)));
        if (c->runs_here)
                printf("its stint ends within seconds\n");
        else if (!n)
                printf("cancelled; it was neither running nor in the queue\n");
        return 0;
}

static int cancel(struct cancelling *c, int json, struct stint_error *err)
{
        struct lease_holder holder;
        int64_t step;
        int over;

        if (cmd_own_run(c->run, err))
                return -1;
        if (done_read(c->run, &step))
                return error_set(err, EALREADY, "training is complete in %s; there is nothing to cancel", c->run);
        if (stopped_write(c->run, 1, err))
                return -1;
        c->runs_here = !lease_read(c->run, &holder, &over, NULL) && over <= 0;
        if (c->runs_here && holder.attending) {
                log_warning("cancel: the program on %s was started by itself: it goes on until you end it",
                            holder.host);
                c->runs_here = 0;
        }
        return cancel_jobs(c, err) || show(c, json, err) ? -1 : 0;
}

int cmd_cancel(int argc, char **argv)
{
        struct cancel_options o = {0};
        struct cancelling c = {0};
        struct stint_error err;
        char run[RUNDIR_PATH], **words, **rest;
        int rc = cmd_flags(usage, table, &o, argv, &words);

        (void)argc;
        if (rc >= 0)
                return rc;
        c.run = run;
        c.jobs = json_array();
        rc = pick_from_words(run, words, 1, &rest, &err) || cancel(&c, o.json, &err);
        json_decref(c.jobs);
        return rc ? cmd_fail("cancel", &err) : 0;
}
