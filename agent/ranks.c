/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ranks: accepts programs, checks who they are, gives each its control page and staging, and passes on what they say.
 * Called by the loop; the rooms for saving, restoring and watching look programs up here.
 */
#include "ranks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "duration.h"
#include "log.h"
#include "prefetch.h"
#include "recall.h"
#include "restoring.h"
#include "saving.h"
#include "streamed.h"
#include "windows.h"

#define FULL_REST_MS 1000

/* ---- one rank ---------------------------------------------------------------------------------------------------- */

void rank_publish(struct rank *rank)
{
        atomic_store_explicit(&rank->page->word, CONTROL_WORD(rank->word_id, rank->save_flags, rank->mail),
                              memory_order_release);
}

void rank_send(struct rank *rank, const void *message, int fd)
{
        const struct wire_header *header = message;

        if (rank->gone)
                return;
        if (peer_send(&rank->peer, message, fd) < 0) {
                log_debug("rank %d: %s could not be sent", rank->rank, wire_name(header->type));
                return;
        }
        /* The message is there before the word tells of it. */
        rank->mail++;
        if (rank->page)
                rank_publish(rank);
}

/* What a program that went away without a word has saved from it may be what the next one of its rank asks for. */
static void leave_staging(struct rank *rank, struct staging *staging)
{
        if (rank->known && !rank->said_bye && !rank->ranks->run->over)
                recall_keep(rank->ranks->recall, rank->rank, staging);
        else
                staging_drop(staging);
}

void rank_release(struct rank *rank)
{
        struct rank **at = &rank->ranks->first;

        if (!rank->closed || rank->jobs > 0 || saving_keeps(rank))
                return;
        while (*at && *at != rank)
                at = &(*at)->next;
        if (*at)
                *at = rank->next;
        restoring_drop(rank);
        staging_drop(rank->lent);
        leave_staging(rank, rank->staging);
        leave_staging(rank, rank->second);
        windows_end(rank);
        if (rank->page)
                munmap(rank->page, sizeof *rank->page);
        free(rank);
}

struct rank *ranks_connected(struct ranks *r, int32_t number)
{
        struct rank *rank;

        for (rank = r->first; rank; rank = rank->next)
                if (rank->known && !rank->gone && rank->rank == number)
                        return rank;
        return NULL;
}

static int anyone_connected(const struct ranks *r)
{
        const struct rank *rank;

        for (rank = r->first; rank; rank = rank->next)
                if (rank->known && !rank->gone)
                        return 1;
        return 0;
}

/* ---- coming and going -------------------------------------------------------------------------------------------- */

static void on_closed(struct peer *peer)
{
        struct rank *rank = (struct rank *)peer;

        rank->closed = 1;
        rank_release(rank);
}

/* Ends a connection, and tells `stint run` when it had known of it. */
static void disconnect(struct rank *rank, const char *why)
{
        struct wire_agent_gone gone = { .rank = rank->rank, .clean = rank->said_bye, .stopped = rank->stopped };
        struct ranks *r = rank->ranks;

        if (rank->gone)
                return;
        rank->gone = 1;
        if (why)
                log_warning("process %d, rank %d: connection closed: %s", (int)rank->peer.pid, rank->rank, why);
        if (rank->known) {
                saving_gone(rank);
                restoring_gone(rank);
                WIRE_INIT(&gone, WIRE_AGENT_GONE);
                gone.step = rank->said_bye ? rank->bye_step
                                           : atomic_load_explicit(&rank->page->step, memory_order_relaxed);
                coordinator_send(r->run, &gone);
        }
        peer_close(&rank->peer);
        if (!anyone_connected(r))
                r->of = 0;
        r->on_change(r->arg);
}

static void on_gone(struct peer *peer, const char *why)
{
        disconnect((struct rank *)peer, why);
}

static void refuse(struct rank *rank, int code, const char *text)
{
        struct wire_refused m = { .code = code };

        WIRE_INIT(&m, WIRE_REFUSED);
        wire_text(m.text, sizeof m.text, text);
        peer_send(&rank->peer, &m, -1);
        log_warning("process %d was refused: %s", (int)rank->peer.pid, text);
        disconnect(rank, NULL);
}

