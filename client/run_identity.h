/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_identity: RUN/run.json, which says whose run this is and what it runs, RUN/DONE, which says that it is complete,
 * and RUN/STOPPED, which says that it is to go no further.
 */
#ifndef STINT_RUN_IDENTITY_H
#define STINT_RUN_IDENTITY_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>
#include "error.h"
#include "seal.h"

struct identity {
        char run_id[SEAL_RUN_ID]; /* 32 hex digits */
        uid_t uid;
        json_t *command; /* array of strings; empty for programs that started by themselves */
};

/* Reads run.json; ENOENT when there is none, EPERM when it belongs to another user. */
int identity_read(struct identity *id, const char *run_dir, struct stint_error *err);

/* 0 when a file of the run was written by this user, by what users are called on that filesystem; -1 with EPERM. */
int identity_check_owner(const char *path, const char *run_dir, struct stint_error *err);

/* Warns when every user of this machine may write in the run directory. */
void identity_mind_mode(const char *run_dir);

/* Writes run.json, once in a run's life, under the lease, and fills *id.  command ends with NULL and may be NULL. */
int identity_create(struct identity *id, const char *run_dir, const char *name, const char *scheduler, const char *job,
                    char *const *command, struct stint_error *err);

/* A word of a command as JSON: one that is not UTF-8 is spelled byte by byte as \xNN, and compared that way too. */
json_t *identity_word(const char *word);

/* 1 when the run is for this very command. */
int identity_same_command(const struct identity *id, char *const *command);

/* The command as one line for people, cut where needed.  Answers out. */
const char *identity_command(char *out, size_t size, const struct identity *id);

void identity_fini(struct identity *id);

/* What DONE says: 1 and the step (-1 when that cannot be read) when the run is complete, 0 when it is not. */
int done_read(const char *run_dir, int64_t *step);

/* Marks the run as complete, durably: fault points complete.before_done and complete.after_done. */
int done_write(const char *run_dir, const char *run_id, uint32_t stint, int64_t step, struct stint_error *err);

/* RUN/STOPPED: somebody has ended the chain, and nobody but `stint resume` begins it again. */
struct stopped {
        int cancelled;  /* by `stint cancel`: without a save; else by `stint stop` */
        char by[128];   /* "ada on login1" */
        char when[32];
};

/* 1 when the run is stopped, 0 when it is not. */
int stopped_read(const char *run_dir, struct stopped *stopped);

/* Both durable; to remove what is not there is no error. */
int stopped_write(const char *run_dir, int cancelled, struct stint_error *err);
int stopped_remove(const char *run_dir, struct stint_error *err);

#endif
