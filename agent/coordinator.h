/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * coordinator: the agent's line to `stint run`, which started it: messages in on stdin, messages out on stdout; as they
 * are, or armoured where several agents share the line (armour.h).  Nothing here waits.  Used by main, which hears the
 * messages, and by every room that has something to report.
 */
#ifndef STINT_COORDINATOR_H
#define STINT_COORDINATOR_H

#include <uv.h>
#include "armour.h"
#include "error.h"
#include "frame.h"

struct coordinator {
        uv_pipe_t in, out;
        int64_t node;      /* which agent of the line this is; -1: the line is its own */
        struct frame frame;
        struct armour_lines lines;
        struct armour_message message;
        struct stint_error err; /* what was wrong with what came */
        char buffer[4 * WIRE_MOST];
        int over; /* closed, or the other side is gone: what is sent is dropped */

        /* Set by coordinator_open. */
        int (*on_message)(void *arg, const struct wire_header *message); /* checked by wire_check */
        void (*on_over)(void *arg, const char *why);                     /* once; why NULL: stdin ended in order */
        void *arg;
};

/*
 * Takes over two descriptors, which must be pipes or sockets, and reads from the first.  They are closed by
 * coordinator_close.  node: -1, or which agent of an armoured line this is; what is for others is passed over.
 */
int coordinator_open(struct coordinator *c, uv_loop_t *loop, int in_fd, int out_fd, int64_t node,
                     int (*on_message)(void *arg, const struct wire_header *message),
                     void (*on_over)(void *arg, const char *why), void *arg, struct stint_error *err);

/* Sends one message (copied), in the order of the calls. */
void coordinator_send(struct coordinator *c, const void *message);

/* Whether so much is waiting to be read by the other side that what is not needed had better not be sent. */
int coordinator_busy(const struct coordinator *c);

void coordinator_close(struct coordinator *c);

#endif
