/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device: where the bytes of a tensor are, and how they get to the host and back.  One table of functions per kind of
 * memory; layout asks once, at stint_attach, which one a pointer belongs to, and snapshot and restore copy through it.
 */
#ifndef STINT_DEVICE_H
#define STINT_DEVICE_H

#include <stddef.h>
#include "error.h"

struct device {
        enum stint_device kind;

        /* 1 when all these bytes are this device's memory, and *index is which one of its kind; else 0. */
        int (*owns)(const void *pointer, size_t bytes, int *index);

        /* Each begins a copy and may return before it is done; the host side stays as it is until sync. */
        int (*copy_out)(void *host, const void *pointer, size_t bytes, struct stint_error *err);
        int (*copy_in)(void *pointer, const void *host, size_t bytes, struct stint_error *err);

        /* Waits for the copies begun, and says whether all of them worked. */
        int (*sync)(struct stint_error *err);
};

extern const struct device device_host; /* owns everything, its index is -1 */
extern const struct device device_sim;

/*
 * The device that these bytes belong to: the wanted one, or with STINT_DEVICE_AUTO the first that owns them.  NULL with
 * EINVAL when the wanted one does not own them, ENODEV when this library has none of that kind.
 */
const struct device *device_of(enum stint_device wanted, const void *pointer, size_t bytes, int *index,
                               struct stint_error *err);

/* Waits for the copies begun on every device. */
int device_sync_all(struct stint_error *err);

/* Forgets the simulated device with all its memory and reads STINT_DEVICE again: for tests. */
void device_sim_reset(void);

#endif
