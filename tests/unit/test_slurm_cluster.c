/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_slurm_cluster: which of a cluster's settings stint sees, from configurations as Slurm hands them over. */
#include <check.h>
#include <string.h>
#include "slurm_cluster.h"
#include "suite.h"

static slurm_conf_t a_conf(void)
{
        static char name[] = "big", version[] = "22.05.8", priority[] = "preempt/partition_prio", none[] = "task/none",
                    linuxproc[] = "proctrack/linuxproc";
        slurm_conf_t conf;

        memset(&conf, 0, sizeof conf);
        conf.cluster_name = name;
        conf.version = version;
        conf.preempt_type = priority;
        conf.preempt_mode = PREEMPT_MODE_REQUEUE;
        conf.task_plugin = none;
        conf.proctrack_type = linuxproc;
        conf.kill_wait = 30;
        conf.job_requeue = 1;
        return conf;
}

static struct cluster cluster_of(const slurm_conf_t *conf, const char *printed)
{
        struct cluster c;

        memset(&c, 0, sizeof c);
        cluster_from_conf(conf, printed, &c);
        return c;
}

START_TEST(the_plain_settings_are_taken_over)
{
        slurm_conf_t conf = a_conf();
        struct cluster c = cluster_of(&conf, NULL);

        ck_assert_str_eq(c.name, "big");
        ck_assert_str_eq(c.version, "22.05.8");
        ck_assert_uint_eq(c.kill_wait_s, 30);
        ck_assert_uint_eq(c.job_requeue, 1);
        ck_assert_uint_eq(c.job_file_append, 0);
        ck_assert_uint_eq(c.over_time_min, 0);
        ck_assert_uint_eq(c.cred_expire_s, 120);
        ck_assert_uint_eq(c.rate_limit, 0);
        ck_assert_uint_eq(c.constrain_devices, CLUSTER_UNKNOWN);
        ck_assert_str_eq(c.task_plugin, "task/none");
        ck_assert_uint_eq(c.preempt, CLUSTER_PREEMPT_REQUEUE);
        conf.over_time_limit = INFINITE16;
        ck_assert_uint_eq(cluster_of(&conf, NULL).over_time_min, CLUSTER_UNLIMITED);
        conf.private_data = PRIVATE_DATA_JOBS;
        ck_assert_uint_eq(cluster_of(&conf, NULL).private_jobs, 1);
}
END_TEST

START_TEST(nobody_is_preempted_without_a_plugin_that_picks_whom)
{
        static char none[] = "preempt/none";
        slurm_conf_t conf = a_conf();

        conf.preempt_type = none;
        ck_assert_uint_eq(cluster_of(&conf, NULL).preempt, CLUSTER_PREEMPT_OFF);
}
END_TEST

START_TEST(gang_is_seen_beside_the_mode)
{
        slurm_conf_t conf = a_conf();

        conf.preempt_mode = PREEMPT_MODE_GANG | PREEMPT_MODE_SUSPEND;
        ck_assert_uint_eq(cluster_of(&conf, NULL).preempt, CLUSTER_PREEMPT_SUSPEND);
        ck_assert_uint_eq(cluster_of(&conf, NULL).preempt_gang, 1);
        conf.preempt_mode = PREEMPT_MODE_GANG | PREEMPT_MODE_CANCEL;
        ck_assert_uint_eq(cluster_of(&conf, NULL).preempt, CLUSTER_PREEMPT_CANCEL);
}
END_TEST

START_TEST(the_wait_after_a_requeue_is_found_in_its_lists)
{
        static char info[] = "socket=/run/munge,cred_expire=5", bad[] = "cred_expire=2", delay[] = "bf_interval=2,requeue_delay=40";
        slurm_conf_t conf = a_conf();

        conf.authinfo = info;
        ck_assert_uint_eq(cluster_of(&conf, NULL).cred_expire_s, 5);
        conf.authinfo = bad; /* too little for Slurm, which goes by its default then */
        ck_assert_uint_eq(cluster_of(&conf, NULL).cred_expire_s, 120);
        conf.sched_params = delay;
        ck_assert_uint_eq(cluster_of(&conf, NULL).cred_expire_s, 40);
}
END_TEST

