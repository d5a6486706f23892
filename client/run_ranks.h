/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_ranks: the processes of the program that the agents have seen, and what each has said last. */
#ifndef STINT_RUN_RANKS_H
#define STINT_RUN_RANKS_H

#include <stdint.h>
#include "error.h"
#include "wire.h"

#define RANKS_MOST 1000000u

struct run_rank {
        int present, complete;
        unsigned agent;             /* where it is */
        uint32_t pid;
        char devices[128];          /* its CUDA_VISIBLE_DEVICES */
        struct wire_devices *seen;  /* what it sees by that; NULL: nobody has told */
        int64_t step;               /* last known; -1 before the first */
        int64_t step_p50_ns, step_p99_ns, lead_ns;
        uint64_t state_bytes;
};

struct ranks {
        uint32_t n, present;        /* of the world; there now */
        uint32_t gone_broken;       /* left without a word */
        int cut_off;                /* the last that left had lost its agent, and may come back to another */
        int ever;                   /* one was there */
        int64_t left_ns;            /* CLOCK_BOOTTIME when the last one left */
        struct run_rank *rank;      /* n of them */
};

/* A rank is there.  -1 when it cannot be one of this world. */
int ranks_arrive(struct ranks *r, unsigned agent, const struct wire_agent_rank *m, struct stint_error *err);

/* What a rank sees, which comes before it does.  Of ranks beyond WIRE_DEVICES_RANKS nothing is kept. */
void ranks_see(struct ranks *r, const struct wire_devices *m);

/* It is gone; 1 when it was there. */
int ranks_leave(struct ranks *r, const struct wire_agent_gone *m);

/* All ranks of a lost agent are cut off; UINT32_MAX: of all agents. */
void ranks_leave_agent(struct ranks *r, unsigned agent);

void ranks_progress(struct ranks *r, const struct wire_agent_progress *m);

/* 1 when rank is a number within the world. */
static inline int ranks_has(const struct ranks *r, int32_t rank)
{
        return rank >= 0 && (uint32_t)rank < r->n;
}

/* "rank 1 of 4 is missing", "ranks 1, 3 and 12 more of 64 are missing"; 0 when all are there. */
int ranks_missing(const struct ranks *r, char *out, size_t size);

/* 1 when all said that training is complete. */
int ranks_complete(const struct ranks *r);

/* The highest step of any; -1 for none. */
int64_t ranks_step(const struct ranks *r);

void ranks_fini(struct ranks *r);

#endif
