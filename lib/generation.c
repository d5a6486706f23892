/* SPDX-License-Identifier: BSD-3-Clause */
/* generation: finds whole checkpoints by their names and seals, and reads one.  where and model call in. */
#include "generation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "durable.h"
#include "image.h"
#include "table.h"

#define PIECE ((size_t)4 << 20) /* bytes of the file in memory at a time, besides what is wanted */

/* ---- which there are ------------------------------------------------------------------------------------------ */

/* One that is whole, by what rank 0 has sealed. */
struct entry {
        int64_t step;
        uint32_t lineage, ranks;
        struct seal_metric metric; /* the first with a goal; goal NONE: there is none */
};

struct entries {
        struct entry *at;
        size_t n;
};

static int newest_first(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;

        if (x->lineage != y->lineage)
                return x->lineage > y->lineage ? -1 : 1;
        return (x->step < y->step) - (x->step > y->step);
}

static struct seal_metric first_with_goal(const struct seal *seal)
{
        uint32_t i;

        for (i = 0; i < seal->metric_count && i < SEAL_METRICS; i++)
                if (seal->metrics[i].goal != STINT_GOAL_NONE)
                        return seal->metrics[i];
        return (struct seal_metric){ .goal = STINT_GOAL_NONE };
}

/* How many ranks saved it, by the names of its seals; 0: there is no seal of a rank 0. */
static uint32_t count_ranks(const char *path)
{
        char seal[RUNDIR_NAME];
        struct dirent *e;
        unsigned ranks = 0;
        DIR *d = opendir(path);

        while (d && !ranks && (e = readdir(d))) {
                if (sscanf(e->d_name, "rank-00000-of-%5u.seal", &ranks) != 1)
                        continue;
                if (strcmp(rundir_rank_seal(seal, 0, ranks), e->d_name))
                        ranks = 0;
        }
        if (d)
                closedir(d);
        return ranks;
}

/* 0 for one that counts: whole once its manifest is there, and sealed by rank 0. */
static int read_entry(const char *checkpoints, const char *name, struct entry *entry)
{
        char path[RUNDIR_PATH + RUNDIR_NAME], file[RUNDIR_PATH + 2 * RUNDIR_NAME], seal_name[RUNDIR_NAME];
        struct seal seal;

        if (rundir_parse(name, &entry->step, NULL) != RUNDIR_WHOLE ||
            rundir_join(path, sizeof path, checkpoints, name, NULL, NULL) < 0 ||
            rundir_join(file, sizeof file, path, RUNDIR_MANIFEST, NULL, NULL) < 0 || access(file, F_OK) != 0)
                return -1;
        entry->ranks = count_ranks(path);
        if (!entry->ranks ||
            rundir_join(file, sizeof file, path, rundir_rank_seal(seal_name, 0, entry->ranks), NULL, NULL) < 0 ||
            seal_read(&seal, file, NULL) < 0 || seal.ranks != entry->ranks)
                return -1;
        entry->lineage = seal.lineage;
        entry->metric = first_with_goal(&seal);
        return 0;
}

static int add_entry(struct entries *all, const struct entry *one, struct stint_error *err)
{
        struct entry *more;

        if (!(all->n & (all->n - 1))) { /* full: there is room for a power of two */
                more = realloc(all->at, (all->n ? 2 * all->n : 1) * sizeof *more);
                if (!more)
                        return error_set(err, ENOMEM, "no memory for a list of checkpoints");
                all->at = more;
        }
        all->at[all->n++] = *one;
        return 0;
}

/* All that are whole, the newest first; none where nothing was saved yet. */
static int list_entries(const char *checkpoints, struct entries *all, struct stint_error *err)
{
        struct dirent *e;
        struct entry one;
        DIR *d = opendir(checkpoints);
        int rc = 0;

        if (!d && errno == ENOENT)
                return 0;
        if (!d)
                return error_system(err, errno, "%s cannot be listed", checkpoints);
        while (rc == 0 && (e = readdir(d)))
                if (read_entry(checkpoints, e->d_name, &one) == 0)
                        rc = add_entry(all, &one, err);
        closedir(d);
        if (all->n > 1)
                qsort(all->at, all->n, sizeof *all->at, newest_first);
        return rc;
}

/* ---- which one is meant --------------------------------------------------------------------------------------- */

static int as_good(const struct seal_metric *a, const struct seal_metric *b)
{
        return a->goal == STINT_GOAL_MIN ? a->value <= b->value : a->value >= b->value;
}

/* As the manifests decide it: the newest one's metric counts, and of those that are as good the oldest. */
static const struct entry *best_of(const struct entries *all)
{
        const struct entry *best = NULL, *rule = NULL, *e;
        size_t i;

        for (i = 0; i < all->n; i++) {
                e = &all->at[i];
                if (e->metric.goal == STINT_GOAL_NONE)
                        continue;
                if (!rule)
                        rule = e;
                if (e->metric.goal != rule->metric.goal || strcmp(e->metric.name, rule->metric.name) != 0 ||
                    !isfinite(e->metric.value))
                        continue;
                if (!best || as_good(&e->metric, &best->metric))
                        best = e;
        }
        return best;
}

