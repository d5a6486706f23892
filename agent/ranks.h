/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ranks: the programs of this node that train: who is connected, under which rank, with which control page and staging.
 * Messages of programs arrive here and go on to saving, restoring or `stint run`.
 */
#ifndef STINT_RANKS_H
#define STINT_RANKS_H

#include <stdint.h>
#include <uv.h>
#include "attached.h"
#include "control.h"
#include "coordinator.h"
#include "peer.h"
#include "rundir.h"
#include "seal.h"
#include "staging.h"
#include "stranger.h"
#include "wire.h"
#include "work.h"

struct ranks;
struct writer;
struct reader;
struct prefetch;
struct recall;
struct gathered;
struct passage;

/* What was known when a write began, to see what it takes from training. */
struct flight {
        int64_t since_ns; /* 0: nothing is being written */
        uint64_t steps;   /* made by then */
        int64_t step_ns;  /* what one of them took, at the median */
        int stands;       /* the program waits meanwhile */
        int streams;      /* ... because its state is only coming; what is above counts from when it has come */
};

/* One snapshot, from when it came until its RESULT was told. */
struct rank_snapshot {
        struct wire_snapshot told;  /* save_id 0: there is none */
        struct staging *staged;     /* what it is in; NULL when it was UNCHANGED */
        uint32_t attempt;           /* to be written once nothing else of this rank is; 0: not, or it is at work */
        struct wire_result result;  /* to be told once the writer has let go of it; save_id 0: nothing is */
        struct passage *passage;    /* what it is coming through, until the writer takes that; NULL: it is there */
        int left;                   /* a streamed one: the program is out of it, all of it having come or not */
        int64_t blocked_ns;         /* as in STREAMED */
        int64_t since_ns;           /* when it came; of a streamed one, when it began to */
};

/* One program.  It outlives its connection while a job works for it, or while its last snapshot may still be needed. */
struct rank {
        struct peer peer;
        struct ranks *ranks;
        struct rank *next;
        int known;  /* HELLO was accepted: rank is its number */
        int gone;   /* the connection is over */
        int closed; /* ... and its handle too */
        int jobs;   /* on threads, which end before this is freed */
        uint32_t takes; /* as in HELLO */
        int32_t rank, of, agree_every; /* rank 3 of 8; agrees at every so many safe points */
        int announced; /* `stint run` was told of it */
        char program[64], devices[128];
        int64_t since_ns;
        uint32_t said_bye, stopped;
        int64_t bye_step;

        struct control_page *page; /* NULL before HELLO */
        uint32_t mail;
        uint64_t save_flags;       /* CONTROL_FINAL while that save is the one in the word */
        uint32_t word_id;          /* save id in the word */

        struct staging *staging; /* NULL before the first layout */
        struct staging *second;  /* another image of the same layout; NULL: none */
        int making_second;
        struct staging *streamed; /* without memory for the first of them; NULL: there is */
        struct passage *window;   /* for its next save; NULL: one is in use */
        uint32_t layout;          /* of all of them */

        /* saving */
        uint32_t asked_id, asked_attempt; /* asked for and not answered yet; 0: nothing */
        struct rank_snapshot snapshots[STAGING_IMAGES];
        struct writer *writer;            /* at work on one of them; the other waits */
        struct flight flight;             /* the steps beside its write */

        /* restoring */
        struct reader *reader;         /* at work */
        struct reader *image;          /* read and checked, not handed over yet */
        uint32_t read_ahead;           /* one of them was begun before the program asked */
        struct staging *lent;          /* what the program was given is in that, which stays as it is meanwhile */
        struct wire_run_restore wanted; /* what that is an answer to */
        struct wire_run_pieces pieces;  /* what the whole checkpoint is made of that is read next */
        struct attached attached;       /* by its program, when it asked */
};

/* What its checkpoints look like: of the first image, or of the one that there is no memory for.  NULL: no layout yet. */
static inline struct staging *rank_frame(const struct rank *rank)
{
        return rank->staging ? rank->staging : rank->streamed;
}

#define RANKS_NAMES 2

/* An abstract name on which programs connect: of listener.c. */
struct ranks_listener {
        uv_poll_t poll;
        uv_timer_t rest; /* until the next visitor is taken, after a stranger */
        struct ranks *ranks;
        struct strangers strangers;
        int fd;
};

struct ranks {
        uv_loop_t *loop;
        struct ranks_listener listener[RANKS_NAMES]; /* its own name, and the well-known one */
        int listeners; /* open; 0: takes no more programs */
        struct rank *first;
        int32_t of; /* how many ranks the run has; 0 while no program told */
        struct work_line hdf5; /* jobs that enter HDF5 */
        struct work_line seconds; /* jobs that look how much memory is left, and take some */
        struct coordinator *run;
        struct prefetch *prefetch; /* images for ranks that have not come yet */
        struct recall *recall;     /* staging of ranks that went away */
        struct spare *spare;       /* memory for the first that is streamed */
        struct gathered *gathered; /* what is known of a checkpoint of other ranks, while somebody of here reads it */

        char dir[RUNDIR_PATH];
        char run_id[SEAL_RUN_ID];
        uint32_t stint;

        struct wire_run_save save; /* the last one; save_id 0: none */
        uint32_t over_id;          /* highest save id whose RESULT has come: nothing is written for it any more */
        struct wire_run_best best;
        unsigned given_up;         /* streamed saves in a row that patience has ended */
        int64_t write_ns;          /* what writes have cost, as `stint run` told; 0: nothing was measured */

        void (*on_change)(void *arg); /* a program came, went or laid out its state: time to plan again */
        void *arg;
};

/* Listens under this abstract name. */
int ranks_open(struct ranks *r, uv_loop_t *loop, const char *socket, struct coordinator *run, struct stint_error *err);

/* A program of this user has connected: fd is the rank's from here on. */
void ranks_add(struct ranks *r, int fd, pid_t pid);

/* Stops listening and closes every connection.  Jobs on threads end by themselves. */
void ranks_close(struct ranks *r);

/* The connected program with that rank, or NULL. */
struct rank *ranks_connected(struct ranks *r, int32_t rank);

/* A program is connected. */
int ranks_any(const struct ranks *r);

/* Sends a message and counts it in the program's mail. */
void rank_send(struct rank *rank, const void *message, int fd);

/* Writes the control word as save and mail stand. */
void rank_publish(struct rank *rank);

/* After a job, or after what kept it was dropped: frees the struct when nothing needs it any more. */
void rank_release(struct rank *rank);

/* RUN_COMPLETED goes to every program. */
void ranks_completed(struct ranks *r, const struct wire_run_completed *m);

#endif
