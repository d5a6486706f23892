/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manifest: manifest.json, whose presence makes a checkpoint whole.  Made from the seals of all ranks and nothing else,
 * so that finishing another stint's part gives the manifest that stint would have written.
 */
#ifndef STINT_MANIFEST_H
#define STINT_MANIFEST_H

#include <stdint.h>
#include "error.h"
#include "seal.h"

struct manifest_rank {
        uint32_t rank;
        int64_t step;
        uint64_t file_bytes, state_bytes, tensors, root;
        uint64_t seal_checksum; /* of the seal file's bytes */
};

struct manifest {
        char run_id[SEAL_RUN_ID];
        int64_t step;
        uint32_t stint, lineage, ranks;
        int64_t wall_ns; /* of the latest snapshot among the ranks */
        uint32_t metric_count;
        struct seal_metric metrics[SEAL_METRICS]; /* rank 0's */
        struct manifest_rank *rank; /* `ranks` of them, owned */
};

/*
 * From the seals of ranks 0..n-1, in order.  -1 with EBADMSG when they do not belong together (run, stint, ranks,
 * order).
 */
int manifest_from_seals(struct manifest *m, const struct seal *seals, uint32_t n, struct stint_error *err);

/* As text with its checksum line, in memory the caller frees. */
int manifest_encode(const struct manifest *m, char **text, size_t *n, struct stint_error *err);

/* Back from a file's bytes; EBADMSG unless every byte is as it was written. */
int manifest_decode(struct manifest *m, const char *text, size_t n, struct stint_error *err);

/* Reads DIR/manifest.json; ENOENT when there is none. */
int manifest_read(struct manifest *m, const char *dir, struct stint_error *err);

/*
 * Compares the manifest with the checkpoint in dir.  With deep 0: every seal decodes and matches, every file has its
 * size.  With deep 1 every byte of every file is read and checked too.  EBADMSG: damaged; other codes: could not be
 * read.
 */
int manifest_verify(const struct manifest *m, const char *dir, int deep, struct stint_error *err);

/* Sum over the ranks. */
uint64_t manifest_bytes(const struct manifest *m);

void manifest_fini(struct manifest *m);

#endif
