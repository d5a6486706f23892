/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * copy: the bytes of many tensors, from the program's memory into staging and back, at the speed of memory.  What is to
 * be copied is listed first and then copied in one go, by the calling thread and by as many helpers as pay.  How many
 * do is found out once, by copy_learn, on a thread of its own.  Snapshot and restore call in.
 */
#ifndef STINT_COPY_H
#define STINT_COPY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "crew.h"
#include "error.h"

#define COPY_ALONE ((uint64_t)4 << 20) /* no helper is woken for fewer bytes: they take less than a millisecond */

struct copy_piece {
        char *to;
        const char *from;
        uint64_t bytes;
        uint64_t end; /* bytes of all pieces up to this one */
};

enum copy_way {
        COPY_OUT, /* into staging, which is all there and which this process will not read */
        COPY_BACK /* into the program's memory, which it may never have touched */
};

/* A list on its way: whoever takes part takes the next stretch of `step` bytes until there is none. */
struct copy_job {
        const struct copy_piece *pieces;
        size_t count;
        uint64_t bytes, step;
        enum copy_way way;
        _Atomic uint64_t next;
};

struct copy {
        struct copy_piece *pieces; /* the list: `count` of them, with room for `room` */
        size_t count, room;
        struct copy_job job;

        int asked;   /* threads that STINT_COPY_THREADS asks for; 0: it does not say */
        struct crew crew;
        int helpers; /* that pay; for who has the crew */

        pthread_mutex_t lock; /* of the next four */
        pthread_cond_t free;
        int taken;            /* somebody has the crew: the program's thread, which copies, or the learner's */
        int waited_for;       /* the program's thread wants it */
        int learning;         /* `learner` was started */

        pthread_t learner;
        atomic_int stop;      /* tells it to end */
        struct copy_job probe; /* what it measures with */
};

/*
 * Without helpers.  -1 when STINT_COPY_THREADS is neither empty nor a number from 1 to 16; then it counts as not set.
 */
int copy_init(struct copy *c, struct stint_error *err);

/* Begins to find out, in the background, how many helpers pay; once, whoever calls again. */
void copy_learn(struct copy *c);

/* For a copy before that: gets as many as can be expected to pay, if it is of so many bytes that they do. */
void copy_hire(struct copy *c, uint64_t bytes);

/* One more piece.  The list grows as needed; where there is no memory for it, the piece is copied at once. */
void copy_add(struct copy *c, void *to, const void *from, uint64_t bytes);

/* Copies what was listed, and empties the list. */
void copy_run(struct copy *c, enum copy_way way);

/* Empties the list without copying. */
void copy_forget(struct copy *c);

/* Ends the learner and the helpers. */
void copy_fini(struct copy *c);

/* ---- for copy_learn.c ----------------------------------------------------------------------------------------- */

#define COPY_NO_MORE (UINT64_MAX / 2) /* as `next` of a job: nobody takes another stretch */

/* Gives the crew back. */
void copy_leave(struct copy *c);

/* A member's part of a job: stretch after stretch until there are none left.  Answers how many bytes they were. */
uint64_t copy_work(struct copy_job *job);

#endif
