/* SPDX-License-Identifier: GPL-2.0-or-later */
/* grants: the budget, and the threads that make memory present.  Called by requests.c. */
#include "grants.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "duration.h"
#include "log.h"
#include "memory.h"

#define PIECE (INT64_C(64) << 20) /* between two looks at whether anybody still wants it */
/* Nobody can add a seal against writing, which would keep stintd from taking the pages back. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct grant {
        uv_work_t work;
        struct grants *all;
        struct grant *next_job;
        struct user *user;
        struct peer *peer; /* NULL: nobody wants it any more */
        atomic_int unwanted; /* the same, for the thread */
        int making;
        int64_t bytes;
        int fd;
        struct stint_error err;
};

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
                piece = mmap(NULL, (size_t)n, PROT_READ | PROT_WRITE, MAP_SHARED, grant->fd, at);
                if (piece == MAP_FAILED)
                        return error_system(&grant->err, errno, "cannot map %" PRId64 " bytes of staging", n);
                rc = memory_populate(piece, (uint64_t)n, &grant->err);
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
        struct wire_daemon_grant m = { .ready = (uint32_t)ready, .bytes = (uint64_t)grant->bytes };

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
        else if (grant->err.code)
                peer_refuse(grant->peer, grant->err.code, "%s", grant->err.text);
        else
                say(grant, 1);
}

/* Whether the budget, the user's share and the node have so much. */
static int check(const struct grants *g, const struct user *user, uint64_t bytes, struct stint_error *err)
{
        const struct settings *s = g->settings;
        const int64_t available = memory_available();
        const int64_t of_user = s->staging_user_bytes < s->staging_bytes ? s->staging_user_bytes : s->staging_bytes;
        char want[32], left[32];

        if (s->staging_bytes == 0)
                return error_set(err, EOPNOTSUPP, "stintd gives no staging on this node (StagingMemory=off)");
        if (bytes == 0 || bytes > (uint64_t)s->staging_bytes - (uint64_t)(g->bytes < s->staging_bytes ? g->bytes : s->staging_bytes))
                return error_set(err, ENOMEM, "staging of %s was asked for, and %s are left of StagingMemory",
                                 size_format(want, sizeof want, (int64_t)(bytes > INT64_MAX ? INT64_MAX : bytes)),
                                 size_format(left, sizeof left,
                                             s->staging_bytes > g->bytes ? s->staging_bytes - g->bytes : 0));
        if ((int64_t)bytes > of_user - user->staging_bytes)
                return error_set(err, ENOMEM, "this user would have more than StagingMemoryPerUser");
        if (available >= 0 && (int64_t)bytes >= available)
                return error_set(err, ENOMEM, "staging of %s was asked for, and this node has %s left",
                                 size_format(want, sizeof want, (int64_t)bytes),
                                 size_format(left, sizeof left, available));
        return 0;
}

int grants_give(struct grants *g, struct peer *p, uint64_t bytes, struct stint_error *err)
{
        struct grant *grant;

        if (check(g, p->user, bytes, err) < 0)
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
        log_debug("%" PRIu64 " bytes of staging for process %d of uid %u", bytes, (int)p->pid, (unsigned)p->uid);
        g->bytes += grant->bytes;
        p->user->staging_bytes += grant->bytes;
        p->grant = grant;
        say(grant, 0);
        if (g->last_job)
                g->last_job->next_job = grant;
        else
                g->first_job = grant;
        g->last_job = grant;
        if (g->first_job == grant)
                make_next(g);
        return 0;
}

void grants_take_back(struct grant *grant, int keep)
{
        grant->peer = NULL;
        atomic_store(&grant->unwanted, 1);
        if (!grant->making)
                release(grant, keep);
}

void grants_open(struct grants *g, uv_loop_t *loop, const struct settings *settings)
{
        memset(g, 0, sizeof *g);
        g->loop = loop;
        g->settings = settings;
}
