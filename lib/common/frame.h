/* SPDX-License-Identifier: BSD-3-Clause */
/* frame: messages out of a byte stream (an agent's stdin and stdout, which Slurm carries across nodes as bytes). */
#ifndef STINT_FRAME_H
#define STINT_FRAME_H

#include <stddef.h>
#include "wire.h"

struct frame {
        size_t have; /* bytes in the buffer */
        _Alignas(8) unsigned char buffer[WIRE_MOST];
};

void frame_init(struct frame *f);

/*
 * Takes n bytes that arrived and calls on_message for every message that is complete, each checked by wire_check.
 * -1 with EBADMSG at the first that is none; the stream cannot be used after that.  on_message answering -1 ends the
 * call with -1 too.
 */
int frame_feed(struct frame *f, const void *bytes, size_t n,
               int (*on_message)(void *arg, const struct wire_header *message), void *arg, struct stint_error *err);

#endif