/* Why this HELLO cannot be accepted: fills err and answers -1; else 0. */
static int check_hello(struct ranks *r, const struct wire_hello *m, struct stint_error *err)
{
        struct rank *same;

        if (m->oldest > WIRE_VERSION || m->newest < WIRE_VERSION)
                return error_set(err, EPROTONOSUPPORT,
                                 "this stint-agent speaks protocol %d and libstint %s speaks %u to %u: install the "
                                 "same release "
                                 "of both",
                                 WIRE_VERSION, m->library, m->oldest, m->newest);
        if (m->ranks < 1 || m->rank < 0 || m->rank >= m->ranks)
                return error_set(err, EINVAL, "there is no rank %d of %d", m->rank, m->ranks);
        same = ranks_connected(r, m->rank);
        /* A rank that was started again may be here before the loop heard that its predecessor is gone. */
        if (same && peer_hung_up(&same->peer)) {
                disconnect(same, NULL);
                same = NULL;
        }
        if (same)
                return error_set(err, EEXIST,
                                 "rank %d is taken by process %d: give each process its own rank, or a run of its own "
                                 "(--stint-name)",
                                 m->rank, (int)same->peer.pid);
        if (r->of && r->of != m->ranks)
                return error_set(err, EINVAL, "this process says there are %d ranks, others of this run say %d",
                                 m->ranks, r->of);
        return 0;
}

/* A control page of which the program gets the descriptor; -1 with err. */
static int make_page(struct rank *rank, struct stint_error *err)
{
        const int fd = channel_memory("stint-control", sizeof *rank->page, err);
        struct control_page *page;

        if (fd < 0)
                return -1;
        page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED) {
                error_system(err, errno, "cannot map the control page of rank %d", rank->rank);
                close(fd);
                return -1;
        }
        page->magic = CONTROL_MAGIC;
        page->version = CONTROL_VERSION;
        page->bytes = sizeof *page;
        atomic_init(&page->deadline_ns, CLOCK_NEVER);
        atomic_init(&page->trigger_ns, CLOCK_NEVER);
        atomic_init(&page->step, -1);
        rank->page = page;
        return fd;
}

static void welcome(struct rank *rank, int page_fd)
{
        const struct ranks *r = rank->ranks;
        struct wire_welcome m = { .stint = r->stint, .agent_pid = (uint32_t)getpid() };

        WIRE_INIT(&m, WIRE_WELCOME);
        wire_text(m.run_id, sizeof m.run_id, r->run_id);
        wire_text(m.dir, sizeof m.dir, r->dir);
        m.over_id = r->over_id;
        rank->word_id = r->over_id; /* other ranks may still act on it: this one is not to wait for it then */
        rank_send(rank, &m, page_fd);
}

static void announce(const struct rank *rank)
{
        struct wire_agent_rank m = { .rank = rank->rank, .ranks = rank->of, .pid = (uint32_t)rank->peer.pid };

        WIRE_INIT(&m, WIRE_AGENT_RANK);
        m.agree_every = rank->agree_every;
        wire_text(m.program, sizeof m.program, rank->program);
        wire_text(m.devices, sizeof m.devices, rank->devices);
        coordinator_send(rank->ranks->run, &m);
}

static void on_hello(struct rank *rank, const struct wire_hello *m)
{
        struct ranks *r = rank->ranks;
        struct stint_error err = { 0 };
        int page_fd;

        if (check_hello(r, m, &err) < 0) {
                refuse(rank, err.code, err.text);
                return;
        }
        page_fd = make_page(rank, &err);
        if (page_fd < 0) {
                refuse(rank, err.code, err.text);
                return;
        }
        r->of = m->ranks;
        rank->known = 1;
        rank->rank = m->rank;
        rank->of = m->ranks;
        rank->takes = m->takes;
        rank->agree_every = m->agree_every > 0 ? m->agree_every : 1;
        memcpy(rank->program, m->program, sizeof rank->program);
        memcpy(rank->devices, m->devices, sizeof rank->devices);
        welcome(rank, page_fd);
        close(page_fd);
        announce(rank);
        prefetch_show(r->prefetch, rank);
        r->on_change(r->arg);
}

/* ---- staging ----------------------------------------------------------------------------------------------------- */

