/* SPDX-License-Identifier: GPL-2.0-or-later */
/* local_door: where every `stint run` in a job of the local scheduler asks it; each question has its answer at once. */
#ifndef STINT_LOCAL_DOOR_H
#define STINT_LOCAL_DOOR_H

#include <uv.h>
#include "channel.h"
#include "stranger.h"
#include "error.h"
#include "wire.h"

struct local_door {
        /* Set by whoever opens it; the message was checked, and only processes of this user ask. */
        void (*on_question)(void *arg, const struct wire_scheduler_ask *ask, struct wire_scheduler_answer *answer);
        void (*on_answered)(void *arg); /* the answer was sent, or could not be */
        void *arg;

        char name[CHANNEL_NAME]; /* the abstract socket */
        int fd;                  /* of the socket; whoever opened it closes it, after the loop */
        uv_poll_t poll;
        uv_timer_t rest;         /* until the next visitor is taken, after a stranger */
        struct strangers strangers;
        struct asker *askers;
};

/* Listens, under a name of its own for this job. */
int local_door_open(struct local_door *d, const char *job, struct stint_error *err);

/* From now on the loop hears who asks.  -1 when the loop takes no more. */
int local_door_watch(struct local_door *d, uv_loop_t *loop);

/* Sends everybody away and lets the loop end. */
void local_door_close(struct local_door *d);

#endif
