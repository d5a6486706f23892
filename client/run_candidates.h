/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_candidates: the checkpoints that a program could get back, the newest first, and what became of those that it
 * cannot: damaged ones are set aside, others are passed over, with the reason.  run_prefetch.c goes through them
 * before the programs ask, run_restore.c when they do.
 */
#ifndef STINT_RUN_CANDIDATES_H
#define STINT_RUN_CANDIDATES_H

#include <jansson.h>
#include "catalog.h"
#include "wire.h"

struct run;

struct candidates {
        struct run *run;
        struct catalog catalog;
        size_t at;                  /* the one that is tried */
        int set_back;               /* a newer one was damaged or could not be read */
        uint32_t lineage;           /* highest there is */
        json_t *passed_over;        /* ["step-…: reason", ...] */
        json_t *set_aside;          /* those of them that are not there any more */
        char reason[WIRE_TEXT];     /* why the one at `at` is set aside */
        json_t *events;             /* of the work in the thread */
        struct stint_error problem; /* of that work */
};

enum candidate_choice { CHOICE_READ, CHOICE_FRESH, CHOICE_FAILED };

/*
 * What to do with the candidates from c->entries[*at] on, for a program of that run: moves *at over those that cannot be
 * meant.  Whether a checkpoint of other ranks can be used, their agents say when they read it.  landed: the run has had a checkpoint before, so none is no fresh start.  text (size
 * bytes) says why CHOICE_FAILED.  Pure.
 */
enum candidate_choice candidates_choose(const struct catalog *c, size_t *at, const char *run_id, int landed,
                                        char *text, size_t size);

/* -1: no memory. */
int candidates_init(struct candidates *c, struct run *r);

/* In a thread, arg is the struct: reads the catalog, and sets aside what is damaged on its face. */
void candidates_read(void *arg);

/* In a thread, arg is the struct: the one at `at` is set aside as damaged, for c->reason. */
void candidates_set_aside(void *arg);

/* Afterwards, on the loop: it is no candidate any more, nor best. */
void candidates_drop(struct candidates *c);

/* Goes on to the next older one, and remembers why. */
void candidates_pass_over(struct candidates *c, const char *reason);

/* One that is not even there. */
void candidates_miss(struct candidates *c, const char *name, const char *reason);

/* The catalog is to be read once more; what was set aside stays known. */
void candidates_again(struct candidates *c);

static inline const struct catalog_entry *candidates_at(const struct candidates *c)
{
        return &c->catalog.entries[c->at];
}

/* Journals what the work in the thread did.  -1 when it failed: c->problem says how; a lost lease is seen to. */
int candidates_worked(struct candidates *c);

/* The run goes on from the one at `at`: those newer than it, which could not be read, are named superseded. */
void candidates_supersede_newer(const struct candidates *c);

void candidates_fini(struct candidates *c);

#endif
