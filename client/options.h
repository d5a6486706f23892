/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options: the --stint-... options of `stint run`, from one table that also makes its help. */
#ifndef STINT_OPTIONS_ROOM_H
#define STINT_OPTIONS_ROOM_H

#include <stdint.h>
#include "error.h"
#include "rundir.h"

struct run_options {
        char dir[RUNDIR_PATH];      /* absolute */
        char name[64];
        int keep;                   /* generations kept, best and pinned ones not counted; at least 1 */
        int slots;                  /* the files of one retired checkpoint are kept, to be written over */
        int64_t interval_ns;        /* 0: automatic; CLOCK_NEVER: off */
        int64_t mtbf_ns;            /* 0: as this run has been going */
        int64_t margin_ns;
        int64_t ask_every_ns;       /* the scheduler is asked for the deadline at most so often by the clock alone */
        int take_over, adopt, exit0_done, quiet;
        int outlive; /* the final save need not land before the end where stintd can finish it */
        int64_t staging_bytes;      /* of the job's memory, for the image of one rank; 0: as much as there is */
        int prefetch;               /* the newest checkpoint is read before the program asks for it */
        int attend_fd;              /* -1, or where the solo coordinator reports (libstint's spawn) */

        /* the local scheduler */
        int64_t limit_ns;           /* 0: none */
        int64_t grace_ns, kill_wait_ns;
        int64_t preempt_after_ns[16]; /* of the n-th stint of this invocation; 0: not */
        int preempt_count;
        int requeues;               /* most; -1: any number */
        int local;                  /* 1: any option of the local scheduler was given */

        char **command;             /* the program and its arguments, NULL behind; points into argv */
};

/* Reads argv[1..] ("run" already taken off); stops at "--" or the first word that is no option.  -1 with EINVAL and the
 * nearest option that exists; 1 when --help was asked for and printed. */
int run_options_parse(struct run_options *o, int argc, char **argv, struct stint_error *err);

/* --stint-dir as it is kept: absolute, RUNDIR_PATH bytes, a relative one below base (NULL: the current directory). */
int run_options_dir(char *out, const char *base, const char *text, struct stint_error *err);

/* --stint-name as it is kept, as many bytes as run_options has for it. */
int run_options_name(char *out, const char *text, struct stint_error *err);

#endif
