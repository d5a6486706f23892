/* SPDX-License-Identifier: GPL-2.0-or-later */
/* grants: the budget, the threads that make memory present, and what becomes of memory whose agent is gone. */
#include "grants.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "clock.h"
#include "duration.h"
#include "log.h"
#include "memory.h"

#define PIECE (INT64_C(64) << 20) /* between two looks at whether anybody still wants it */
/* Nobody can add a seal against writing, which would keep stintd from taking the pages back. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static void release(struct grant *grant, int keep)
{
        struct grants *g = grant->all;

        if (grant->fd >= 0) {
                if (!keep && fallocate(grant->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, grant->bytes) < 0)
                        log_warning("%" PRId64 " bytes of staging cannot be taken back: %s", grant->bytes,
                                    strerror(errno));
                close(grant->fd);
        }
        g->bytes -= grant->bytes;
        grant->user->staging_bytes -= grant->bytes;
        free(grant);
}

/* ---- on a thread ------------------------------------------------------------------------------------------------- */

static int populate(struct grant *grant)
{
        int64_t at, n;
        void *piece;
        int rc = 0;

        for (at = 0; rc == 0 && at < grant->bytes && !atomic_load(&grant->unwanted); at += n) {
                n = grant->bytes - at < PIECE ? grant->bytes - at : PIECE;
                piece = memory_map(grant->fd, (uint64_t)at, (uint64_t)n, PROT_READ | PROT_WRITE);
                if (!piece)
                        return error_system(&grant->err, errno, "cannot map %" PRId64 " bytes of staging", n);
                rc = memory_populate(piece, (uint64_t)n, MEMORY_LARGE, &grant->err);
                munmap(piece, (size_t)n);
        }
        return rc;
}

