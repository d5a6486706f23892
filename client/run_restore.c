/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_restore: choosing what a program gets back.  All ranks ask, all agents read the same generation, and only when
 * every byte of every rank held is it handed over.  A damaged one is set aside and the next older tried; one that could
 * not be read is passed over and superseded once the run has gone on without it.  A run that ever had a checkpoint
 * never begins anew in silence.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "duration.h"
#include "fault.h"
#include "log.h"
#include "run_other_ranks.h"
#include "run_story.h"

static void try_candidate(struct run *r);
static void begin_anew(struct run *r);
static void start_work(struct run *r, void (*does)(void *arg), void (*done)(void *arg));
static void on_catalog(void *arg);

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
                snprintf(s->text, sizeof s->text, "%s%.*s", s->ranks > 1 ? "a rank: " : "", (int)sizeof s->text - 16,
                         text);
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
        if (r->restore.asking != NULL)
                memset(r->restore.asking, 0, r->restore.ranks);
        listen_anew(&r->restore, RESTORING_ASKING);
}

static void fail_all(struct run *r, int code, const char *text)
{
        char all[WIRE_TEXT], *why = NULL;
        json_t *passed_over = r->restore.candidates.passed_over;

        if (json_array_size(passed_over) > 0)
                why = json_dumps(passed_over, JSON_COMPACT);
        snprintf(all, sizeof all, "%s%s%s", text, why != NULL ? ": " : "", why != NULL ? why : "");
        free(why);
        log_error("stint %u: nothing restored: %s", r->stint, all);
        story_note(r, "restore_failed",
                   json_pack("{s:s, s:i, s:O?}", "reason", text, "code", code, "passed_over", passed_over));
        answer_all(r, RESTORE_FAILED, code, all);
}

/* ---- work in a thread ------------------------------------------------------------------------------------------ */

/* What went wrong meanwhile: with the lease gone nothing is given to anybody, with a rank gone nothing yet. */
static int work_failed(struct run *r)
{
        struct restore *s = &r->restore;

        if (candidates_worked(&s->candidates) != 0) {
                fail_all(r, s->candidates.problem.code, s->candidates.problem.text);
                return 1;
        }
        if (!s->abandoned)
                return 0;
        begin_anew(r);
        return 1;
}

static void look_again(struct run *r)
{
        candidates_again(&r->restore.candidates);
        start_work(r, candidates_read, on_catalog);
}

static void on_catalog(void *arg)
{
        struct run *r = ((struct candidates *)arg)->run;

        if (work_failed(r) || behind_wait(arg, look_again))
                return;
        prefetch_hand_over(r, arg);
        try_candidate(r);
}

static void on_set_aside(void *arg)
{
        struct run *r = ((struct candidates *)arg)->run;

        if (work_failed(r))
                return;
        candidates_drop(&r->restore.candidates);
        try_candidate(r);
}

static void start_work(struct run *r, void (*does)(void *arg), void (*done)(void *arg))
{
        struct stint_error err;

        r->restore.state = RESTORING_CHOOSING;
        if (work_add(&r->work, does, done, &r->restore.candidates, &err) != 0)
                fail_all(r, err.code, err.text);
}

/* ---- one candidate --------------------------------------------------------------------------------------------- */

static void let_rank_read(struct run *r, uint32_t rank)
{
        struct restore *s = &r->restore;
        const struct catalog_entry *e = candidates_at(&s->candidates);
        struct wire_run_restore m = { .status = RESTORE_IMAGE, .ranks = s->ranks, .checkpoint_step = e->step };

        WIRE_INIT(&m, WIRE_RUN_RESTORE);
        wire_text(m.checkpoint, sizeof m.checkpoint, e->name);
        m.rank = s->pieces.rank = (int32_t)rank;
        if (!other_ranks_saved(s)) {
                m.file_bytes = e->manifest.rank[rank].file_bytes;
                m.root = e->manifest.rank[rank].root;
        }
        send_to_rank(r, rank, &s->pieces, sizeof s->pieces);
        send_to_rank(r, rank, &m, sizeof m);
}

static void read_candidate(struct run *r)
{
        struct restore *s = &r->restore;
        uint32_t i;

        if (other_ranks_describe(s) != 0) {
                fail_all(r, ENOMEM, "no memory");
                return;
        }
        listen_anew(s, RESTORING_READING);
        json_decref(s->left_out);
        s->left_out = NULL;
        s->misfit = 0;
        s->bytes = 0;
        s->read_ns = 0;
        s->prefetched = s->staged = s->streamed = s->pieced = 0;
        for (i = 0; i < s->ranks; i++)
                let_rank_read(r, i);
}

static void try_candidate(struct run *r)
{
        struct candidates *c = &r->restore.candidates;
        char text[WIRE_TEXT];
        int landed = r->past.ever_landed || r->landed_step >= 0 || json_array_size(c->passed_over) > 0;

        switch (candidates_choose(&c->catalog, &c->at, r->identity.run_id, landed, text, sizeof text)) {
        case CHOICE_READ:
                read_candidate(r);
                break;
        case CHOICE_FRESH:
                story_note(r, "fresh", NULL);
                log_notice("stint %u: nothing to restore: training begins", r->stint);
                answer_all(r, RESTORE_FRESH, 0, "");
                prefetch_end(r);
                break;
        case CHOICE_FAILED:
                fail_all(r, EPROTO, text);
                break;
        }
}

