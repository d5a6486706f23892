/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_restore: choosing what a program gets back.  All ranks ask, all agents read the same generation, and only when every
 * byte of every rank held is it handed over.  A damaged one is set aside and the next older tried; one that could not be
 * read is passed over and superseded once the run has gone on without it.  A run that ever had a checkpoint never begins
 * anew in silence.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "duration.h"
#include "fault.h"
#include "log.h"
#include "run_story.h"

#define GONE_TEXT "a rank went away while the state was read; start the program again"

static void try_candidate(struct run *r);

/* ---- choosing: pure -------------------------------------------------------------------------------------------- */

enum restore_choice restore_choose(const struct catalog *c, size_t *at, const char *run_id, uint32_t ranks, int landed,
                                   char *text, size_t size)
{
        for (; *at < c->whole; (*at)++) {
                const struct catalog_entry *e = &c->entries[*at];

                if (strcmp(e->manifest.run_id, run_id) != 0)
                        continue;
                if (e->manifest.ranks == ranks)
                        return CHOICE_READ;
                snprintf(text, size, "%s was saved by %u ranks, and this program has %u; start it with %u", e->name,
                         e->manifest.ranks, ranks, e->manifest.ranks);
                return CHOICE_FAILED;
        }
        if (!landed && c->whole == 0)
                return CHOICE_FRESH;
        snprintf(text, size, "this run has saved checkpoints, but none of them can be used");
        return CHOICE_FAILED;
}

/* ---- hearing from every rank ----------------------------------------------------------------------------------- */

static void listen_anew(struct restore *s, enum restoring_state state)
{
        s->state = state;
        s->heard_count = 0;
        s->code = 0;
        s->text[0] = '\0';
        if (s->heard != NULL)
                memset(s->heard, 0, s->ranks);
}

/* 1 when this was the last one that was waited for. */
static int heard_all(struct restore *s, int32_t rank, int code, const char *text)
{
        if (rank < 0 || (uint32_t)rank >= s->ranks || s->heard[rank])
                return 0;
        s->heard[rank] = 1;
        s->heard_count++;
        if (code != 0 && (s->code == 0 || (code == EBADMSG && s->code != EBADMSG))) {
                s->code = code;
                snprintf(s->text, sizeof s->text, "%s%.*s", s->ranks > 1 ? "a rank: " : "", (int)sizeof s->text - 16, text);
        }
        return s->heard_count == s->ranks;
}

static void send_to_rank(struct run *r, uint32_t rank, const void *message, size_t n)
{
        if (rank < r->ranks.n && r->ranks.rank[rank].present)
                agents_send(&r->agents, r->ranks.rank[rank].agent, message, n);
}

static void answer_all(struct run *r, enum restore_status status, int code, const char *text)
{
        struct wire_run_restore m = { .status = status, .code = code, .ranks = r->restore.ranks };
        uint32_t i;

        WIRE_INIT(&m, WIRE_RUN_RESTORE);
        wire_text(m.text, sizeof m.text, text);
        for (i = 0; i < r->restore.ranks; i++) {
                m.rank = (int32_t)i;
                send_to_rank(r, i, &m, sizeof m);
        }
        listen_anew(&r->restore, RESTORING_ASKING);
}

static void fail_all(struct run *r, int code, const char *text)
{
        char all[WIRE_TEXT], *why = NULL;
        json_t *passed_over = r->restore.passed_over;

        if (json_array_size(passed_over) > 0)
                why = json_dumps(passed_over, JSON_COMPACT);
        snprintf(all, sizeof all, "%s%s%s", text, why != NULL ? ": " : "", why != NULL ? why : "");
        free(why);
        log_error("stint %u: nothing restored: %s", r->stint, all);
        story_note(r, "restore_failed", json_pack("{s:s, s:i, s:O?}", "reason", text, "code", code, "passed_over", passed_over));
        answer_all(r, RESTORE_FAILED, code, all);
}

