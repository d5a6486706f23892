/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doctor: the checks of `stint doctor` and how they say what they found.  doctor_cluster.c looks at the scheduler,
 * doctor_node.c at the machine, doctor_devices.c and doctor_model.c at its GPUs, doctor_disk.c at where the run lives.
 */
#ifndef STINT_DOCTOR_H
#define STINT_DOCTOR_H

#include <stdint.h>
#include "cluster.h"
#include "rundir.h"

enum finding { FINDING_OK, FINDING_WARNING, FINDING_PROBLEM };

struct doctor {
        char run[RUNDIR_PATH];    /* the run directory, which may not exist yet */
        char where[RUNDIR_PATH];  /* it, or the nearest directory above it that exists */
        char newest[RUNDIR_NAME]; /* its newest checkpoint; "": there is none */
        uint32_t newest_ranks;
        int64_t state_bytes;      /* of its newest checkpoint; 0: not known */
        int64_t used_bytes;       /* by its whole checkpoints */
        int keep;
        const char *partition;    /* of the cluster; NULL: that of this job, or the default one */
        void (*found)(void *arg, const char *what, enum finding finding, const char *text);
        void *arg;
};

/* Reports one finding: what was looked at, how it stands, and a sentence that says what to do when it is not OK. */
void doctor_found(const struct doctor *d, const char *what, enum finding finding, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

void doctor_cluster(const struct doctor *d);
void doctor_node(const struct doctor *d);
void doctor_devices(const struct doctor *d);
void doctor_disk(const struct doctor *d);

/* Where a model goes, by what is visible of these devices; a part of doctor_devices. */
struct inventory;
struct visible;
void doctor_model(const struct doctor *d, const struct inventory *inv, const struct visible *v);

/* What these settings of a cluster mean; a part of doctor_cluster. */
void doctor_settings(const struct doctor *d, const struct cluster *c);

#endif
