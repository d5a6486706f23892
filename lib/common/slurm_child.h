/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slurm_child: the life of a stint-slurm, which scheduler.c starts, speaks to, and gives up when it does not answer.
 * libslurm may end the process that holds it, or keep it for a minute; so that process is never this one, and nothing
 * that happens to it harms its parent.
 */
#ifndef STINT_SLURM_CHILD_H
#define STINT_SLURM_CHILD_H

#include <stddef.h>
#include <sys/types.h>
#include "error.h"

#define SLURM_CHILD_DYING 4 /* killed ones that may hang in the kernel before no other is started */

struct slurm_child {
        pid_t pid; /* 0: there is none */
        int fd;    /* our end of its socket, non-blocking; -1: there is none */
        int words; /* memory that its stderr goes to; -1: there is none */
        pid_t dying[SLURM_CHILD_DYING]; /* killed, and not reaped yet; 0: a free place */
};

void slurm_child_init(struct slurm_child *c);

/*
 * Starts the program, which is stint-slurm in $STINT_LIBEXEC_DIR, else in LIBEXECDIR, else beside this program.  Its
 * environment is SLURM_CONF and SLURMD_NODENAME and nothing else, its stdin the socket.  -1 with the reason.
 */
int slurm_child_start(struct slurm_child *c, struct stint_error *err);

/*
 * Its end of the socket is closed, so it is about to end by itself: reaps it, and says in `why` what it died of, with
 * its last words: "it ended with exit status 1: ...".  The descriptor stays, for somebody may poll it.
 */
void slurm_child_reap(struct slurm_child *c, char *why, size_t size);

/* Kills it if it lives, and reaps it: by its own id, so that nobody else's children are touched.  The descriptor stays. */
void slurm_child_kill(struct slurm_child *c);

/* The same, and fd is -1 then. */
void slurm_child_end(struct slurm_child *c);

#endif