START_TEST(words_in_a_list_are_whole_words)
{
        static char with[] = "idle_on_node_suspend,rl_enable,preempt_send_user_signal", like[] = "no_rl_enable,rl_enabled",
                    first[] = "rl_enable,rl_log_freq=3";
        slurm_conf_t conf = a_conf();

        conf.slurmctld_params = with;
        ck_assert_uint_eq(cluster_of(&conf, NULL).rate_limit, 1);
        ck_assert_uint_eq(cluster_of(&conf, NULL).user_signal, 1);
        conf.slurmctld_params = like;
        ck_assert_uint_eq(cluster_of(&conf, NULL).rate_limit, 0);
        ck_assert_uint_eq(cluster_of(&conf, NULL).user_signal, 0);
        conf.slurmctld_params = first;
        ck_assert_uint_eq(cluster_of(&conf, NULL).rate_limit, 1);
}
END_TEST

START_TEST(cgroup_conf_is_read_as_it_is_printed)
{
        slurm_conf_t conf = a_conf();

        ck_assert_uint_eq(cluster_of(&conf, "AllowedRAMSpace = 100.0%\nConstrainDevices         = yes\n").constrain_devices, 1);
        ck_assert_uint_eq(cluster_of(&conf, "ConstrainDevices         = no\n").constrain_devices, 0);
        ck_assert_uint_eq(cluster_of(&conf, "ConstrainDevices").constrain_devices, 0);
        ck_assert_uint_eq(cluster_of(&conf, "").constrain_devices, CLUSTER_UNKNOWN);
}
END_TEST

START_TEST(texts_that_are_too_long_or_missing_do_no_harm)
{
        char longer[500];
        slurm_conf_t conf = a_conf();
        struct cluster c;

        memset(longer, 'x', sizeof longer - 1);
        longer[sizeof longer - 1] = '\0';
        conf.task_plugin = longer;
        conf.cluster_name = NULL;
        conf.preempt_type = NULL;
        c = cluster_of(&conf, NULL);
        ck_assert_uint_eq(strlen(c.task_plugin), sizeof c.task_plugin - 1);
        ck_assert_str_eq(c.name, "");
        ck_assert_uint_eq(c.preempt, CLUSTER_PREEMPT_OFF);
}
END_TEST

/* Two partitions: main, the default one, and urgent, with other settings. */
static struct cluster in_partition(const char *preempt_type, const char *name)
{
        char main_name[] = "main", urgent_name[] = "urgent";
        partition_info_t p[2];
        partition_info_msg_t all = { .record_count = 2, .partition_array = p };
        struct cluster c;

        memset(&c, 0, sizeof c);
        memset(p, 0, sizeof p);
        c.preempt = CLUSTER_PREEMPT_REQUEUE;
        strcpy(c.preempt_type, preempt_type);
        p[0].name = urgent_name;
        p[0].preempt_mode = PREEMPT_MODE_OFF;
        p[0].max_time = 60;
        p[0].over_time_limit = INFINITE16;
        p[1].name = main_name;
        p[1].flags = PART_FLAG_DEFAULT;
        p[1].preempt_mode = NO_VAL16;
        p[1].grace_time = 10;
        p[1].max_time = INFINITE;
        p[1].over_time_limit = NO_VAL16;
        cluster_from_partitions(&all, name, &c);
        return c;
}

START_TEST(the_default_partition_or_the_named_one_is_taken)
{
        struct cluster c = in_partition("preempt/partition_prio", "");

        ck_assert_str_eq(c.partition, "main");
        ck_assert_uint_eq(c.part_preempt, CLUSTER_PREEMPT_REQUEUE);
        ck_assert_uint_eq(c.part_grace_s, 10);
        ck_assert_uint_eq(c.part_max_min, CLUSTER_UNLIMITED);
        ck_assert_uint_eq(c.part_over_time_min, CLUSTER_UNKNOWN);
        c = in_partition("preempt/partition_prio", "urgent");
        ck_assert_str_eq(c.partition, "urgent");
        ck_assert_uint_eq(c.part_preempt, CLUSTER_PREEMPT_OFF);
        ck_assert_uint_eq(c.part_max_min, 60);
        ck_assert_uint_eq(c.part_over_time_min, CLUSTER_UNLIMITED);
}
END_TEST

