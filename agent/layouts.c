/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * layouts: each layout becomes an image or, where there is no memory for one, a window, and takes the place of the one
 * before.  All that lasts is done on threads; what comes of it, here, on the loop.
 */
#include "layouts.h"

#include <errno.h>
#include <stdlib.h>
#include "duration.h"
#include "log.h"
#include "prefetch.h"
#include "recall.h"
#include "saving.h"
#include "streamed.h"
#include "windows.h"

/* ---- the first image --------------------------------------------------------------------------------------------- */

static void refuse_layout(struct rank *rank, uint32_t layout, const struct stint_error *why)
{
        struct wire_layout_refused m = { .layout = layout, .code = why->code };

        WIRE_INIT(&m, WIRE_LAYOUT_REFUSED);
        wire_text(m.text, sizeof m.text, why->text);
        log_warning("rank %d: its state cannot be saved: %s", rank->rank, why->text);
        rank_send(rank, &m, -1);
}

static void send_image(struct rank *rank, const struct staging *s, uint32_t image)
{
        struct wire_staging m = { .layout = rank->layout, .image = image, .record_bytes = s->record_bytes };

        WIRE_INIT(&m, WIRE_STAGING);
        m.count = s->count;
        m.image_bytes = s->image_bytes;
        m.table_offset = s->table_offset;
        rank_send(rank, &m, s->fd);
}

static void send_staging(struct rank *rank, const struct staging_job *job)
{
        const struct staging *s = rank_frame(rank);
        struct wire_agent_layout report = { .rank = rank->rank, .tensors = s->count, .state_bytes = s->state_bytes };

        if (s->streamed)
                windows_begin(rank, job->err.text);
        else
                send_image(rank, s, 0);
        WIRE_INIT(&report, WIRE_AGENT_LAYOUT);
        report.image_bytes = s->image_bytes;
        report.took_ns = job->took_ns;
        coordinator_send(rank->ranks->run, &report);
}

static void take_staging(struct rank *rank, struct staging_job *job)
{
        staging_drop(rank->staging); /* of a layout that came between */
        rank->staging = NULL;
        windows_end(rank);
        rank->layout = job->layout;
        if (job->made->streamed)
                rank->streamed = job->made;
        else
                rank->staging = job->made;
        job->made = NULL;
        send_staging(rank, job);
}

static void on_staging(struct work *work)
{
        struct staging_job *job = (struct staging_job *)work;
        struct rank *rank = job->owner;

        rank->jobs--;
        if (!rank->gone && job->made) {
                take_staging(rank, job);
        } else if (!rank->gone) {
                refuse_layout(rank, job->layout, &job->err);
        }
        staging_job_free(job);
        rank->ranks->on_change(rank->ranks->arg);
        rank_release(rank);
}

void layouts_take(struct rank *rank, const struct wire_layout *m, int *fd)
{
        struct stint_error err = { 0 };
        struct staging_job *job;

        if (*fd < 0) {
                error_set(&err, EBADMSG, "a layout came without its table");
                refuse_layout(rank, m->layout, &err);
                return;
        }
        /* It has its state, or begins without: what was read ahead would take the place of its staging. */
        prefetch_drop(rank->ranks->prefetch, rank->rank);
        recall_drop(rank->ranks->recall, rank->rank);
        job = calloc(1, sizeof *job);
        if (!job) {
                error_set(&err, ENOMEM, "no memory for a layout");
                refuse_layout(rank, m->layout, &err);
                return;
        }
        job->owner = rank;
        job->layout = m->layout;
        job->count = m->count;
        job->record_bytes = m->record_bytes;
        job->may_stream = (rank->takes & HELLO_TAKES_WINDOW) != 0;
        job->table_fd = *fd;
        *fd = -1;
        /* The old staging does not fit any more, whatever becomes of the new one.  A snapshot in it keeps it alive. */
        if (rank->staging && rank->staging->references == 1)
                job->old = rank->staging;
        else
                staging_drop(rank->staging);
        rank->staging = NULL;
        staging_drop(rank->second);
        rank->second = NULL;
        windows_end(rank);
        rank->jobs++;
        work_start(rank->ranks->loop, &rank->ranks->hdf5, &job->work, staging_job_run, on_staging);
}

/* ---- another one ------------------------------------------------------------------------------------------------- */

/* Another image; or the first one after all, and the window serves for what has begun to come through it. */
static void take_image(struct rank *rank, struct staging *image)
{
        char bytes[32];

        if (rank->staging) {
                rank->second = image;
                send_image(rank, image, 1);
                return;
        }
        rank->staging = image;
        send_image(rank, image, 0);
        log_notice("rank %d: there is memory for a whole image of %s again: saves are not streamed any more",
                   rank->rank, size_format(bytes, sizeof bytes, (int64_t)image->image_bytes));
}

static void on_second(struct work *work)
{
        struct staging_twin *twin = (struct staging_twin *)work;
        struct rank *rank = twin->owner;

        rank->jobs--;
        rank->making_second = 0;
        if (!twin->made) {
                log_debug("rank %d: no second image: %s", rank->rank, twin->err.text);
        } else if (!rank->gone && rank_frame(rank) == twin->first && rank->layout == twin->layout) {
                take_image(rank, twin->made);
                twin->made = NULL;
                saving_image_came(rank);
        }
        staging_twin_free(twin);
        rank_release(rank);
}

void layouts_make_second(struct rank *rank)
{
        struct staging_twin *twin;

        if (rank->second || rank->making_second || rank->gone || !rank_frame(rank))
                return;
        twin = calloc(1, sizeof *twin);
        if (!twin)
                return; /* the next save tries again */
        twin->owner = rank;
        twin->layout = rank->layout;
        twin->first = staging_hold(rank_frame(rank));
        rank->making_second = 1;
        rank->jobs++;
        work_start(rank->ranks->loop, &rank->ranks->seconds, &twin->work, staging_twin_run, on_second);
}
