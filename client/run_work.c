/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_work: the queue of blocking work of `stint run`; its rooms add to it, libuv's threads do it. */
#include <errno.h>
#include <stdlib.h>

#include "run_work.h"

struct work_item {
        uv_work_t request;
        struct work_queue *queue;
        struct work_item *next;
        void (*does)(void *arg);
        void (*done)(void *arg);
        void *arg;
};

static void start_first(struct work_queue *q);

static void on_work(uv_work_t *request)
{
        struct work_item *item = request->data;

        item->does(item->arg);
}

/* The next one is on its way before `done` is called, which may add more. */
static void on_done(uv_work_t *request, int status)
{
        struct work_item *item = request->data;
        struct work_queue *q = item->queue;

        (void)status; /* nobody cancels */
        q->first = item->next;
        if (q->first == NULL)
                q->last = NULL;
        else
                start_first(q);
        item->done(item->arg);
        free(item);
}

/* uv_queue_work fails only without a function to call. */
static void start_first(struct work_queue *q)
{
        if (uv_queue_work(q->loop, &q->first->request, on_work, on_done) != 0)
                abort();
}

void work_init(struct work_queue *q, uv_loop_t *loop)
{
        *q = (struct work_queue){ .loop = loop };
}

int work_add(struct work_queue *q, void (*does)(void *arg), void (*done)(void *arg), void *arg, struct stint_error *err)
{
        struct work_item *item = calloc(1, sizeof *item);

        if (item == NULL)
                return error_system(err, ENOMEM, "the queue of work");
        *item = (struct work_item){ .queue = q, .does = does, .done = done, .arg = arg };
        item->request.data = item;
        if (q->last != NULL) {
                q->last->next = item;
                q->last = item;
                return 0;
        }
        q->first = q->last = item;
        start_first(q);
        return 0;
}
