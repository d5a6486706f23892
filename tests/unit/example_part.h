/* SPDX-License-Identifier: GPL-2.0-or-later */
/* example_part: checkpoints on disk as an agent leaves them, small and without HDF5: a table, its hashes, one tensor. */
#ifndef STINT_EXAMPLE_PART_H
#define STINT_EXAMPLE_PART_H

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "image.h"
#include "rundir.h"
#include "seal.h"
#include "table.h"

#define PART_RUN_ID "00112233445566778899aabbccddeeff"
#define PART_TENSOR 4096 /* bytes */

struct example_part {
        int64_t step;
        uint32_t stint, lineage, ranks;
        double loss; /* the metric, to be minimised */
};

static inline void part_write(const char *dir, const char *name, const void *bytes, size_t n)
{
        char path[2048];
        int fd;

        snprintf(path, sizeof path, "%s/%s", dir, name);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
        close(fd);
}

static inline struct seal part_seal(const struct example_part *p, uint32_t rank)
{
        struct seal s = { .rank = rank, .ranks = p->ranks, .stint = p->stint, .lineage = p->lineage, .step = p->step,
                          .table_offset = 0, .table_count = 1, .record_bytes = table_record_bytes(7), .metric_count = 1,
                          .wall_ns = 1700000000000000000 + (int64_t)rank };

        s.hashes_offset = s.record_bytes;
        s.file_bytes = s.hashes_offset + 8 + PART_TENSOR;
        strcpy(s.run_id, PART_RUN_ID);
        strcpy(s.metrics[0].name, "loss");
        s.metrics[0].value = p->loss;
        s.metrics[0].goal = STINT_GOAL_MIN;
        return s;
}

/* One rank's file and, with sealed 1, its seal; with sealed 0 the seal is empty, as before the last moment of a save. */
static inline struct seal part_rank(const char *dir, const struct example_part *p, uint32_t rank, int sealed)
{
        struct seal s = part_seal(p, rank);
        unsigned char *image = calloc(1, s.file_bytes), bytes[SEAL_BYTES];
        struct table_record *record = (struct table_record *)(void *)image;
        char name[RUNDIR_NAME];

        record->file_offset = s.hashes_offset + 8;
        record->bytes = PART_TENSOR;
        record->dtype = STINT_U8;
        record->role = STINT_ROLE_MODEL;
        record->device = STINT_DEVICE_HOST;
        record->device_index = -1;
        record->ndim = 1;
        record->shape[0] = PART_TENSOR;
        strcpy(record->name, "model/w");
        memset(image + record->file_offset, (int)(p->step + rank), PART_TENSOR);
        ck_assert_int_eq(image_hash(image, s.file_bytes, &s, NULL), 0);
        part_write(dir, rundir_rank_file(name, rank, p->ranks), image, s.file_bytes);
        seal_encode(&s, bytes);
        part_write(dir, rundir_rank_seal(name, rank, p->ranks), bytes, sealed ? sizeof bytes : 0);
        free(image);
        return s;
}

/* A part whose first `sealed` ranks are sealed, in RUN/checkpoints; its path into dir. */
static inline void part_make(char *dir, size_t size, const char *run_dir, const struct example_part *p, uint32_t sealed)
{
        char name[RUNDIR_NAME], checkpoints[1024];
        uint32_t i;

        snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", run_dir);
        mkdir(checkpoints, 0777);
        snprintf(dir, size, "%s/%s", checkpoints, rundir_part(name, p->step, p->stint));
        ck_assert_int_eq(mkdir(dir, 0777), 0);
        for (i = 0; i < p->ranks; i++)
                part_rank(dir, p, i, i < sealed);
}

/* Flips one byte of a file. */
static inline void part_flip(const char *dir, const char *name, off_t at)
{
        char path[2048];
        unsigned char byte;
        int fd;

        snprintf(path, sizeof path, "%s/%s", dir, name);
        fd = open(path, O_RDWR);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
        close(fd);
}

/* A folder of this test's own; part_forget removes it. */
static inline const char *part_folder(void)
{
        static char dir[256];
        const char *tmp = getenv("TMPDIR");

        snprintf(dir, sizeof dir, "%s/stint-unit.XXXXXX", tmp != NULL ? tmp : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        return dir;
}

#endif
