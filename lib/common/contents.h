/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * contents: what one rank's checkpoint file holds, its table and the hash of each tensor, proven against the seal
 * without reading a tensor.  Called by whoever takes single tensors out of the files of several ranks: a restore on
 * another number of ranks, and `stint export`.
 *
 * Every byte of a file is a tensor's, one of the stored hashes, or the rest (image.h).  The seal has the hash of the
 * rest, and the root, which is made of that hash and of the stored ones: so the rest and the hashes, a few pages of a
 * large file, prove the table and what each tensor must hash to.  A tensor that is read later is proven by its own.
 */
#ifndef STINT_CONTENTS_H
#define STINT_CONTENTS_H

#include <stdint.h>
#include "seal.h"
#include "table.h"

struct contents {
        struct seal seal; /* it was proven against */
        void *table;      /* seal.table_count records of seal.record_bytes, aligned to 8 */
        uint64_t *hashes; /* of each tensor's bytes, in the order of the table; that of no bytes for an empty one */
};

/*
 * Reads them from the checkpoint file at path, or from one that is open (fd stays the caller's; path is for the
 * sentences).  EBADMSG: damaged, or not the file of this seal; any other code: it could not be read.
 */
int contents_read(struct contents *c, const char *path, const struct seal *seal, struct stint_error *err);
int contents_read_fd(struct contents *c, int fd, const char *path, const struct seal *seal, struct stint_error *err);

void contents_fini(struct contents *c);

/* The i-th tensor's record; i < c->seal.table_count. */
static inline const struct table_record *contents_at(const struct contents *c, uint64_t i)
{
        return table_at(c->table, c->seal.record_bytes, i);
}

#endif
