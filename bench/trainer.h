/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trainer: what the rooms of the trainer share: the program that is told what to do, and how it answers.  trainer.c has the
 * list of what it can be told; sight.c does what is about the control page.
 */
#ifndef STINT_BENCH_TRAINER_H
#define STINT_BENCH_TRAINER_H

#include <stdint.h>
#include <stdio.h>

#include <stint.h>

#include "limits.h"
#include "state.h"

struct trainer {
        FILE *words, *line; /* the socket: what is asked, what is answered */
        struct stint *stint;
        struct stint_options options;
        struct state state;
        struct limits limits; /* made when first asked for */
        int64_t step;
};

/* A line of JSON to whoever asked. */
__attribute__((format(printf, 2, 3))) void answer(struct trainer *t, const char *format, ...);

/* {"error": "WHAT: WHY"} */
void fail(struct trainer *t, const char *what, const char *why);

void pause_for(int64_t ns);

/* ---- sight.c ---- */

/* Asks the `stint run` behind this socket for n saves, and tells when each was in the control page and when it was seen. */
void do_trigger(struct trainer *t, long n, const char *socket_name);

/* Waits for the final save before a limit, and tells when it was due and when it was seen. */
void do_due(struct trainer *t);

/* Safe points with nothing to do, beside clock_gettime: nanoseconds of one, the mean of each batch. */
void do_idle(struct trainer *t, long batches, long calls);

#endif
