/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * windows: a rank for whose image there is no memory as a whole: it hears where its tensors go, and gets a window for
 * each save: the same as before, or another one when a save has failed in it, so that nothing of that can come into the
 * next.  Called by ranks and saving, on the loop's thread.
 */
#ifndef STINT_WINDOWS_H
#define STINT_WINDOWS_H

#include "ranks.h"

/* Its staging is a streamed one, and why: says so, tells the program, and sends the first window. */
void windows_begin(struct rank *rank, const char *why);

/* Another window, when the rank needs one and has none, and none is in use. */
void windows_next(struct rank *rank);

/* The window that the program has begun to fill: the caller's from now on.  NULL: it has none. */
struct passage *windows_take(struct rank *rank);

/*
 * All of an image of that staging has gone through it, and both sides are out of it: it serves the next save too, since
 * pages cost.  Frees it where it cannot.
 */
void windows_return(struct rank *rank, const struct staging *staging, struct passage *p);

/* The program fills a window that nobody wants: it hears so. */
void windows_refuse(struct rank *rank);

/* The rank streams no more: it goes, or its layout, or there is memory for its image. */
void windows_end(struct rank *rank);

#endif