static void refuse_layout(struct rank *rank, uint32_t layout, const struct stint_error *why)
{
        struct wire_layout_refused m = { .layout = layout, .code = why->code };

        WIRE_INIT(&m, WIRE_LAYOUT_REFUSED);
        wire_text(m.text, sizeof m.text, why->text);
        log_warning("rank %d: its state cannot be saved: %s", rank->rank, why->text);
        rank_send(rank, &m, -1);
}

static void send_image(struct rank *rank, const struct staging *s, uint32_t image)
{
        struct wire_staging m = { .layout = rank->layout, .image = image, .record_bytes = s->record_bytes };

        WIRE_INIT(&m, WIRE_STAGING);
        m.count = s->count;
        m.image_bytes = s->image_bytes;
        m.table_offset = s->table_offset;
        rank_send(rank, &m, s->fd);
}

static void send_staging(struct rank *rank, const struct staging_job *job)
{
        const struct staging *s = rank_frame(rank);
        struct wire_agent_layout report = { .rank = rank->rank, .tensors = s->count, .state_bytes = s->state_bytes };

        if (s->streamed)
                windows_begin(rank, job->err.text);
        else
                send_image(rank, s, 0);
        WIRE_INIT(&report, WIRE_AGENT_LAYOUT);
        report.image_bytes = s->image_bytes;
        report.took_ns = job->took_ns;
        coordinator_send(rank->ranks->run, &report);
}

static void take_staging(struct rank *rank, struct staging_job *job)
{
        staging_drop(rank->staging); /* of a layout that came between */
        rank->staging = NULL;
        windows_end(rank);
        rank->layout = job->layout;
        if (job->made->streamed)
                rank->streamed = job->made;
        else
                rank->staging = job->made;
        job->made = NULL;
        send_staging(rank, job);
}

static void on_staging(struct work *work)
{
        struct staging_job *job = (struct staging_job *)work;
        struct rank *rank = job->owner;

        rank->jobs--;
        if (!rank->gone && job->made) {
                take_staging(rank, job);
        } else if (!rank->gone) {
                refuse_layout(rank, job->layout, &job->err);
        }
        staging_job_free(job);
        rank->ranks->on_change(rank->ranks->arg);
        rank_release(rank);
}

static void on_layout(struct rank *rank, const struct wire_layout *m, int *fd)
{
        struct stint_error err = { 0 };
        struct staging_job *job;

        if (*fd < 0) {
                error_set(&err, EBADMSG, "a layout came without its table");
                refuse_layout(rank, m->layout, &err);
                return;
        }
        /* It has its state, or begins without: what was read ahead would take the place of its staging. */
        prefetch_drop(rank->ranks->prefetch, rank->rank);
        recall_drop(rank->ranks->recall, rank->rank);
        job = calloc(1, sizeof *job);
        if (!job) {
                error_set(&err, ENOMEM, "no memory for a layout");
                refuse_layout(rank, m->layout, &err);
                return;
        }
        job->owner = rank;
        job->layout = m->layout;
        job->count = m->count;
        job->record_bytes = m->record_bytes;
        job->may_stream = (rank->takes & HELLO_TAKES_WINDOW) != 0;
        job->table_fd = *fd;
        *fd = -1;
        /* The old staging does not fit any more, whatever becomes of the new one.  A snapshot in it keeps it alive. */
        if (rank->staging && rank->staging->references == 1)
                job->old = rank->staging;
        else
                staging_drop(rank->staging);
        rank->staging = NULL;
        staging_drop(rank->second);
        rank->second = NULL;
        windows_end(rank);
        rank->jobs++;
        work_start(rank->ranks->loop, &rank->ranks->hdf5, &job->work, staging_job_run, on_staging);
}

/* Another image; or the first one after all, and the window serves for what has begun to come through it. */
static void take_image(struct rank *rank, struct staging *image)
{
        char bytes[32];

        if (rank->staging) {
                rank->second = image;
                send_image(rank, image, 1);
                return;
        }
        rank->staging = image;
        send_image(rank, image, 0);
        log_notice("rank %d: there is memory for a whole image of %s again: saves are not streamed any more", rank->rank,
                   size_format(bytes, sizeof bytes, (int64_t)image->image_bytes));
}

