/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_verdict: the words for how a stint ended, what it cost, and the verdict on an earlier stint that could not speak.
 */
#ifndef STINT_RUN_VERDICT_H
#define STINT_RUN_VERDICT_H

#include <jansson.h>
#include <stdint.h>
#include "deadline.h"
#include "run_journal.h"

/* What the journal says of the stints before this one. */
struct past {
        uint32_t last_stint;   /* 0: there was none */
        int64_t landed_step;   /* newest that landed in any; -1 */
        int set_aside;         /* and is not used any more: damaged, or the run was set back behind it */
        int ever_landed;
        int64_t trained_ns;    /* all stints together, as far as the times of their lines reach */
        uint32_t failures;     /* stints that ended without a warning: killed, or crashed */
        uint32_t idle;         /* how many stints in a row, up to the last, landed nothing, preempted ones aside */
};

void past_read(struct past *p, const json_t *lines);

/*
 * The mean time between failures to expect: one in 24 hours is assumed before anything is known, and weighs as much as
 * a day of this run's own.
 */
int64_t past_mtbf(const struct past *p);

/* After so many stints in a row that landed nothing, a stint is not requeued: the next would do no better. */
#define IDLE_STINTS_MOST 3

/* Everything that decides how a stint ended. */
struct ending {
        int complete;               /* DONE is written */
        int cancelled;              /* the scheduler said so */
        int lease_lost;
        enum save_reason stop;      /* the final save that landed; SAVE_NONE */
        enum save_reason limit;     /* the end of its time came, saved or not; SAVE_NONE */
        int child_code, child_signal; /* 0, 0 without a child */
        int exit0_done;
        int broke;                  /* attending: the program went away without closing the run */
        int unfinished;             /* it wanted to be complete, and its last state did not land */
};

/* The word for it, and the exit code of `stint run`. */
const char *ending_why(const struct ending *e, int *exit_code);

/* 1 when such an ending is to be continued by the scheduler. */
int ending_requeues(const struct ending *e);

/* "saved step 1800, 31.0 MiB, in 0.31s, 1.6s before the limit"; left_ns CLOCK_NEVER: without the last part. */
const char *verdict_saved(char *out, size_t size, int64_t step, uint64_t bytes, int64_t took_ns, int64_t left_ns);

/*
 * Adds to it what a streamed save has cost: ", streamed through 64.0 MiB: training waited 3.2s, 2.9s of it for the disk".
 * window_bytes 0: it was not, and nothing is added.
 */
void verdict_streamed(char *out, size_t size, uint64_t window_bytes, int64_t copy_ns, int64_t blocked_ns);

/*
 * Writes the end of every earlier stint that has a start in the journal and no end: killed, what it saved last, and how
 * many steps that cost.  Says so in one log line each.  j is that of this stint.
 */
int verdict_on_earlier(struct journal *j, const char *run_dir, const json_t *lines, struct stint_error *err);

/* Steps from landed to last; 0 when nothing is lost or known. */
int64_t lost_steps(int64_t last_step, int64_t landed_step);

#endif
