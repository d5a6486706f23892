/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * windows: a rank for whose image there is no memory as a whole: it hears where its tensors go, and gets a window for
 * each save.  A window serves once, so that nothing of a save that failed can come into the next.  Called by ranks and
 * saving, on the loop's thread.
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

/* The program fills a window that nobody wants: it hears so. */
void windows_refuse(struct rank *rank);

/* The rank streams no more: it goes, or its layout, or there is memory for its image. */
void windows_end(struct rank *rank);

#endif
