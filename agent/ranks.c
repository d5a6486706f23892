/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ranks: checks which program is which rank, gives it its control page, and passes on what it says.  Called by listener
 * and by the loop; the rooms for saving, restoring and watching look programs up here.
 */
#include "ranks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "channel.h"
#include "clock.h"
#include "layouts.h"
#include "listener.h"
#include "log.h"
#include "prefetch.h"
#include "recall.h"
#include "restoring.h"
#include "saving.h"
#include "windows.h"

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
        attached_drop(&rank->attached);
        staging_drop(rank->lent);
        leave_staging(rank, rank->staging);
        leave_staging(rank, rank->second);
        windows_end(rank);
        if (rank->page)
                munmap(rank->page, sizeof *rank->page);
        free(rank);
}

int ranks_any(const struct ranks *r)
{
        const struct rank *rank;

        for (rank = r->first; rank; rank = rank->next)
                if (!rank->gone)
                        return 1;
        return 0;
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
        m.takes = WELCOME_TAKES_DEVICES | WELCOME_TAKES_WANTED;
        rank->word_id = r->over_id; /* other ranks may still act on it: this one is not to wait for it then */
        rank_send(rank, &m, page_fd);
}

static void announce(struct rank *rank)
{
        struct wire_agent_rank m = { .rank = rank->rank, .ranks = rank->of, .pid = (uint32_t)rank->peer.pid };

        WIRE_INIT(&m, WIRE_AGENT_RANK);
        m.agree_every = rank->agree_every;
        wire_text(m.program, sizeof m.program, rank->program);
        wire_text(m.devices, sizeof m.devices, rank->devices);
        coordinator_send(rank->ranks->run, &m);
        rank->announced = 1;
}

/* `stint run` writes into its journal what the ranks see when the last one is there, so this goes before. */
static void on_devices(struct rank *rank, const struct wire_devices *told)
{
        struct wire_devices m = *told;

        if (rank->announced) {
                disconnect(rank, "it told its devices too late");
                return;
        }
        WIRE_INIT(&m, WIRE_AGENT_DEVICES);
        m.rank = rank->rank;
        m.ranks = rank->of;
        if (rank->rank < WIRE_DEVICES_RANKS)
                coordinator_send(rank->ranks->run, &m);
        announce(rank);
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
        if (!(rank->takes & HELLO_TELLS_DEVICES))
                announce(rank);
        prefetch_show(r->prefetch, rank);
        r->on_change(r->arg);
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
        if (rank->known && !rank->announced && m->type != WIRE_DEVICES)
                announce(rank);
        switch (m->type) {
        case WIRE_HELLO:
                on_hello(rank, (const struct wire_hello *)m);
                break;
        case WIRE_DEVICES:
                on_devices(rank, (const struct wire_devices *)m);
                break;
        case WIRE_LAYOUT:
                layouts_take(rank, (const struct wire_layout *)m, fd);
                break;
        case WIRE_WANTED:
                attached_take(&rank->attached, (const struct wire_wanted *)m, fd);
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

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

void ranks_add(struct ranks *r, int fd, pid_t pid)
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
        rank->attached.fd = -1;
        rank->since_ns = clock_now();
        if (peer_open(&rank->peer, r->loop, fd, pid, on_message, on_gone, on_closed, &err) < 0) {
                log_error("%s", err.text);
                free(rank);
                return;
        }
        rank->next = r->first;
        r->first = rank;
}

int ranks_open(struct ranks *r, uv_loop_t *loop, const char *socket, struct coordinator *run, struct stint_error *err)
{
        r->loop = loop;
        r->run = run;
        return listener_open(r, socket, err);
}

void ranks_close(struct ranks *r)
{
        struct rank *rank, *next;

        listener_close(r);
        for (rank = r->first; rank; rank = next) {
                next = rank->next;
                saving_forget(rank);
                if (rank->gone)
                        rank_release(rank);
                else
                        disconnect(rank, NULL);
        }
}