static void on_second(struct work *work)
{
        struct staging_twin *twin = (struct staging_twin *)work;
        struct rank *rank = twin->owner;

        rank->jobs--;
        rank->making_second = 0;
        if (!twin->made) {
                log_debug("rank %d: no second image: %s", rank->rank, twin->err.text);
        } else if (!rank->gone && rank_frame(rank) == twin->first && rank->layout == twin->layout) {
                take_image(rank, twin->made);
                twin->made = NULL;
                saving_image_came(rank);
        }
        staging_twin_free(twin);
        rank_release(rank);
}

void rank_make_second(struct rank *rank)
{
        struct staging_twin *twin;

        if (rank->second || rank->making_second || rank->gone || !rank_frame(rank))
                return;
        twin = calloc(1, sizeof *twin);
        if (!twin)
                return; /* the next save tries again */
        twin->owner = rank;
        twin->layout = rank->layout;
        twin->first = staging_hold(rank_frame(rank));
        rank->making_second = 1;
        rank->jobs++;
        work_start(rank->ranks->loop, &rank->ranks->seconds, &twin->work, staging_twin_run, on_second);
}

/* ---- what programs say ------------------------------------------------------------------------------------------- */

static void on_ask_save(struct rank *rank, const struct wire_ask_save *m)
{
        struct wire_agent_ask_save ask = { .rank = rank->rank, .reason = m->reason, .step = m->step };

        WIRE_INIT(&ask, WIRE_AGENT_ASK_SAVE);
        coordinator_send(rank->ranks->run, &ask);
}

static void on_complete(struct rank *rank, const struct wire_complete *m)
{
        struct wire_agent_complete complete = { .rank = rank->rank, .step = m->step };

        WIRE_INIT(&complete, WIRE_AGENT_COMPLETE);
        coordinator_send(rank->ranks->run, &complete);
}

static void on_bye(struct rank *rank, const struct wire_bye *m)
{
        rank->said_bye = 1;
        rank->stopped = m->stopped != 0;
        rank->bye_step = m->step;
}

static void on_message(struct peer *peer, const struct wire_header *m, int *fd)
{
        struct rank *rank = (struct rank *)peer;

        if (rank->known != (m->type != WIRE_HELLO)) {
                disconnect(rank, rank->known ? "it said HELLO twice" : "it did not say HELLO first");
                return;
        }
        switch (m->type) {
        case WIRE_HELLO:
                on_hello(rank, (const struct wire_hello *)m);
                break;
        case WIRE_LAYOUT:
                on_layout(rank, (const struct wire_layout *)m, fd);
                break;
        case WIRE_RESTORE:
                restoring_ask(rank, (const struct wire_restore *)m);
                break;
        case WIRE_RESTORE_DONE:
                restoring_done(rank, (const struct wire_restore_done *)m);
                break;
        case WIRE_SNAPSHOT:
                saving_snapshot(rank, (const struct wire_snapshot *)m);
                break;
        case WIRE_STREAMED:
                saving_streamed(rank, (const struct wire_streamed *)m);
                break;
        case WIRE_SNAPSHOT_FAILED:
                saving_snapshot_failed(rank, (const struct wire_snapshot_failed *)m);
                break;
        case WIRE_ASK_SAVE:
                on_ask_save(rank, (const struct wire_ask_save *)m);
                break;
        case WIRE_COMPLETE:
                on_complete(rank, (const struct wire_complete *)m);
                break;
        case WIRE_BYE:
                on_bye(rank, (const struct wire_bye *)m);
                break;
        default:
                disconnect(rank, "it sent what only an agent or `stint run` may send");
        }
}

void ranks_completed(struct ranks *r, const struct wire_run_completed *m)
{
        struct wire_completed completed = { .done = m->done, .code = m->code };
        struct rank *rank;

        WIRE_INIT(&completed, WIRE_COMPLETED);
        memcpy(completed.text, m->text, sizeof completed.text);
        for (rank = r->first; rank; rank = rank->next)
                if (rank->known)
                        rank_send(rank, &completed, -1);
}

/* ---- the listener ------------------------------------------------------------------------------------------------ */

