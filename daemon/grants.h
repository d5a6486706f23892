/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * grants: the memory that stintd gives to agents for snapshots: made here, so that its pages are charged to stintd and
 * not to the job, present before they are needed, within StagingMemory.  A grant lives as long as the connection that
 * asked for it.
 */
#ifndef STINTD_GRANTS_H
#define STINTD_GRANTS_H

#include <stdatomic.h>
#include <uv.h>
#include "peer.h"
#include "settings.h"

struct grants {
        uv_loop_t *loop;
        const struct settings *settings;
        int64_t bytes;                     /* granted, or being made */
        struct grant *first_job, *last_job; /* being made, one after another */
};

void grants_open(struct grants *g, uv_loop_t *loop, const struct settings *settings);

/*
 * Takes that much out of the budget, says so to the peer, and sends the memory when it is there.  -1 with ENOMEM and the
 * reason.
 */
int grants_give(struct grants *g, struct peer *p, uint64_t bytes, struct stint_error *err);

/*
 * The connection is over.  Whoever still has the memory mapped finds zeros in it, and pages that it touches from now on
 * are its own: it cannot keep what is the node's by keeping a descriptor.  With keep the memory stays as it is: stintd is
 * about to end, and a snapshot may be on its way to the disk.
 */
void grants_take_back(struct grant *grant, int keep);

#endif
