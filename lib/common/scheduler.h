/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scheduler: what `stint run` asks of whoever grants it its time, through one descriptor: one question out, one answer
 * back, never two at once.  Behind it is the local scheduler (client/local_job.c), or stint-slurm, which speak the same
 * two messages (wire.h), or nobody.  Nothing here waits: the caller polls fd and sets its own limit for an answer.
 */
#ifndef STINT_SCHEDULER_H
#define STINT_SCHEDULER_H

#include <stdint.h>
#include "deadline.h"
#include "error.h"

enum scheduler_question {
        SCHEDULER_STATE = 1, /* how long has this job, and is it running? */
        SCHEDULER_REQUEUE    /* run this job again when it ended; the answer says whether it will be */
};

enum scheduler_state {
        SCHEDULER_UNKNOWN = 0, SCHEDULER_RUNNING, SCHEDULER_COMPLETING, SCHEDULER_CANCELLED, SCHEDULER_PENDING,
        SCHEDULER_ENDED
};

struct scheduler_answer {
        enum scheduler_question question;
        int failed;                 /* an errno value: the scheduler did not or would not; text says why */
        enum scheduler_state state;
        int64_t left_ns;            /* until the job's end, from when this arrived; CLOCK_NEVER: it has no limit */
        enum deadline_cause cause;  /* LIMIT, PREEMPTED, RESERVATION, ... */
        int can_requeue;            /* REQUEUE would be granted */
        char text[200];
};

struct scheduler {
        int fd;             /* -1: there is none; scheduler_ask fails then */
        char name[16];      /* "local", "slurm", "none" */
        char job[64];       /* its id, "" for none */
        uint32_t restarts;  /* how often this job was started before, as its last answer said; 0 until the first */
        int asked;          /* the enum scheduler_question that is on its way; 0: none */
};

/*
 * Finds the scheduler of this process from its environment: STINT_LOCAL_JOB names the local one's socket and
 * STINT_LOCAL_JOB_ID its job (without it the socket's name stands for the job).  0, also when there is none; -1 when
 * one was named and cannot be reached: *s then is "none", and the caller says so loudly.
 */
int scheduler_open(struct scheduler *s, struct stint_error *err);

/* Sends a question.  -1 with EALREADY while another is on its way, ENOTCONN when there is no scheduler. */
int scheduler_ask(struct scheduler *s, enum scheduler_question question, struct stint_error *err);

/* Reads the answer; call when fd is readable.  0; -1 with EAGAIN when nothing is there, ECONNRESET when it is gone,
 * EBADMSG for what is no answer to the question asked; after that another may be asked. */
int scheduler_read(struct scheduler *s, struct scheduler_answer *answer, struct stint_error *err);

void scheduler_close(struct scheduler *s);

const char *scheduler_state_name(enum scheduler_state state);

#endif
