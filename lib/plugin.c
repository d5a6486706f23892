/* SPDX-License-Identifier: BSD-3-Clause */
/* plugin: whether CUDA is in this process, and the library that speaks to it.  device calls in. */
#include "plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(const struct device *) loaded;
static struct stint_error refused; /* code 0: it was not tried yet, or it is loaded; with the lock */

/* ---- is CUDA here? -------------------------------------------------------------------------------------------- */

struct look {
        unsigned long long adds; /* libraries that this process has ever loaded, when it was looked last */
        int going;               /* this look is under way; the counter does not move meanwhile */
        int found;
};

/*
 * By its file name: the driver, which every program with a device pointer has loaded, or the runtime, under a name that
 * some packages lengthen ("libcudart-1a2b.so.12").  A runtime linked into the program loads the driver before it does
 * anything.
 */
static int is_cuda(const char *path)
{
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

        return !strncmp(name, "libcuda.so", 10) || !strncmp(name, "libcudart", 9);
}

static int on_library(struct dl_phdr_info *info, size_t size, void *arg)
{
        struct look *look = arg;

        (void)size;
        if (!look->going && info->dlpi_adds == look->adds)
                return 1; /* nothing new since then */
        look->going = 1;
        look->adds = info->dlpi_adds;
        if (info->dlpi_name && is_cuda(info->dlpi_name))
                look->found = 1;
        return look->found;
}

int plugin_cuda_is_here(void)
{
        static struct look look;
        int found;

        pthread_mutex_lock(&lock);
        if (!look.found)
                dl_iterate_phdr(on_library, &look);
        look.going = 0;
        found = look.found;
        pthread_mutex_unlock(&lock);
        return found;
}

/* ---- loading it ----------------------------------------------------------------------------------------------- */

/* The folder of whatever this function is in: libstint, or a program that has it within. */
static int beside_us(char *path, size_t size)
{
        Dl_info us;
        const char *slash;

        if (!dladdr((const void *)plugin_loaded, &us) || !us.dli_fname || !(slash = strrchr(us.dli_fname, '/')))
                return snprintf(path, size, "%s", PLUGIN_FILE) < (int)size ? 0 : -1;
        return snprintf(path, size, "%.*s/%s", (int)(slash - us.dli_fname), us.dli_fname, PLUGIN_FILE) < (int)size ? 0
                                                                                                                   : -1;
}

static int find(char *path, size_t size, struct stint_error *err)
{
        const char *folder = secure_getenv("STINT_DEVICE_PATH");
        int rc;

        if (folder && *folder)
                rc = snprintf(path, size, "%s/%s", folder, PLUGIN_FILE) < (int)size ? 0 : -1;
        else
                rc = beside_us(path, size);
        return rc < 0 ? error_set(err, ENAMETOOLONG, "the path of %s is too long", PLUGIN_FILE) : 0;
}

static int check(const struct plugin_table *table, const char *path, struct stint_error *err)
{
        if (!table || table->magic != PLUGIN_MAGIC)
                return error_set(err, ENOEXEC, "%s is no device plugin of stint's", path);
        if (table->version != PLUGIN_VERSION)
                return error_set(err, ENOEXEC,
                                 "%s has version %u of the plugin interface, and this libstint has %u: install both "
                                 "from the same build",
                                 path, table->version, PLUGIN_VERSION);
        if (table->error_bytes != sizeof(struct stint_error) || !table->device ||
            table->device->kind != STINT_DEVICE_CUDA)
                return error_set(err, ENOEXEC,
                                 "%s is not the CUDA plugin of this libstint: install both from the same "
                                 "build",
                                 path);
        return 0;
}

/* It stays for good: a copy that failed may still be on its way, and CUDA itself is never unloaded either. */
static const struct device *load(struct stint_error *err)
{
        char path[PATH_MAX];
        const struct plugin_table *table;
        void *library;

        if (find(path, sizeof path, err) < 0)
                return NULL;
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!library) {
                error_set(err, ENOENT, "its plugin cannot be loaded: %s", dlerror());
                return NULL;
        }
        table = dlsym(library, PLUGIN_SYMBOL);
        return check(table, path, err) < 0 ? NULL : table->device;
}

const struct device *plugin_cuda(struct stint_error *err)
{
        const struct device *device = atomic_load(&loaded);

        if (device)
                return device;
        pthread_mutex_lock(&lock);
        device = atomic_load(&loaded);
        if (!device && !refused.code) {
                device = load(&refused);
                if (device)
                        atomic_store(&loaded, device);
        }
        if (!device && err)
                *err = refused;
        pthread_mutex_unlock(&lock);
        return device;
}

const struct device *plugin_loaded(void)
{
        return atomic_load(&loaded);
}

void plugin_forget(void)
{
        pthread_mutex_lock(&lock);
        atomic_store(&loaded, NULL);
        error_clear(&refused);
        pthread_mutex_unlock(&lock);
}