/* ---- reading the catalog, setting damaged ones aside: in a thread --------------------------------------------- */

static void pass_over(struct restore *s, const char *name, const char *reason)
{
        char line[RUNDIR_NAME + WIRE_TEXT];

        snprintf(line, sizeof line, "%s: %s", name, reason);
        json_array_append_new(s->passed_over, json_string(line));
        s->set_back = 1;
}

static void quarantine(struct run *r, const char *name, const char *reason)
{
        struct commit c = story_commit(r);

        c.events = r->restore.events;
        pass_over(&r->restore, name, reason);
        if (r->restore.problem.code == 0)
                commit_set_aside(&c, name, RUNDIR_QUARANTINED, reason, &r->restore.problem);
}

static void read_catalog(void *arg)
{
        struct run *r = arg;
        struct restore *s = &r->restore;
        size_t i;

        if (catalog_read(&s->catalog, r->o->dir, &s->problem) != 0)
                return;
        for (i = 0; i < s->catalog.n; i++) {
                const struct catalog_entry *e = &s->catalog.entries[i];

                if (e->has_manifest && e->manifest.lineage > s->lineage)
                        s->lineage = e->manifest.lineage;
                if (e->kind != RUNDIR_WHOLE || e->has_manifest)
                        continue;
                if (e->problem.code == EBADMSG || e->problem.code == ENOENT)
                        quarantine(r, e->name, e->problem.text);
                else
                        pass_over(s, e->name, e->problem.text);
        }
}

static void set_candidate_aside(void *arg)
{
        struct run *r = arg;
        struct restore *s = &r->restore;

        quarantine(r, s->catalog.entries[s->at].name, s->text);
}

/* What went wrong meanwhile: with the lease gone, or a rank, nothing is given to anybody. */
static int work_failed(struct run *r)
{
        struct restore *s = &r->restore;

        story_note_all(r, s->events);
        s->events = json_array();
        if (s->abandoned)
                error_set(&s->problem, ECONNRESET, GONE_TEXT);
        if (s->problem.code == 0)
                return 0;
        if (s->problem.code == ESTALE)
                story_lease_lost(r, &s->problem);
        fail_all(r, s->problem.code, s->problem.text);
        return 1;
}

static void on_catalog(void *arg)
{
        struct run *r = arg;

        if (!work_failed(r))
                try_candidate(r);
}

/* The entry is no candidate any more, nor best. */
static void drop_candidate(struct catalog *c, size_t at)
{
        manifest_fini(&c->entries[at].manifest);
        memmove(&c->entries[at], &c->entries[at + 1], (c->n - at - 1) * sizeof *c->entries);
        c->n--;
        c->whole--;
}

static void on_set_aside(void *arg)
{
        struct run *r = arg;

        if (work_failed(r))
                return;
        drop_candidate(&r->restore.catalog, r->restore.at);
        try_candidate(r);
}

static void start_work(struct run *r, void (*does)(void *arg), void (*done)(void *arg))
{
        struct stint_error err;

        r->restore.state = RESTORING_CHOOSING;
        if (work_add(&r->work, does, done, r, &err) != 0)
                fail_all(r, err.code, err.text);
}

/* ---- one candidate --------------------------------------------------------------------------------------------- */

static void read_candidate(struct run *r)
{
        struct restore *s = &r->restore;
        const struct catalog_entry *e = &s->catalog.entries[s->at];
        struct wire_run_restore m = { .status = RESTORE_IMAGE, .ranks = s->ranks, .checkpoint_step = e->step };
        uint32_t i;

        WIRE_INIT(&m, WIRE_RUN_RESTORE);
        wire_text(m.checkpoint, sizeof m.checkpoint, e->name);
        listen_anew(s, RESTORING_READING);
        s->bytes = 0;
        s->read_ns = 0;
        for (i = 0; i < s->ranks; i++) {
                m.rank = (int32_t)i;
                m.file_bytes = e->manifest.rank[i].file_bytes;
                m.root = e->manifest.rank[i].root;
                send_to_rank(r, i, &m, sizeof m);
        }
}

