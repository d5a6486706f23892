/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_measured: RUN/measured.json, what saves have cost on this run and this filesystem, so that the next stint does
 * not begin with a guess.  Lost or unreadable, it costs one calibrating save.
 */
#ifndef STINT_RUN_MEASURED_H
#define STINT_RUN_MEASURED_H

#include "deadline.h"
#include "error.h"
#include "options.h"
#include "run_save.h"
#include "wire.h"

/* Reads it; nothing measured when there is none. */
void measured_read(struct deadline_measured *m, const char *run_dir);

/* Takes the save that has just landed into account.  step_ns: 99th percentile of a step, which the delay contains. */
void measured_learn(struct deadline_measured *m, const struct save *s, int64_t step_ns, int64_t commit_ns);

/* Writes it; blocks. */
int measured_write(const struct deadline_measured *m, const char *run_dir, struct stint_error *err);

/* As agents hear it, with the settings of this stint beside it. */
void measured_message(const struct deadline_measured *m, const struct run_options *o, struct wire_run_measured *out);

#endif
