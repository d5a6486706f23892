/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * crew: helper threads that do one piece of work together with the thread that calls them, and sleep in between without
 * ever waking up.  They are the library's: no signal of the program is delivered to them, they end with the handle, and
 * a child that the program forks has none.  lib/copy.c calls in.
 */
#ifndef STINT_CREW_H
#define STINT_CREW_H

#include <pthread.h>
#include <stdint.h>

#define CREW_MOST 15 /* helpers; the caller makes it 16 */

struct crew;

struct crew_member {
        struct crew *crew;
        int number;    /* from 1; the caller is 0 */
        uint32_t seen; /* the call it has seen last */
        pthread_t thread;
};

struct crew {
        pthread_mutex_t lock;
        pthread_cond_t called, idle;
        uint32_t calls; /* how often they were called: what a helper has not seen yet is for it */
        int open;       /* who comes now may still join in */
        int wanted;     /* helpers for this call */
        int working;    /* that have joined and not finished */
        int staying;    /* helpers with a higher number end */
        int hired;
        void (*work)(void *arg, int member);
        void *arg;
        struct crew_member members[CREW_MOST];
};

void crew_init(struct crew *c);

/* Starts helpers until there are that many, or no more can be had.  Answers how many there are. */
int crew_hire(struct crew *c, int helpers);

/* Ends those above that number, and waits for them.  Neither of these two may run beside the other, or crew_work. */
void crew_dismiss(struct crew *c, int staying);

/*
 * Calls work(arg, 0) here and work(arg, 1..) in as many helpers as there are, at most `wanted`; returns when all are
 * done.  A helper that has not woken up by the time this thread is done is not waited for, and does not join in.
 */
void crew_work(struct crew *c, int wanted, void (*work)(void *arg, int member), void *arg);

void crew_fini(struct crew *c);

#endif
