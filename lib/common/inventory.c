/* SPDX-License-Identifier: BSD-3-Clause */
/* inventory: reads /proc/driver/nvidia and the words of nvidia-smi.  Nothing here is trusted to be well formed. */
#include "inventory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MOST 4096 /* of a file in /proc, each of which has a few lines */
#define PATH_MOST 1024
#define UUID_KEY ((ptrdiff_t)7) /* bytes of "(UUID: " */
#define MIB_MOST (INT64_C(1) << 40)

const char *inventory_root(void)
{
        const char *root = getenv("STINT_DEVICE_ROOT");

        return root != NULL ? root : "";
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

/* Copies n bytes as far as they fit, without the spaces at both ends. */
static void copy_text(char *out, size_t size, const char *text, size_t n)
{
        while (n > 0 && (*text == ' ' || *text == '\t')) {
                text++;
                n--;
        }
        while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t' || text[n - 1] == '\r'))
                n--;
        if (n >= size)
                n = size - 1;
        memcpy(out, text, n);
        out[n] = '\0';
}

/* What stands behind "KEY:" in a text of lines; "" when there is no such line. */
static void read_value(char *out, size_t size, const char *text, const char *key)
{
        const size_t n = strlen(key);
        const char *line = text;

        out[0] = '\0';
        while (*line != '\0') {
                const size_t length = strcspn(line, "\n");

                if (length > n && strncmp(line, key, n) == 0 && line[n] == ':') {
                        copy_text(out, size, line + n + 1, length - n - 1);
                        return;
                }
                line += length + (line[length] == '\n');
        }
}

/* A UUID that the driver does not know yet is written with question marks. */
static void copy_uuid(char *out, const char *text, size_t n)
{
        copy_text(out, VISIBLE_UUID, text, n);
        if (strchr(out, '?') != NULL)
                out[0] = '\0';
}

/* nvidia-smi writes eight digits before the first colon, /proc four. */
static void copy_pci(char *out, size_t size, const char *text, size_t n)
{
        if (n > 13 && text[8] == ':' && strncmp(text, "0000", 4) == 0) {
                text += 4;
                n -= 4;
        }
        copy_text(out, size, text, n);
        for (; *out != '\0'; out++)
                if (*out >= 'A' && *out <= 'F')
                        *out = (char)(*out - 'A' + 'a');
}

/* The file as a text; -1 when it cannot be read. */
static int read_file(char *out, const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        ssize_t n = fd >= 0 ? read(fd, out, TEXT_MOST - 1) : -1;

        if (fd >= 0)
                close(fd);
        out[n > 0 ? n : 0] = '\0';
        return n > 0 ? 0 : -1;
}

/* ---- /proc ------------------------------------------------------------------------------------------------------- */

/* Whether anybody has made instances of the GPU: it has folders called gi1, gi2, ... then. */
static int has_instances(const char *root, const char *minor)
{
        char path[PATH_MOST];
        struct dirent *entry;
        int found = 0;
        DIR *dir;

        snprintf(path, sizeof path, "%s/proc/driver/nvidia/capabilities/gpu%s/mig", root, minor);
        dir = opendir(path);
        while (dir != NULL && !found && (entry = readdir(dir)) != NULL)
                found = strncmp(entry->d_name, "gi", 2) == 0;
        if (dir != NULL)
                closedir(dir);
        return found;
}

/* Where the minor number is not told, nobody is denied. */
static int is_withheld(const char *root, const char *minor)
{
        char path[PATH_MOST];

        if (minor[0] == '\0')
                return 0;
        snprintf(path, sizeof path, "%s/dev/nvidia%s", root, minor);
        return access(path, R_OK | W_OK) != 0;
}

static void add_gpu(struct inventory *inv, const char *root, const char *address)
{
        char path[PATH_MOST], text[TEXT_MOST], value[VISIBLE_UUID], minor[16];
        struct visible_device *d = &inv->device[inv->n];

        snprintf(path, sizeof path, "%s/proc/driver/nvidia/gpus/%.64s/information", root, address);
        if (inv->n == VISIBLE_MOST || read_file(text, path) != 0)
                return;
        read_value(value, sizeof value, text, "GPU Excluded");
        if (strcmp(value, "Yes") == 0)
                return;
        read_value(minor, sizeof minor, text, "Device Minor");
        minor[strspn(minor, "0123456789")] = '\0';
        if (is_withheld(root, minor)) {
                inv->withheld++;
                return;
        }
        *d = (struct visible_device){.gpu = -1, .instance = -1, .compute = -1};
        read_value(d->name, sizeof d->name, text, "Model");
        read_value(value, sizeof value, text, "GPU UUID");
        copy_uuid(d->uuid, value, strlen(value));
        copy_pci(d->pci, sizeof d->pci, address, strlen(address));
        d->mig = minor[0] != '\0' && has_instances(root, minor) ? VISIBLE_UNSEEN : VISIBLE_WHOLE;
        inv->n++;
}

/* "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 ...": the first word that is a version. */
static void read_driver(struct inventory *inv, const char *root)
{
        char path[PATH_MOST], text[TEXT_MOST], *word, *rest;

        inv->driver[0] = '\0';
        snprintf(path, sizeof path, "%s/proc/driver/nvidia/version", root);
        if (read_file(text, path) != 0)
                return;
        text[strcspn(text, "\n")] = '\0';
        for (word = strtok_r(text, " \t", &rest); word != NULL; word = strtok_r(NULL, " \t", &rest)) {
                const size_t digits = strspn(word, "0123456789");

                if (digits == 0 || word[digits] != '.')
                        continue;
                copy_text(inv->driver, sizeof inv->driver, word, strlen(word));
                return;
        }
}

static int by_address(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_address(const struct dirent *entry)
{
        return entry->d_name[0] != '.' && strchr(entry->d_name, ':') != NULL;
}

void inventory_read(struct inventory *inv, const char *root)
{
        char path[PATH_MOST];
        struct dirent **entries = NULL;
        int n, i;

        inv->n = inv->withheld = 0;
        read_driver(inv, root);
        snprintf(path, sizeof path, "%s/proc/driver/nvidia/gpus", root);
        n = scandir(path, &entries, is_address, by_address);
        for (i = 0; i < n; i++) {
                add_gpu(inv, root, entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
}

/* ---- nvidia-smi -------------------------------------------------------------------------------------------------- */

/* "... (UUID: X)" in a line of n bytes: X, and its length; NULL when it has none. */
static const char *find_uuid(const char *line, size_t n, size_t *length)
{
        const char *at = memmem(line, n, "(UUID: ", (size_t)UUID_KEY), *end;

        if (at == NULL)
                return NULL;
        at += UUID_KEY;
        end = memchr(at, ')', (size_t)(line + n - at));
        if (end == NULL || end == at || end - at >= VISIBLE_UUID)
                return NULL;
        *length = (size_t)(end - at);
        return at;
}

/* The GPU with that UUID; -1 when there is none. */
static int find_gpu(const struct inventory *inv, const char *uuid)
{
        unsigned i;

        for (i = 0; i < inv->n; i++)
                if (uuid[0] != '\0' && inv->device[i].gpu < 0 && strcmp(inv->device[i].uuid, uuid) == 0)
                        return (int)i;
        return -1;
}

/* "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-...)". */
static int take_gpu(struct visible_device *d, const struct inventory *before, const char *line, size_t n)
{
        size_t length;
        const char *uuid = find_uuid(line, n, &length), *colon = memchr(line, ':', n);
        int same;

        if (uuid == NULL || colon == NULL || colon >= uuid - UUID_KEY)
                return -1;
        *d = (struct visible_device){.gpu = -1, .instance = -1, .compute = -1};
        copy_uuid(d->uuid, uuid, length);
        copy_text(d->name, sizeof d->name, colon + 1, (size_t)(uuid - UUID_KEY - colon - 1));
        same = find_gpu(before, d->uuid);
        if (same < 0)
                return 0;
        memcpy(d->pci, before->device[same].pci, sizeof d->pci);
        if (before->device[same].mig == VISIBLE_UNSEEN)
                d->mig = VISIBLE_DIVIDED; /* into those instances that follow, if any */
        return 0;
}

/* "  MIG 1g.10gb     Device  0: (UUID: MIG-...)", below its GPU; drivers before R470 have the numbers in the UUID. */
static int take_instance(struct visible_device *d, int gpu, const char *line, size_t n)
{
        size_t length;
        const char *uuid = find_uuid(line, n, &length), *device = memmem(line, n, " Device ", 8), *slash;

        if (uuid == NULL || device == NULL || device > uuid)
                return -1;
        *d = (struct visible_device){.gpu = gpu, .instance = -1, .compute = -1};
        copy_uuid(d->uuid, uuid, length);
        copy_text(d->name, sizeof d->name, line, (size_t)(device - line));
        slash = strchr(d->uuid, '/');
        if (slash != NULL && sscanf(slash, "/%9d/%9d", &d->instance, &d->compute) != 2)
                d->instance = d->compute = -1;
        return 0;
}

static void take_line(struct inventory *now, const struct inventory *before, const char *line, size_t n, int *gpu)
{
        struct visible_device *d = &now->device[now->n];

        if (now->n == VISIBLE_MOST)
                return;
        if (n > 4 && strncmp(line, "GPU ", 4) == 0) {
                *gpu = take_gpu(d, before, line, n) == 0 ? (int)now->n++ : -1;
                return;
        }
        while (n > 0 && *line == ' ') {
                line++;
                n--;
        }
        if (*gpu >= 0 && n > 4 && strncmp(line, "MIG ", 4) == 0 && take_instance(d, *gpu, line, n) == 0) {
                now->device[*gpu].mig = VISIBLE_DIVIDED;
                now->n++;
        }
}

static unsigned gpus(const struct inventory *inv)
{
        unsigned i, n = 0;

        for (i = 0; i < inv->n; i++)
                n += inv->device[i].gpu < 0;
        return n;
}

int inventory_take_list(struct inventory *inv, const char *text)
{
        struct inventory *now = calloc(1, sizeof *now);
        const unsigned there = gpus(inv) + inv->withheld;
        int gpu = -1;

        while (now != NULL && *text != '\0') {
                const size_t length = strcspn(text, "\n");

                take_line(now, inv, text, length, &gpu);
                text += length + (text[length] == '\n');
        }
        if (now == NULL || now->n == 0) {
                free(now);
                return -1;
        }
        memcpy(now->driver, inv->driver, sizeof now->driver);
        now->withheld = there > gpus(now) ? there - gpus(now) : 0;
        *inv = *now;
        free(now);
        return 0;
}

/* "GPU-..., 00000000:62:00.0, 81559, Disabled" */
static void take_fields(struct inventory *inv, const char *line, size_t n)
{
        const char *field[4], *end = line + n;
        char uuid[VISIBLE_UUID], value[32];
        struct visible_device *d;
        size_t length[4];
        long long mib;
        int i;

        for (i = 0; i < 4; i++) {
                const char *comma = line < end ? memchr(line, ',', (size_t)(end - line)) : NULL;

                field[i] = line < end ? line : end;
                length[i] = (size_t)((comma != NULL ? comma : end) - field[i]);
                line = comma != NULL ? comma + 1 : end;
        }
        copy_text(uuid, sizeof uuid, field[0], length[0]);
        i = find_gpu(inv, uuid);
        if (i < 0)
                return;
        d = &inv->device[i];
        copy_text(value, sizeof value, field[1], length[1]);
        copy_pci(d->pci, sizeof d->pci, value, strlen(value));
        copy_text(value, sizeof value, field[2], length[2]);
        mib = strtoll(value, NULL, 10);
        d->memory_bytes = mib > 0 && mib < MIB_MOST ? (int64_t)mib << 20 : 0;
        copy_text(value, sizeof value, field[3], length[3]);
        if (d->mig == VISIBLE_WHOLE && strcmp(value, "Enabled") == 0)
                d->mig = VISIBLE_DIVIDED;
}

void inventory_take_query(struct inventory *inv, const char *text)
{
        while (*text != '\0') {
                const size_t length = strcspn(text, "\n");

                take_fields(inv, text, length);
                text += length + (text[length] == '\n');
        }
}
