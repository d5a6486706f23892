/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * example_generation: whole checkpoints on disk, small and without HDF5: a table of some tensors, their hashes, their
 * bytes, a seal per rank, and a manifest that nobody reads.
 */
#ifndef STINT_EXAMPLE_GENERATION_H
#define STINT_EXAMPLE_GENERATION_H

#include "example_part.h"
#include "example_table.h"

#define GENERATION_NAME 40   /* bytes of the longest name of a tensor */
#define GENERATION_PATH 1500 /* of the path of a checkpoint */

struct example_generation {
        int64_t step;
        uint32_t lineage, ranks; /* ranks 0: one */
        const char *metric;      /* NULL: none */
        double value;
        uint32_t goal;
};

/* A tensor of float32[n] (n < 0: a scalar) that was saved in that place. */
static inline void generation_tensor(struct example_table *t, const char *name, enum stint_role role, int64_t n,
                                     enum stint_device device, int index)
{
        struct table_record *r = example_add(t, name, STINT_F32, n < 0 ? 0 : 1, &n);

        r->role = role;
        r->device = device;
        r->device_index = index;
}

/* The value of every float of a tensor, by step, rank and record. */
static inline float generation_value(int64_t step, uint32_t rank, uint64_t record)
{
        return (float)(step * 1000 + rank * 100 + (int64_t)record);
}

/* Places the tensors behind table and hashes; the size of the file. */
static inline uint64_t generation_lay_out(struct example_table *t)
{
        uint64_t at = (t->count * (t->record_bytes + 8) + 63) / 64 * 64, i;

        for (i = 0; i < t->count; i++) {
                struct table_record *r = table_at(t->bytes, t->record_bytes, i);

                r->file_offset = r->bytes ? at : 0;
                at += (r->bytes + 63) / 64 * 64;
        }
        return at;
}

static inline void generation_rank(const char *dir, const struct example_generation *g, struct example_table *t,
                                   uint32_t rank)
{
        struct seal s = { .rank = rank, .ranks = g->ranks ? g->ranks : 1, .stint = 1, .lineage = g->lineage,
                          .step = g->step, .table_count = t->count, .record_bytes = t->record_bytes };
        unsigned char *image, bytes[SEAL_BYTES];
        char name[RUNDIR_NAME];
        uint64_t i, k;

        s.file_bytes = generation_lay_out(t);
        s.hashes_offset = t->count * t->record_bytes;
        strcpy(s.run_id, PART_RUN_ID);
        if (g->metric) {
                s.metric_count = 1;
                strcpy(s.metrics[0].name, g->metric);
                s.metrics[0].value = g->value;
                s.metrics[0].goal = g->goal;
        }
        image = calloc(1, s.file_bytes);
        memcpy(image, t->bytes, t->count * t->record_bytes);
        for (i = 0; i < t->count; i++) {
                const struct table_record *r = table_at(t->bytes, t->record_bytes, i);
                const float value = generation_value(g->step, rank, i);

                for (k = 0; k < r->bytes / 4; k++)
                        memcpy(image + r->file_offset + 4 * k, &value, 4);
        }
        ck_assert_int_eq(image_hash(image, s.file_bytes, &s, NULL), 0);
        part_write(dir, rundir_rank_file(name, rank, s.ranks), image, s.file_bytes);
        seal_encode(&s, bytes);
        part_write(dir, rundir_rank_seal(name, rank, s.ranks), bytes, sizeof bytes);
        free(image);
}

/* In RUN/checkpoints, whole; the table stays the caller's.  path (GENERATION_PATH) receives its directory. */
static inline void generation_make(char *path, const char *run, const struct example_generation *g,
                                   struct example_table *t)
{
        char name[RUNDIR_NAME], checkpoints[1024];
        uint32_t rank;

        snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", run);
        mkdir(checkpoints, 0777);
        snprintf(path, GENERATION_PATH, "%s/%s", checkpoints, rundir_whole(name, g->step));
        ck_assert_int_eq(mkdir(path, 0777), 0);
        for (rank = 0; rank < (g->ranks ? g->ranks : 1); rank++)
                generation_rank(path, g, t, rank);
        part_write(path, RUNDIR_MANIFEST, "{}", 2);
}

#endif