static void try_candidate(struct run *r)
{
        struct restore *s = &r->restore;
        char text[WIRE_TEXT];
        int landed = r->past.ever_landed || r->landed_step >= 0 || json_array_size(s->passed_over) > 0;

        switch (restore_choose(&s->catalog, &s->at, r->identity.run_id, s->ranks, landed, text, sizeof text)) {
        case CHOICE_READ:
                read_candidate(r);
                break;
        case CHOICE_FRESH:
                story_note(r, "fresh", NULL);
                log_notice("stint %u: nothing to restore: training begins", r->stint);
                answer_all(r, RESTORE_FRESH, 0, "");
                break;
        case CHOICE_FAILED:
                fail_all(r, EPROTO, text);
                break;
        }
}

static void use_candidate(struct run *r)
{
        struct restore *s = &r->restore;
        const struct catalog_entry *best = catalog_best(&s->catalog);
        struct wire_run_use m = { .has_best = best != NULL };
        int code = fault_point("restore.before_use");
        char *why;
        uint32_t i;

        if (code != 0) {
                fail_all(r, code, "restore.before_use");
                return;
        }
        WIRE_INIT(&m, WIRE_RUN_USE);
        for (i = 0; best != NULL && i < best->manifest.metric_count; i++)
                if (best->manifest.metrics[i].goal != STINT_GOAL_NONE) {
                        r->best = best->manifest.metrics[i];
                        m.best_value = r->best.value;
                        m.best_goal = r->best.goal;
                        memcpy(m.best_name, r->best.name, sizeof m.best_name);
                        break;
                }
        if (json_array_size(s->passed_over) > 0) {
                why = json_dumps(s->passed_over, JSON_COMPACT);
                wire_text(m.text, sizeof m.text, why == NULL ? "" : why);
                free(why);
        }
        listen_anew(s, RESTORING_GIVEN);
        for (i = 0; i < s->ranks; i++) {
                m.rank = (int32_t)i;
                send_to_rank(r, i, &m, sizeof m);
        }
}

