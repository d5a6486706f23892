/* A stand-in for the CUDA runtime: devices and errors.  SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cudart: the library that the tests load instead of libcudart.so: what there is, by the settings of standin.h, and
 * what each call begins and ends with.  CUDA_VISIBLE_DEVICES is read in cudart_visible.c, memory is in
 * cudart_memory.c, copies are in cudart_streams.c.
 */
#include "standin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pthread_mutex_t standin_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t standin_moved = PTHREAD_COND_INITIALIZER;
long standin_late_ms;
_Thread_local int standin_current;
static _Thread_local cudaError_t last_error;

struct standin_all standin_it;

/* ---- settings ------------------------------------------------------------------------------------------------- */

static void wrong(const char *setting)
{
        fprintf(stderr, "the stand-in for the CUDA runtime does not know '%s' in CUDA_STANDIN\n", setting);
        abort();
}

static void read_fail(char *value)
{
        char *code = NULL, *n = strchr(value, ':');

        if (!n)
                wrong(value);
        *n++ = '\0';
        if ((code = strchr(n, ':')))
                *code++ = '\0';
        snprintf(standin_it.fail_call, sizeof standin_it.fail_call, "%s", value);
        standin_it.fail_at = atol(n);
        standin_it.fail_code = code ? (cudaError_t)atoi(code) : cudaErrorUnknown;
}

static void read_uuids(char *value)
{
        char *word;
        int i;

        for (i = 0; i < STANDIN_MOST && (word = strsep(&value, ":")); i++)
                snprintf(standin_it.uuid[i], sizeof standin_it.uuid[i], "%s", word);
}

static void read_setting(char *setting)
{
        char *value = strchr(setting, '=');

        if (!value)
                wrong(setting);
        *value++ = '\0';
        if (!strcmp(setting, "devices"))
                standin_it.count = atoi(value) < STANDIN_MOST ? atoi(value) : STANDIN_MOST;
        else if (!strcmp(setting, "memory"))
                standin_it.memory = strtoul(value, NULL, 10);
        else if (!strcmp(setting, "uuids"))
                read_uuids(value);
        else if (!strcmp(setting, "late"))
                standin_late_ms = atol(value);
        else if (!strcmp(setting, "register"))
                standin_it.no_register = !strcmp(value, "off");
        else if (!strcmp(setting, "read_only"))
                standin_it.no_read_only = !strcmp(value, "off");
        else if (!strcmp(setting, "pinned"))
                standin_it.no_pinned = !strcmp(value, "off");
        else if (!strcmp(setting, "driver"))
                standin_it.old_driver = !strcmp(value, "old");
        else if (!strcmp(setting, "fail"))
                read_fail(value);
        else
                wrong(setting);
}

static void read_settings(void)
{
        const char *text = getenv("CUDA_STANDIN");
        char copy[512], *setting, *rest = copy;

        standin_late_ms = 0;
        standin_it.no_register = standin_it.no_read_only = standin_it.no_pinned = standin_it.old_driver = 0;
        standin_it.fail_call[0] = '\0';
        standin_it.calls = 0;
        standin_it.stays = cudaSuccess;
        snprintf(copy, sizeof copy, "%s", text ? text : "");
        while ((setting = strsep(&rest, ",")))
                if (*setting)
                        read_setting(setting);
}

/* With the lock. */
static void get_ready(void)
{
        const char *uuids[STANDIN_MOST];
        int i;

        if (standin_it.ready)
                return;
        standin_it.ready = standin_it.count = 1;
        standin_it.memory = (size_t)64 << 20;
        for (i = 0; i < STANDIN_MOST; i++)
                snprintf(standin_it.uuid[i], sizeof standin_it.uuid[i], "GPU-%04d", i);
        read_settings();
        for (i = 0; i < STANDIN_MOST; i++)
                uuids[i] = standin_it.uuid[i];
        standin_it.visible =
                standin_visible(uuids, standin_it.count, getenv("CUDA_VISIBLE_DEVICES"), standin_it.physical);
}

/* ---- what every call does ------------------------------------------------------------------------------------- */

cudaError_t standin_fault(const char *what)
{
        if (strcmp(what, standin_it.fail_call) || ++standin_it.calls != standin_it.fail_at)
                return cudaSuccess;
        if (standin_it.fail_code >= 700 && standin_it.fail_code <= 719)
                standin_it.stays = standin_it.fail_code;
        return standin_it.fail_code;
}

int standin_physical(void)
{
        return standin_it.physical[standin_current];
}

cudaError_t standin_enter(const char *function)
{
        cudaError_t error;

        pthread_mutex_lock(&standin_lock);
        get_ready();
        standin_it.initialised = 1;
        error = standin_it.old_driver ? cudaErrorInsufficientDriver
                : !standin_it.visible ? cudaErrorNoDevice
                                      : standin_fault(function);
        if (error == cudaSuccess)
                error = standin_it.stays;
        if (error == cudaSuccess)
                standin_it.context[standin_physical()] = 1;
        return error;
}

cudaError_t standin_leave(cudaError_t error)
{
        pthread_mutex_unlock(&standin_lock);
        if (error != cudaSuccess)
                last_error = error;
        return error;
}

void standin_abuse(const char *what)
{
        fprintf(stderr, "the stand-in for the CUDA runtime ends this program: %s\n", what);
        abort();
}

/* ---- for tests ------------------------------------------------------------------------------------------------ */

STANDIN_API int standin_context(int device)
{
        int context;

        pthread_mutex_lock(&standin_lock);
        get_ready();
        context = device < standin_it.visible && standin_it.context[standin_it.physical[device]];
        pthread_mutex_unlock(&standin_lock);
        return context;
}

