/* SPDX-License-Identifier: BSD-3-Clause */
/* rundir: the names within a run directory, made and read back.  Nobody else spells them. */
#ifndef STINT_RUNDIR_H
#define STINT_RUNDIR_H

#include <stddef.h>
#include <stdint.h>
#include "error.h"

#define RUNDIR_PATH 1024 /* longest path of a run directory, its NUL counted */
#define RUNDIR_NAME 128  /* longest name of a checkpoint within it, its NUL counted */

#define RUNDIR_RUN "run.json"
#define RUNDIR_JOURNAL "journal.jsonl"
#define RUNDIR_LEASE "lease"
#define RUNDIR_DONE "DONE"
#define RUNDIR_STOPPED "STOPPED"
#define RUNDIR_PROGRESS "progress.json" /* a hint for `stint status`, never trusted */
#define RUNDIR_MEASURED "measured.json" /* what saves cost here; lost without harm */
#define RUNDIR_CHECKPOINTS "checkpoints"
#define RUNDIR_BEST "best"
#define RUNDIR_MANIFEST "manifest.json"
#define RUNDIR_SLOTS "slots" /* in checkpoints/: files of a retired one, to be written over */

/* What a name within checkpoints/ stands for. */
enum rundir_kind {
        RUNDIR_OTHER = 0,
        RUNDIR_WHOLE,       /* step-000000001200            whole once its manifest is */
        RUNDIR_PART,        /* step-000000001800.s7.part    being written by stint 7; trusted only by its seals */
        RUNDIR_ABANDONED,   /* abandoned-step-….s7[.N]      a part without all seals, set aside */
        RUNDIR_QUARANTINED, /* quarantined-step-…[.N]       was whole, does not hold any more */
        RUNDIR_SUPERSEDED,  /* superseded-step-…[.N]        whole, but the run was set back behind it */
        RUNDIR_RETIRED      /* retired-step-…[.N]           being removed */
};

/* Each writes a name (RUNDIR_NAME bytes) and answers out.  step >= 0. */
const char *rundir_whole(char *out, int64_t step);
const char *rundir_part(char *out, int64_t step, uint32_t stint);
const char *rundir_rank_file(char *out, uint32_t rank, uint32_t ranks); /* rank-00000-of-00004.h5 */
const char *rundir_rank_seal(char *out, uint32_t rank, uint32_t ranks); /* rank-00000-of-00004.seal */

/*
 * Reads a name back; step and stint (0 where the name has none) may be NULL.  Exact: what it accepts, it would write.
 */
enum rundir_kind rundir_parse(const char *name, int64_t *step, uint32_t *stint);

/* "DIR/A" or "DIR/A/B" (b may be NULL) into out (size bytes); -1 with ENAMETOOLONG. */
int rundir_join(char *out, size_t size, const char *dir, const char *a, const char *b, struct stint_error *err);

/*
 * Renames checkpoints/NAME to checkpoints/PREFIX-NAME (without ".part"), with .2, .3, … behind when that name is taken.
 * now (RUNDIR_NAME) receives the new name.  kind is one of ABANDONED, QUARANTINED, SUPERSEDED, RETIRED.
 */
int rundir_set_aside(const char *checkpoints, const char *name, enum rundir_kind kind, char *now,
                     struct stint_error *err);

#endif