START_TEST(a_partitions_own_mode_counts_only_where_partitions_decide)
{
        ck_assert_uint_eq(in_partition("preempt/qos", "urgent").part_preempt, CLUSTER_PREEMPT_REQUEUE);
}
END_TEST

START_TEST(a_partition_that_there_is_not_has_no_name)
{
        struct cluster c = in_partition("preempt/partition_prio", "mian");

        ck_assert_str_eq(c.partition, "");
        ck_assert_uint_eq(c.part_grace_s, CLUSTER_UNKNOWN);
        ck_assert_uint_eq(c.part_max_min, CLUSTER_UNKNOWN);
}
END_TEST

/* Two nodes with these hostnames, and a hole in the list as Slurm has them. */
static struct cluster with_nodes(char *first, char *second)
{
        char n1[] = "n1", n2[] = "n2";
        node_info_t nodes[3];
        node_info_msg_t all = { .record_count = 3, .node_array = nodes };
        struct cluster c;

        memset(&c, 0, sizeof c);
        memset(nodes, 0, sizeof nodes);
        nodes[0].name = n1;
        nodes[0].node_hostname = first;
        nodes[2].name = n2;
        nodes[2].node_hostname = second;
        cluster_from_nodes(&all, "here", &c);
        return c;
}

START_TEST(simulated_nodes_of_one_host_are_seen_to_be_so)
{
        char here[] = "here", there[] = "there", whole[] = "here.domain", longer[] = "hereafter";

        ck_assert_uint_eq(with_nodes(here, here).one_host, 1);
        ck_assert_uint_eq(with_nodes(here, whole).one_host, 1);
        ck_assert_uint_eq(with_nodes(there, there).one_host, 0);
        ck_assert_uint_eq(with_nodes(longer, here).one_host, 0);
        ck_assert_uint_eq(with_nodes(here, there).one_host, 0);
        ck_assert_uint_eq(with_nodes(here, NULL).one_host, 0);
        ck_assert_uint_eq(with_nodes(NULL, NULL).one_host, 0);
        ck_assert_uint_eq(with_nodes(here, there).nodes, 2);
}
END_TEST

/* Nothing here asks a daemon; these stand where slurm_call.c and libslurm would. */
static int nobody(struct stint_error *err)
{
        return error_set(err, 1, "nobody is asked here");
}

int call_load_conf(slurm_conf_t **out, struct stint_error *err)
{
        *out = NULL;
        return nobody(err);
}

int call_load_partitions(partition_info_msg_t **out, struct stint_error *err)
{
        *out = NULL;
        return nobody(err);
}

int call_load_nodes(node_info_msg_t **out, struct stint_error *err)
{
        *out = NULL;
        return nobody(err);
}

void slurm_print_ctl_conf(FILE *out, slurm_conf_t *conf)
{
        (void)out;
        (void)conf;
}

void slurm_free_ctl_conf(slurm_conf_t *conf)
{
        (void)conf;
}

void slurm_free_partition_info_msg(partition_info_msg_t *message)
{
        (void)message;
}

void slurm_free_node_info_msg(node_info_msg_t *message)
{
        (void)message;
}

static void add_tests(Suite *suite)
{
        TCase *all = suite_case(suite, "slurm_cluster");

        tcase_add_test(all, the_plain_settings_are_taken_over);
        tcase_add_test(all, nobody_is_preempted_without_a_plugin_that_picks_whom);
        tcase_add_test(all, gang_is_seen_beside_the_mode);
        tcase_add_test(all, the_wait_after_a_requeue_is_found_in_its_lists);
        tcase_add_test(all, words_in_a_list_are_whole_words);
        tcase_add_test(all, cgroup_conf_is_read_as_it_is_printed);
        tcase_add_test(all, texts_that_are_too_long_or_missing_do_no_harm);
        tcase_add_test(all, the_default_partition_or_the_named_one_is_taken);
        tcase_add_test(all, a_partitions_own_mode_counts_only_where_partitions_decide);
        tcase_add_test(all, a_partition_that_there_is_not_has_no_name);
        tcase_add_test(all, simulated_nodes_of_one_host_are_seen_to_be_so);
}

SUITE_MAIN("slurm_cluster", add_tests)
