/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device: where the bytes of a tensor are, and how they get to the host and back.  One table of functions per kind of
 * memory; layout asks once, at stint_attach, which one a pointer belongs to, and snapshot and restore copy through it.
 * Those of the host and of the simulated device are part of libstint; CUDA's comes out of a plugin (plugin.h), whose
 * version counts up with every change of this table.
 */
#ifndef STINT_DEVICE_H
#define STINT_DEVICE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

struct device {
        enum stint_device kind;

        /*
         * 1 when all these bytes are this device's memory, and *index is which one of its kind; 0 when they are not.
         * -1 when that cannot be known: what asks then looks whether the host can read them.
         */
        int (*owns)(const void *pointer, size_t bytes, int *index, struct stint_error *err);

        /*
         * Each begins a copy and may return before it is done; both sides, and the name of the tensor, which is for
         * errors, stay as they are until sync.
         */
        int (*copy_out)(void *host, const void *pointer, size_t bytes, const char *name, struct stint_error *err);
        int (*copy_in)(void *pointer, const void *host, size_t bytes, const char *name, struct stint_error *err);

        /* Waits for the copies begun, and says whether all of them worked. */
        int (*sync)(struct stint_error *err);

        /*
         * Makes copies from and to this memory of the host as quick as they can be, where that is possible; it must not
         * be unmapped before unpin, which lets go of all that was pinned within these bytes.  NULL: nothing to be done.
         */
        void (*pin)(void *base, size_t bytes, int read_only);
        void (*unpin)(void *base, size_t bytes);

        /*
         * What this process sees of this kind: how many, counted from 0, and which one it uses now.  -1 with ENODEV and
         * why when there is none.  NULL, like the next one: nothing is known of it (the host).
         */
        int (*present)(int *count, int *current, struct stint_error *err);

        /*
         * The bytes of that one's memory: how many are free, and how many there are.  1 when what is free cannot be told
         * before the program uses the device; both are how many there are then, or 0 where that is not known either.
         */
        int (*memory)(int index, uint64_t *left, uint64_t *all, struct stint_error *err);
};

extern const struct device device_host; /* owns everything, its index is -1 */
extern const struct device device_sim;

/*
 * The device that these bytes belong to: the wanted one, or with STINT_DEVICE_AUTO the first that owns them.  NULL with
 * EINVAL when the wanted one does not own them, ENODEV when they are on a device that this library cannot reach.
 */
const struct device *device_of(enum stint_device wanted, const void *pointer, size_t bytes, int *index,
                               struct stint_error *err);

/* The table of that kind, loaded if it must be; NULL with ENODEV when it cannot be had. */
const struct device *device_of_kind(enum stint_device kind, struct stint_error *err);

/*
 * Waits for the copies begun on every device.  Whoever has begun some calls this before it lets go of either side, also
 * after a failure, and then with NULL.
 */
int device_sync_all(struct stint_error *err);

/*
 * Pins memory that is the other side of copies, for every device that was met so far, stretch by stretch until `stop`
 * is set (NULL: to the end).  That takes as long as to touch all of its pages: call it from where nobody waits.
 */
void device_pin(void *base, size_t bytes, int read_only, const atomic_int *stop);

/* Before it is unmapped, whether it was pinned or not.  NULL is allowed. */
void device_unpin(void *base, size_t bytes);

/* Forgets the simulated device with all its memory and reads STINT_DEVICE again: for tests. */
void device_sim_reset(void);

#endif
