/* SPDX-License-Identifier: BSD-3-Clause */
/* finish: the end of a stint, on every rank. */
#ifndef STINT_FINISH_H
#define STINT_FINISH_H

#include "safepoint.h"

/* stint_complete, and with complete == 0 the part of stint_close in which other ranks are waited for. */
int finish_stint(struct stint *s, int complete);

#endif
