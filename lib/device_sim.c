/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_sim: a device that is not there.  Its addresses are a range that this process has reserved but cannot touch,
 * so code that follows a device pointer faults as it would with a real one; the bytes are in a second mapping, the
 * shadow, at the same distance from its beginning.  Programs allocate through stint.h, stint copies through the table
 * of device.h.
 *
 *   STINT_DEVICE=sim[:SETTING[,SETTING...]]
 *     devices=N     how many there are (1; at most 16)
 *     current=N     which of them the process uses, as far as anybody asks (0)
 *     memory=SIZE   of each (64M)
 *     delay=D       every copy takes that much longer
 *     fail_copy=N   the N-th copy that stint makes fails with EIO, that one alone; the program's own are not counted
 */
#include "device.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "duration.h"

#define SIM_MOST_DEVICES 16
#define SIM_DEFAULT_MEMORY (INT64_C(64) << 20)
#define SIM_ALIGN 256u /* of every allocation, as real devices have it */

/* A stretch of a device's memory that is in use; each device's list is in the order of the offsets. */
struct sim_block {
        size_t offset; /* from the beginning of the range, not of the device */
        size_t bytes;  /* a multiple of SIM_ALIGN */
        struct sim_block *next;
};

struct sim {
        int ready; /* settings read: 1, they are wrong or there is no address space: -1, not yet: 0 */
        int devices, current;
        size_t memory;
        int64_t delay_ns, fail_copy;
        int64_t copies;
        char *range, *shadow;
        struct sim_block *blocks[SIM_MOST_DEVICES];
};

static pthread_mutex_t sim_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sim sim;

/* ---- settings ------------------------------------------------------------------------------------------------- */

static int read_count(const char *text, int64_t least, int64_t most, int64_t *value)
{
        char *end;

        errno = 0;
        *value = strtoll(text, &end, 10);
        return errno || end == text || *end || *value < least || *value > most ? -1 : 0;
}

static int read_setting(char *setting)
{
        char *value = strchr(setting, '=');
        int64_t n;

        if (!value)
                return -1;
        *value++ = '\0';
        if (!strcmp(setting, "delay"))
                return duration_parse(value, &sim.delay_ns, NULL);
        if (!strcmp(setting, "fail_copy"))
                return read_count(value, 1, INT64_MAX, &sim.fail_copy);
        if (!strcmp(setting, "devices")) {
                if (read_count(value, 1, SIM_MOST_DEVICES, &n) < 0)
                        return -1;
                sim.devices = (int)n;
                return 0;
        }
        if (!strcmp(setting, "current")) {
                if (read_count(value, 0, SIM_MOST_DEVICES - 1, &n) < 0)
                        return -1;
                sim.current = (int)n;
                return 0;
        }
        if (!strcmp(setting, "memory")) {
                if (size_parse(value, &n, NULL) < 0 || n <= 0 || n > (INT64_C(1) << 42))
                        return -1;
                sim.memory = (size_t)n;
                return 0;
        }
        return -1;
}

static int read_settings(const char *text)
{
        char copy[256], *setting, *rest = copy;

        if (!text || strncmp(text, "sim", 3) || (text[3] != '\0' && text[3] != ':') || !text[3])
                return 0;
        if (strlen(text + 4) >= sizeof copy)
                return -1;
        strcpy(copy, text + 4);
        while ((setting = strsep(&rest, ",")))
                if (read_setting(setting) < 0)
                        return -1;
        return 0;
}

static void *reserve(size_t bytes, int protection)
{
        void *p = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        return p == MAP_FAILED ? NULL : p;
}

/* Reads the settings and makes the two mappings at the first use; called with the lock held. */
static int sim_start(void)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes;

        if (sim.ready)
                return sim.ready > 0 ? 0 : -1;
        sim.ready = -1;
        sim.devices = 1;
        sim.memory = (size_t)SIM_DEFAULT_MEMORY;
        if (read_settings(getenv("STINT_DEVICE")) < 0 || sim.current >= sim.devices)
                return -1;
        sim.memory = (sim.memory + page - 1) / page * page;
        bytes = sim.memory * (size_t)sim.devices;
        sim.range = reserve(bytes, PROT_NONE);
        sim.shadow = reserve(bytes, PROT_READ | PROT_WRITE);
        if (!sim.range || !sim.shadow)
                return -1;
        sim.ready = 1;
        return 0;
}

