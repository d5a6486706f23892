/* A stand-in for the CUDA runtime: memory.  SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cudart_memory: memory of devices, at addresses that the host cannot touch, with the bytes elsewhere, so that code
 * that follows a device's pointer faults as it would with a real one; managed and pinned memory; and whose a pointer
 * is.
 */
#include "standin.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- memory --------------------------------------------------------------------------------------------------- */

static struct standin_block *block_at(const void *pointer)
{
        struct standin_block *block;
        const char *at = pointer;

        for (block = standin_it.blocks; block; block = block->next)
                if (at >= block->base && at < block->base + block->bytes)
                        return block;
        return NULL;
}

char *standin_real(const void *pointer, size_t bytes, enum standin_kind *kind)
{
        struct standin_block *block = block_at(pointer);
        const char *at = pointer;

        *kind = block ? block->kind : STANDIN_PAGEABLE;
        if (block)
                return bytes <= (size_t)(block->base + block->bytes - at) ? block->real + (at - block->base) : NULL;
        for (block = standin_it.blocks; block; block = block->next)
                if (at < block->base && at + bytes > block->base)
                        return NULL;
        return (char *)(size_t)pointer;
}

static cudaError_t add(enum standin_kind kind, char *base, char *real, size_t bytes)
{
        struct standin_block *block = malloc(sizeof *block);

        if (!block)
                abort();
        *block = (struct standin_block){kind, base, real, bytes, standin_physical(), standin_it.blocks};
        standin_it.blocks = block;
        return cudaSuccess;
}

static char *map(size_t bytes, int protection)
{
        char *p = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        return p == MAP_FAILED ? NULL : p;
}

static cudaError_t allocate(enum standin_kind kind, void **pointer, size_t bytes)
{
        int counts = kind == STANDIN_DEVICE || kind == STANDIN_MANAGED, device = standin_physical();
        char *base, *real;

        if (!pointer || !bytes)
                return cudaErrorInvalidValue;
        if (counts && bytes > standin_it.memory - standin_it.used[device])
                return cudaErrorMemoryAllocation;
        base = map(bytes, kind == STANDIN_DEVICE ? PROT_NONE : PROT_READ | PROT_WRITE);
        real = kind == STANDIN_DEVICE ? map(bytes, PROT_READ | PROT_WRITE) : base;
        if (!base || !real)
                return cudaErrorMemoryAllocation;
        standin_it.used[device] += counts ? bytes : 0;
        *pointer = base;
        return add(kind, base, real, bytes);
}

static cudaError_t release(void *pointer, int host)
{
        struct standin_block **link, *block;

        standin_drain(-1);
        for (link = &standin_it.blocks; (block = *link); link = &block->next)
                if (block->base == pointer && block->kind != STANDIN_REGISTERED &&
                    host == (block->kind == STANDIN_HOST))
                        break;
        if (!block)
                return cudaErrorInvalidValue;
        *link = block->next;
        standin_it.used[block->device] -= host ? 0 : block->bytes;
        munmap(block->base, block->bytes);
        if (block->real != block->base)
                munmap(block->real, block->bytes);
        free(block);
        return cudaSuccess;
}

STANDIN_API cudaError_t cudaMalloc(void **pointer, size_t bytes)
{
        cudaError_t error = standin_enter("cudaMalloc");

        return standin_leave(error ? error : allocate(STANDIN_DEVICE, pointer, bytes));
}

STANDIN_API cudaError_t cudaFree(void *pointer)
{
        cudaError_t error = standin_enter("cudaFree");

        return standin_leave(error || !pointer ? error : release(pointer, 0));
}

STANDIN_API cudaError_t cudaMallocManaged(void **pointer, size_t bytes, unsigned int flags)
{
        cudaError_t error = standin_enter("cudaMallocManaged");

        if (!error && flags != cudaMemAttachGlobal)
                error = cudaErrorInvalidValue;
        return standin_leave(error ? error : allocate(STANDIN_MANAGED, pointer, bytes));
}

STANDIN_API cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned int flags)
{
        cudaError_t error = standin_enter("cudaHostAlloc");

        (void)flags;
        if (!error && standin_it.no_pinned)
                error = cudaErrorMemoryAllocation;
        return standin_leave(error ? error : allocate(STANDIN_HOST, pointer, bytes));
}

STANDIN_API cudaError_t cudaFreeHost(void *pointer)
{
        cudaError_t error = standin_enter("cudaFreeHost");

        return standin_leave(error || !pointer ? error : release(pointer, 1));
}

/* Every page is touched, as it is when a device shall reach it: memory that is only read must be asked for as such. */
static cudaError_t register_block(char *base, size_t bytes, unsigned int flags)
{
        int read_only = (flags & cudaHostRegisterReadOnly) != 0;
        struct standin_block *block;

        if (standin_it.no_register || (standin_it.no_read_only && read_only))
                return read_only ? cudaErrorNotSupported : cudaErrorMemoryAllocation;
        if (!base || !bytes)
                return cudaErrorInvalidValue;
        for (block = standin_it.blocks; block; block = block->next)
                if (base < block->base + block->bytes && block->base < base + bytes)
                        return cudaErrorHostMemoryAlreadyRegistered;
        if (madvise(base, bytes, read_only ? 22 /* MADV_POPULATE_READ */ : 23 /* MADV_POPULATE_WRITE */) < 0)
                return cudaErrorInvalidValue;
        return add(STANDIN_REGISTERED, base, base, bytes);
}

STANDIN_API cudaError_t cudaHostRegister(void *pointer, size_t bytes, unsigned int flags)
{
        cudaError_t error = standin_enter("cudaHostRegister");

        return standin_leave(error ? error : register_block(pointer, bytes, flags));
}

STANDIN_API cudaError_t cudaHostUnregister(void *pointer)
{
        cudaError_t error = standin_enter("cudaHostUnregister");
        struct standin_block **link, *block = NULL;

        for (link = &standin_it.blocks; !error && (block = *link); link = &block->next)
                if (block->base == pointer && block->kind == STANDIN_REGISTERED)
                        break;
        if (!error && !block)
                error = cudaErrorHostMemoryNotRegistered;
        if (error)
                return standin_leave(error);
        if (standin_busy(block->real, block->bytes))
                standin_abuse("memory was unpinned while a copy was on its way");
        *link = block->next;
        free(block);
        return standin_leave(cudaSuccess);
}

STANDIN_API cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *pointer)
{
        cudaError_t error = standin_enter("cudaPointerGetAttributes");
        struct standin_block *block = error ? NULL : block_at(pointer);
        int device;

        memset(attributes, 0, sizeof *attributes);
        if (block) {
                for (device = 0; device + 1 < standin_it.visible && standin_it.physical[device] != block->device;
                     device++)
                        ;
                attributes->device = device;
                attributes->type = block->kind == STANDIN_DEVICE    ? cudaMemoryTypeDevice
                                   : block->kind == STANDIN_MANAGED ? cudaMemoryTypeManaged
                                                                    : cudaMemoryTypeHost;
                attributes->devicePointer = (void *)(size_t)pointer;
                attributes->hostPointer = block->kind == STANDIN_DEVICE ? NULL : (void *)(size_t)pointer;
        }
        return standin_leave(error);
}
