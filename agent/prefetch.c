/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * prefetch: from RUN_PREFETCH to an image that waits for its program.  Called by main and restoring, on the loop's
 * thread; the reading itself is done by recall and reader.  What is found damaged is told `stint run` at once, which sets it aside and
 * names an older one, all before the program asks.  What could not be read for another reason is tried again when it
 * does.
 */
#include "prefetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "duration.h"
#include "log.h"
#include "memory.h"
#include "recall.h"

/* One rank's file. */
struct prefetched {
        struct prefetch *prefetch;
        struct prefetched *next;
        struct wire_run_prefetch wanted;
        struct reader *reader; /* NULL: it waits for its turn */
        int at_work;           /* the reader is; afterwards it holds the image */
};

static void begin_next(struct prefetch *p);

/* ---- letting go -------------------------------------------------------------------------------------------------- */

static void unlink_one(struct prefetch *p, struct prefetched *one)
{
        struct prefetched **at = &p->first;

        while (*at != one)
                at = &(*at)->next;
        *at = one->next;
}

/* A read that nobody wants any more has ended. */
static void on_unwanted(struct work *work)
{
        struct reader *reader = (struct reader *)work;
        struct prefetch *p = reader->owner;

        reader_free(reader);
        p->at_work = 0;
        begin_next(p);
}

static void let_go(struct prefetch *p, struct prefetched *one)
{
        unlink_one(p, one);
        if (one->at_work) {
                reader_stop(one->reader);
                one->reader->owner = p;
                one->reader->work.done = on_unwanted;
        } else if (one->reader) {
                reader_free(one->reader);
        }
        free(one);
}

void prefetch_drop(struct prefetch *p, int32_t rank)
{
        struct prefetched *one, *next;

        for (one = p->first; one; one = next) {
                next = one->next;
                if (rank < 0 || one->wanted.rank == rank)
                        let_go(p, one);
        }
}

static void drop_others(struct prefetch *p, const char *checkpoint)
{
        struct prefetched *one, *next;

        for (one = p->first; one; one = next) {
                next = one->next;
                if (strcmp(one->wanted.checkpoint, checkpoint) != 0)
                        let_go(p, one);
        }
}

