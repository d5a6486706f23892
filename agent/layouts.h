/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * layouts: a program says how its state is laid out, and gets the staging that it is copied into.  Called by ranks for
 * what programs say, and by saving for the second image.
 */
#ifndef STINT_LAYOUTS_H
#define STINT_LAYOUTS_H

#include "ranks.h"

/* A layout has come, with its table in *fd; that is -1 once it was taken.  The program hears what becomes of it. */
void layouts_take(struct rank *rank, const struct wire_layout *m, int *fd);

/* Makes another image in the background, when there is none and there is memory: saving hears of it. */
void layouts_make_second(struct rank *rank);

#endif
