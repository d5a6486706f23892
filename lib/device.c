/* SPDX-License-Identifier: BSD-3-Clause */
/* device: which kind of memory a pointer belongs to.  layout calls in at stint_attach. */
#include "device.h"

#include <errno.h>

#include "names.h"

/* Asked in this order; the host owns whatever nobody else does, so it stands last. */
static const struct device *const devices[] = { &device_sim, &device_host };
#define DEVICES (sizeof devices / sizeof devices[0])

static const struct device *find_wanted(enum stint_device wanted, struct stint_error *err)
{
        size_t i;

        for (i = 0; i < DEVICES; i++)
                if (devices[i]->kind == wanted)
                        return devices[i];
        error_set(err, ENODEV,
                  "this libstint cannot reach %s memory: attach host memory, or use a build with that device",
                  device_name(wanted));
        return NULL;
}

const struct device *device_of(enum stint_device wanted, const void *pointer, size_t bytes, int *index,
                               struct stint_error *err)
{
        const struct device *device;
        size_t i;

        if (wanted != STINT_DEVICE_AUTO) {
                device = find_wanted(wanted, err);
                if (device && !device->owns(pointer, bytes, index)) {
                        error_set(err, EINVAL, "%zu bytes at %p are not %s memory", bytes, pointer,
                                  device_name(wanted));
                        return NULL;
                }
                return device;
        }
        for (i = 0; i + 1 < DEVICES; i++)
                if (devices[i]->owns(pointer, bytes, index))
                        return devices[i];
        device = devices[DEVICES - 1];
        device->owns(pointer, bytes, index);
        return device;
}

int device_sync_all(struct stint_error *err)
{
        int rc = 0;
        size_t i;

        for (i = 0; i < DEVICES; i++)
                if (devices[i]->sync(err) < 0)
                        rc = -1;
        return rc;
}