STANDIN_API const char *standin_uuid(int device)
{
        const char *uuid;

        pthread_mutex_lock(&standin_lock);
        get_ready();
        uuid = device >= 0 && device < standin_it.visible ? standin_it.uuid[standin_it.physical[device]] : "";
        pthread_mutex_unlock(&standin_lock);
        return uuid;
}

STANDIN_API struct standin_counts standin_counts(void)
{
        struct standin_counts counts;
        struct standin_block *block;

        pthread_mutex_lock(&standin_lock);
        counts = standin_it.counts;
        for (block = standin_it.blocks; block; block = block->next)
                counts.registered += block->kind == STANDIN_REGISTERED;
        pthread_mutex_unlock(&standin_lock);
        return counts;
}

STANDIN_API unsigned long standin_registered(void)
{
        return standin_counts().registered;
}

STANDIN_API void standin_again(void)
{
        pthread_mutex_lock(&standin_lock);
        get_ready();
        read_settings();
        pthread_mutex_unlock(&standin_lock);
}

void standin_count_copy(int pinned)
{
        standin_it.counts.pinned += pinned != 0;
        standin_it.counts.pageable += !pinned;
}

void standin_count_stream(void)
{
        standin_it.counts.streams++;
}

STANDIN_API int standin_initialised(void)
{
        int initialised;

        pthread_mutex_lock(&standin_lock);
        initialised = standin_it.initialised;
        pthread_mutex_unlock(&standin_lock);
        return initialised;
}

STANDIN_API int cuDeviceGet(int *device, int ordinal)
{
        int visible;

        pthread_mutex_lock(&standin_lock);
        get_ready();
        visible = standin_it.visible;
        pthread_mutex_unlock(&standin_lock);
        *device = ordinal;
        return !standin_initialised() ? 3 : ordinal >= 0 && ordinal < visible ? 0 : 101;
}

STANDIN_API int cuDevicePrimaryCtxGetState(int device, unsigned int *flags, int *active)
{
        *flags = 0;
        *active = standin_context(device);
        return 0;
}

STANDIN_API int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
        int none, ordinal;

        none = cuDeviceGet(&ordinal, device);
        *bytes = none ? 0 : standin_it.memory;
        return none;
}

/* ---- errors --------------------------------------------------------------------------------------------------- */

static const struct {
        cudaError_t code;
        const char *name, *text;
} errors[] = {
        {cudaSuccess, "cudaSuccess", "no error"},
        {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
        {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
        {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "the driver is older than the runtime"},
        {cudaErrorNoDevice, "cudaErrorNoDevice", "there is no device"},
        {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "there is no such device"},
        {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid handle"},
        {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal address was used"},
        {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered", "already pinned"},
        {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered", "not pinned"},
        {cudaErrorNotSupported, "cudaErrorNotSupported", "not supported"},
        {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};
#define ERRORS (sizeof errors / sizeof errors[0])

STANDIN_API const char *cudaGetErrorName(cudaError_t error)
{
        size_t i;

        for (i = 0; i + 1 < ERRORS && errors[i].code != error; i++)
                ;
        return errors[i].name;
}

STANDIN_API const char *cudaGetErrorString(cudaError_t error)
{
        static _Thread_local char text[128];
        size_t i;

        for (i = 0; i + 1 < ERRORS && errors[i].code != error; i++)
                ;
        snprintf(text, sizeof text, "%s, says the stand-in for the CUDA runtime", errors[i].text);
        return text;
}

STANDIN_API cudaError_t cudaGetLastError(void)
{
        cudaError_t error = last_error;

        last_error = cudaSuccess;
        return error;
}

STANDIN_API cudaError_t cudaPeekAtLastError(void)
{
        return last_error;
}

/* ---- devices -------------------------------------------------------------------------------------------------- */

/* These two make no context. */
STANDIN_API cudaError_t cudaGetDeviceCount(int *count)
{
        pthread_mutex_lock(&standin_lock);
        get_ready();
        standin_it.initialised = 1;
        *count = standin_it.visible;
        return standin_leave(standin_it.old_driver ? cudaErrorInsufficientDriver
                             : standin_it.visible  ? cudaSuccess
                                                   : cudaErrorNoDevice);
}

STANDIN_API cudaError_t cudaGetDevice(int *device)
{
        pthread_mutex_lock(&standin_lock);
        get_ready();
        standin_it.initialised = 1;
        *device = standin_current;
        return standin_leave(standin_it.old_driver ? cudaErrorInsufficientDriver
                             : standin_it.visible  ? cudaSuccess
                                                   : cudaErrorNoDevice);
}

/* Makes the context of the device, as the runtime does since 12.0. */
STANDIN_API cudaError_t cudaSetDevice(int device)
{
        pthread_mutex_lock(&standin_lock);
        get_ready();
        standin_it.initialised = 1;
        if (standin_it.old_driver)
                return standin_leave(cudaErrorInsufficientDriver);
        if (device < 0 || device >= standin_it.visible)
                return standin_leave(cudaErrorInvalidDevice);
        standin_current = device;
        standin_it.context[standin_physical()] = 1;
        return standin_leave(standin_it.stays);
}

STANDIN_API cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
        cudaError_t error = standin_enter("cudaMemGetInfo");

        if (error == cudaSuccess) {
                *total = standin_it.memory;
                *available = standin_it.memory - standin_it.used[standin_physical()];
        }
        return standin_leave(error);
}

STANDIN_API cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode)
{
        static _Thread_local enum cudaStreamCaptureMode now = cudaStreamCaptureModeGlobal;
        enum cudaStreamCaptureMode before = now;

        now = *mode;
        *mode = before;
        return cudaSuccess;
}
