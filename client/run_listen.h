/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_listen: the socket on which `stint run` hears the verbs `stint save` and `stint save --stop`. */
#ifndef STINT_RUN_LISTEN_H
#define STINT_RUN_LISTEN_H

#include <stdint.h>
#include <uv.h>
#include "channel.h"
#include "stranger.h"
#include "wire.h"

#define LISTEN_CLIENTS 16

struct listen;

struct listen_client {
        struct listen *all;
        uv_poll_t poll;
        int fd, used;
        int asked;               /* it waits for an answer */
        uint32_t save_id;        /* ... to that save; 0: to any */
};

struct listen {
        uv_loop_t *loop;
        uv_poll_t poll;
        uv_timer_t rest;         /* until the next visitor is taken, after a stranger */
        struct strangers strangers;
        int fd;
        char name[CHANNEL_NAME]; /* abstract; it goes into the lease */
        struct listen_client client[LISTEN_CLIENTS];
        uint32_t (*on_verb)(void *arg, enum wire_verb_what what);
        void *arg;
};

/* Listens; only this user and root are heard.  on_verb answers the id of the save whose result is the answer. */
int listen_open(struct listen *l, uv_loop_t *loop, const char *run_id, uint32_t stint,
                uint32_t (*on_verb)(void *arg, enum wire_verb_what what), void *arg, struct stint_error *err);

/*
 * Answers everybody who waits for that save or for an older one; 0: everybody.  A save that was in flight before
 * somebody asked is no answer to him: its state is older than his question.
 */
void listen_answer(struct listen *l, uint32_t save_id, int code, int64_t step, uint64_t bytes, int64_t took_ns, const char *text);

void listen_close(struct listen *l);

#endif