static void on_forget(uv_timer_t *timer)
{
        struct prefetch *p = timer->data;
        char how_long[32];

        if (!p->first)
                return;
        log_notice("%s was read ahead, and no program has asked for it in %s: its memory is given back",
                   p->first->wanted.checkpoint, duration_format(how_long, sizeof how_long, p->keep_ns));
        prefetch_drop(p, -1);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void report(const struct prefetch *p, const struct prefetched *one, const struct stint_error *err,
                   const struct reader *reader)
{
        struct wire_agent_prefetched m = { .rank = one->wanted.rank, .code = err->code };

        WIRE_INIT(&m, WIRE_AGENT_PREFETCHED);
        m.took_ns = reader ? reader->took_ns : 0;
        m.bytes = one->wanted.file_bytes;
        memcpy(m.checkpoint, one->wanted.checkpoint, sizeof m.checkpoint);
        wire_text(m.text, sizeof m.text, err->text);
        coordinator_send(p->ranks->run, &m);
}

/*
 * To map an image of small pages costs a program as much as to copy it.  This one has been checked, and whether it will be given is for
 * all ranks together to say; to map it is no harm.
 */
static void show(const struct prefetched *one, struct rank *rank)
{
        struct wire_image_ahead m = { .image_bytes = one->wanted.file_bytes };

        if (!rank || !(rank->takes & HELLO_TAKES_AHEAD) || rank->of != (int32_t)one->wanted.ranks)
                return;
        WIRE_INIT(&m, WIRE_IMAGE_AHEAD);
        rank_send(rank, &m, one->reader->fd);
}

void prefetch_show(struct prefetch *p, struct rank *rank)
{
        const struct prefetched *one;

        for (one = p->first; one; one = one->next)
                if (one->wanted.rank == rank->rank && one->reader && !one->at_work)
                        show(one, rank);
}

static void on_read(struct work *work)
{
        struct reader *reader = (struct reader *)work;
        struct prefetched *one = reader->owner;
        struct prefetch *p = one->prefetch;
        const struct stint_error fine = { 0 };

        one->at_work = 0;
        p->at_work = 0;
        report(p, one, reader->fd < 0 ? &reader->err : &fine, reader);
        if (reader->fd < 0) {
                let_go(p, one);
        } else {
                show(one, ranks_connected(p->ranks, one->wanted.rank));
                uv_timer_start(&p->forget, on_forget, (uint64_t)(p->keep_ns / CLOCK_MS), 0);
        }
        begin_next(p);
}

/* Half of what would be free without the images that wait here belongs to the programs that are starting. */
static int is_affordable(const struct prefetch *p, uint64_t bytes)
{
        const int64_t available = memory_available();
        const struct prefetched *one;
        uint64_t held = 0;

        for (one = p->first; one; one = one->next)
                if (one->reader)
                        held += one->wanted.file_bytes;
        return available < 0 || (bytes <= (uint64_t)available && held + bytes <= ((uint64_t)available + held) / 2);
}

static int begin(struct prefetch *p, struct prefetched *one)
{
        const struct wire_run_prefetch *m = &one->wanted;
        struct stint_error err = { 0 };
        struct reader *reader;

        if (!is_affordable(p, m->file_bytes))
                error_set(&err, ENOMEM, "%s would take more than half of this node's free memory and is not read ahead",
                          m->checkpoint);
        reader = err.code ? NULL : reader_new(p->ranks->dir, m->checkpoint, p->ranks->run_id, &err);
        if (!reader) {
                report(p, one, &err, NULL);
                return -1;
        }
        reader->owner = one;
        reader->rank = (uint32_t)m->rank;
        reader->ranks = m->ranks;
        reader->checkpoint_step = m->checkpoint_step;
        reader->file_bytes = m->file_bytes;
        reader->root = m->root;
        reader->staging = recall_find(p->ranks->recall, m->rank, m->root, m->file_bytes);
        one->reader = reader;
        one->at_work = p->at_work = 1;
        work_start(p->ranks->loop, NULL, &reader->work, recall_run, on_read);
        return 0;
}

static void begin_next(struct prefetch *p)
{
        struct prefetched *one, *next;

        for (one = p->first; one && !p->at_work && !p->closed; one = next) {
                next = one->next;
                if (!one->reader && begin(p, one) < 0)
                        let_go(p, one);
        }
}

/* ---- what `stint run` says --------------------------------------------------------------------------------------- */

static struct prefetched *find(struct prefetch *p, int32_t rank, const char *checkpoint, uint64_t bytes, uint64_t root)
{
        struct prefetched *one;

        for (one = p->first; one; one = one->next)
                if (one->wanted.rank == rank && strcmp(one->wanted.checkpoint, checkpoint) == 0 &&
                    one->wanted.file_bytes == bytes && one->wanted.root == root)
                        return one;
        return NULL;
}

static void append(struct prefetch *p, const struct wire_run_prefetch *m)
{
        struct prefetched *one = calloc(1, sizeof *one), **at = &p->first;

        if (!one)
                return; /* it is read when it is asked for */
        one->prefetch = p;
        one->wanted = *m;
        while (*at)
                at = &(*at)->next;
        *at = one;
}

void prefetch_want(struct prefetch *p, const struct wire_run_prefetch *m)
{
        if (m->checkpoint[0] == '\0') {
                prefetch_drop(p, m->rank);
                return;
        }
        if (m->rank < 0 || (uint32_t)m->rank >= m->ranks || find(p, m->rank, m->checkpoint, m->file_bytes, m->root))
                return;
        drop_others(p, m->checkpoint);
        prefetch_drop(p, m->rank);
        append(p, m);
        begin_next(p);
}

/* ---- what restoring takes ---------------------------------------------------------------------------------------- */

/* One that has not come to the disk yet will stream when it does. */
static int is_worth_waiting_for(struct reader *reader, int streams)
{
        atomic_store(&reader->streams, streams);
        return !streams || reader_is_half_way(reader);
}

struct reader *prefetch_take(struct prefetch *p, const struct wire_run_restore *m, int streams, void *owner,
                             void (*done)(struct work *work), int *at_work)
{
        struct prefetched *one = find(p, m->rank, m->checkpoint, m->file_bytes, m->root);
        struct reader *reader = one && one->wanted.ranks == m->ranks ? one->reader : NULL;

        drop_others(p, m->checkpoint);
        if (reader && one->at_work && !is_worth_waiting_for(reader, streams))
                reader = NULL;
        if (!reader) { /* one that waits for its turn is read now, beside all others */
                prefetch_drop(p, m->rank);
                return NULL;
        }
        *at_work = one->at_work;
        reader->owner = owner;
        if (one->at_work) {
                reader->work.done = done;
                p->at_work = 0;
        }
        unlink_one(p, one);
        free(one);
        begin_next(p);
        return reader;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

void prefetch_open(struct prefetch *p, uv_loop_t *loop, struct ranks *ranks)
{
        p->ranks = ranks;
        p->keep_ns = PREFETCH_KEEP;
        uv_timer_init(loop, &p->forget);
        p->forget.data = p;
}

void prefetch_close(struct prefetch *p)
{
        p->closed = 1;
        prefetch_drop(p, -1);
        uv_close((uv_handle_t *)&p->forget, NULL);
}