void device_sim_reset(void)
{
        struct sim_block *block;
        int i;

        pthread_mutex_lock(&sim_lock);
        for (i = 0; i < SIM_MOST_DEVICES; i++)
                while ((block = sim.blocks[i])) {
                        sim.blocks[i] = block->next;
                        free(block);
                }
        if (sim.range)
                munmap(sim.range, sim.memory * (size_t)sim.devices);
        if (sim.shadow)
                munmap(sim.shadow, sim.memory * (size_t)sim.devices);
        memset(&sim, 0, sizeof sim);
        pthread_mutex_unlock(&sim_lock);
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

/* The link behind which `bytes` fit on that device, first fit; *offset receives where.  NULL when they do not. */
static struct sim_block **find_gap(int device, size_t bytes, size_t *offset)
{
        struct sim_block **link = &sim.blocks[device];
        size_t at = sim.memory * (size_t)device, end = at + sim.memory;

        for (; *link; link = &(*link)->next) {
                if ((*link)->offset - at >= bytes)
                        break;
                at = (*link)->offset + (*link)->bytes;
        }
        if (!*link && end - at < bytes)
                return NULL;
        *offset = at;
        return link;
}

/* The block that holds all these bytes, and which device it is on; called with the lock held. */
static struct sim_block *find_block(const void *pointer, size_t bytes, int *device)
{
        size_t offset = (size_t)((uintptr_t)pointer - (uintptr_t)sim.range);
        struct sim_block *block;

        if (sim.ready <= 0 || offset >= sim.memory * (size_t)sim.devices)
                return NULL;
        *device = (int)(offset / sim.memory);
        for (block = sim.blocks[*device]; block; block = block->next)
                if (offset >= block->offset && offset < block->offset + block->bytes)
                        return bytes <= block->bytes - (offset - block->offset) ? block : NULL;
        return NULL;
}

static void *allocate(int device, size_t bytes)
{
        struct sim_block *block, **link;
        size_t offset;

        if (sim_start() < 0 || device < 0 || device >= sim.devices) {
                errno = ENODEV;
                return NULL;
        }
        bytes = bytes ? bytes : 1;
        if (bytes > sim.memory) {
                errno = ENOMEM;
                return NULL;
        }
        bytes = (bytes + SIM_ALIGN - 1) / SIM_ALIGN * SIM_ALIGN;
        link = find_gap(device, bytes, &offset);
        block = link ? malloc(sizeof *block) : NULL;
        if (!block) {
                errno = ENOMEM;
                return NULL;
        }
        *block = (struct sim_block){ .offset = offset, .bytes = bytes, .next = *link };
        *link = block;
        return sim.range + offset;
}

void *stint_sim_alloc(int device, size_t bytes)
{
        void *p;

        pthread_mutex_lock(&sim_lock);
        p = allocate(device, bytes);
        pthread_mutex_unlock(&sim_lock);
        return p;
}

void stint_sim_free(void *pointer)
{
        struct sim_block *block, **link;
        int device;

        if (!pointer)
                return;
        pthread_mutex_lock(&sim_lock);
        block = find_block(pointer, 0, &device);
        if (block && sim.range + block->offset == (char *)pointer) {
                for (link = &sim.blocks[device]; *link != block; link = &(*link)->next)
                        ;
                *link = block->next;
                free(block);
        }
        pthread_mutex_unlock(&sim_lock);
}

/* ---- copies --------------------------------------------------------------------------------------------------- */

static void wait_for(int64_t ns)
{
        struct timespec t = { .tv_sec = ns / CLOCK_SECOND, .tv_nsec = ns % CLOCK_SECOND };

        while (ns > 0 && nanosleep(&t, &t) < 0 && errno == EINTR)
                ;
}

/* Where the bytes behind a device pointer really are; NULL with errno EFAULT when it is none. */
static char *shadow_of(const void *pointer, size_t bytes, int64_t *delay_ns)
{
        char *shadow = NULL;
        int device;

        pthread_mutex_lock(&sim_lock);
        if (find_block(pointer, bytes, &device)) {
                shadow = sim.shadow + ((const char *)pointer - sim.range);
                *delay_ns = sim.delay_ns;
        }
        pthread_mutex_unlock(&sim_lock);
        if (!shadow)
                errno = EFAULT;
        return shadow;
}

int stint_sim_write(void *to_device, const void *from_host, size_t bytes)
{
        int64_t delay_ns;
        char *shadow = shadow_of(to_device, bytes, &delay_ns);

        if (!shadow)
                return -1;
        wait_for(delay_ns);
        memcpy(shadow, from_host, bytes);
        return 0;
}

int stint_sim_read(void *to_host, const void *from_device, size_t bytes)
{
        int64_t delay_ns;
        char *shadow = shadow_of(from_device, bytes, &delay_ns);

        if (!shadow)
                return -1;
        wait_for(delay_ns);
        memcpy(to_host, shadow, bytes);
        return 0;
}

static int sim_owns(const void *pointer, size_t bytes, int *index, struct stint_error *err)
{
        int owns;

        (void)err;
        pthread_mutex_lock(&sim_lock);
        owns = find_block(pointer, bytes, index) != NULL;
        pthread_mutex_unlock(&sim_lock);
        return owns;
}

/* Counts a copy that stint makes; 1 when it is the one that fails. */
static int copy_fails(void)
{
        int fails;

        pthread_mutex_lock(&sim_lock);
        fails = ++sim.copies == sim.fail_copy;
        pthread_mutex_unlock(&sim_lock);
        return fails;
}

static int sim_copy_out(void *host, const void *pointer, size_t bytes, const char *name, struct stint_error *err)
{
        (void)name;
        if (copy_fails())
                return error_set(err, EIO,
                                 "the simulated device failed a copy to the host (STINT_DEVICE asked for it)");
        if (stint_sim_read(host, pointer, bytes) < 0)
                return error_system(err, errno, "%zu bytes at %p of the simulated device could not be read", bytes,
                                    pointer);
        return 0;
}

static int sim_copy_in(void *pointer, const void *host, size_t bytes, const char *name, struct stint_error *err)
{
        (void)name;
        if (copy_fails())
                return error_set(err, EIO,
                                 "the simulated device failed a copy from the host (STINT_DEVICE asked for it)");
        if (stint_sim_write(pointer, host, bytes) < 0)
                return error_system(err, errno, "%zu bytes at %p of the simulated device could not be written", bytes,
                                    pointer);
        return 0;
}

static int sim_sync(struct stint_error *err)
{
        (void)err;
        return 0;
}

/* ---- what there is of it -------------------------------------------------------------------------------------- */

static int asked_for(void)
{
        const char *text = getenv("STINT_DEVICE");

        return text && !strncmp(text, "sim", 3) && (text[3] == '\0' || text[3] == ':');
}

/* There where somebody wants it: by the environment, or by having allocated from it. */
static int sim_present(int *count, int *current, struct stint_error *err)
{
        int rc = -1;

        pthread_mutex_lock(&sim_lock);
        if ((sim.ready > 0 || asked_for()) && sim_start() == 0) {
                *count = sim.devices;
                *current = sim.current;
                rc = 0;
        }
        pthread_mutex_unlock(&sim_lock);
        return rc == 0 ? 0
                       : error_set(err, ENODEV, asked_for() ? "the simulated device cannot be had as STINT_DEVICE says"
                                                            : "STINT_DEVICE asks for no simulated device");
}

static int sim_memory(int index, uint64_t *left, uint64_t *all, struct stint_error *err)
{
        const struct sim_block *block;
        int rc = -1;

        pthread_mutex_lock(&sim_lock);
        if (sim_start() == 0 && index >= 0 && index < sim.devices) {
                *left = *all = sim.memory;
                for (block = sim.blocks[index]; block; block = block->next)
                        *left -= block->bytes;
                rc = 0;
        }
        pthread_mutex_unlock(&sim_lock);
        return rc == 0 ? 0 : error_set(err, ENODEV, "there is no simulated device %d", index);
}

const struct device device_sim = {
        .kind = STINT_DEVICE_SIM,
        .owns = sim_owns,
        .copy_out = sim_copy_out,
        .copy_in = sim_copy_in,
        .sync = sim_sync,
        .present = sim_present,
        .memory = sim_memory,
};
