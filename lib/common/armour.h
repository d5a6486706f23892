/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * armour: messages as lines of text, for the stdin and stdout of a step of a job that runs on several nodes.  Slurm
 * gives what is written to such a step to every node, and brings what the nodes write together in one stream, line by
 * line.
 *
 *   @NODE PIECE/LAST BASE64\n      @* for every node; pieces are counted from 0 to LAST, one digit each
 *
 * A message is cut into pieces so that no line is longer than ARMOUR_LINE.  Measured with Slurm 22.05, two nodes that
 * write 20,000 lines each as fast as they can while their stdin is busy: not one of 40,000 lines of 900 bytes was torn,
 * nor of 1,024; of 10,000 with 1,025 bytes, 8,829 were, and with `srun --unbuffered` three of four with 900 bytes.
 * 40,000 lines took 1.1 s.  A line there and back again from two nodes takes 0.24 ms (99 of 100 within 3.5 ms).
 *
 * Bytes of several senders are told apart by line, never within one: a sender writes each line with one write(2), which
 * a pipe takes whole (PIPE_BUF is 4096).
 */
#ifndef STINT_ARMOUR_H
#define STINT_ARMOUR_H

#include <stddef.h>
#include "wire.h"

#define ARMOUR_LINE 900 /* longest line, its newline counted */
#define ARMOUR_PIECE 648 /* most bytes of a message in one line; a multiple of 3, so that only the last is padded */
#define ARMOUR_PIECES ((WIRE_MOST + ARMOUR_PIECE - 1) / ARMOUR_PIECE)
#define ARMOUR_ALL UINT32_MAX /* every node */

_Static_assert(ARMOUR_PIECES <= 10, "pieces are counted with one digit");

/*
 * Writes the line of that piece of a message of n bytes, and answers its length; 0 when it has no such piece.  Nothing
 * is written behind the newline.
 */
size_t armour_line(char out[ARMOUR_LINE], uint32_t node, const void *message, size_t n, unsigned piece);

struct armour_piece {
        uint32_t node; /* which it is for, or which it comes from; ARMOUR_ALL */
        unsigned piece, last;
        size_t n;
        unsigned char bytes[ARMOUR_PIECE];
};

/* Understands one line of n bytes, without its newline.  -1 when it is none of ours: whoever wrote it. */
int armour_read(const char *line, size_t n, struct armour_piece *out);

/* One message of one sender, as far as it has come.  Zeroed: none has begun. */
struct armour_message {
        unsigned next; /* the piece that comes next; 0: what comes must begin a message */
        size_t have;
        _Alignas(8) unsigned char bytes[WIRE_MOST];
};

/*
 * Adds a piece: 1 when bytes holds a message now, checked by wire_check, 0 when it is not whole yet, -1 with EBADMSG
 * when what is whole is no message.  A first piece begins anew, for a sender that was killed leaves the beginning of
 * one; a piece without those before it is passed over, for a reader that was started again finds the end of one.
 */
int armour_add(struct armour_message *m, const struct armour_piece *piece, struct stint_error *err);

/* The line that is arriving.  Zeroed: none is. */
struct armour_lines {
        size_t have;
        int too_long; /* it is none of ours; passed over to its end */
        char line[ARMOUR_LINE];
};

/*
 * Takes n bytes that arrived and calls on_line for every line that is complete, without its newline; the line is not
 * terminated.  Lines that are too long are passed over.  on_line answering -1 ends the call with -1.
 */
int armour_feed(struct armour_lines *l, const void *bytes, size_t n,
                int (*on_line)(void *arg, const char *line, size_t n), void *arg);

#endif
