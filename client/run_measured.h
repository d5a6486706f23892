/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_measured: RUN/measured.json, what the last saves have cost on this run and this filesystem, so that the next
 * stint does not begin with a guess.  Lost or unreadable, it costs one calibrating save.
 */
#ifndef STINT_RUN_MEASURED_H
#define STINT_RUN_MEASURED_H

#include "deadline.h"
#include "error.h"
#include "options.h"
#include "run_save.h"
#include "wire.h"

#define MEASURED_LAST 100 /* saves that are remembered: as many as a 99th percentile is made of */

enum measured_part { MEASURED_DELAY = 0, MEASURED_SNAPSHOT, MEASURED_WRITE, MEASURED_COMMIT, MEASURED_COST, MEASURED_PARTS };

/* The last values of one part, in ns; the oldest gives way. */
struct measured_values {
        uint32_t n, next;
        int64_t ns[MEASURED_LAST];
};

struct measured {
        uint32_t saves; /* how many were learned from, forgotten ones too */
        struct measured_values part[MEASURED_PARTS];
};

/* Reads it; nothing measured when there is none. */
void measured_read(struct measured *m, const char *run_dir);

/* Takes the save that has just landed into account.  step_ns: 99th percentile of a step, which the delay contains. */
void measured_learn(struct measured *m, const struct save *s, int64_t step_ns, int64_t commit_ns);

/* What a save is to be expected to cost. */
struct deadline_measured measured_costs(const struct measured *m);

/* Writes it; blocks. */
int measured_write(const struct measured *m, const char *run_dir, struct stint_error *err);

/* As agents hear it, with the settings of this stint beside it. */
void measured_message(const struct measured *m, const struct run_options *o, int64_t mtbf_ns,
                      struct wire_run_measured *out);

#endif
