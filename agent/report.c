/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report: what `stint run` hears of the saves of a rank, and what they took from training.  Called by saving. */
#include "report.h"

#include <errno.h>
#include <string.h>
#include "clock.h"
#include "histogram.h"
#include "streamed.h"

/* ---- what a write takes from training --------------------------------------------------------------------------- */

static uint64_t steps_of(const struct rank *rank, int64_t *step_ns)
{
        struct histogram steps;

        memcpy(&steps, &rank->page->steps, sizeof steps); /* it goes on counting meanwhile, which costs nobody anything */
        *step_ns = histogram_quantile(&steps, 0.5);
        return histogram_count(&steps);
}

void report_begin(struct rank *rank, int stands, int streams)
{
        struct flight *f = &rank->flight;

        f->since_ns = clock_now();
        f->steps = steps_of(rank, &f->step_ns);
        f->stands = stands;
        f->streams = streams;
}

/* The time that is not in steps of the usual length; a step that is not done yet counts as none. */
static int64_t flight_drag(const struct rank *rank)
{
        const struct flight *f = &rank->flight;
        int64_t took_ns = clock_now() - f->since_ns, made_ns, step_ns;
        uint64_t steps = steps_of(rank, &step_ns) - f->steps;

        if (f->since_ns == 0 || f->stands || f->streams || rank->gone)
                return -1;
        if (steps > INT32_MAX || __builtin_mul_overflow((int64_t)steps, f->step_ns, &made_ns) || made_ns > took_ns)
                return 0;
        return took_ns - made_ns;
}

/* ---- what became of it ------------------------------------------------------------------------------------------- */

void report_failure(struct rank *rank, uint32_t save_id, uint32_t attempt, int64_t checkpoint_step,
                           const struct stint_error *why)
{
        struct wire_agent_save_failed m = { .save_id = save_id, .attempt = attempt, .rank = rank->rank };

        WIRE_INIT(&m, WIRE_AGENT_SAVE_FAILED);
        m.code = why->code ? why->code : EIO;
        m.checkpoint_step = checkpoint_step;
        wire_text(m.text, sizeof m.text, why->text);
        coordinator_send(rank->ranks->run, &m);
}

/* Of a streamed image only what came after its last byte: the rest is in copy_ns, for training stood still. */
static void add_streamed(struct wire_agent_sealed *m, const struct rank_snapshot *s, const struct writer *w)
{
        const int64_t behind_ns = w->hash_ns + w->write_ns - m->copy_ns;

        m->window_bytes = w->passage->window.ring_bytes;
        m->blocked_ns = s ? s->blocked_ns : 0;
        m->write_ns = behind_ns > w->hash_ns ? behind_ns - w->hash_ns : 0;
}

void report_sealed(struct rank *rank, const struct wire_snapshot *s, uint32_t attempt, const struct writer *w,
                          const struct rank_snapshot *kept)
{
        struct wire_agent_sealed m = { .save_id = s->save_id, .attempt = attempt, .rank = rank->rank };

        WIRE_INIT(&m, WIRE_AGENT_SEALED);
        m.ranks = (uint32_t)rank->of;
        m.step = s->step;
        m.checkpoint_step = s->checkpoint_step;
        m.flags = s->flags & SNAPSHOT_UNCHANGED;
        m.delay_ns = s->delay_ns;
        m.copy_ns = s->copy_ns;
        m.drag_ns = -1;
        if (w) {
                m.drag_ns = flight_drag(rank);
                m.file_bytes = w->seal.file_bytes;
                m.state_bytes = w->seal.state_bytes;
                m.hash_ns = w->hash_ns;
                m.write_ns = w->write_ns;
                if (w->passage)
                        add_streamed(&m, kept, w);
        }
        coordinator_send(rank->ranks->run, &m);
}

const struct staging *report_image(const struct rank *rank, uint32_t image)
{
        return image == 0 ? rank->staging : image == 1 ? rank->second : NULL;
}

int report_is_taken(const struct rank *rank, const struct staging *image)
{
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                if (rank->snapshots[i].told.save_id != 0 && rank->snapshots[i].staged == image)
                        return 1;
        return 0;
}

void report_taken(const struct rank *rank, const struct rank_snapshot *s, uint32_t attempt)
{
        struct wire_agent_taken m = { .save_id = s->told.save_id, .attempt = attempt, .rank = rank->rank };
        uint32_t i;

        WIRE_INIT(&m, WIRE_AGENT_TAKEN);
        for (i = 0; i < STAGING_IMAGES; i++)
                if (report_image(rank, i) && !report_is_taken(rank, report_image(rank, i)))
                        m.free_images++;
        m.checkpoint_step = s->told.checkpoint_step;
        m.wait_ns = s->told.wait_ns;
        coordinator_send(rank->ranks->run, &m);
}
