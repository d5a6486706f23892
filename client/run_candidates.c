/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_candidates: from what lies in checkpoints/ to the one that is tried next.  A damaged one is set aside for good;
 * one that could not be read is passed over, and superseded once the run has gone on without it.  run_restore.c and
 * run_prefetch.c call in.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "run_candidates.h"
#include "run_checkpoints.h"
#include "run_story.h"

enum candidate_choice candidates_choose(const struct catalog *c, size_t *at, const char *run_id, int landed,
                                        char *text, size_t size)
{
        for (; *at < c->whole; (*at)++) {
                const struct catalog_entry *e = &c->entries[*at];

                if (strcmp(e->manifest.run_id, run_id) == 0)
                        return CHOICE_READ;
        }
        if (!landed && c->whole == 0)
                return CHOICE_FRESH;
        snprintf(text, size, "this run has saved checkpoints, but none of them can be used");
        return CHOICE_FAILED;
}

/* ---- those that cannot be used --------------------------------------------------------------------------------- */

static json_t *pass_over(struct candidates *c, const char *name, const char *reason)
{
        char line[RUNDIR_NAME + WIRE_TEXT];
        json_t *said;

        snprintf(line, sizeof line, "%s: %s", name, reason);
        said = json_string(line);
        json_array_append_new(c->passed_over, said);
        c->set_back = 1;
        return said;
}

void candidates_pass_over(struct candidates *c, const char *reason)
{
        pass_over(c, candidates_at(c)->name, reason);
        c->at++;
}

void candidates_miss(struct candidates *c, const char *name, const char *reason)
{
        pass_over(c, name, reason);
}

static void quarantine(struct candidates *c, const char *name, const char *reason)
{
        struct commit commit = story_commit(c->run);

        commit.events = c->events;
        json_array_append(c->set_aside, pass_over(c, name, reason));
        if (c->problem.code == 0)
                checkpoints_set_aside(&commit, name, RUNDIR_QUARANTINED, reason, &c->problem);
}

/* ---- in a thread ----------------------------------------------------------------------------------------------- */

void candidates_read(void *arg)
{
        struct candidates *c = arg;
        size_t i;

        if (catalog_read(&c->catalog, c->run->o->dir, &c->problem) != 0)
                return;
        for (i = 0; i < c->catalog.n; i++) {
                const struct catalog_entry *e = &c->catalog.entries[i];

                if (e->has_manifest && e->manifest.lineage > c->lineage)
                        c->lineage = e->manifest.lineage;
                if (e->kind != RUNDIR_WHOLE || e->has_manifest)
                        continue;
                if (e->problem.code == EBADMSG || e->problem.code == ENOENT)
                        quarantine(c, e->name, e->problem.text);
                else
                        pass_over(c, e->name, e->problem.text);
        }
}

void candidates_set_aside(void *arg)
{
        struct candidates *c = arg;

        quarantine(c, candidates_at(c)->name, c->reason);
}

/* ---- afterwards, on the loop ----------------------------------------------------------------------------------- */

int candidates_worked(struct candidates *c)
{
        story_note_all(c->run, c->events);
        c->events = json_array();
        if (c->problem.code == ESTALE)
                story_lease_lost(c->run, &c->problem);
        return c->problem.code == 0 ? 0 : -1;
}

void candidates_drop(struct candidates *c)
{
        struct catalog *all = &c->catalog;

        manifest_fini(&all->entries[c->at].manifest);
        memmove(&all->entries[c->at], &all->entries[c->at + 1], (all->n - c->at - 1) * sizeof *all->entries);
        all->n--;
        all->whole--;
}

/* ---- the run goes on from one ---------------------------------------------------------------------------------- */

/* Its own memory: the program may ask again meanwhile. */
struct superseding {
        struct run *run;
        json_t *names, *events;
        struct stint_error problem;
};

static void supersede(void *arg)
{
        struct superseding *job = arg;
        struct commit c = story_commit(job->run);
        size_t i;
        json_t *name;

        c.events = job->events;
        json_array_foreach(job->names, i, name)
                if (job->problem.code == 0)
                        checkpoints_set_aside(&c, json_string_value(name), RUNDIR_SUPERSEDED,
                                              "it could not be read, and the run goes on from an older one", &job->problem);
}

static void on_superseded(void *arg)
{
        struct superseding *job = arg;

        story_note_all(job->run, job->events);
        if (job->problem.code == ESTALE)
                story_lease_lost(job->run, &job->problem);
        else if (job->problem.code != 0)
                log_warning("%s", job->problem.text);
        json_decref(job->names);
        free(job);
}

void candidates_supersede_newer(const struct candidates *c)
{
        struct superseding *job = c->at == 0 ? NULL : calloc(1, sizeof *job);
        size_t i;

        if (job == NULL)
                return;
        *job = (struct superseding){ .run = c->run, .names = json_array(), .events = json_array() };
        for (i = 0; i < c->at; i++)
                json_array_append_new(job->names, json_string(c->catalog.entries[i].name));
        if (work_add(&c->run->work, supersede, on_superseded, job, NULL) != 0) {
                json_decref(job->names);
                json_decref(job->events);
                free(job);
        }
}

/* ---- beginning and end ----------------------------------------------------------------------------------------- */

int candidates_init(struct candidates *c, struct run *r)
{
        *c = (struct candidates){
                .run = r, .passed_over = json_array(), .set_aside = json_array(), .events = json_array()
        };
        return c->passed_over == NULL || c->set_aside == NULL || c->events == NULL ? -1 : 0;
}

void candidates_again(struct candidates *c)
{
        catalog_fini(&c->catalog);
        c->at = 0;
        json_array_clear(c->passed_over);
        json_array_extend(c->passed_over, c->set_aside);
        c->set_back = json_array_size(c->set_aside) > 0;
}

void candidates_fini(struct candidates *c)
{
        catalog_fini(&c->catalog);
        json_decref(c->passed_over);
        json_decref(c->set_aside);
        json_decref(c->events);
        *c = (struct candidates){ 0 };
}
