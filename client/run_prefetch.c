/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_prefetch: tells agents what to read while the program is still starting.  Which agent gets which rank is known
 * only when the ranks are there; until then it is guessed from where they were in the last stint.  Called by
 * run_story.c and run_events.c, and by run_restore.c once the programs ask.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "run_loop.h"
#include "run_prefetch.h"
#include "run_story.h"

#define NODES_MOST 64 /* of which a place is looked up by name; as many as the journal has places */

/* ---- which agent will have which rank: pure -------------------------------------------------------------------- */

static const char *place_node(const json_t *places, size_t i)
{
        const char *node = json_string_value(json_object_get(json_array_get(places, i), "node"));

        return node != NULL ? node : "";
}

/* Which one of the last stint's nodes this was, in the order of the ranks. */
static unsigned place_order(const json_t *places, const char *node)
{
        const char *seen[NODES_MOST];
        unsigned n = 0, k;
        size_t i;

        for (i = 0; i < json_array_size(places) && n < NODES_MOST; i++) {
                const char *other = place_node(places, i);

                if (strcmp(other, node) == 0)
                        return n;
                for (k = 0; k < n && strcmp(seen[k], other) != 0; k++)
                        ;
                /* Ranks of one node need not stand together. */
                if (k < n)
                        continue;
                seen[n++] = other;
        }
        return n;
}

unsigned prefetch_place(const json_t *places, const char *const *nodes, unsigned n, uint32_t rank, uint32_t ranks)
{
        const char *node;
        unsigned i;

        if (json_array_size(places) != ranks)
                return (unsigned)((uint64_t)rank * n / ranks);
        node = place_node(places, rank);
        for (i = 0; i < n; i++)
                if (strcmp(nodes[i], node) == 0)
                        return i;
        return place_order(places, node) % n;
}

/* The places of the last stint that had programs; NULL when the journal has none. */
static json_t *last_places(struct run *r)
{
        json_t *lines = journal_read_on(&r->history, r->o->dir, NULL), *line, *places = NULL;
        size_t i;

        json_array_foreach(lines, i, line) {
                const char *event = json_string_value(json_object_get(line, "event"));

                if (event != NULL && strcmp(event, "attached") == 0)
                        places = json_object_get(line, "places");
        }
        json_incref(places);
        return places;
}

/* ---- telling agents -------------------------------------------------------------------------------------------- */

static void tell(struct run *r, uint32_t rank)
{
        const struct catalog_entry *e = candidates_at(&r->prefetch.candidates);
        struct wire_run_prefetch m = { .rank = (int32_t)rank, .ranks = e->manifest.ranks, .checkpoint_step = e->step };

        WIRE_INIT(&m, WIRE_RUN_PREFETCH);
        m.file_bytes = e->manifest.rank[rank].file_bytes;
        m.root = e->manifest.rank[rank].root;
        wire_text(m.checkpoint, sizeof m.checkpoint, e->name);
        agents_send(&r->agents, r->prefetch.agent[rank], &m, sizeof m);
}

/* rank -1: of all. */
static void tell_to_let_go(struct run *r, unsigned agent, int32_t rank)
{
        struct wire_run_prefetch m = { .rank = rank };

        WIRE_INIT(&m, WIRE_RUN_PREFETCH);
        agents_send(&r->agents, agent, &m, sizeof m);
}

static int is_elsewhere(const struct run *r, uint32_t rank)
{
        return ranks_has(&r->ranks, (int32_t)rank) && r->ranks.rank[rank].present &&
               r->ranks.rank[rank].agent != r->prefetch.agent[rank];
}

