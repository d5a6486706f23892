/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_listen: the socket on which `stint run` hears the verbs `stint save` and `stint save --stop`. */
#ifndef STINT_RUN_LISTEN_H
#define STINT_RUN_LISTEN_H

#include <stdint.h>
#include <uv.h>
#include "channel.h"
#include "wire.h"

#define LISTEN_CLIENTS 16

struct listen;

struct listen_client {
        struct listen *all;
        uv_poll_t poll;
        int fd, used;
        int asked;               /* it waits for an answer */
};

struct listen {
        uv_loop_t *loop;
        uv_poll_t poll;
        int fd;
        char name[CHANNEL_NAME]; /* abstract; it goes into the lease */
        struct listen_client client[LISTEN_CLIENTS];
        void (*on_verb)(void *arg, enum wire_verb_what what);
        void *arg;
};

/* Listens; only this user and root are heard. */
int listen_open(struct listen *l, uv_loop_t *loop, const char *run_id, uint32_t stint,
                void (*on_verb)(void *arg, enum wire_verb_what what), void *arg, struct stint_error *err);

/* Answers everybody who waits. */
void listen_answer(struct listen *l, int code, int64_t step, uint64_t bytes, int64_t took_ns, const char *text);

void listen_close(struct listen *l);

#endif