static void let_rank_use(struct run *r, uint32_t rank)
{
        struct restore *s = &r->restore;
        struct wire_run_use m = { .rank = (int32_t)rank, .has_best = r->best.goal != STINT_GOAL_NONE };
        char *why;

        WIRE_INIT(&m, WIRE_RUN_USE);
        m.best_value = r->best.value;
        m.best_goal = r->best.goal;
        memcpy(m.best_name, r->best.name, sizeof m.best_name);
        if (json_array_size(s->candidates.passed_over) > 0) {
                why = json_dumps(s->candidates.passed_over, JSON_COMPACT);
                wire_text(m.text, sizeof m.text, why == NULL ? "" : why);
                free(why);
        }
        send_to_rank(r, rank, &m, sizeof m);
}

/* The best that counts from here on is one of those that can be restored. */
static void know_best(struct run *r)
{
        const struct catalog_entry *best = catalog_best(&r->restore.candidates.catalog);
        uint32_t i;

        for (i = 0; best != NULL && i < best->manifest.metric_count; i++)
                if (best->manifest.metrics[i].goal != STINT_GOAL_NONE) {
                        r->best = best->manifest.metrics[i];
                        return;
                }
}

static void use_candidate(struct run *r)
{
        struct restore *s = &r->restore;
        int code = fault_point("restore.before_use");
        uint32_t i;

        if (code != 0) {
                fail_all(r, code, "restore.before_use");
                return;
        }
        know_best(r);
        s->wait_ns = clock_now() - s->asked_ns;
        listen_anew(s, RESTORING_GIVEN);
        for (i = 0; i < s->ranks; i++)
                let_rank_use(r, i);
}

/* ---- the run goes on from it ----------------------------------------------------------------------------------- */

static void go_on_from(struct run *r, const struct wire_agent_restore_done *m)
{
        struct restore *s = &r->restore;
        const struct catalog_entry *e = candidates_at(&s->candidates);
        char how_much[32], how_long[32];
        int64_t took_ns = clock_now() - s->began_ns;
        const int staged = s->staged == s->ranks, prefetched = s->prefetched == s->ranks,
                  streamed = s->streamed == s->ranks;

        r->landed_step = e->step;
        r->lineage = s->candidates.lineage + (uint32_t)(s->candidates.set_back != 0);
        story_note(r, "restore",
                   json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:s, s:b, s:b, s:I, s:O}", "checkpoint", e->name,
                             "step", (json_int_t)e->step, "bytes", (json_int_t)s->bytes, "took_s",
                             (double)took_ns / 1e9, "read_s", (double)s->read_ns / 1e9, "wait_s",
                             (double)s->wait_ns / 1e9, "copy_s", (double)m->copy_ns / 1e9, "from",
                             staged ? "staging" : s->pieced > 0 ? "pieces" : "disk", "prefetched", prefetched, "streamed", streamed, "lineage",
                             (json_int_t)r->lineage, "passed_over", s->candidates.passed_over));
        log_notice("stint %u: restored step %" PRId64 " (%s in %s%s)", r->stint, e->step,
                   size_format(how_much, sizeof how_much, (int64_t)s->bytes),
                   duration_format(how_long, sizeof how_long, took_ns),
                   staged       ? ", from memory"
                   : prefetched ? ", read ahead"
                   : streamed   ? ", streamed"
                   : s->pieced  ? ", of pieces"
                                : "");
        other_ranks_tell(r);
        memset(s->asking, 0, s->ranks);
        listen_anew(s, RESTORING_ASKING);
        candidates_supersede_newer(&s->candidates);
        prefetch_end(r);
}

/* ---- messages -------------------------------------------------------------------------------------------------- */

static int begin_asking(struct run *r, uint32_t ranks)
{
        struct restore *s = &r->restore;

        restore_fini(s);
        s->asking = calloc(ranks, 1);
        s->heard = calloc(ranks, 1);
        if (candidates_init(&s->candidates, r) != 0 || s->asking == NULL || s->heard == NULL)
                return -1;
        s->ranks = ranks;
        s->began_ns = clock_now();
        return 0;
}

static int all_ask(const struct restore *s)
{
        return s->ranks > 0 && memchr(s->asking, 0, s->ranks) == NULL;
}

static int any_asks(const struct restore *s)
{
        return s->ranks > 0 && memchr(s->asking, 1, s->ranks) != NULL;
}

static void choose_when_all_ask(struct run *r)
{
        if (r->restore.state != RESTORING_ASKING || !all_ask(&r->restore))
                return;
        r->restore.asked_ns = clock_now();
        prefetch_stop(r);
        start_work(r, candidates_read, on_catalog);
}

