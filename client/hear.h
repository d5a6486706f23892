/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hear: what another program says on its stdout, when it says it in time.  `stint doctor` asks nvidia-smi through this.
 */
#ifndef STINT_HEAR_H
#define STINT_HEAR_H

#include <stddef.h>
#include <stdint.h>

enum hear {
        HEAR_NONE,     /* there is no such program in PATH */
        HEAR_ANSWERED, /* it exited with 0 */
        HEAR_FAILED,   /* it could not be started, exited with something else, or said more than there is room for */
        HEAR_HANGS     /* its time was up: it was killed, and is not waited for, since it may hang in the kernel */
};

/* Runs words (the program first, NULL at the end), not through the shell; its stdout becomes the text out.  Blocks. */
enum hear hear(char *const *words, int64_t limit_ns, char *out, size_t size);

#endif
