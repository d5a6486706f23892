/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run_progress: how training goes, for whoever watches.  The file is written in place and never synced: it is a hint,
 * and a reader that meets half of it asks again.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "duration.h"
#include "log.h"
#include "run_progress.h"
#include "run_story.h"

/* Over the time since the last line, which is long enough to be no accident. */
static void measure(struct progress *p, int64_t now, int64_t step)
{
        if (p->line_step >= 0 && now - p->line_ns >= CLOCK_SECOND / 2)
                p->steps_per_s = (double)(step - p->line_step) * (double)CLOCK_SECOND / (double)(now - p->line_ns);
}

static void say(struct run *r, int64_t now, int64_t step)
{
        struct progress *p = &r->progress;
        char left[32], until[48] = "";
        int64_t left_ns = run_deadline_left(&r->deadline);

        measure(p, now, step);
        if (left_ns != CLOCK_NEVER)
                snprintf(until, sizeof until, ", %s left", duration_format(left, sizeof left, left_ns));
        log_notice("stint %u: step %" PRId64 ", %.1f steps/s%s", r->stint, step, p->steps_per_s, until);
        p->line_ns = now;
        p->line_step = step;
}

static json_t *progress_json(const struct run *r, int64_t step)
{
        char when[32];
        int64_t left_ns = run_deadline_left(&r->deadline), lead_ns = 0;
        json_t *root;
        uint32_t i;

        for (i = 0; i < r->ranks.n; i++)
                if (r->ranks.rank[i].lead_ns > lead_ns)
                        lead_ns = r->ranks.rank[i].lead_ns;
        root = json_pack("{s:s, s:I, s:I, s:f, s:I, s:I, s:I, s:I}", "time",
                         clock_format(when, sizeof when, clock_wall()), "stint", (json_int_t)r->stint, "step",
                         (json_int_t)step, "steps_per_s", r->progress.steps_per_s, "ranks", (json_int_t)r->ranks.n,
                         "present", (json_int_t)r->ranks.present, "landed_step", (json_int_t)r->landed_step, "pid",
                         (json_int_t)getpid());
        if (root != NULL && left_ns != CLOCK_NEVER) {
                json_object_set_new(root, "left_s", json_real((double)left_ns / (double)CLOCK_SECOND));
                json_object_set_new(root, "lead_s", json_real((double)lead_ns / (double)CLOCK_SECOND));
                json_object_set_new(root, "cause", json_string(deadline_cause_name(r->deadline.cause)));
        }
        return root;
}

static int open_file(struct run *r)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];

        if (r->progress.fd >= 0)
                return 0;
        if (rundir_join(path, sizeof path, r->o->dir, RUNDIR_PROGRESS, NULL, NULL) != 0)
                return -1;
        r->progress.fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0644);
        return r->progress.fd >= 0 ? 0 : -1;
}

void progress_write(struct run *r)
{
        int64_t step = ranks_step(&r->ranks);
        json_t *root;
        char *text;
        size_t n;

        if (step < 0 || r->ending.lease_lost || open_file(r) != 0)
                return;
        measure(&r->progress, clock_now(), step);
        root = progress_json(r, step);
        text = root == NULL ? NULL : json_dumps(root, JSON_REAL_PRECISION(6));
        json_decref(root);
        if (text == NULL)
                return;
        n = strlen(text);
        text[n] = '\n';
        if (pwrite(r->progress.fd, text, n + 1, 0) == (ssize_t)(n + 1) &&
            ftruncate(r->progress.fd, (off_t)(n + 1)) == 0)
                r->progress.file_step = step;
        r->progress.file_ns = clock_now();
        free(text);
}

void progress_tick(struct run *r)
{
        int64_t now = clock_now(), step = ranks_step(&r->ranks);

        if (step < 0)
                return;
        if (r->progress.line_step < 0) {
                r->progress.line_step = step;
                r->progress.line_ns = now;
        }
        if (now - r->progress.line_ns >= PROGRESS_LINE_EVERY && r->ranks.present > 0)
                say(r, now, step);
        if (now - r->progress.file_ns >= PROGRESS_FILE_EVERY - 100 * CLOCK_MS && step != r->progress.file_step)
                progress_write(r);
}

void progress_close(struct run *r)
{
        if (r->progress.fd >= 0)
                close(r->progress.fd);
        r->progress.fd = -1;
}
