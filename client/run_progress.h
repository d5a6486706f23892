/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_progress: the live lines on stderr about how training goes, and RUN/progress.json, the hint for `stint status`.
 */
#ifndef STINT_RUN_PROGRESS_H
#define STINT_RUN_PROGRESS_H

#include <stdint.h>

#define PROGRESS_LINE_EVERY (5 * CLOCK_SECOND)
#define PROGRESS_FILE_EVERY (1 * CLOCK_SECOND)

struct run;

struct progress {
        int64_t line_ns, line_step;  /* of the last line */
        int64_t file_ns, file_step;
        double steps_per_s;          /* as last known */
        int fd;                      /* -1 until the first write */
};

/* Called every second; says and writes what is due. */
void progress_tick(struct run *r);

/* Writes the file now: at the end, so that the next stint counts lost steps rightly. */
void progress_write(struct run *r);

void progress_close(struct run *r);

#endif
