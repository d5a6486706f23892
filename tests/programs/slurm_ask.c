/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slurm_ask: asks questions of stint-slurm from the command line, all of one child, and prints what came back.  The
 * tests run it, on a real Slurm and on the stand-in.
 *
 *   slurm_ask [--limit SECONDS] QUESTION ARGUMENT...
 *   QUESTION: state JOB | requeue JOB | cancel JOB | comment JOB TEXT | whose PID | cluster PARTITION | wait
 *
 * `wait` reads a line from stdin before it goes on.  Exit code 1: a question was not answered.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "scheduler.h"

#define LIMIT_S 60

static const char *const words[] = { NULL, "state", "requeue", "cancel", "comment", "whose", "cluster" };

static void print_ns(const char *name, int64_t ns)
{
        if (ns == CLOCK_NEVER)
                printf(" %s=never", name);
        else
                printf(" %s=%.3f", name, (double)ns / (double)CLOCK_SECOND);
}

static void print_answer(const struct scheduler_answer *a)
{
        printf("%s job=%s failed=%d state=%s cause=%s", words[a->question], a->job, a->failed,
               scheduler_state_name(a->state), deadline_cause_name(a->cause));
        print_ns("left", a->left_ns);
        print_ns("wait", a->wait_ns);
        printf(" can_requeue=%d restarts=%u uid=%d nodes=%u gone=%d submit=%" PRId64 " start=%" PRId64 " text=%s\n",
               a->can_requeue, a->restarts, (int)a->uid, a->nodes, a->gone, a->submit_s, a->start_s, a->text);
}

static void print_cluster(const struct cluster *c)
{
        printf("cluster name=%s version=%s library=%s kill_wait=%u over_time=%u job_requeue=%u job_file_append=%u "
               "preempt=%u gang=%u max_batch_requeue=%u cred_expire=%u rate_limit=%u user_signal=%u private_jobs=%u "
               "one_host=%u nodes=%u constrain_devices=%d min_job_age=%u resv_over_run=%u preempt_type=%s task_plugin=%s "
               "proctrack=%s partition=%s part_preempt=%u part_grace=%d part_max=%d part_over_time=%d\n",
               c->name, c->version, c->library, c->kill_wait_s, c->over_time_min, c->job_requeue, c->job_file_append,
               c->preempt, c->preempt_gang, c->max_batch_requeue, c->cred_expire_s, c->rate_limit, c->user_signal,
               c->private_jobs, c->one_host, c->nodes, (int)c->constrain_devices, c->min_job_age_s, c->resv_over_run_min,
               c->preempt_type, c->task_plugin, c->proctrack, c->partition, c->part_preempt, (int)c->part_grace_s,
               (int)c->part_max_min, (int)c->part_over_time_min);
}

/* Which question a word is; 0: none. */
static int question_of(const char *word)
{
        int i;

        for (i = 1; i <= SCHEDULER_CLUSTER; i++)
                if (strcmp(words[i], word) == 0)
                        return i;
        return 0;
}

/* Asks one; answers whether it was answered. */
static int ask(struct scheduler *s, int question, const char *about, const char *text, int64_t limit_ns)
{
        struct scheduler_query query = { .question = (enum scheduler_question)question, .job = about, .text = text };
        struct scheduler_answer answer;
        struct stint_error err = { 0 };
        struct cluster cluster;
        int rc;

        if (question == SCHEDULER_WHOSE) {
                query.job = "";
                query.pid = atoi(about);
        }
        if (question == SCHEDULER_CLUSTER)
                rc = scheduler_cluster_wait(s, about, limit_ns, &cluster, &err);
        else
                rc = scheduler_ask_wait(s, &query, limit_ns, &answer, &err);
        if (rc < 0)
                printf("%s no answer: code=%d %s\n", words[question], err.code, err.text);
        else if (question == SCHEDULER_CLUSTER)
                print_cluster(&cluster);
        else
                print_answer(&answer);
        fflush(stdout);
        return rc == 0;
}

int main(int argc, char **argv)
{
        int64_t limit_ns = LIMIT_S * CLOCK_SECOND;
        struct scheduler s;
        int i = 1, question, missed = 0;
        char line[16];

        if (argc > 2 && strcmp(argv[1], "--limit") == 0) {
                limit_ns = atoi(argv[2]) * CLOCK_SECOND;
                i = 3;
        }
        scheduler_open_slurm(&s, "", 0);
        for (; i < argc; i++) {
                if (strcmp(argv[i], "wait") == 0) {
                        if (fgets(line, sizeof line, stdin) == NULL)
                                break;
                        continue;
                }
                question = question_of(argv[i]);
                if (question == 0 || i + 1 + (question == SCHEDULER_COMMENT) >= argc) {
                        fprintf(stderr, "slurm_ask: '%s' is no question, or lacks its argument\n", argv[i]);
                        return 2;
                }
                missed |= !ask(&s, question, argv[i + 1], question == SCHEDULER_COMMENT ? argv[i + 2] : "", limit_ns);
                i += 1 + (question == SCHEDULER_COMMENT);
        }
        scheduler_close(&s);
        return missed;
}
