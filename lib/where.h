/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * where: stint_place, the answer to a program that has not allocated a tensor yet: by the table of placement, with a
 * glimpse of the checkpoint that will most likely come back, and with the memory that is free there.  stint.c calls in.
 */
#ifndef STINT_WHERE_H
#define STINT_WHERE_H

#include "error.h"
#include "generation.h"

struct stint;

/* Until stint_restore is called; then the checkpoint that came is what counts. */
struct where {
        int looked, has;      /* it was looked for, and found */
        struct generation newest;
        const struct table_record **by_name; /* its records, sorted; NULL: there is no memory for that */
        int told_host;        /* that the model goes there for want of a device has been said */
        uint64_t counted[2];  /* a bit for each device whose memory was compared with all that will go there */
};

/* stint_place; and for a handle that means "no stint". */
int where_is(struct stint *s, const char *name, const struct stint_tensor *tensor, const char *parameter,
             struct stint_place *place);
int where_without(const char *name, const struct stint_tensor *tensor, struct stint_place *place);

/* -1 with ENOMEM and the numbers when the host has not so many bytes left. */
int where_room(uint64_t bytes, struct stint_error *err);

/* Lets go of the glimpse. */
void where_forget(struct where *w);

#endif
