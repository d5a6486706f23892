/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slurm_act: the questions of stint-slurm that change something.  slurm_main.c calls in. */
#ifndef STINT_SLURM_ACT_H
#define STINT_SLURM_ACT_H

#include "wire.h"

/* Each fills in the answer; -1: with the reason, and the caller says that it failed. */
int act_requeue(const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer, struct stint_error *err);
int act_cancel(const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer, struct stint_error *err);
int act_comment(const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer, struct stint_error *err);

#endif
