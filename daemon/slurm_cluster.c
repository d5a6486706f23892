/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slurm_cluster: of a cluster's configuration, what decides about checkpoints.  Three requests, asked by a person's
 * `stint doctor` or `stint submit` and never by a running job.
 */
#include "slurm_cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "slurm_record.h"

#define MAX_BATCH_REQUEUE 5

static void copy(char *out, size_t size, const char *text)
{
        wire_text(out, size, text != NULL ? text : "");
}

/* ---- preemption ------------------------------------------------------------------------------------------------ */

/* GANG and WITHIN are bits beside the mode; REQUEUE is taken before CANCEL where a cluster's default names both. */
static uint32_t preempt_of(uint16_t mode)
{
        if (mode & PREEMPT_MODE_REQUEUE)
                return CLUSTER_PREEMPT_REQUEUE;
        if (mode & PREEMPT_MODE_CANCEL)
                return CLUSTER_PREEMPT_CANCEL;
        if (mode & PREEMPT_MODE_SUSPEND)
                return CLUSTER_PREEMPT_SUSPEND;
        return CLUSTER_PREEMPT_OFF;
}

/* Nobody is preempted without a plugin that picks whom. */
static int preempts(const slurm_conf_t *conf)
{
        return conf->preempt_type != NULL && strcmp(conf->preempt_type, "preempt/none") != 0;
}

/* ---- the configuration ----------------------------------------------------------------------------------------- */

static uint32_t minutes(uint32_t value)
{
        return value == INFINITE || value == INFINITE16 ? CLUSTER_UNLIMITED : value;
}

static uint32_t max_batch_requeue(const slurm_conf_t *conf)
{
#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(23, 2, 0)
        return conf->max_batch_requeue;
#else
        (void)conf; /* not to be set before 23.02 */
        return MAX_BATCH_REQUEUE;
#endif
}

/* cgroup.conf comes as a list that only libslurm can read; printed, it is "ConstrainDevices = yes". */
static uint32_t constrain_devices(const char *printed)
{
        const char *at = printed != NULL ? strstr(printed, "ConstrainDevices") : NULL;

        if (at == NULL)
                return CLUSTER_UNKNOWN;
        at += strcspn(at, "=\n");
        at += strspn(at, "= ");
        return strncasecmp(at, "yes", 3) == 0 || strncasecmp(at, "true", 4) == 0;
}

void cluster_from_conf(const slurm_conf_t *conf, const char *printed, struct cluster *out)
{
        copy(out->name, sizeof out->name, conf->cluster_name);
        copy(out->version, sizeof out->version, conf->version);
        snprintf(out->library, sizeof out->library, "%d.%02d.%d", SLURM_VERSION_MAJOR(SLURM_VERSION_NUMBER),
                 SLURM_VERSION_MINOR(SLURM_VERSION_NUMBER), SLURM_VERSION_MICRO(SLURM_VERSION_NUMBER));
        out->kill_wait_s = conf->kill_wait;
        out->over_time_min = minutes(conf->over_time_limit);
        out->job_requeue = conf->job_requeue != 0;
        out->job_file_append = conf->job_file_append != 0;
        out->preempt = preempts(conf) ? preempt_of(conf->preempt_mode) : CLUSTER_PREEMPT_OFF;
        out->preempt_gang = (conf->preempt_mode & PREEMPT_MODE_GANG) != 0;
        out->max_batch_requeue = max_batch_requeue(conf);
        out->cred_expire_s = record_requeue_wait(conf);
        out->rate_limit = record_word(conf->slurmctld_params, "rl_enable") != NULL;
        out->user_signal = record_word(conf->slurmctld_params, "preempt_send_user_signal") != NULL ||
                           record_word(conf->slurmctld_params, "send_user_signal") != NULL;
        out->private_jobs = (conf->private_data & PRIVATE_DATA_JOBS) != 0;
        out->constrain_devices = constrain_devices(printed);
        out->min_job_age_s = conf->min_job_age;
        out->resv_over_run_min = minutes(conf->resv_over_run);
        copy(out->preempt_type, sizeof out->preempt_type, conf->preempt_type);
        copy(out->task_plugin, sizeof out->task_plugin, conf->task_plugin);
        copy(out->proctrack, sizeof out->proctrack, conf->proctrack_type);
}

/* ---- partitions and nodes -------------------------------------------------------------------------------------- */

static const partition_info_t *find_partition(const partition_info_msg_t *all, const char *name)
{
        uint32_t i;

        for (i = 0; i < all->record_count; i++) {
                const partition_info_t *p = &all->partition_array[i];

                if (name[0] != '\0' ? p->name != NULL && strcmp(p->name, name) == 0 : (p->flags & PART_FLAG_DEFAULT) != 0)
                        return p;
        }
        return NULL;
}

/* A partition's own PreemptMode counts only where partitions decide who is preempted. */
void cluster_from_partitions(const partition_info_msg_t *all, const char *name, struct cluster *out)
{
        const partition_info_t *p = find_partition(all, name);

        out->part_preempt = out->preempt;
        out->part_grace_s = out->part_max_min = out->part_over_time_min = CLUSTER_UNKNOWN;
        if (p == NULL)
                return;
        copy(out->partition, sizeof out->partition, p->name);
        if (p->preempt_mode != NO_VAL16 && strcmp(out->preempt_type, "preempt/partition_prio") == 0)
                out->part_preempt = preempt_of(p->preempt_mode);
        out->part_grace_s = p->grace_time;
        out->part_max_min = minutes(p->max_time);
        if (p->over_time_limit != NO_VAL16)
                out->part_over_time_min = minutes(p->over_time_limit);
}

/* Names of one machine, with or without a domain behind. */
static int same_host(const char *a, const char *b)
{
        size_t n = strcspn(a, ".");

        return n > 0 && n == strcspn(b, ".") && strncmp(a, b, n) == 0;
}

void cluster_from_nodes(const node_info_msg_t *all, const char *this_host, struct cluster *out)
{
        uint32_t i;

        out->nodes = 0;
        out->one_host = 1;
        for (i = 0; i < all->record_count; i++) {
                const node_info_t *n = &all->node_array[i];

                if (n->name == NULL)
                        continue;
                out->nodes++;
                if (n->node_hostname == NULL || !same_host(n->node_hostname, this_host))
                        out->one_host = 0;
        }
        if (out->nodes == 0)
                out->one_host = 0;
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

static int ask_conf(struct cluster *out, struct stint_error *err)
{
        char *printed = NULL;
        size_t size = 0;
        slurm_conf_t *conf;
        FILE *f;

        if (call_load_conf(&conf, err) < 0)
                return -1;
        f = open_memstream(&printed, &size);
        if (f != NULL) {
                slurm_print_ctl_conf(f, conf);
                fclose(f);
        }
        cluster_from_conf(conf, printed, out);
        free(printed);
        slurm_free_ctl_conf(conf);
        return 0;
}

int cluster_ask(const struct wire_scheduler_ask *ask, struct cluster *out, struct stint_error *err)
{
        partition_info_msg_t *partitions;
        node_info_msg_t *nodes;
        char host[256] = "";

        if (ask_conf(out, err) < 0 || call_load_partitions(&partitions, err) < 0)
                return -1;
        cluster_from_partitions(partitions, ask->text, out);
        slurm_free_partition_info_msg(partitions);
        if (call_load_nodes(&nodes, err) < 0)
                return -1;
        gethostname(host, sizeof host - 1);
        cluster_from_nodes(nodes, host, out);
        slurm_free_node_info_msg(nodes);
        return 0;
}
