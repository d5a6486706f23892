/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gathered: seals and tables of all ranks of a checkpoint.  assembly calls in. */
#include "gathered.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- who has it ------------------------------------------------------------------------------------------------ */

static int is_it(const struct gathered *g, const struct wire_run_pieces *told)
{
        return strcmp(g->told.checkpoint, told->checkpoint) == 0 && g->told.saved == told->saved &&
               g->told.sums == told->sums;
}

struct gathered *gathered_hold(struct gathered **known, const char *checkpoint, const char *run_id,
                               int64_t checkpoint_step, const struct wire_run_pieces *told, struct stint_error *err)
{
        struct gathered *g = *known;

        if (g && is_it(g, told)) {
                g->references++;
                return g;
        }
        g = calloc(1, sizeof *g);
        if (!g) {
                error_set(err, ENOMEM, "no memory to read the checkpoint of other ranks");
                return NULL;
        }
        pthread_mutex_init(&g->lock, NULL);
        g->references = 1;
        g->told = *told;
        g->checkpoint_step = checkpoint_step;
        memcpy(g->checkpoint, checkpoint, strnlen(checkpoint, sizeof g->checkpoint - 1));
        memcpy(g->run_id, run_id, strnlen(run_id, sizeof g->run_id - 1));
        g->known = known;
        *known = g;
        return g;
}

void gathered_drop(struct gathered *g)
{
        uint32_t i;

        if (!g || --g->references > 0)
                return;
        if (*g->known == g)
                *g->known = NULL;
        pieces_fini(&g->pieces);
        for (i = 0; g->contents && i < g->told.saved; i++)
                contents_fini(&g->contents[i]);
        free(g->contents);
        pthread_mutex_destroy(&g->lock);
        free(g);
}

/* ---- one rank's file ------------------------------------------------------------------------------------------- */

/* A file that a manifest names and that is not there is damage, like any other change to a whole checkpoint. */
static int damage_if_missing(struct stint_error *err)
{
        if (err->code == ENOENT || err->code == ENODATA)
                err->code = EBADMSG;
        return -1;
}

static int check_seal(const struct gathered *g, const struct seal *s, uint32_t rank, const char *path,
                      struct stint_error *err)
{
        if (strcmp(s->run_id, g->run_id) != 0)
                return error_set(err, EBADMSG, "%s belongs to another run, %s", path, s->run_id);
        if (s->rank != rank || s->ranks != g->told.saved)
                return error_set(err, EBADMSG, "%s is of rank %u of %u, not of rank %u of %u", path, s->rank, s->ranks,
                                 rank, g->told.saved);
        if (s->step < 0 || s->step > g->checkpoint_step)
                return error_set(err, EBADMSG, "%s is of step %lld, after that of its checkpoint", path,
                                 (long long)s->step);
        return 0;
}

static int read_seal(const struct gathered *g, uint32_t rank, struct seal *seal, struct stint_error *err)
{
        char name[RUNDIR_NAME], path[RUNDIR_PATH + 256];

        rundir_rank_seal(name, rank, g->told.saved);
        if (rundir_join(path, sizeof path, g->checkpoint, name, NULL, err) < 0)
                return -1;
        if (seal_read(seal, path, err) < 0)
                return damage_if_missing(err);
        return check_seal(g, seal, rank, path, err);
}

static int read_contents(struct gathered *g, uint32_t rank, const struct seal *seal, struct stint_error *err)
{
        char name[RUNDIR_NAME], path[RUNDIR_PATH + 256];

        rundir_rank_file(name, rank, g->told.saved);
        if (rundir_join(path, sizeof path, g->checkpoint, name, NULL, err) < 0)
                return -1;
        if (contents_read(&g->contents[rank], path, seal, err) < 0)
                return damage_if_missing(err);
        return pieces_add(&g->pieces, (int32_t)rank, &g->contents[rank], err);
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

/* What was computed at several steps is no state of any. */
static int check_steps(const struct gathered *g, const struct seal *seals, struct stint_error *err)
{
        uint32_t i;

        for (i = 1; i < g->told.saved; i++)
                if (seals[i].step != seals[0].step)
                        return error_set(err, EPROTO,
                                         "rank %u of it is at step %lld and rank 0 at step %lld, and only %u ranks can "
                                         "go on from that",
                                         i, (long long)seals[i].step, (long long)seals[0].step, g->told.saved);
        return 0;
}

static int read_seals(const struct gathered *g, struct seal *seals, struct seal_sum *sums, struct stint_error *err)
{
        uint64_t bytes = 0;
        uint32_t i;

        for (i = 0; i < g->told.saved; i++) {
                if (read_seal(g, i, &seals[i], err) < 0)
                        return -1;
                sums[i] = (struct seal_sum){ seals[i].file_bytes, seals[i].root };
                bytes += seals[i].file_bytes;
        }
        if (bytes != g->told.bytes || seal_sums(sums, g->told.saved) != g->told.sums)
                return error_set(err, EBADMSG, "the seals in %s are not those that its manifest was made from",
                                 g->checkpoint);
        return check_steps(g, seals, err);
}

static int read_all(struct gathered *g, struct seal *seals, struct seal_sum *sums, struct stint_error *err)
{
        uint32_t i;

        if (read_seals(g, seals, sums, err) < 0)
                return -1;
        for (i = 0; i < g->told.saved; i++)
                if (read_contents(g, i, &seals[i], err) < 0)
                        return -1;
        if (pieces_close(&g->pieces, err) == 0)
                return 0;
        if (err->code == EINVAL) /* nobody's damage: it was attached so */
                err->code = EPROTO;
        return -1;
}

static int gather(struct gathered *g, struct stint_error *err)
{
        struct seal *seals = calloc(g->told.saved, sizeof *seals);
        struct seal_sum *sums = calloc(g->told.saved, sizeof *sums);
        int rc;

        g->contents = calloc(g->told.saved, sizeof *g->contents);
        if (seals && sums && g->contents)
                rc = read_all(g, seals, sums, err);
        else
                rc = error_set(err, ENOMEM, "no memory for the tables of %u ranks", g->told.saved);
        free(seals);
        free(sums);
        return rc;
}

int gathered_read(struct gathered *g, struct stint_error *err)
{
        pthread_mutex_lock(&g->lock);
        if (!g->was_read)
                gather(g, &g->err);
        g->was_read = 1;
        pthread_mutex_unlock(&g->lock);
        return g->err.code ? error_set(err, g->err.code, "%s", g->err.text) : 0;
}