static int guess_places(struct run *r, uint32_t ranks)
{
        const char **nodes = calloc(r->agents.n, sizeof *nodes);
        json_t *places;
        uint32_t i;

        free(r->prefetch.agent);
        free(r->prefetch.read);
        r->prefetch.agent = calloc(ranks, sizeof *r->prefetch.agent);
        r->prefetch.read = calloc(ranks, 1);
        if (nodes == NULL || r->prefetch.agent == NULL || r->prefetch.read == NULL) {
                free(nodes);
                return -1;
        }
        for (i = 0; i < r->agents.n; i++)
                nodes[i] = r->agents.agent[i].node;
        places = r->agents.n > 1 ? last_places(r) : NULL;
        for (i = 0; i < ranks; i++) {
                r->prefetch.agent[i] = prefetch_place(places, nodes, r->agents.n, i, ranks);
                if (is_elsewhere(r, i))
                        r->prefetch.agent[i] = r->ranks.rank[i].agent;
        }
        json_decref(places);
        free(nodes);
        return 0;
}

/* The agents' nodes are known when all are ready. */
static void tell_all(struct run *r)
{
        struct prefetch *p = &r->prefetch;
        const uint32_t ranks = candidates_at(&p->candidates)->manifest.ranks;
        uint32_t i;

        if (p->state != PREFETCH_NAMED || !agents_all_ready(&r->agents))
                return;
        if (guess_places(r, ranks) != 0)
                return; /* it is read when it is asked for */
        p->told = p->held = 1;
        for (i = 0; i < ranks; i++)
                tell(r, i);
}

void prefetch_agent_came(struct run *r, unsigned agent)
{
        struct prefetch *p = &r->prefetch;
        uint32_t i;

        if (p->state != PREFETCH_NAMED)
                return;
        if (!p->told) {
                tell_all(r);
                return;
        }
        for (i = 0; i < candidates_at(&p->candidates)->manifest.ranks; i++)
                if (p->agent[i] == agent)
                        tell(r, i);
}

void prefetch_rank_came(struct run *r, uint32_t rank)
{
        struct prefetch *p = &r->prefetch;

        if (p->state != PREFETCH_NAMED || !p->told)
                return;
        if (r->ranks.n != candidates_at(&p->candidates)->manifest.ranks) {
                tell_to_let_go(r, AGENTS_ALL, -1); /* another program than the one that saved it */
                prefetch_stop(r);
                return;
        }
        if (!is_elsewhere(r, rank))
                return;
        tell_to_let_go(r, p->agent[rank], (int32_t)rank);
        p->agent[rank] = r->ranks.rank[rank].agent;
        tell(r, rank);
}

/* ---- finding the candidate ------------------------------------------------------------------------------------- */

/* What became of the candidates so far stays known: the program that asks later is told. */
static void forget(struct prefetch *p)
{
        if (p->candidates.set_aside != NULL)
                json_array_extend(p->set_aside, p->candidates.set_aside);
        if (p->lineage < p->candidates.lineage)
                p->lineage = p->candidates.lineage;
        candidates_fini(&p->candidates);
        free(p->agent);
        free(p->read);
        p->agent = NULL;
        p->read = NULL;
        p->state = PREFETCH_OFF;
}

static void look(struct run *r, void (*does)(void *arg), void (*done)(void *arg));
static void on_looked(void *arg);

static void name_candidate(struct run *r)
{
        struct candidates *c = &r->prefetch.candidates;

        while (c->at < c->catalog.whole && strcmp(candidates_at(c)->manifest.run_id, r->identity.run_id) != 0)
                c->at++;
        if (c->at == c->catalog.whole) {
                forget(&r->prefetch);
                return;
        }
        r->prefetch.state = PREFETCH_NAMED;
        r->prefetch.told = 0;
        r->prefetch.bytes = 0;
        r->prefetch.took_ns = 0;
        tell_all(r);
}

static int is_of_no_use(struct run *r)
{
        if (candidates_worked(&r->prefetch.candidates) == 0 && !r->prefetch.over && !r->over)
                return 0;
        forget(&r->prefetch);
        loop_look_for_end(r);
        return 1;
}

static void look_again(struct run *r)
{
        candidates_again(&r->prefetch.candidates);
        look(r, candidates_read, on_looked);
}

static void on_looked(void *arg)
{
        struct run *r = ((struct candidates *)arg)->run;

        if (is_of_no_use(r))
                return;
        if (behind_wait(arg, look_again))
                r->prefetch.state = PREFETCH_WAITING;
        else
                name_candidate(r);
}

