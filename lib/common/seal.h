/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * seal: the small file beside a rank's checkpoint file that says it is whole.  Created empty before the first byte is
 * written, and written last, by the agent (or, after a kill, by stintd): an empty seal seals nothing.  A seal that
 * decodes proves that its writer had synced the whole file with the root hash it names; only reading the file again
 * proves that the bytes are still there.  docs/checkpoint-format.md has the drawing.
 */
#ifndef STINT_SEAL_H
#define STINT_SEAL_H

#include <stdint.h>
#include "error.h"

#define SEAL_BYTES 512    /* of every seal file */
#define SEAL_METRICS 4    /* metrics of the step that a seal can carry */
#define SEAL_METRIC_NAME 40
#define SEAL_RUN_ID 33    /* 32 hex digits and a NUL */

struct seal_metric {
        char name[SEAL_METRIC_NAME]; /* "" : unused */
        double value;
        uint32_t goal; /* enum stint_goal */
        uint32_t reserved;
};

struct seal {
        uint32_t rank, ranks;
        uint32_t stint;           /* which stint wrote it, from 1 */
        uint32_t lineage;         /* how often the run was set back to an older checkpoint before */
        int64_t step;             /* of this rank; the checkpoint's step is the highest of its ranks */
        uint64_t file_bytes;      /* size of the .h5 file */
        uint64_t table_offset;    /* where its table of tensors begins (table.h) */
        uint64_t table_count;     /* how many records */
        uint32_t record_bytes;    /* size of each */
        uint32_t metric_count;
        uint64_t hashes_offset;   /* where its uint64 hashes begin, one per tensor, in the order of the table */
        uint64_t rest_hash;       /* hash of every byte that belongs to no tensor and is not in the hashes */
        uint64_t root;            /* hash of rest_hash and then all tensor hashes, each as 8 little-endian bytes */
        uint64_t state_bytes;     /* sum of the tensors' sizes */
        int64_t wall_ns;          /* when the snapshot was taken */
        char run_id[SEAL_RUN_ID + 7];
        struct seal_metric metrics[SEAL_METRICS];
};

/* Into exactly SEAL_BYTES bytes: magic, version, the fields, zeros, and a checksum over all before it at the end. */
void seal_encode(const struct seal *seal, unsigned char out[SEAL_BYTES]);

/* Back; n is the size of the file read.  -1 with ENODATA for an empty one ("not sealed"), EBADMSG for anything that is
 * not exactly a seal, bit by bit. */
int seal_decode(struct seal *seal, const unsigned char *bytes, size_t n, struct stint_error *err);

/* Reads and decodes the seal file at path. */
int seal_read(struct seal *seal, const char *path, struct stint_error *err);

/* One number for the files of all ranks of a checkpoint: a hash over the size and the root of each, in order. */
struct seal_sum {
        uint64_t file_bytes, root;
};
uint64_t seal_sums(const struct seal_sum *sums, uint32_t ranks);

/*
 * What stands in the place of a seal while a file is written whose writer has somebody who goes on after its end: until
 * then the part may still become whole.  To seal_decode it is an empty seal, which says so.
 */
struct seal_pending {
        int64_t until_wall_ns; /* nanoseconds since 1970 */
        char node[64];         /* whose stintd */
};

void seal_pending_encode(const struct seal_pending *pending, unsigned char out[SEAL_BYTES]);

/* -1 with ENODATA when the bytes are none. */
int seal_pending_decode(struct seal_pending *pending, const unsigned char *bytes, size_t n, struct stint_error *err);

/* Reads and decodes it: 0 pending, 1 a seal that decodes, -1 neither (ENODATA) or not to be read. */
int seal_pending_read(struct seal_pending *pending, const char *path, struct stint_error *err);

#endif
