/* SPDX-License-Identifier: BSD-3-Clause */
/* device_cuda_thread: the plugin's thread, and the line of tasks for it.  device_cuda.c calls in, from any thread. */
#include "device_cuda.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define FIRST_ROOM 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t come = PTHREAD_COND_INITIALIZER; /* there are tasks */
static pthread_cond_t over = PTHREAD_COND_INITIALIZER; /* somebody's task is done */

/* All of them with the lock.  The line is a ring of `room` places. */
static struct cuda_task *line;
static size_t room, first, waiting;
static _Atomic pid_t started; /* the process that has the thread: a forked child has none; 0: not yet */

static void take(struct cuda_task *task)
{
        pthread_mutex_lock(&lock);
        while (!waiting)
                pthread_cond_wait(&come, &lock);
        *task = line[first];
        first = (first + 1) % room;
        waiting--;
        pthread_mutex_unlock(&lock);
}

/* It never ends: CUDA ends with the process, and so does this. */
static void *work(void *arg)
{
        struct cuda_task task;
        int rc;

        (void)arg;
        prctl(PR_SET_NAME, "stint-cuda");
        cuda_begin();
        for (;;) {
                take(&task);
                rc = cuda_do(&task, task.err);
                if (!task.rc)
                        continue;
                pthread_mutex_lock(&lock);
                *task.rc = rc;
                pthread_cond_broadcast(&over);
                pthread_mutex_unlock(&lock);
        }
        return NULL;
}

/* With the lock.  Signals are for the program's own threads. */
static int start(struct stint_error *err)
{
        sigset_t all, before;
        pthread_t thread;
        int code;

        if (started)
                return 0;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        code = pthread_create(&thread, NULL, work, NULL);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (code)
                return error_system(err, code, "there is no thread for copies from and to CUDA devices");
        pthread_detach(thread);
        started = getpid();
        return 0;
}

static int make_room(struct stint_error *err)
{
        size_t more = room ? 2 * room : FIRST_ROOM, i;
        struct cuda_task *longer;

        if (waiting < room)
                return 0;
        longer = calloc(more, sizeof *longer);
        if (!longer)
                return error_set(err, ENOMEM, "no memory to note %zu copies", more);
        for (i = 0; i < waiting; i++)
                longer[i] = line[(first + i) % room];
        free(line);
        line = longer;
        room = more;
        first = 0;
        return 0;
}

/* With the lock. */
static int add(const struct cuda_task *task, struct stint_error *err)
{
        if (start(err) < 0 || make_room(err) < 0)
                return -1;
        line[(first + waiting) % room] = *task;
        if (waiting++ == 0)
                pthread_cond_signal(&come);
        return 0;
}

/* Before the lock is taken, which the thread may have held when this process was forked. */
static int is_ours(struct stint_error *err)
{
        const pid_t its = started;

        if (!its || its == getpid())
                return 1;
        error_set(err, ECHILD, "CUDA cannot be used in a process forked from one that uses it");
        return 0;
}

int cuda_thread_begin(const struct cuda_task *task, struct stint_error *err)
{
        int rc;

        if (!is_ours(err))
                return -1;
        pthread_mutex_lock(&lock);
        rc = add(task, err);
        pthread_mutex_unlock(&lock);
        return rc;
}

#define NOT_YET INT32_MIN

int cuda_thread_do(struct cuda_task *task, struct stint_error *err)
{
        struct stint_error why = {0};
        int rc = NOT_YET;

        if (!is_ours(err))
                return -1;
        task->rc = &rc;
        task->err = &why;
        pthread_mutex_lock(&lock);
        if (add(task, &why) < 0)
                rc = -1;
        while (rc == NOT_YET)
                pthread_cond_wait(&over, &lock);
        pthread_mutex_unlock(&lock);
        return rc < 0 ? error_set(err, why.code, "%s", why.text) : rc;
}