/* What was read or chosen without all ranks counts for nothing; those that are still there go on waiting. */
static void begin_anew(struct run *r)
{
        struct restore *s = &r->restore;
        unsigned char *asking = s->asking;
        uint32_t ranks = s->ranks;

        s->asking = NULL;
        if (begin_asking(r, ranks) != 0) {
                free(asking);
                fail_all(r, ENOMEM, "no memory");
                return;
        }
        memcpy(s->asking, asking, ranks);
        free(asking);
        choose_when_all_ask(r);
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
        if (s->state == RESTORING_GIVEN && !s->heard[m->rank]) {
                let_rank_read(r, (uint32_t)m->rank); /* the others have theirs already */
                return;
        }
        if (s->state == RESTORING_GIVEN) {
                refuse(r, m->rank, "another restore is under way");
                return;
        }
        if (s->state == RESTORING_ASKING && (s->ranks != m->ranks || !any_asks(s)) && begin_asking(r, m->ranks) != 0) {
                refuse(r, m->rank, "no memory");
                return;
        }
        s->asking[m->rank] = 1;
        choose_when_all_ask(r);
}

/* It holds, and an older one would be refused for the same reason. */
static void refuse_misfit(struct run *r)
{
        char text[sizeof r->restore.text + 256];

        other_ranks_refusal(&r->restore, text, sizeof text);
        fail_all(r, EPROTO, text);
}

static void candidate_failed(struct run *r)
{
        struct restore *s = &r->restore;

        if (s->code != EBADMSG && s->misfit) {
                refuse_misfit(r);
                return;
        }
        log_warning("stint %u: %s is not used: %s; the next older one is tried", r->stint,
                    candidates_at(&s->candidates)->name, s->text);
        if (s->code == EBADMSG) {
                memcpy(s->candidates.reason, s->text, sizeof s->text);
                start_work(r, candidates_set_aside, on_set_aside);
                return;
        }
        candidates_pass_over(&s->candidates, s->text);
        try_candidate(r);
}

static void all_have_read(struct run *r)
{
        struct restore *s = &r->restore;

        if (s->abandoned)
                begin_anew(r);
        else if (s->code == 0)
                use_candidate(r);
        else
                candidate_failed(r);
}

void restore_read(struct run *r, const struct wire_agent_restore_read *m)
{
        struct restore *s = &r->restore;

        if (s->state == RESTORING_GIVEN && m->code == 0)
                let_rank_use(r, (uint32_t)m->rank);
        else if (s->state == RESTORING_GIVEN)
                refuse(r, m->rank, m->text);
        if (s->state != RESTORING_READING)
                return;
        if (m->code == 0)
                other_ranks_leave_out(s, m);
        s->misfit |= m->code == EPROTO && (other_ranks_saved(s) || m->from == RESTORE_FROM_PIECES);
        s->bytes += m->bytes;
        s->prefetched += m->ahead != 0;
        s->staged += m->from == RESTORE_FROM_STAGING;
        s->streamed += m->from == RESTORE_FROM_STREAM;
        s->pieced += m->from == RESTORE_FROM_PIECES;
        if (m->took_ns > s->read_ns)
                s->read_ns = m->took_ns;
        if (heard_all(s, m->rank, m->code, m->text))
                all_have_read(r);
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
        log_error("stint %u: %s was refused by the program: %s", r->stint, candidates_at(&s->candidates)->name,
                  s->text);
        story_note(r, "restore_failed",
                   json_pack("{s:s, s:s, s:i}", "checkpoint", candidates_at(&s->candidates)->name, "reason", s->text,
                             "code", s->code));
        memset(s->asking, 0, s->ranks);
        listen_anew(s, RESTORING_ASKING);
}

static void forget_absent(struct run *r, int was_heard)
{
        struct restore *s = &r->restore;
        uint32_t i;

        for (i = 0; i < s->ranks; i++) {
                if (i < r->ranks.n && r->ranks.rank[i].present)
                        continue;
                s->asking[i] = 0;
                s->heard_count += was_heard && !s->heard[i];
                s->heard[i] |= was_heard != 0;
        }
}

void restore_rank_gone(struct run *r)
{
        struct restore *s = &r->restore;

        if (s->ranks == 0)
                return;
        switch (s->state) {
        case RESTORING_ASKING:
                forget_absent(r, 0);
                break;
        case RESTORING_CHOOSING:
                s->abandoned = 1;
                forget_absent(r, 0);
                break;
        case RESTORING_READING:
                s->abandoned = 1;
                forget_absent(r, 1);
                if (s->heard_count == s->ranks)
                        begin_anew(r);
                break;
        case RESTORING_GIVEN:
                forget_absent(r, 0);
                if (r->ranks.present == 0) {
                        memset(s->asking, 0, s->ranks);
                        listen_anew(s, RESTORING_ASKING);
                }
                break;
        }
}

void restore_fini(struct restore *s)
{
        candidates_fini(&s->candidates);
        free(s->asking);
        free(s->heard);
        json_decref(s->left_out);
        *s = (struct restore){ 0 };
}
