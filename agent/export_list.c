/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * export_list: from the tables of all ranks to the arrays that are worth a name of their own.  export_main calls in.
 *
 * An array of shards is one.  What is no shard is one too when all ranks that have it have the same, which their hashes
 * tell; but the state of a random generator and of the data is a rank's own, whatever is in it.
 */
#include "export_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rundir.h"

const char *export_list_file(char *out, size_t size, const struct export_list *list, const char *dir, int32_t rank)
{
        char name[RUNDIR_NAME];

        snprintf(out, size, "%s/%s", dir, rundir_rank_file(name, (uint32_t)rank, list->ranks));
        return out;
}

static int read_rank(struct export_list *list, int32_t rank, struct stint_error *err)
{
        char name[RUNDIR_NAME], path[PATH_MAX + RUNDIR_NAME];
        struct seal seal;

        snprintf(path, sizeof path, "%s/%s", list->dir, rundir_rank_seal(name, (uint32_t)rank, list->ranks));
        if (seal_read(&seal, path, err) < 0)
                return -1;
        if (seal.rank != (uint32_t)rank || seal.ranks != list->ranks)
                return error_set(err, EBADMSG, "%s is the seal of rank %u of %u", path, seal.rank, seal.ranks);
        if (rank == 0)
                memcpy(list->run_id, seal.run_id, sizeof list->run_id);
        if (seal.step > list->step)
                list->step = seal.step;
        export_list_file(path, sizeof path, list, list->dir, rank);
        return contents_read(&list->contents[rank], path, &seal, err) < 0
                       ? -1
                       : pieces_add(&list->pieces, rank, &list->contents[rank], err);
}

/* ---- what is one, and what is each rank's own -------------------------------------------------------------------- */

static int equal_everywhere(const struct pieces_array *a)
{
        uint32_t i;

        for (i = 1; i < a->count; i++)
                if (a->pieces[i].hash != a->pieces[0].hash)
                        return 0;
        return a->differs < 0;
}

static int of_a_rank(const struct pieces_array *a)
{
        return a->role == STINT_ROLE_RNG || a->role == STINT_ROLE_RNG_DEVICE || a->role == STINT_ROLE_DATA;
}

static int is_one(const struct pieces_array *a)
{
        return a->sharded || (!of_a_rank(a) && equal_everywhere(a));
}

static struct export_array whole_of(const struct pieces_array *a)
{
        struct export_array made = { .name = a->name,
                                     .rank = -1,
                                     .dtype = a->dtype,
                                     .role = a->role,
                                     .ndim = a->ndim,
                                     .shape = a->shape,
                                     .sharded = a->sharded,
                                     .pieces = a->pieces,
                                     .count = a->sharded ? a->count : 1 };

        /* It was found to be countable when the pieces were closed. */
        shape_bytes((enum stint_dtype)a->dtype, (int)a->ndim, a->shape, &made.bytes, NULL);
        return made;
}

static struct export_array own_of(const struct piece *piece)
{
        const struct table_record *r = piece->record;

        return (struct export_array){ .name = r->name,
                                      .rank = piece->rank,
                                      .dtype = r->dtype,
                                      .role = r->role,
                                      .ndim = r->ndim,
                                      .shape = r->shape,
                                      .pieces = piece,
                                      .count = 1,
                                      .bytes = r->bytes };
}

static void add_own(struct export_list *list, const struct pieces_array *a)
{
        uint32_t i;

        for (i = 0; i < a->count; i++)
                list->arrays[list->count++] = own_of(&a->pieces[i]);
        if (of_a_rank(a))
                return;
        if (list->differ_count++ == 0)
                list->differing = a;
}

static int make_list(struct export_list *list, struct stint_error *err)
{
        const struct pieces *p = &list->pieces;
        uint64_t most = 1;
        uint32_t i;

        for (i = 0; i < p->count; i++)
                most += is_one(&p->arrays[i]) ? 1 : p->arrays[i].count;
        list->arrays = most > UINT32_MAX ? NULL : calloc(most, sizeof *list->arrays);
        if (!list->arrays)
                return error_system(err, ENOMEM, "cannot list %u arrays", p->count);
        for (i = 0; i < p->count; i++)
                if (is_one(&p->arrays[i]))
                        list->arrays[list->count++] = whole_of(&p->arrays[i]);
        list->whole = list->count;
        for (i = 0; i < p->count; i++)
                if (!is_one(&p->arrays[i]))
                        add_own(list, &p->arrays[i]);
        return 0;
}

int export_list_read(struct export_list *list, const char *dir, uint32_t ranks, struct stint_error *err)
{
        uint32_t rank;

        *list = (struct export_list){ .ranks = ranks };
        if (!realpath(dir, list->dir))
                return error_system(err, errno, "cannot find %s", dir);
        list->contents = calloc(ranks, sizeof *list->contents);
        if (!list->contents)
                return error_system(err, ENOMEM, "cannot read the tables of %u ranks", ranks);
        for (rank = 0; rank < ranks; rank++)
                if (read_rank(list, (int32_t)rank, err) < 0)
                        return -1;
        return pieces_close(&list->pieces, err) < 0 ? -1 : make_list(list, err);
}

void export_list_fini(struct export_list *list)
{
        uint32_t rank;

        pieces_fini(&list->pieces);
        for (rank = 0; list->contents && rank < list->ranks; rank++)
                contents_fini(&list->contents[rank]);
        free(list->contents);
        free(list->arrays);
}
