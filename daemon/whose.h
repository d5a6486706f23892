/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * whose: which job a process belongs to, as this node's slurmd says, through a child that may hang or die: stint-slurm.
 * Only the child has libslurm in it.  One question is on its way at a time; one that gets no answer in time has none.
 */
#ifndef STINTD_WHOSE_H
#define STINTD_WHOSE_H

#include <stdint.h>
#include <sys/types.h>
#include <uv.h>
#include "scheduler.h"

struct whose_question {
        struct whose_question *next;
        pid_t pid;
        uid_t uid;
        int waiting; /* asked, and not answered yet */
        /*
         * job: its id; "" when the process belongs to none, or, with why, to one of another user; NULL when nobody can
         * say, and why is the reason.
         */
        void (*on_answer)(struct whose_question *, const char *job, const char *why);
};

struct whose {
        uv_loop_t *loop;
        uv_timer_t timer;       /* the limit of the question on its way, or the next look at what waits */
        uv_poll_t *poll;        /* of the child's descriptor, while there is a question on its way; NULL otherwise */
        struct scheduler slurm;
        struct whose_question *first, *last; /* the first is the one on its way, while there is a poll */
        struct whose_question orphan; /* stands for that one when its asker is gone */
        int64_t pause_ns;       /* nobody is asked before this time: the last one did not answer */
        int said;               /* that nobody answers */
};

void whose_open(struct whose *w, uv_loop_t *loop);

/* on_answer comes later, and always, unless the question is withdrawn. */
void whose_ask(struct whose *w, struct whose_question *q);

/* The asker is gone, or knows by itself. */
void whose_withdraw(struct whose *w, struct whose_question *q);

/* Ends the child.  Nobody may be waiting any more. */
void whose_close(struct whose *w);

#endif
