/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * plugin: stint-device-cuda.so, the part of libstint that links the CUDA runtime, found and loaded when it is needed.
 * device calls in; the plugin includes this for the table that it exports.
 */
#ifndef STINT_PLUGIN_H
#define STINT_PLUGIN_H

#include <stdint.h>
#include "device.h"

#define PLUGIN_FILE "stint-device-cuda.so"
#define PLUGIN_SYMBOL "stint_device_plugin" /* what it exports, a struct plugin_table; nothing else */
#define PLUGIN_MAGIC UINT32_C(0x74736c70)
#define PLUGIN_VERSION UINT32_C(1) /* of struct device and of this table: one of another version is refused */

struct plugin_table {
        uint32_t magic, version; /* these two stay where they are, whatever the version */
        uint64_t error_bytes;    /* sizeof(struct stint_error), which it fills */
        const struct device *device;
};

/*
 * 1 when CUDA's driver or runtime is mapped into this process, without which no pointer can be a device's.  It loads
 * nothing, and as long as the process loads no further library either, it costs one call that looks at a counter.
 */
int plugin_cuda_is_here(void);

/*
 * CUDA's table, from the plugin in the folder $STINT_DEVICE_PATH, else from beside libstint; loaded at the first call
 * and never let go of.  NULL with why it cannot be had, which is found out once and then remembered.
 */
const struct device *plugin_cuda(struct stint_error *err);

/* That table when it was loaded, else NULL. */
const struct device *plugin_loaded(void);

/* Forgets what was loaded or refused, so that it is looked for again: for tests. */
void plugin_forget(void);

#endif