/* ---- the run goes on from it ----------------------------------------------------------------------------------- */

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
                        commit_set_aside(&c, json_string_value(name), RUNDIR_SUPERSEDED,
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

static void supersede_newer(struct run *r)
{
        const struct restore *s = &r->restore;
        struct superseding *job = s->at == 0 ? NULL : calloc(1, sizeof *job);
        size_t i;

        if (job == NULL)
                return;
        *job = (struct superseding){ .run = r, .names = json_array(), .events = json_array() };
        for (i = 0; i < s->at; i++)
                json_array_append_new(job->names, json_string(s->catalog.entries[i].name));
        if (work_add(&r->work, supersede, on_superseded, job, NULL) != 0) {
                json_decref(job->names);
                json_decref(job->events);
                free(job);
        }
}

static void go_on_from(struct run *r, const struct wire_agent_restore_done *m)
{
        struct restore *s = &r->restore;
        const struct catalog_entry *e = &s->catalog.entries[s->at];
        char how_much[32], how_long[32];
        int64_t took_ns = clock_now() - s->began_ns;

        r->landed_step = e->step;
        r->lineage = s->lineage + (uint32_t)(s->set_back != 0);
        story_note(r, "restore",
                   json_pack("{s:s, s:I, s:I, s:f, s:f, s:I, s:O}", "checkpoint", e->name, "step", (json_int_t)e->step, "bytes",
                             (json_int_t)s->bytes, "took_s", (double)took_ns / 1e9, "copy_s", (double)m->copy_ns / 1e9, "lineage",
                             (json_int_t)r->lineage, "passed_over", s->passed_over));
        log_notice("stint %u: restored step %" PRId64 " (%s in %s)", r->stint, e->step,
                   size_format(how_much, sizeof how_much, (int64_t)s->bytes), duration_format(how_long, sizeof how_long, took_ns));
        listen_anew(s, RESTORING_ASKING);
        supersede_newer(r);
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

static int begin_asking(struct run *r, uint32_t ranks)
{
        struct restore *s = &r->restore;

        if (s->heard_count > 0 && s->ranks == ranks)
                return 0;
        restore_fini(s);
        s->heard = calloc(ranks, 1);
        s->passed_over = json_array();
        s->events = json_array();
        if (s->heard == NULL || s->passed_over == NULL || s->events == NULL)
                return -1;
        s->ranks = ranks;
        s->began_ns = clock_now();
        return 0;
}

static void refuse(struct run *r, int32_t rank, const char *text)
{
        struct wire_run_restore m = { .rank = rank, .status = RESTORE_FAILED, .code = EBUSY, .ranks = r->ranks.n };

        log_warning("rank %d is not given its state: %s", rank, text);
        WIRE_INIT(&m, WIRE_RUN_RESTORE);
        wire_text(m.text, sizeof m.text, text);
        send_to_rank(r, (uint32_t)rank, &m, sizeof m);
}

void restore_ask(struct run *r, const struct wire_agent_restore_ask *m)
{
        struct restore *s = &r->restore;

        if (!ranks_has(&r->ranks, m->rank) || m->ranks != r->ranks.n)
                return;
        if (s->state != RESTORING_ASKING)
                refuse(r, m->rank, "another restore is under way");
        else if (begin_asking(r, m->ranks) != 0)
                refuse(r, m->rank, "no memory");
        else if (heard_all(s, m->rank, 0, ""))
                start_work(r, read_catalog, on_catalog);
}

void restore_read(struct run *r, const struct wire_agent_restore_read *m)
{
        struct restore *s = &r->restore;
        const char *name;

        if (s->state != RESTORING_READING)
                return;
        s->bytes += m->bytes;
        if (m->took_ns > s->read_ns)
                s->read_ns = m->took_ns;
        if (!heard_all(s, m->rank, m->code, m->text))
                return;
        if (s->code == 0) {
                use_candidate(r);
                return;
        }
        name = s->catalog.entries[s->at].name;
        log_warning("stint %u: %s is not used: %s; the next older one is tried", r->stint, name, s->text);
        if (s->code == EBADMSG) {
                start_work(r, set_candidate_aside, on_set_aside);
                return;
        }
        pass_over(s, name, s->text);
        s->at++;
        try_candidate(r);
}

void restore_done(struct run *r, const struct wire_agent_restore_done *m)
{
        struct restore *s = &r->restore;

        if (s->state != RESTORING_GIVEN || !heard_all(s, m->rank, m->code, m->text))
                return;
        if (s->code == 0) {
                go_on_from(r, m);
                return;
        }
        log_error("stint %u: %s was refused by the program: %s", r->stint, s->catalog.entries[s->at].name, s->text);
        story_note(r, "restore_failed",
                   json_pack("{s:s, s:s, s:i}", "checkpoint", s->catalog.entries[s->at].name, "reason", s->text, "code", s->code));
        listen_anew(s, RESTORING_ASKING);
}

/* The others would wait for ever for a rank that is not there. */
void restore_rank_gone(struct run *r)
{
        struct restore *s = &r->restore;

        switch (s->state) {
        case RESTORING_CHOOSING:
                s->abandoned = 1;
                break;
        case RESTORING_READING:
                fail_all(r, ECONNRESET, GONE_TEXT);
                break;
        case RESTORING_ASKING:
        case RESTORING_GIVEN:
                listen_anew(s, RESTORING_ASKING);
                break;
        }
}

void restore_fini(struct restore *s)
{
        catalog_fini(&s->catalog);
        free(s->heard);
        json_decref(s->passed_over);
        json_decref(s->events);
        *s = (struct restore){ 0 };
}