static void add(struct ranks *r, int fd, pid_t pid)
{
        struct rank *rank = calloc(1, sizeof *rank);
        struct stint_error err = { 0 };

        if (!rank) {
                log_error("no memory for the connection of process %d", (int)pid);
                close(fd);
                return;
        }
        rank->ranks = r;
        rank->rank = -1;
        rank->since_ns = clock_now();
        if (peer_open(&rank->peer, r->loop, fd, pid, on_message, on_gone, on_closed, &err) < 0) {
                log_error("%s", err.text);
                free(rank);
                return;
        }
        rank->next = r->first;
        r->first = rank;
}

/* Told why, which never waits: its socket is empty. */
static void turn_away(struct ranks_listener *l, int fd, uid_t uid, pid_t pid)
{
        struct wire_refused m = { .code = EPERM };

        WIRE_INIT(&m, WIRE_REFUSED);
        wire_text(m.text, sizeof m.text, "this stint-agent serves the programs of another user");
        channel_send(fd, &m, sizeof m, NULL, 0, NULL);
        close(fd);
        if (strangers_news(&l->strangers, uid))
                log_warning("uid %u (process %d) connected and was not served: this is the agent of another user. It "
                            "is not told again",
                            (unsigned)uid, (int)pid);
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_rested(uv_timer_t *timer)
{
        struct ranks_listener *l = timer->data;

        uv_poll_start(&l->poll, UV_READABLE, on_connection);
}

static void rest(struct ranks_listener *l, uint64_t ms)
{
        uv_poll_stop(&l->poll);
        uv_timer_start(&l->rest, on_rested, ms, 0);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
        struct ranks_listener *l = poll->data;
        struct stint_error err = { 0 };
        int left, fd, strangers = 0;
        uid_t uid;
        pid_t pid;

        (void)events;
        if (status < 0) {
                log_error("no more programs can connect: %s", uv_strerror(status));
                uv_poll_stop(poll);
                return;
        }
        for (left = STRANGER_AT_ONCE; left > 0 && (fd = channel_accept(l->fd, &uid, &pid, &err)) >= 0; left--) {
                if (stranger_is(uid)) {
                        turn_away(l, fd, uid, pid);
                        strangers++;
                } else {
                        add(l->ranks, fd, pid);
                }
        }
        if (left > 0 && err.code != EAGAIN) {
                /* No descriptor left, say: with the program still waiting, the loop would turn for nothing. */
                log_warning("a program could not connect: %s", err.text);
                rest(l, FULL_REST_MS);
        } else if (strangers > 0) {
                rest(l, STRANGER_REST_MS);
        }
}

int ranks_listen_too(struct ranks *r, const char *name, struct stint_error *err)
{
        struct ranks_listener *l = &r->listener[r->listeners];
        int rc;

        if (r->listeners == RANKS_NAMES)
                return error_set(err, ENFILE, "there is no place for another name");
        l->fd = channel_listen(name, err);
        if (l->fd < 0)
                return -1;
        rc = uv_poll_init(r->loop, &l->poll, l->fd);
        if (rc < 0) {
                close(l->fd);
                return error_set(err, EIO, "cannot wait for programs: %s", uv_strerror(rc));
        }
        uv_timer_init(r->loop, &l->rest);
        l->ranks = r;
        l->poll.data = l->rest.data = l;
        r->listeners++; /* from here on ranks_close sees to it */
        rc = uv_poll_start(&l->poll, UV_READABLE, on_connection);
        return rc == 0 ? 0 : error_set(err, EIO, "cannot wait for programs: %s", uv_strerror(rc));
}

int ranks_open(struct ranks *r, uv_loop_t *loop, const char *socket, struct coordinator *run, struct stint_error *err)
{
        r->loop = loop;
        r->run = run;
        return ranks_listen_too(r, socket, err);
}

void ranks_close(struct ranks *r)
{
        struct rank *rank, *next;

        while (r->listeners > 0) {
                r->listeners--;
                uv_close((uv_handle_t *)&r->listener[r->listeners].poll, NULL);
                uv_close((uv_handle_t *)&r->listener[r->listeners].rest, NULL);
                close(r->listener[r->listeners].fd);
        }
        for (rank = r->first; rank; rank = next) {
                next = rank->next;
                saving_forget(rank);
                if (rank->gone)
                        rank_release(rank);
                else
                        disconnect(rank, NULL);
        }
}
