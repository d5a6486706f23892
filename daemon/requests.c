/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * requests: the first message of a connection says what it is for, and every later one must belong to that.  Whose job
 * a process is comes from slurmd and never from a message; who may see and trigger what is decided in one place.
 */
#include "requests.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "log.h"
#include "stintd.h"

static struct stintd *daemon_of(const struct peer *p)
{
        return p->server->daemon;
}

/*
 * Everything that one process may do to another's job goes through here, and what is not allowed here is not allowed:
 * a user sees and triggers what runs as himself, root sees and triggers all.  The uid is the kernel's word.
 */
static int may(const struct peer *p, const struct job *job)
{
        if (p->uid == 0)
                return 1;
        return p->uid == job->uid;
}

static void out_of_place(struct peer *p, const struct wire_header *m)
{
        peer_refuse(p, EPROTO, "%s does not belong here", wire_name(m->type));
}

/* ---- agents ------------------------------------------------------------------------------------------------------ */

static void welcome(struct peer *p)
{
        struct wire_daemon_welcome m = { .version = WIRE_VERSION, .pid = (uint32_t)uv_os_getpid() };

        WIRE_INIT(&m, WIRE_DAEMON_WELCOME);
        wire_text(m.job, sizeof m.job, p->job->job.id);
        peer_send(p, &m, -1);
}

/* Its number was asked about; the answer holds only for a process that has had that number all the time. */
static int still_here(struct peer *p)
{
        if (peer_lives(p))
                return 1;
        peer_close(p);
        return 0;
}

static struct peer *peer_of(struct whose_question *q)
{
        return (struct peer *)(void *)((char *)q - offsetof(struct peer, question));
}

/* Somebody runs in another's job: a mistake with su(1), or no mistake. */
static void note_stranger(struct peer *p, const char *job, const char *why)
{
        if (job && !job[0] && why[0] && user_may_be_named(p->user, clock_now()))
                log_warning("process %d of uid %u %s: it is not served as that job's", (int)p->pid, (unsigned)p->uid,
                            why);
}

static void on_agent_known(struct whose_question *q, const char *job, const char *why)
{
        struct peer *p = peer_of(q);

        if (!still_here(p))
                return;
        note_stranger(p, job, why);
        jobs_know(p->job, job);
        welcome(p);
}

static void ask_whose(struct peer *p, void (*on_answer)(struct whose_question *, const char *, const char *))
{
        p->question.pid = p->pid;
        p->question.uid = p->uid;
        p->question.on_answer = on_answer;
        whose_ask(&daemon_of(p)->whose, &p->question);
}

static void on_hello(struct peer *p, const struct wire_daemon_hello *m)
{
        struct stint_error err = { 0 };

        if (m->oldest > WIRE_VERSION || m->newest < m->oldest) {
                peer_refuse(p, EPROTONOSUPPORT,
                            "this agent speaks protocol %u to %u and stintd speaks %d: use one release on both sides",
                            m->oldest, m->newest, WIRE_VERSION);
                return;
        }
        /* The id of a run is 32 digits everywhere; one that is not would only be a way into the log. */
        if (strspn(m->run_id, "0123456789abcdef") != strlen(m->run_id)) {
                peer_refuse(p, EINVAL, "the identity of a run is hexadecimal");
                return;
        }
        if (jobs_add(&daemon_of(p)->jobs, p, m, &err) < 0) {
                peer_refuse(p, err.code, "%s", err.text);
                return;
        }
        p->kind = PEER_AGENT;
        ask_whose(p, on_agent_known);
}

