/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * grants: the memory that stintd gives to agents for snapshots: made here, so that its pages are charged to stintd and
 * not to the job, present before they are needed, within StagingMemory.  A grant lives as long as the connection that
 * asked for it; and beyond it while stintd finishes a write from it, and while the snapshot in it is kept.  Called by
 * requests.c.
 */
#ifndef STINTD_GRANTS_H
#define STINTD_GRANTS_H

#include <stdatomic.h>
#include <uv.h>
#include "finishes.h"
#include "job.h"
#include "kept.h"
#include "peer.h"
#include "settings.h"

/* Which snapshot is in a memory, as its seal says; root 0: none that is whole. */
struct grant_image {
        char run_id[40];
        int64_t rank, ranks;
        uint64_t root;
};

struct grant {
        uv_work_t work;
        struct grants *all;
        struct grant *next_job;
        struct user *user;
        struct peer *peer;     /* NULL: nobody has it any more */
        atomic_int unwanted;   /* the same, for the thread that makes it */
        int making;
        int64_t bytes;
        int fd;
        struct stint_error err;
        char label[JOB_LABEL]; /* of its job, for the log */

        struct finish *finish; /* what is being written from it; NULL: nothing that was handed over */
        struct grant_image image;
        struct grant *next_kept;
        int64_t until_ns;      /* while it is kept */
};

struct grants {
        uv_loop_t *loop;
        const struct settings *settings;
        int64_t bytes;                     /* granted, kept, or being made */
        struct grant *first_job, *last_job; /* being made, one after another */
        struct finishes finishes;
        struct kept kept;
};

int grants_open(struct grants *g, uv_loop_t *loop, const struct settings *settings, struct stint_error *err);

/*
 * Takes that much out of the budget, says so to the peer, and sends the memory when it is there.  -1 with ENOMEM and the
 * reason.  job is its id, for the log.
 */
int grants_give(struct grants *g, struct peer *p, uint64_t bytes, const char *job, struct stint_error *err);

/* Whether the snapshot that p looks for is kept; and hands it over: -1 with ENOENT when it is not there any more. */
int grants_has(const struct grants *g, const struct peer *p);
int grants_hand(struct grants *g, struct peer *p, const char *job, struct stint_error *err);

/* Whether stintd takes two descriptors from that peer now; others must not even be received. */
int grants_take_descriptors(const struct grants *g, const struct peer *p);

/*
 * What the agent says on the line of its memory.  Of a hand-over both descriptors are grants' from here on; -1 with what
 * does not hold.
 */
int grants_handover(struct grant *grant, const struct wire_daemon_handover *m, const int *fds, int n_fds,
                    struct stint_error *err);
int grants_written(struct grant *grant, const struct wire_daemon_written *m, struct stint_error *err);
int grants_sealed(struct grant *grant, const struct wire_daemon_sealed *m, struct stint_error *err);

/* Closes descriptors that do not belong here, away from the loop. */
void grants_drop_descriptors(struct grants *g, struct user *user, const int *fds, int n_fds);

/*
 * The connection is over.  What was handed over is finished; a snapshot that was sealed is kept; any other memory is
 * taken back: whoever still has it mapped finds zeros in it, and pages that it touches from now on are its own, so that
 * nobody keeps what is the node's by keeping a descriptor.  With stopping the memory stays as it is, and is the agent's
 * affair: stintd is about to end, and a snapshot may be on its way to the disk.
 */
void grants_take_back(struct grant *grant, int stopping);

/* stintd ends.  The handles are closed when no write is being finished any more. */
void grants_stop(struct grants *g);

#endif
