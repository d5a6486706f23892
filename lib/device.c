/* SPDX-License-Identifier: BSD-3-Clause */
/* device: which kind of memory a pointer belongs to.  layout calls in at stint_attach. */
#include "device.h"

#include <errno.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#include "names.h"
#include "plugin.h"

#define PIN_PIECE ((size_t)64 << 20) /* between two looks at `stop`; a save may have to wait for one: milliseconds */

/* ---- whose it is ---------------------------------------------------------------------------------------------- */

const struct device *device_of_kind(enum stint_device kind, struct stint_error *err)
{
        struct stint_error why;
        const struct device *device;

        if (kind == STINT_DEVICE_HOST)
                return &device_host;
        if (kind == STINT_DEVICE_SIM)
                return &device_sim;
        if (kind != STINT_DEVICE_CUDA) {
                error_set(err, EINVAL, "%d is no kind of device", (int)kind);
                return NULL;
        }
        device = plugin_cuda(&why);
        if (!device)
                error_set(err, ENODEV, "this libstint cannot reach %s memory: %s", device_name(kind), why.text);
        return device;
}

static const struct device *wanted_of(enum stint_device wanted, const void *pointer, size_t bytes, int *index,
                                      struct stint_error *err)
{
        const struct device *device = device_of_kind(wanted, err);
        int owns = device ? device->owns(pointer, bytes, index, err) : -1;

        if (owns > 0)
                return device;
        if (owns == 0)
                error_set(err, EINVAL, "%zu bytes at %p are not %s memory", bytes, pointer, device_name(wanted));
        return NULL;
}

/* 0 when a read of its first or last byte would end this process.  Where the kernel does not say, it can be read. */
static int host_can_read(const void *pointer, size_t bytes)
{
        char byte[2];
        struct iovec to = {byte, sizeof byte};
        struct iovec from[2] = {{(void *)(uintptr_t)pointer, 1}, {(char *)(uintptr_t)pointer + bytes - 1, 1}};
        ssize_t n = process_vm_readv(getpid(), &to, 1, from, 2, 0);

        return n < 0 ? errno != EFAULT : n == 2;
}

/*
 * What a process without CUDA has is host memory, and nothing is loaded to find that out.  Where CUDA is and cannot be
 * asked, a pointer that the host can read is taken for the host's, and any other is refused instead of followed.
 */
static const struct device *cuda_or_host(const void *pointer, size_t bytes, int *index, struct stint_error *err)
{
        const struct device *cuda;
        struct stint_error why;
        int owns = 0;

        if (bytes && plugin_cuda_is_here()) {
                cuda = plugin_cuda(&why);
                owns = cuda ? cuda->owns(pointer, bytes, index, &why) : -1;
                if (owns > 0)
                        return cuda;
        }
        if (owns < 0 && !host_can_read(pointer, bytes)) {
                error_set(err, ENODEV,
                          "%zu bytes at %p are not memory that the host can read, and CUDA cannot be asked: %s", bytes,
                          pointer, why.text);
                return NULL;
        }
        device_host.owns(pointer, bytes, index, err);
        return &device_host;
}

const struct device *device_of(enum stint_device wanted, const void *pointer, size_t bytes, int *index,
                               struct stint_error *err)
{
        if (wanted != STINT_DEVICE_AUTO)
                return wanted_of(wanted, pointer, bytes, index, err);
        if (device_sim.owns(pointer, bytes, index, err) > 0)
                return &device_sim;
        return cuda_or_host(pointer, bytes, index, err);
}

/* ---- copies --------------------------------------------------------------------------------------------------- */

int device_sync_all(struct stint_error *err)
{
        const struct device *cuda = plugin_loaded();

        return cuda ? cuda->sync(err) : 0;
}

void device_pin(void *base, size_t bytes, int read_only, const atomic_int *stop)
{
        const struct device *cuda = plugin_loaded();
        size_t at, n;

        if (!cuda || !cuda->pin || !base)
                return;
        for (at = 0; at < bytes && !(stop && atomic_load(stop)); at += n) {
                n = bytes - at < PIN_PIECE ? bytes - at : PIN_PIECE;
                cuda->pin((char *)base + at, n, read_only);
        }
}

void device_unpin(void *base, size_t bytes)
{
        const struct device *cuda = plugin_loaded();

        if (cuda && cuda->unpin && base)
                cuda->unpin(base, bytes);
}
