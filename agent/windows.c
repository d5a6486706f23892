/* SPDX-License-Identifier: GPL-2.0-or-later */
/* windows: on their way to a program and back.  Called by ranks and saving. */
#include "windows.h"

#include <errno.h>
#include "duration.h"
#include "log.h"
#include "streamed.h"
#include "writer.h"

static int in_use(const struct rank *rank)
{
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                if (rank->snapshots[i].passage)
                        return 1;
        return rank->writer && rank->writer->passage;
}

static void send_window(struct rank *rank)
{
        struct wire_window m = { .layout = rank->layout };
        const struct window *w = &rank->window->window;

        WIRE_INIT(&m, WIRE_WINDOW);
        m.image_bytes = w->image_bytes;
        m.ring_bytes = w->ring_bytes;
        rank_send(rank, &m, w->fd);
}

void windows_next(struct rank *rank)
{
        const struct staging *s = rank->streamed;
        struct stint_error err = { 0 };

        if (!s || rank->gone || rank->window || in_use(rank))
                return;
        rank->window = s->streamed->first;
        s->streamed->first = NULL;
        if (!rank->window)
                rank->window = passage_new(s->streamed->window_bytes, s->image_bytes, &err);
        if (rank->window)
                send_window(rank);
        else /* the program waits at its next save, and that one fails */
                log_warning("rank %d: no window for the next save: %s", rank->rank, err.text);
}

void windows_return(struct rank *rank, const struct staging *staging, struct passage *p)
{
        if (staging != rank->streamed || rank->gone || rank->window || atomic_load(&p->stopped)) {
                passage_free(p);
                return;
        }
        window_renew(&p->window);
        rank->window = p;
        send_window(rank);
}

void windows_begin(struct rank *rank, const char *why)
{
        const struct staging *s = rank->streamed;
        struct wire_places m = { .layout = rank->layout, .record_bytes = s->record_bytes };
        char whole[32], window[32];

        log_notice("rank %d: no memory for a whole image of %s (%s): saves are streamed through %s and training waits "
                   "while they are written",
                   rank->rank, size_format(whole, sizeof whole, (int64_t)s->image_bytes), why,
                   size_format(window, sizeof window, (int64_t)s->streamed->window_bytes));
        WIRE_INIT(&m, WIRE_PLACES);
        m.count = s->count;
        m.image_bytes = s->image_bytes;
        rank_send(rank, &m, s->streamed->table_fd);
        windows_next(rank);
}

struct passage *windows_take(struct rank *rank)
{
        struct passage *p = rank->window;

        rank->window = NULL;
        return p;
}

static void drop_window(struct rank *rank)
{
        struct passage *p = windows_take(rank);

        if (p)
                passage_stop(p, ECANCELED, "nobody wants it");
        passage_free(p);
}

void windows_refuse(struct rank *rank)
{
        drop_window(rank);
        windows_next(rank);
}

void windows_end(struct rank *rank)
{
        drop_window(rank);
        staging_drop(rank->streamed);
        rank->streamed = NULL;
}
