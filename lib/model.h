/* SPDX-License-Identifier: BSD-3-Clause */
/* model: stint_restore_model, the weights of a checkpoint and nothing else of it.  stint.c calls in. */
#ifndef STINT_MODEL_H
#define STINT_MODEL_H

#include <stdint.h>
#include "stint.h"

int model_restore(struct stint *s, const char *dir, enum stint_which which, int64_t *step);

#endif
