/* SPDX-License-Identifier: BSD-3-Clause */
/* device_host: memory that this process can read and write itself.  Called through its table in device.h. */
#include "device.h"

#include <string.h>

static int host_owns(const void *pointer, size_t bytes, int *index, struct stint_error *err)
{
        (void)err;
        (void)pointer;
        (void)bytes;
        *index = -1;
        return 1;
}

static int host_copy_out(void *host, const void *pointer, size_t bytes, const char *name, struct stint_error *err)
{
        (void)name;
        (void)err;
        memcpy(host, pointer, bytes);
        return 0;
}

static int host_copy_in(void *pointer, const void *host, size_t bytes, const char *name, struct stint_error *err)
{
        (void)name;
        (void)err;
        memcpy(pointer, host, bytes);
        return 0;
}

static int host_sync(struct stint_error *err)
{
        (void)err;
        return 0;
}

const struct device device_host = {
        .kind = STINT_DEVICE_HOST,
        .owns = host_owns,
        .copy_out = host_copy_out,
        .copy_in = host_copy_in,
        .sync = host_sync,
};
