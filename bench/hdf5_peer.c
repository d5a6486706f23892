/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hdf5_peer SIZES: saves and loads the tensors of the bench as a C program with HDF5 does it, dataset by dataset.  SIZES is
 * a file with the bytes of each tensor, a line each; on stdin `save PATH`, `load PATH`, `drop PATH`, `remove PATH`, on stdout
 * a line of JSON for each, as peers.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"

#define TENSORS_MOST 1000000

struct tensor {
        float *data;
        hsize_t n;
};

static struct tensor *tensors;
static size_t count;

static void name_of(char *name, size_t size, size_t i)
{
        snprintf(name, size, "layer%05zu", i);
}

/* -1: HDF5 has said why on stderr. */
static int save(const char *path)
{
        hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), space, set;
        char name[32];
        int rc = 0;
        size_t i;

        if (file < 0)
                return -1;
        for (i = 0; i < count && rc == 0; i++) {
                name_of(name, sizeof name, i);
                space = H5Screate_simple(1, &tensors[i].n, NULL);
                set = H5Dcreate2(file, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
                if (set < 0 || H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensors[i].data) < 0)
                        rc = -1;
                H5Dclose(set);
                H5Sclose(space);
        }
        return H5Fclose(file) < 0 ? -1 : rc;
}

static int load(const char *path)
{
        hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), set;
        char name[32];
        int rc = 0;
        size_t i;

        if (file < 0)
                return -1;
        for (i = 0; i < count && rc == 0; i++) {
                name_of(name, sizeof name, i);
                set = H5Dopen2(file, name, H5P_DEFAULT);
                if (set < 0 || H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensors[i].data) < 0)
                        rc = -1;
                H5Dclose(set);
        }
        H5Fclose(file);
        return rc;
}

/* HDF5 does not sync. */
static int with_file(const char *path, int drop)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

        if (fd < 0)
                return -1;
        rc = drop ? posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) : fsync(fd);
        close(fd);
        return rc ? -1 : 0;
}

static void obey(const char *what, const char *path)
{
        const int64_t begin_ns = clock_now();
        int64_t blocked_ns;
        int rc;

        if (!strcmp(what, "remove"))
                rc = unlink(path) < 0 && errno != ENOENT ? -1 : 0;
        else if (!strcmp(what, "drop"))
                rc = with_file(path, 1);
        else
                rc = !strcmp(what, "save") ? save(path) : load(path);
        blocked_ns = clock_now() - begin_ns;
        if (rc == 0 && !strcmp(what, "save"))
                rc = with_file(path, 0);
        if (rc < 0)
                printf("{\"error\": \"plain HDF5: %s failed\"}\n", what);
        else
                printf("{\"blocked_ns\": %" PRId64 ", \"ns\": %" PRId64 "}\n", blocked_ns, clock_now() - begin_ns);
}

static int make(const char *path)
{
        uint32_t r = 12345;
        FILE *f = fopen(path, "re");
        size_t bytes;
        hsize_t k;

        tensors = calloc(TENSORS_MOST, sizeof *tensors);
        while (f && tensors && count < TENSORS_MOST && fscanf(f, "%zu", &bytes) == 1) {
                struct tensor *t = &tensors[count++];

                t->n = bytes / sizeof *t->data;
                t->data = malloc(bytes);
                if (!t->data)
                        return -1;
                for (k = 0; k < t->n; k++) {
                        r = r * 1664525u + 1013904223u;
                        t->data[k] = (float)r;
                }
        }
        return !f || !tensors || fclose(f) ? -1 : 0;
}

int main(int argc, char **argv)
{
        char what[16], path[4096];

        if (argc != 2 || make(argv[1]) < 0) {
                printf("{\"error\": \"plain HDF5: no list of sizes, or no memory\"}\n");
                return 1;
        }
        setvbuf(stdout, NULL, _IOLBF, 0);
        printf("{}\n");
        while (scanf("%15s %4095s", what, path) == 2)
                obey(what, path);
        return 0;
}
