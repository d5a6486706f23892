/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * handover: tells stintd, on the line of the memory that it gave, what is being written from there and where to, so that
 * it can go on when this agent is killed.  The still empty seal says so meanwhile, to the next stint.  Called by writer, on
 * its thread; nothing here can fail a save.
 */
#ifndef STINT_HANDOVER_H
#define STINT_HANDOVER_H

#include <stdint.h>
#include "seal.h"
#include "staging.h"

struct handover {
        int line;      /* of the memory; -1: nothing is handed over */
        int seal_fd;
        int file_fd;   /* both of the writer */
        uint64_t told; /* bytes that stintd knows of */
};

/*
 * Before the first byte is written: the image is in staging, `seal` says everything of it but the hashes, and both
 * descriptors are open for reading and writing, the seal empty.  expected_ns is what writes like this one have cost; 0:
 * nothing was measured.
 */
void handover_begin(struct handover *h, const struct staging *staging, const struct seal *seal, int file_fd, int seal_fd,
                    int64_t expected_ns);

/*
 * All bytes before this one are written, but for the pages (of 4096 bytes) that hold hashes, and for a last page that is not
 * full.  On any thread, one call at a time.
 */
void handover_written(struct handover *h, uint64_t bytes);

/* The seal with this root is on disk. */
void handover_sealed(struct handover *h, uint64_t root);

/* It comes to nothing, if it was not sealed: before the descriptors are closed. */
void handover_end(struct handover *h);

/* How long stintd is to go on, for a write that should take expected_ns. */
int64_t handover_within(int64_t expected_ns, uint64_t bytes, int64_t most_ns);

#endif
