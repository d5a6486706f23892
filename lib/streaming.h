/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * streaming: a state for which there is no memory as a whole: it is copied in the order of the checkpoint file into a
 * window of shared memory, and the agent writes it behind.  The program stands still until its last byte is in there.
 * Snapshot calls in.
 */
#ifndef STINT_STREAMING_H
#define STINT_STREAMING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include "copy.h"
#include "error.h"
#include "layout.h"
#include "window.h"
#include "wire.h"

struct streaming {
        uint32_t layout;      /* whose tensors have their places in the file; 0: of none */
        uint64_t image_bytes; /* of that file */
        struct window window; /* ring NULL: none has come since the last save */
        uint64_t present;     /* bytes of it whose pages are there, from its beginning */
        int populating;       /* `thread` makes them, and was not joined */
        pthread_t thread;
        atomic_int stop;      /* tells it to end */
        int64_t blocked_ns;   /* how long streaming_copy waited for room last */
};

/* Whoever streams asks him while there is no room: 0 to go on waiting, -1 and why it is in vain. */
struct streaming_watch {
        int (*go_on)(void *arg, struct stint_error *err);
        void *arg;
};

/*
 * Takes the places of the layout's tensors from the agent's table, which was made for the layout as it is; and a window
 * for them, once they are there.  fd stays the caller's.  -1 when what came cannot be right.
 */
int streaming_take_places(struct streaming *s, struct layout *layout, const struct wire_places *told, int fd,
                          struct stint_error *err);
int streaming_take_window(struct streaming *s, const struct wire_window *told, int fd, struct stint_error *err);

/*
 * Copies the state into the window, which is used up by that.  -1 when a copy failed, when the agent stopped it
 * (ECANCELED), or with what `watch` said.
 */
int streaming_copy(struct streaming *s, const struct layout *layout, struct copy *copy,
                   const struct streaming_watch *watch, struct stint_error *err);

/* Lets go of places and window; on one that is all zero it does nothing. */
void streaming_drop(struct streaming *s);

#endif
