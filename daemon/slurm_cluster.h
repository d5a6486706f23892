/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slurm_cluster: the answer to CLUSTER.  slurm_main.c calls in; the functions on records are pure, for the tests. */
#ifndef STINT_SLURM_CLUSTER_H
#define STINT_SLURM_CLUSTER_H

#include "slurm_call.h"
#include "wire.h"

int cluster_ask(const struct wire_scheduler_ask *ask, struct cluster *out, struct stint_error *err);

/* What the configuration says; `printed` is slurm_print_ctl_conf's text of it, where cgroup.conf is. */
void cluster_from_conf(const slurm_conf_t *conf, const char *printed, struct cluster *out);

/* The partition of that name, or the default one for "". After cluster_from_conf. */
void cluster_from_partitions(const partition_info_msg_t *all, const char *name, struct cluster *out);

/* this_host: gethostname() of whoever asks, whose filesystems a run directory may lie on. */
void cluster_from_nodes(const node_info_msg_t *all, const char *this_host, struct cluster *out);

#endif
