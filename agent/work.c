/* SPDX-License-Identifier: GPL-2.0-or-later */
/* work: jobs for libuv's threads, side by side or in a line.  Staging, writer and reader are started through here. */
#include "work.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORK_THREADS_LEAST 4
#define WORK_THREADS_MOST 16

void work_prepare(void)
{
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        char text[16];

        /*
         * A rank's write waits for the disk most of the time, so a few threads more than cores do no harm; many ranks
         * on one node share the disk, so many threads do no good.
         */
        if (cores < WORK_THREADS_LEAST)
                cores = WORK_THREADS_LEAST;
        if (cores > WORK_THREADS_MOST)
                cores = WORK_THREADS_MOST;
        snprintf(text, sizeof text, "%ld", cores);
        setenv("UV_THREADPOOL_SIZE", text, 0);
        /* libuv 1.45 and later would give file operations to io_uring, which is forbidden on many clusters. */
        setenv("UV_USE_IO_URING", "0", 1);
}

static void on_run(uv_work_t *request)
{
        struct work *work = request->data;

        work->run(work);
}

static void on_ran(uv_work_t *request, int status);

static void begin(struct work *work)
{
        int rc;

        work->request.data = work;
        rc = uv_queue_work(work->loop, &work->request, on_run, on_ran);
        if (rc != 0) { /* only for a callback that is missing */
                fprintf(stderr, "stint-agent: uv_queue_work: %s\n", uv_strerror(rc));
                abort();
        }
}

static void on_ran(uv_work_t *request, int status)
{
        struct work *work = request->data;
        struct work_line *line = work->line;

        (void)status; /* nothing here cancels jobs */
        if (line) {
                line->first = work->next;
                if (line->first)
                        begin(line->first);
                else
                        line->last = NULL;
        }
        work->done(work);
}

void work_start(uv_loop_t *loop, struct work_line *line, struct work *work, void (*run)(struct work *),
                void (*done)(struct work *))
{
        work->loop = loop;
        work->line = line;
        work->next = NULL;
        work->run = run;
        work->done = done;
        if (line && line->last) {
                line->last->next = work;
                line->last = work;
                return;
        }
        if (line)
                line->first = line->last = work;
        begin(work);
}
