/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * assembly: the image for a rank whose checkpoint was saved by other ranks, or in other pieces: put together of the
 * pieces that it needs, out of the files of all ranks, each piece proven by its hash.  It is a job of a reader's kind,
 * with an image that has a table and tensors and is no file.  Started by restoring.
 */
#ifndef STINT_ASSEMBLY_H
#define STINT_ASSEMBLY_H

#include "attached.h"
#include "gathered.h"
#include "reader.h"
#include "wire.h"

struct assembly {
        struct gathered *gathered; /* held */
        uint32_t ranks;            /* of the program; reader->rank is this one */
        struct attached attached;  /* by that one's program; the descriptor is our own */
        char said[WIRE_TEXT];      /* afterwards: what this rank does not get, or nobody; "" */
};

/* Makes the reader an assembly, and work of assembly_run.  -1 with ENOMEM or EMFILE, and it is none. */
int assembly_prepare(struct reader *reader, struct gathered **known, const struct wire_run_pieces *told, uint32_t ranks,
                     const struct attached *attached, struct stint_error *err);

/* What the job does, on a thread. */
void assembly_run(struct work *work);

void assembly_free(struct assembly *a); /* NULL is allowed */

#endif