static void on_set_aside(void *arg)
{
        struct run *r = ((struct candidates *)arg)->run;

        if (is_of_no_use(r))
                return;
        candidates_drop(&r->prefetch.candidates);
        name_candidate(r);
}

static void look(struct run *r, void (*does)(void *arg), void (*done)(void *arg))
{
        r->prefetch.state = PREFETCH_LOOKING;
        if (work_add(&r->work, does, done, &r->prefetch.candidates, NULL) != 0)
                forget(&r->prefetch);
}

void prefetch_begin(struct run *r)
{
        struct prefetch *p = &r->prefetch;

        p->set_aside = json_array();
        if (!r->o->prefetch || p->set_aside == NULL || candidates_init(&p->candidates, r) != 0)
                return;
        look(r, candidates_read, on_looked);
}

/* ---- what agents found ----------------------------------------------------------------------------------------- */

static void set_aside(struct run *r, const struct wire_agent_prefetched *m)
{
        struct candidates *c = &r->prefetch.candidates;

        snprintf(c->reason, sizeof c->reason, "%s%.*s", candidates_at(c)->manifest.ranks > 1 ? "a rank: " : "",
                 (int)sizeof c->reason - 16, m->text);
        log_warning("stint %u: %s is not used: %s; the next older one is tried", r->stint, candidates_at(c)->name,
                    c->reason);
        tell_to_let_go(r, AGENTS_ALL, -1);
        look(r, candidates_set_aside, on_set_aside);
}

/* One file more is in memory; when it was the last one, the journal says so. */
static void count(struct run *r, const struct wire_agent_prefetched *m)
{
        struct prefetch *p = &r->prefetch;
        const struct catalog_entry *e = candidates_at(&p->candidates);

        if (m->rank < 0 || (uint32_t)m->rank >= e->manifest.ranks || p->read == NULL || p->read[m->rank])
                return;
        p->read[m->rank] = 1;
        p->bytes += m->bytes;
        if (p->took_ns < m->took_ns)
                p->took_ns = m->took_ns;
        if (memchr(p->read, 0, e->manifest.ranks) != NULL)
                return;
        story_note(r, "prefetched",
                   json_pack("{s:s, s:I, s:I, s:f}", "checkpoint", e->name, "step", (json_int_t)e->step, "bytes",
                             (json_int_t)p->bytes, "took_s", (double)p->took_ns / 1e9));
}

void prefetch_read(struct run *r, const struct wire_agent_prefetched *m)
{
        struct prefetch *p = &r->prefetch;

        if (p->state != PREFETCH_NAMED || strcmp(m->checkpoint, candidates_at(&p->candidates)->name) != 0)
                return;
        if (m->code == EBADMSG)
                set_aside(r, m);
        else if (m->code == 0)
                count(r, m);
        else
                log_notice("stint %u: rank %d of %s was not read ahead: %s", r->stint, m->rank, m->checkpoint, m->text);
}

/* ---- the programs have asked ----------------------------------------------------------------------------------- */

void prefetch_stop(struct run *r)
{
        struct prefetch *p = &r->prefetch;

        if (p->state == PREFETCH_WAITING)
                behind_stop(r);
        if (p->state == PREFETCH_LOOKING)
                p->over = 1;
        else
                forget(p);
}

void prefetch_hand_over(const struct run *r, struct candidates *to)
{
        const struct prefetch *p = &r->prefetch;

        if (json_array_size(p->set_aside) == 0)
                return;
        json_array_extend(to->passed_over, p->set_aside);
        to->set_back = 1;
        if (to->lineage < p->lineage)
                to->lineage = p->lineage;
}

void prefetch_end(struct run *r)
{
        struct prefetch *p = &r->prefetch;

        prefetch_stop(r);
        json_array_clear(p->set_aside);
        if (p->held)
                tell_to_let_go(r, AGENTS_ALL, -1);
        p->held = 0;
}

void prefetch_fini(struct prefetch *p)
{
        forget(p);
        json_decref(p->set_aside);
        p->set_aside = NULL;
}