static void from_agent(struct peer *p, const struct wire_header *m)
{
        if (m->type == WIRE_DAEMON_PLAN)
                jobs_plan(p->job, (const struct wire_daemon_plan *)(const void *)m);
        else if (m->type == WIRE_DAEMON_SAVING)
                jobs_saving(p->job, (const struct wire_daemon_saving *)(const void *)m);
        else
                out_of_place(p, m);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/*
 * Memory of the node goes to jobs, which the scheduler let in, and to nobody else: not to whoever has a shell here, and
 * not while slurmd cannot be asked.  The agent then uses the job's own.
 */
static void give(struct peer *p, const char *job, const char *why)
{
        struct stint_error err = { 0 };

        if (!job)
                peer_refuse(p, EAGAIN, "whose job this process is cannot be learnt now: %s", why);
        else if (!job[0])
                peer_refuse(p, EPERM, "this process belongs to no job, and staging is for jobs");
        else if (grants_give(&daemon_of(p)->grants, p, p->memory_bytes, job, &err) < 0)
                peer_refuse(p, err.code, "%s", err.text);
}

static void on_memory_known(struct whose_question *q, const char *job, const char *why)
{
        struct peer *p = peer_of(q);

        if (!still_here(p))
                return;
        note_stranger(p, job, why);
        give(p, job, why);
}

/* The agent of the same process has been asked about already. */
static const char *known_job(const struct peer *p)
{
        const struct jobs_entry *e;

        for (e = daemon_of(p)->jobs.first; e; e = e->next)
                if (e->job.id[0] && e->job.pid == p->pid && may(p, &e->job) && peer_lives(e->peer))
                        return e->job.id;
        return NULL;
}

static void on_memory(struct peer *p, const struct wire_daemon_memory *m)
{
        const char *job = known_job(p);

        p->kind = PEER_MEMORY;
        p->memory_bytes = m->bytes;
        if (job)
                give(p, job, "");
        else
                ask_whose(p, on_memory_known);
}

/* Who looks for a snapshot is in a job of its user's, as who was given the memory for it. */
static void hand(struct peer *p, const char *job, const char *why)
{
        struct stint_error err = { 0 };

        if (!job)
                peer_refuse(p, EAGAIN, "whose job this process is cannot be learnt now: %s", why);
        else if (!job[0])
                peer_refuse(p, EPERM, "this process belongs to no job, and staging is for jobs");
        else if (grants_hand(&daemon_of(p)->grants, p, job, &err) < 0)
                peer_refuse(p, err.code, "%s", err.text);
}

static void on_finder_known(struct whose_question *q, const char *job, const char *why)
{
        struct peer *p = peer_of(q);

        if (!still_here(p))
                return;
        note_stranger(p, job, why);
        hand(p, job, why);
}

static void on_find(struct peer *p, const struct wire_daemon_find *m)
{
        const char *job;

        p->kind = PEER_MEMORY;
        p->wanted = *m;
        if (!grants_has(&daemon_of(p)->grants, p)) {
                peer_refuse(p, ENOENT, "no such snapshot is in this node's memory");
                return;
        }
        job = known_job(p);
        if (job)
                hand(p, job, "");
        else
                ask_whose(p, on_finder_known);
}

/* ---- writes that go on after their job ---------------------------------------------------------------------------- */

static void done(struct peer *p, int code, uint32_t count, const char *text);

int requests_take_descriptors(const struct peer *p)
{
        return p->kind == PEER_MEMORY && grants_take_descriptors(&daemon_of(p)->grants, p);
}

void requests_drop_descriptors(struct peer *p, const int *fds, int n_fds)
{
        grants_drop_descriptors(&daemon_of(p)->grants, p->user, fds, n_fds);
}

void requests_cannot_take(struct peer *p)
{
        done(p, EMFILE, 0, "stintd takes over no more writes now");
}

/* What does not hold is refused in words, and the memory stays: the agent goes on without us. */
void requests_handover(struct peer *p, const struct wire_daemon_handover *m, const int *fds, int n_fds)
{
        struct stint_error err = { 0 };

        if (grants_handover(p->grant, m, fds, n_fds, &err) < 0)
                done(p, err.code, 0, err.text);
        else
                done(p, 0, 1, "");
}

static void from_memory(struct peer *p, const struct wire_header *m)
{
        const void *message = m;
        struct stint_error err = { 0 };
        int rc = -1;

        if (p->grant && !p->grant->making && m->type == WIRE_DAEMON_WRITTEN)
                rc = grants_written(p->grant, message, &err);
        else if (p->grant && !p->grant->making && m->type == WIRE_DAEMON_SEALED)
                rc = grants_sealed(p->grant, message, &err);
        else if (p->grant && !p->grant->making && m->type == WIRE_DAEMON_HANDOVER)
                done(p, EBADMSG, 0, "a write was handed over without its descriptors");
        else
                out_of_place(p, m);
        if (rc < 0 && err.code)
                peer_refuse(p, err.code, "%s", err.text);
}

/* ---- verbs ------------------------------------------------------------------------------------------------------- */

static void done(struct peer *p, int code, uint32_t count, const char *text)
{
        struct wire_daemon_done m = { .code = code, .count = count };

        WIRE_INIT(&m, WIRE_DAEMON_DONE);
        wire_text(m.text, sizeof m.text, text);
        peer_send(p, &m, -1);
}

static void carry_out(struct peer *p, enum daemon_request what, struct jobs_entry *e)
{
        struct wire_daemon_job m;

        switch (what) {
        case DAEMON_LIST:
                jobs_describe(e, &m);
                peer_send(p, &m, -1);
                break;
        case DAEMON_SAVE:
                jobs_save(e);
                break;
        case DAEMON_DRAIN:
                jobs_drain(e);
                break;
        }
}

/* A job that there is not and one that is another's are answered alike: neither can be found out about. */
static void on_request(struct peer *p, const struct wire_daemon_request *m)
{
        struct jobs_entry *e, *next;
        char text[WIRE_TEXT];
        uint32_t count = 0;

        p->kind = PEER_VERB;
        if (m->what < DAEMON_LIST || m->what > DAEMON_DRAIN) {
                done(p, EINVAL, 0, "stintd knows no such request");
                return;
        }
        for (e = daemon_of(p)->jobs.first; e; e = next) {
                next = e->next;
                if (!may(p, &e->job) || (m->job[0] && strcmp(m->job, e->job.id) != 0))
                        continue;
                count++;
                carry_out(p, (enum daemon_request)m->what, e);
        }
        if (count == 0 && m->job[0]) {
                snprintf(text, sizeof text, "no job %s of yours is on this node", m->job);
                done(p, ESRCH, 0, text);
                return;
        }
        if (m->what != DAEMON_LIST && user_may_log(p->user, clock_now()))
                log_notice("uid %u asked for a %s of %u job%s", (unsigned)p->uid,
                           m->what == DAEMON_DRAIN ? "drain" : "save", count, count == 1 ? "" : "s");
        done(p, 0, count, "");
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static void first_message(struct peer *p, const struct wire_header *m)
{
        const void *message = m;

        switch (m->type) {
        case WIRE_DAEMON_HELLO:
                on_hello(p, message);
                break;
        case WIRE_DAEMON_MEMORY:
                on_memory(p, message);
                break;
        case WIRE_DAEMON_FIND:
                on_find(p, message);
                break;
        case WIRE_DAEMON_REQUEST:
                on_request(p, message);
                break;
        default:
                out_of_place(p, m);
                break;
        }
}

void requests_message(struct peer *p, const struct wire_header *m)
{
        switch (p->kind) {
        case PEER_FRESH:
                first_message(p, m);
                break;
        case PEER_AGENT:
                from_agent(p, m);
                break;
        case PEER_VERB:
                if (m->type == WIRE_DAEMON_REQUEST)
                        on_request(p, (const struct wire_daemon_request *)(const void *)m);
                else
                        out_of_place(p, m);
                break;
        case PEER_MEMORY:
                from_memory(p, m);
                break;
        }
}

void requests_gone(struct peer *p)
{
        struct stintd *d = daemon_of(p);
        struct grant *grant = p->grant;

        whose_withdraw(&d->whose, &p->question);
        p->grant = NULL;
        if (grant)
                grants_take_back(grant, d->stopping);
        if (p->job)
                jobs_lost(p->job);
}
