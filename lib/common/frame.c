/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * frame: puts the messages of a byte stream together again, however the stream was cut on its way.  `stint run` and its
 * agents read each other through it.  A stream that was wrong once stays refused: where the next message begins is not
 * known.
 */
#include "frame.h"

#include <errno.h>
#include <string.h>

#define FRAME_BROKEN SIZE_MAX /* in place of the bytes in the buffer */

void frame_init(struct frame *f)
{
        f->have = 0;
}

/* Takes from the bytes that arrived until the buffer holds `want`.  1 when it does. */
static int fill(struct frame *f, size_t want, const unsigned char **bytes, size_t *n)
{
        size_t take = want - f->have < *n ? want - f->have : *n;

        if (take > 0)
                memcpy(f->buffer + f->have, *bytes, take);
        f->have += take;
        *bytes += take;
        *n -= take;
        return f->have == want;
}

static int broken(struct frame *f)
{
        f->have = FRAME_BROKEN;
        return -1;
}

int frame_feed(struct frame *f, const void *bytes, size_t n,
               int (*on_message)(void *arg, const struct wire_header *message), void *arg, struct stint_error *err)
{
        const struct wire_header *header = (const struct wire_header *)(const void *)f->buffer;
        const unsigned char *at = bytes;

        if (f->have == FRAME_BROKEN)
                return error_set(err, EBADMSG, "what follows something that was no message cannot be read");
        while (n > 0) {
                if (f->have < sizeof *header) {
                        if (!fill(f, sizeof *header, &at, &n))
                                break;
                        /* Refused as soon as it can be: nothing is waited for that will not become a message. */
                        if (wire_check_header(header, err) < 0)
                                return broken(f);
                }
                if (!fill(f, header->size, &at, &n))
                        break;
                if (wire_check(f->buffer, f->have, err) < 0)
                        return broken(f);
                if (on_message(arg, header) < 0)
                        return broken(f);
                f->have = 0;
        }
        return 0;
}
