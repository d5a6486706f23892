/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * export_list: what an export of a checkpoint has in it: each array that there is once, and what each rank has for
 * itself.  export_main makes the list, export_file the datasets, export_copy their bytes.
 */
#ifndef STINT_EXPORT_LIST_H
#define STINT_EXPORT_LIST_H

#include <limits.h>
#include "pieces.h"

struct export_array {
        const char *name;
        int32_t rank; /* whose own it is; -1: of the whole training */
        uint32_t dtype, role, ndim;
        const int64_t *shape;
        int sharded; /* the pieces have places in the array; else there is one, which is all of it */
        const struct piece *pieces;
        uint32_t count;
        uint64_t bytes;  /* of the whole array */
        uint64_t offset; /* of its bytes in the file, once that is made with room for them */
};

struct export_list {
        char dir[PATH_MAX]; /* the checkpoint's, absolute and without links */
        uint32_t ranks;
        char run_id[SEAL_RUN_ID];
        int64_t step;
        struct contents *contents; /* of each rank */
        struct pieces pieces;
        struct export_array *arrays; /* those of the whole training first */
        uint32_t count, whole;
        const struct pieces_array *differing; /* the first of those that ranks have for themselves as they differ */
        uint32_t differ_count;
};

/*
 * Reads and proves the tables of all ranks of the checkpoint in dir.  EBADMSG: damaged; EINVAL: its shards make up no
 * array; any other code: it could not be read.
 */
int export_list_read(struct export_list *list, const char *dir, uint32_t ranks, struct stint_error *err);

/* The path of that rank's file, in PATH_MAX + RUNDIR_NAME bytes.  Answers out. */
const char *export_list_file(char *out, size_t size, const struct export_list *list, const char *dir, int32_t rank);

void export_list_fini(struct export_list *list);

#endif