static const struct entry *newest_of(const struct entries *all, const struct generation *before)
{
        size_t i;

        for (i = 0; i < all->n; i++)
                if (!before || all->at[i].lineage < before->lineage ||
                    (all->at[i].lineage == before->lineage && all->at[i].step < before->step))
                        return &all->at[i];
        return NULL;
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

static int read_table(struct generation *g, struct stint_error *err)
{
        const size_t bytes = g->seal.table_count * g->seal.record_bytes;

        g->table = malloc(bytes + 1);
        if (!g->table)
                return error_set(err, ENOMEM, "no memory for a table of %zu bytes", bytes);
        if (durable_pread(g->fd, g->table, bytes, (off_t)g->seal.table_offset, g->path, err) < 0)
                return -1;
        return table_check(g->table, g->seal.table_count, g->seal.record_bytes, g->seal.file_bytes, err);
}

static int open_rank(struct generation *g, const char *checkpoints, uint32_t rank, struct stint_error *err)
{
        char file[RUNDIR_NAME], seal[RUNDIR_PATH + 2 * RUNDIR_NAME];
        struct stat st;

        rundir_rank_seal(file, rank, g->ranks);
        if (rundir_join(seal, sizeof seal, checkpoints, g->name, file, err) < 0)
                return -1;
        rundir_rank_file(file, rank, g->ranks);
        if (rundir_join(g->path, sizeof g->path, checkpoints, g->name, file, err) < 0 ||
            seal_read(&g->seal, seal, err) < 0)
                return -1;
        if (g->seal.rank != rank || g->seal.ranks != g->ranks)
                return error_set(err, EBADMSG, "%s is the seal of rank %u of %u", seal, g->seal.rank, g->seal.ranks);
        g->fd = durable_open(g->path, &st, err);
        if (g->fd < 0)
                return -1;
        if (image_check_places((uint64_t)st.st_size, &g->seal, err) < 0 || read_table(g, err) < 0)
                return error_wrap(err, "%s", g->path);
        return 0;
}

int generation_find(struct generation *g, const char *dir, enum stint_which which, int rank, int ranks,
                    const struct generation *before, struct stint_error *err)
{
        char checkpoints[RUNDIR_PATH + RUNDIR_NAME];
        struct entries all = { NULL, 0 };
        const struct entry *e;
        int rc;

        *g = (struct generation){ .fd = -1 };
        if (rundir_join(checkpoints, sizeof checkpoints, dir, RUNDIR_CHECKPOINTS, NULL, err) < 0)
                return -1;
        rc = list_entries(checkpoints, &all, err);
        e = which == STINT_BEST ? best_of(&all) : newest_of(&all, before);
        if (rc == 0 && e) {
                g->step = e->step;
                g->lineage = e->lineage;
                g->ranks = e->ranks;
                rundir_whole(g->name, e->step);
                rc = open_rank(g, checkpoints, ranks > 0 && e->ranks == (uint32_t)ranks ? (uint32_t)rank : 0, err);
                if (rc < 0)
                        generation_close(g);
                else
                        rc = 1;
        }
        free(all.at);
        return rc;
}

void generation_close(struct generation *g)
{
        if (g->fd >= 0)
                close(g->fd);
        free(g->table);
        g->table = NULL;
        g->fd = -1;
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

struct source {
        struct image_source source;
        struct generation *generation;
        unsigned char *buffer;
        uint64_t position, have; /* of the first byte in the buffer, and how many are there */
        const struct generation_piece *pieces;
        size_t n, next;          /* pieces[next] is the first that has not gone by whole */
};

/* What of the buffer is wanted. */
static void keep_wanted(struct source *s)
{
        const uint64_t end = s->position + s->have;

        for (; s->next < s->n && s->pieces[s->next].begin < end; s->next++) {
                const struct generation_piece *p = &s->pieces[s->next];
                const uint64_t p_end = p->begin + p->bytes, from = p->begin > s->position ? p->begin : s->position;
                const uint64_t upto = p_end < end ? p_end : end;

                if (from < upto)
                        memcpy(p->to + (from - p->begin), s->buffer + (from - s->position), upto - from);
                if (p_end > end)
                        break;
        }
}

static const unsigned char *take(struct image_source *source, uint64_t at, uint64_t most, uint64_t *n,
                                 struct stint_error *err)
{
        struct source *s = (struct source *)source;
        const struct generation *g = s->generation;
        const uint64_t left = g->seal.file_bytes - at;

        if (at - s->position >= s->have) {
                s->have = 0;
                if (durable_pread(g->fd, s->buffer, left < PIECE ? (size_t)left : PIECE, (off_t)at, g->path, err) < 0)
                        return NULL;
                s->position = at;
                s->have = left < PIECE ? left : PIECE;
                keep_wanted(s);
        }
        *n = s->position + s->have - at;
        if (*n > most)
                *n = most;
        return s->buffer + (at - s->position);
}

int generation_read(struct generation *g, const struct generation_piece *pieces, size_t n, struct stint_error *err)
{
        struct source s = { .source = { .take = take, .threads = 1 }, .generation = g, .pieces = pieces, .n = n };
        int rc;

        s.buffer = malloc(PIECE);
        if (!s.buffer)
                return error_set(err, ENOMEM, "no memory to read %s", g->path);
        posix_fadvise(g->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        rc = image_check_from(&s.source, g->table, g->seal.file_bytes, &g->seal, err);
        free(s.buffer);
        return rc == 0 ? 0 : error_wrap(err, "%s", g->path);
}
