/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging: the memory that a program copies its state into, which has the layout of the checkpoint file byte for byte.
 * Made from a layout by one job on a thread; ranks asks for it, writer writes it.  References are counted on the loop's
 * thread only.
 */
#ifndef STINT_STAGING_H
#define STINT_STAGING_H

#include <stdint.h>
#include "error.h"
#include "template.h"
#include "work.h"

struct streamed;

struct staging {
        int references;
        int fd;               /* a memfd that can neither shrink nor grow */
        int line;             /* to stintd, which gave that memory and takes it back when this closes; -1: our own */
        int64_t outlive_ns;   /* so long stintd goes on with a write that was handed over on that line; 0: it does not */
        unsigned char *image; /* all of it, mapped; with holes in place of the tensors where it is streamed */
        struct streamed *streamed; /* not NULL: there is no memory for it as a whole, and fd is the template */
        uint64_t image_bytes, state_bytes;
        uint64_t table_offset, hashes_offset, meta_offset, count;
        uint32_t record_bytes;
        struct template_extent *extents; /* of the template, so that another image can be made like this one */
        int64_t n_extents;
        uint64_t root; /* of the seal of what was written from it last; 0: nothing was */
};

struct staging *staging_hold(struct staging *s);
void staging_drop(struct staging *s); /* frees it with the last reference; NULL is allowed */

/* One staging being made. */
struct staging_job {
        struct work work;
        void *owner;      /* of whoever started it */
        uint32_t layout;  /* likewise: nothing here looks at it */
        int table_fd;     /* the layout that was asked for; closed by staging_job_free */
        uint64_t count;
        uint32_t record_bytes;
        int may_stream;      /* the program can do without an image of the whole */
        struct staging *old; /* the one before, held by nobody else, or NULL: serves again when it fits */

        struct staging *made; /* with one reference, or NULL and err */
        struct stint_error err; /* of a streamed one: why there is no memory for the whole */
        int64_t took_ns;
};

/* What the job does, on a thread. */
void staging_job_run(struct work *work);

/* Frees a job and what it still holds. */
void staging_job_free(struct staging_job *job);

/* Another image like one there is, being made in the background. */
struct staging_twin {
        struct work work;
        void *owner;           /* of whoever started it */
        uint32_t layout;       /* likewise */
        struct staging *first; /* held */

        struct staging *made; /* with one reference, or NULL and err */
        struct stint_error err;
};

/*
 * What that job does, on a thread: out of stintd's budget, or of the job's own memory when at least twice the image is
 * left after it.  `first` may be a streamed one: then it is the first after all.  ENOMEM is no misfortune: a save waits for the one before it then.
 */
void staging_twin_run(struct work *work);
void staging_twin_free(struct staging_twin *twin);

/*
 * The most that an image, or two, may take of the job's own memory; 0: as much as there is.  What stintd gives does not
 * count.  Set once, before the first job.
 */
void staging_limit(uint64_t bytes);

/* 0 when this machine has that much memory to give, else -1 with ENOMEM and how much it has. */
int staging_room(uint64_t bytes, struct stint_error *err);

#endif
