/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * meta: what a checkpoint file says about itself in /stint/meta, one JSON object for people and for readers that know
 * nothing of seals.  Called by writer.
 */
#ifndef STINT_META_H
#define STINT_META_H

#include <stddef.h>
#include "seal.h"

/*
 * {"format": 1, "run": ..., "step": ..., "stint": ..., "rank": ..., "ranks": ..., "time": ..., "program": ...} into
 * out, zeros behind up to size, which is 1024 at least.  Bytes of program that are not UTF-8 become U+FFFD.
 */
void meta_fill(char *out, size_t size, const struct seal *seal, const char *program);

#endif