static void on_work(uv_work_t *work)
{
        struct grant *grant = work->data;

        grant->fd = memfd_create("stint-staging", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (grant->fd < 0 || ftruncate(grant->fd, grant->bytes) < 0 || fcntl(grant->fd, F_ADD_SEALS, SEALS) < 0)
                error_system(&grant->err, errno, "cannot make %" PRId64 " bytes of staging", grant->bytes);
        else
                populate(grant);
}

/* ---- on the loop ------------------------------------------------------------------------------------------------- */

static void say(const struct grant *grant, int ready)
{
        const struct settings *s = grant->all->settings;
        struct wire_daemon_grant m = { .ready = (uint32_t)ready, .bytes = (uint64_t)grant->bytes };

        m.outlive_s = s->outlive ? (uint32_t)(s->outlive_ns / CLOCK_SECOND) : 0;
        WIRE_INIT(&m, WIRE_DAEMON_GRANT);
        peer_send(grant->peer, &m, ready ? grant->fd : -1);
}

static void on_worked(uv_work_t *work, int status);

static void make_next(struct grants *g)
{
        if (g->first_job)
                uv_queue_work(g->loop, &g->first_job->work, on_work, on_worked);
}

static void on_worked(uv_work_t *work, int status)
{
        struct grant *grant = work->data;
        struct grants *g = grant->all;

        (void)status; /* nothing here is cancelled through libuv */
        g->first_job = grant->next_job;
        if (!g->first_job)
                g->last_job = NULL;
        make_next(g);
        grant->making = 0;
        if (!grant->peer)
                release(grant, 0);
        else if (grant->err.code) /* it takes the grant back */
                peer_refuse(grant->peer, grant->err.code, "%s", grant->err.text);
        else
                say(grant, 1);
}

/* Whether the budget, the user's share and the node have so much, when `less` of all and `own` of the user's were free. */
static int check(const struct grants *g, const struct user *user, uint64_t bytes, int64_t less, int64_t own,
                 struct stint_error *err)
{
        const struct settings *s = g->settings;
        const int64_t available = memory_available();
        const int64_t of_user = s->staging_user_bytes < s->staging_bytes ? s->staging_user_bytes : s->staging_bytes;
        const int64_t used = g->bytes - less, left = s->staging_bytes > used ? s->staging_bytes - used : 0;
        char want[32], have[32];

        if (s->staging_bytes == 0)
                return error_set(err, EOPNOTSUPP, "stintd gives no staging on this node (StagingMemory=off)");
        if (bytes == 0 || bytes > (uint64_t)left)
                return error_set(err, ENOMEM, "staging of %s was asked for, and %s are left of StagingMemory",
                                 size_format(want, sizeof want, (int64_t)(bytes > INT64_MAX ? INT64_MAX : bytes)),
                                 size_format(have, sizeof have, left));
        if ((int64_t)bytes > of_user - (user->staging_bytes - own))
                return error_set(err, ENOMEM, "this user would have more than StagingMemoryPerUser");
        if (available >= 0 && (int64_t)bytes >= available + less)
                return error_set(err, ENOMEM, "staging of %s was asked for, and this node has %s left",
                                 size_format(want, sizeof want, (int64_t)bytes),
                                 size_format(have, sizeof have, available));
        return 0;
}

/* What is kept gives way to what is wanted, the user's own first; but not for a wish that would not come true with it. */
static int make_room(struct grants *g, const struct user *user, uint64_t bytes, struct stint_error *err)
{
        if (check(g, user, bytes, 0, 0, NULL) == 0)
                return 0;
        if (check(g, user, bytes, kept_bytes(&g->kept, NULL), kept_bytes(&g->kept, user), err) < 0)
                return -1;
        while (check(g, user, bytes, 0, 0, err) < 0)
                if (!kept_drop(&g->kept, user) && !kept_drop(&g->kept, NULL))
                        return -1;
        return 0;
}

static void label(struct grant *grant, const struct peer *p, const char *job)
{
        if (job[0])
                snprintf(grant->label, sizeof grant->label, "job %s", job);
        else
                snprintf(grant->label, sizeof grant->label, "process %d of uid %u", (int)p->pid, (unsigned)p->uid);
}

static void queue(struct grants *g, struct grant *grant)
{
        if (g->last_job)
                g->last_job->next_job = grant;
        else
                g->first_job = grant;
        g->last_job = grant;
        if (g->first_job == grant)
                make_next(g);
}

int grants_give(struct grants *g, struct peer *p, uint64_t bytes, const char *job, struct stint_error *err)
{
        struct grant *grant;

        if (make_room(g, p->user, bytes, err) < 0)
                return -1;
        grant = calloc(1, sizeof *grant);
        if (!grant)
                return error_set(err, ENOMEM, "stintd has no memory for one grant more");
        grant->all = g;
        grant->work.data = grant;
        grant->user = p->user;
        grant->peer = p;
        grant->bytes = (int64_t)bytes;
        grant->fd = -1;
        grant->making = 1;
        label(grant, p, job);
        log_debug("%" PRIu64 " bytes of staging for process %d of uid %u", bytes, (int)p->pid, (unsigned)p->uid);
        g->bytes += grant->bytes;
        p->user->staging_bytes += grant->bytes;
        p->grant = grant;
        say(grant, 0);
        queue(g, grant);
        return 0;
}

/* ---- snapshots that are kept ------------------------------------------------------------------------------------- */

int grants_has(const struct grants *g, const struct peer *p)
{
        return kept_find(&g->kept, p->user, &p->wanted) != NULL;
}

int grants_hand(struct grants *g, struct peer *p, const char *job, struct stint_error *err)
{
        struct grant *grant = kept_find(&g->kept, p->user, &p->wanted);

        if (!grant)
                return error_set(err, ENOENT, "no such snapshot is in this node's memory");
        kept_take(&g->kept, grant);
        label(grant, p, job);
        grant->peer = p;
        p->grant = grant;
        say(grant, 1);
        return 0;
}

/* ---- writes that are handed over --------------------------------------------------------------------------------- */

int grants_take_descriptors(const struct grants *g, const struct peer *p)
{
        return g->settings->outlive && p->grant && !p->grant->making && finishes_take_more(&g->finishes, p->user);
}

void grants_drop_descriptors(struct grants *g, struct user *user, const int *fds, int n_fds)
{
        finishes_close(&g->finishes, user, fds, n_fds);
}

/* All that can be said without touching the files. */
static int check_handover(const struct grant *grant, const struct wire_daemon_handover *m, const int *fds, int n_fds,
                          struct seal *seal, struct stint_error *err)
{
        if (n_fds != 2)
                return error_set(err, EBADMSG, "a write is handed over with two descriptors, and not with %d", n_fds);
        if (grant->finish)
                return error_set(err, EBUSY, "a write from this memory was handed over before, and is not at its end");
        if (m->within_ns <= 0)
                return error_set(err, EINVAL, "a write was handed over without a time for it");
        if (seal_decode(seal, m->seal, sizeof m->seal, err) < 0)
                return error_wrap(err, "what was handed over");
        if (seal->file_bytes != (uint64_t)grant->bytes)
                return error_set(err, EINVAL, "a file of %" PRIu64 " bytes cannot come from %" PRId64 " bytes of staging",
                                 seal->file_bytes, grant->bytes);
        if (finish_check_mode(fds[0], "the file", err) < 0 || finish_check_mode(fds[1], "its seal", err) < 0)
                return -1;
        return 0;
}

static struct grant_image image_of(const struct seal *seal)
{
        struct grant_image image = { .rank = seal->rank, .ranks = seal->ranks, .root = seal->root };

        snprintf(image.run_id, sizeof image.run_id, "%s", seal->run_id);
        return image;
}

int grants_handover(struct grant *grant, const struct wire_daemon_handover *m, const int *fds, int n_fds,
                    struct stint_error *err)
{
        struct grants *g = grant->all;
        const int64_t within_ns = m->within_ns < g->settings->outlive_ns ? m->within_ns : g->settings->outlive_ns;
        struct finish *f;
        struct seal seal;

        if (check_handover(grant, m, fds, n_fds, &seal, err) < 0) {
                grants_drop_descriptors(g, grant->user, fds, n_fds);
                return -1;
        }
        f = finishes_hold(&g->finishes, grant->user, fds[0], fds[1]);
        if (!f)
                return error_set(err, ENOMEM, "stintd has no memory for one write more");
        f->seal = seal;
        f->image_bytes = seal.file_bytes;
        f->until_ns = clock_now() + within_ns;
        snprintf(f->label, sizeof f->label, "%s: step %" PRId64 ", rank %u of %u", grant->label, seal.step, seal.rank,
                 seal.ranks);
        grant->finish = f;
        grant->image = (struct grant_image){ .root = 0 }; /* what was in it is written over */
        return 0;
}

int grants_written(struct grant *grant, const struct wire_daemon_written *m, struct stint_error *err)
{
        if (!grant->finish)
                return error_set(err, EPROTO, "a write goes on that was not handed over");
        grant->finish->written = m->bytes < grant->finish->image_bytes ? m->bytes : grant->finish->image_bytes;
        return 0;
}

int grants_sealed(struct grant *grant, const struct wire_daemon_sealed *m, struct stint_error *err)
{
        struct finish *f = grant->finish;

        if (!f)
                return error_set(err, EPROTO, "a write has ended that was not handed over");
        f->seal.root = m->root;
        if (m->sealed)
                grant->image = image_of(&f->seal);
        grant->finish = NULL;
        finishes_let_go(f);
        return 0;
}

static void on_over(void *arg, struct finish *f)
{
        struct grant *grant = arg;

        grant->finish = NULL;
        if (f->sealed)
                grant->image = image_of(&f->seal);
        if (f->sealed && !f->all->stopping)
                kept_add(&grant->all->kept, grant);
        else
                release(grant, 0);
}

void grants_take_back(struct grant *grant, int stopping)
{
        struct finish *f = grant->finish;

        grant->peer = NULL;
        atomic_store(&grant->unwanted, 1);
        if (grant->making)
                return;
        if (f && !stopping) {
                finishes_begin(f, grant->fd, on_over, grant);
                return;
        }
        if (f)
                finishes_let_go(f);
        grant->finish = NULL;
        if (grant->image.root && !stopping)
                kept_add(&grant->all->kept, grant);
        else
                release(grant, stopping);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

static void release_kept(struct grant *grant)
{
        release(grant, 0);
}

int grants_open(struct grants *g, uv_loop_t *loop, const struct settings *settings, struct stint_error *err)
{
        memset(g, 0, sizeof *g);
        g->loop = loop;
        g->settings = settings;
        if (finishes_open(&g->finishes, loop, err) < 0)
                return -1;
        kept_open(&g->kept, loop, settings, release_kept);
        return 0;
}

void grants_stop(struct grants *g)
{
        kept_close(&g->kept);
        finishes_stop(&g->finishes);
}
