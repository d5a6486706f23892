/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jobs: finds the jobs of a run and asks Slurm about them, one question each.  The verbs that begin and end chains call
 * in.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "jobs.h"
#include "run_journal.h"
#include "run_lease.h"
#include "submission.h"

/* ---- which there are ------------------------------------------------------------------------------------------- */

static void add(struct jobs *j, const char *id)
{
        if (!id || !*id || strlen(id) >= sizeof j->one[0].id || j->n == JOBS_MOST)
                return;
        for (int i = 0; i < j->n; i++)
                if (!strcmp(j->one[i].id, id))
                        return;
        snprintf(j->one[j->n++].id, sizeof j->one[0].id, "%s", id);
}

static const char *text_of(const json_t *line, const char *name)
{
        const char *text = json_string_value(json_object_get(line, name));

        return text ? text : "";
}

/* The last start and the last two successors are all that can still live: each stint queues one at most. */
static void add_from_journal(struct jobs *j, const json_t *lines)
{
        int starts = 0, successors = 0;

        for (size_t i = json_array_size(lines); i-- > 0 && (!starts || successors < 2);) {
                const json_t *line = json_array_get(lines, i);
                const char *event = text_of(line, "event");

                if (!strcmp(event, "successor") && successors++ < 2)
                        add(j, text_of(line, "job"));
                else if (!strcmp(event, "start") && !starts++ && !strcmp(text_of(line, "scheduler"), "slurm"))
                        add(j, text_of(line, "job"));
        }
}

void jobs_gather(struct jobs *j, const json_t *lines, const char *submitted, const char *holder)
{
        *j = (struct jobs){0};
        add(j, submitted);
        add(j, holder);
        add_from_journal(j, lines);
}

void jobs_find(struct jobs *j, const char *run_dir)
{
        struct lease_holder holder = {0};
        struct submission s;
        json_t *lines = journal_read(run_dir, NULL, NULL);
        int held = !lease_read(run_dir, &holder, NULL, NULL) && !strcmp(holder.scheduler, "slurm");
        int submitted = !submission_read(&s, run_dir, NULL);

        jobs_gather(j, lines, submitted ? s.job : "", held ? holder.job : "");
        if (submitted)
                submission_fini(&s);
        json_decref(lines);
}

/* ---- how they stand -------------------------------------------------------------------------------------------- */

static void ask_one(struct jobs_one *job, struct scheduler *s)
{
        const struct scheduler_query query = {.question = SCHEDULER_STATE, .job = job->id};
        struct scheduler_answer answer;
        struct stint_error err = {0};

        job->known = 0;
        if (scheduler_ask_wait(s, &query, JOBS_ANSWER_LIMIT, &answer, &err)) {
                snprintf(job->text, sizeof job->text, "%.190s", err.text);
                return;
        }
        if (answer.failed) {
                snprintf(job->text, sizeof job->text, "%.190s", answer.text);
                return;
        }
        job->known = 1;
        job->state = answer.uid != UINT32_MAX && answer.uid != getuid() && getuid() ? SCHEDULER_ENDED : answer.state;
}

/* One that nobody answers about: the others would only take as long. */
int jobs_ask(struct jobs *j, struct scheduler *s)
{
        int silent = 0;

        for (int i = 0; i < j->n; i++) {
                if (silent)
                        memcpy(j->one[i].text, j->one[i - 1].text, sizeof j->one[i].text);
                else
                        ask_one(&j->one[i], s);
                silent += !j->one[i].known;
        }
        return silent;
}

struct jobs_one *jobs_alive(struct jobs *j)
{
        for (int i = 0; i < j->n; i++) {
                const enum scheduler_state state = j->one[i].state;

                if (j->one[i].known && (state == SCHEDULER_PENDING || state == SCHEDULER_RUNNING ||
                                        state == SCHEDULER_SUSPENDED || state == SCHEDULER_COMPLETING))
                        return &j->one[i];
        }
        return NULL;
}

int jobs_cancel(const struct jobs_one *job, struct scheduler *s, struct stint_error *err)
{
        const struct scheduler_query query = {.question = SCHEDULER_CANCEL, .job = job->id};
        struct scheduler_answer answer;
        struct stint_error why = {0};

        if (scheduler_ask_wait(s, &query, JOBS_ANSWER_LIMIT, &answer, &why))
                return error_set(err, why.code, "job %s was not cancelled, for Slurm did not answer (%s): `scancel %s`",
                                 job->id, why.text, job->id);
        if (answer.failed)
                return error_set(err, answer.failed, "job %s was not cancelled: %s", job->id, answer.text);
        return 0;
}

/* ---- Slurm ----------------------------------------------------------------------------------------------------- */

int jobs_open_slurm(struct scheduler *s, const char *run_dir, struct stint_error *err)
{
        struct submission submitted;
        struct cluster here;
        char there[64] = "";

        scheduler_open_slurm(s, "", 0);
        if (!submission_read(&submitted, run_dir, NULL)) {
                memcpy(there, submitted.cluster, sizeof there);
                submission_fini(&submitted);
        }
        if (!*there || scheduler_cluster_wait(s, NULL, JOBS_ANSWER_LIMIT, &here, NULL) || !*here.name ||
            !strcmp(here.name, there))
                return 0;
        scheduler_close(s);
        return error_set(err, EXDEV, "%s was submitted on the cluster %s, and this is %s: call it there", run_dir,
                         there, here.name);
}
