/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * place: the name under which an agent listens besides its own, so that programs find it whose environment was lost on
 * the way (`sbatch --export=NONE`).  The agent calls in and libstint; nothing else speaks of this name.
 */
#include "place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "node.h"

int place_well_known(char *out, size_t size, struct stint_error *err)
{
        const char *job = getenv("SLURM_JOB_ID");
        char node[NODE_NAME];
        int n;

        if (!job || !*job)
                return error_set(err, ENOENT, "this is no job of Slurm: SLURM_JOB_ID is not in the environment");
        n = snprintf(out, size, "stint-%u-%s-%s", (unsigned)geteuid(), job, node_name(node));
        return n > 0 && (size_t)n < size
                       ? 0
                       : error_set(err, ENAMETOOLONG, "the name of the agent of job %s on %s is too long", job, node);
}
