/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scheduler: what stint asks of whoever grants it its time, through one descriptor: one question out, one answer back,
 * never two at once.  Behind it is the local scheduler (client/local_job.c), or a child, stint-slurm
 * (daemon/slurm_main.c), which speak the same messages (wire.h), or nobody.  scheduler_ask_wait waits; nothing else
 * here does: the caller polls the descriptor and sets its own limit for an answer.
 *
 * The descriptor of Slurm's child comes with the first question, and another one with the first question after the
 * child was given up.  So poll s->fd only while s->asked is not 0; it does not change meanwhile, except by
 * scheduler_drop and scheduler_close, before which the polling must have ended.  s->started counts the descriptors.
 */
#ifndef STINT_SCHEDULER_H
#define STINT_SCHEDULER_H

#include <stdint.h>
#include "cluster.h"
#include "deadline.h"
#include "error.h"
#include "slurm_child.h"

#define SCHEDULER_LIMIT_S 30u /* of one request of stint-slurm to Slurm, where the query names none */
#define SCHEDULER_TEXT 400

enum scheduler_question {
        SCHEDULER_STATE = 1, /* how long has this job, and is it running? */
        SCHEDULER_REQUEUE,   /* run this job again when it ended; the answer says whether it will be, and after what wait */
        SCHEDULER_CANCEL,    /* cancel the named job; one that is over already is no failure */
        SCHEDULER_COMMENT,   /* set the job's comment to `text` */
        SCHEDULER_WHOSE,     /* which job does this process of this machine belong to?  ESRCH: to none */
        SCHEDULER_CLUSTER    /* the settings of the cluster, and of the partition `text`; see scheduler_read_cluster */
};

enum scheduler_state {
        SCHEDULER_UNKNOWN = 0, SCHEDULER_RUNNING, SCHEDULER_COMPLETING, SCHEDULER_CANCELLED,
        SCHEDULER_PENDING,  /* it waits, or will: of one that was requeued the last turn may still be ending; see gone */
        SCHEDULER_ENDED,    /* over, or so long over that the scheduler knows nothing of it */
        SCHEDULER_SUSPENDED /* stopped, and its time with it */
};

/* What is not needed stays 0. */
struct scheduler_query {
        enum scheduler_question question;
        const char *job;  /* decimal; NULL: the own one */
        int32_t pid;      /* WHOSE */
        const char *text; /* COMMENT, CLUSTER ("" or NULL: the default partition) */
        uint32_t limit_s; /* of one request; stint-slurm ends when Slurm has not answered by then */
};

struct scheduler_answer {
        enum scheduler_question question;
        int failed;                 /* an errno value: the scheduler did not or would not; text says why */
        enum scheduler_state state;
        int64_t left_ns;            /* until the job's end, from when this arrived; CLOCK_NEVER: it has no limit */
        enum deadline_cause cause;  /* LIMIT, PREEMPTED, RESERVATION, ... */
        int can_requeue;            /* REQUEUE would be granted; else text says why not */
        uint32_t restarts;          /* how often the job was started before */
        uint32_t uid;               /* of its owner; UINT32_MAX: not told */
        uint32_t nodes;             /* that it has, or wants */
        int gone;                   /* none of its processes is there any more: it is over, or waits to be run again */
        int64_t submit_s, start_s;  /* seconds since 1970, by the scheduler's clock; 0: not told.  An id may come again
                                       after years; but mind that Slurm sets submit_s anew at each requeue */
        int64_t wait_ns;            /* REQUEUE: until it may start again */
        char job[64];               /* which job this is about */
        char text[SCHEDULER_TEXT];
};

struct scheduler {
        int fd;             /* -1: none yet, or no scheduler */
        char name[16];      /* "local", "slurm", "none" */
        char job[64];       /* the own one's id, "" for none */
        uint32_t restarts;  /* how often this job was started before: by the environment, then by its last answer */
        int asked;          /* the enum scheduler_question that is on its way; 0: none */
        char about[64];     /* the job that it is about, when that is not the own one */
        unsigned started;   /* counts the descriptors; a caller that keeps a uv_poll_t makes it anew when it changed */
        struct slurm_child child;
};

/*
 * Finds the scheduler of this process from its environment: STINT_LOCAL_JOB names the local one's socket and
 * STINT_LOCAL_JOB_ID its job (without it the socket's name stands for the job); else SLURM_JOB_ID is a job of Slurm.
 * 0, also when there is none; -1 when a local one was named and cannot be reached: *s then is "none", and the caller
 * says so loudly.  Slurm is not spoken to before the first question.
 */
int scheduler_open(struct scheduler *s, struct stint_error *err);

/* Slurm, for whoever has no job of its own ("" then): stintd, `stint submit`, `stint doctor` on a login node. */
void scheduler_open_slurm(struct scheduler *s, const char *job, uint32_t restarts);

/* Whether there is one that could be asked. */
int scheduler_is_there(const struct scheduler *s);

/*
 * Sends a question (scheduler_ask: about the own job).  -1 with EALREADY while another is on its way, ENOTCONN when
 * there is no scheduler, ENOENT and others when stint-slurm cannot be started.
 */
int scheduler_ask(struct scheduler *s, enum scheduler_question question, struct stint_error *err);
int scheduler_ask_about(struct scheduler *s, const struct scheduler_query *query, struct stint_error *err);

/*
 * Reads the answer; call when fd is readable.  0; -1 with EAGAIN when nothing is there, ECONNRESET when it is gone,
 * EBADMSG for what is no answer to the question asked; after the last two another may be asked: of Slurm, a new child
 * then.  The local scheduler does not come back.
 */
int scheduler_read(struct scheduler *s, struct scheduler_answer *answer, struct stint_error *err);

/* The same for SCHEDULER_CLUSTER.  What the scheduler did not or would not say is -1, too, with its code and words. */
int scheduler_read_cluster(struct scheduler *s, struct cluster *cluster, struct stint_error *err);

/*
 * Gives up the question that is on its way.  Slurm's child is killed and reaped, fd is -1, and the next question
 * starts another: answers 1.  Of the local scheduler an answer may still come, and has to be read: answers 0.
 */
int scheduler_drop(struct scheduler *s);

/*
 * Asks, and waits for the answer, for callers without a loop.  0, with the answer, whose `failed` may be set; -1 with
 * ETIMEDOUT after limit_ns, or as scheduler_ask_about and scheduler_read.
 */
int scheduler_ask_wait(struct scheduler *s, const struct scheduler_query *query, int64_t limit_ns,
                       struct scheduler_answer *answer, struct stint_error *err);

/* The same for SCHEDULER_CLUSTER. */
int scheduler_cluster_wait(struct scheduler *s, const char *partition, int64_t limit_ns, struct cluster *cluster,
                           struct stint_error *err);

void scheduler_close(struct scheduler *s);

const char *scheduler_state_name(enum scheduler_state state);

#endif
