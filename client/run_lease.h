/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_lease: RUN/lease, which says who runs this run now.  One holder; a second is refused and told who holds it.  The
 * epoch grows with every holder; whoever is about to change checkpoints re-reads it first.
 */
#ifndef STINT_RUN_LEASE_H
#define STINT_RUN_LEASE_H

#include <stdint.h>
#include <sys/types.h>
#include "error.h"
#include "rundir.h"

struct lease_holder {
        uint64_t epoch;
        uint32_t stint;
        char host[64], boot_id[40];
        pid_t pid;
        uint64_t start_ticks;   /* of that pid, from /proc/PID/stat, against pid reuse */
        char scheduler[16], job[64];
        uint32_t restarts;      /* of that job: a requeued one has the same id */
        char agent[104];        /* abstract socket of the agent, "" until known */
        char control[104];      /* abstract socket on which `stint run` hears verbs */
        int64_t since_wall_ns;
        int attending;          /* 1: without a child of its own, for programs started by themselves */
};

struct lease {
        char path[RUNDIR_PATH + 16];
        struct lease_holder holder; /* as written */
        int lock_fd;
};

/* Fills in what says which process this is: host, boot_id, pid, start_ticks, since_wall_ns. */
void lease_self(struct lease_holder *me);

enum lease_take_over {
        LEASE_TAKE_FREE = 0, /* only from a holder that is provably over */
        LEASE_TAKE_ANY,      /* from whoever holds it */
        LEASE_TAKE_OTHER     /* from *other too, of which somebody else has said that it is over */
};

/*
 * Takes the lease for *me (epoch is filled in).  -1 with EBUSY when somebody holds it: *other (may be NULL, but not with
 * LEASE_TAKE_OTHER) then tells who, and the sentence too, with what to do.
 */
int lease_take(struct lease *l, const char *run_dir, const struct lease_holder *me, enum lease_take_over take_over,
               struct lease_holder *other, struct stint_error *err);

/* Writes changed fields of l->holder (agent, control). */
int lease_update(struct lease *l, struct stint_error *err);

/* 0 while the file on disk still is ours; -1 with ESTALE and who took it. */
int lease_check(const struct lease *l, struct stint_error *err);

/* Ends it; a lease that is not ours any more is left alone. */
void lease_release(struct lease *l);

/*
 * Reads who holds it: 0; -1 with ENOENT when nobody does.  *over (may be NULL): 1 that holder is provably gone, 0 it
 * lives, -1 it is on another host and nobody here can tell.
 */
int lease_read(const char *run_dir, struct lease_holder *holder, int *over, struct stint_error *err);

#endif
