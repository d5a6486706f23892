/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * restoring: from RESTORE to RESTORE_DONE.  Called by ranks for what programs say and by main for what `stint run`
 * says.  An image is held back until RUN_USE, because all ranks must take the same checkpoint or none; of one that is
 * brought to its program meanwhile, that is the word that it counts.
 */
#include "restoring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "assembly.h"
#include "durable.h"
#include "fault.h"
#include "feed.h"
#include "log.h"
#include "prefetch.h"
#include "recall.h"
#include "spare.h"

void restoring_drop(struct rank *rank)
{
        if (rank->image)
                reader_free(rank->image);
        rank->image = NULL;
}

void restoring_ask(struct rank *rank, const struct wire_restore *m)
{
        struct wire_agent_restore_ask ask = { .rank = rank->rank, .ranks = (uint32_t)rank->of, .which = m->which };

        WIRE_INIT(&ask, WIRE_AGENT_RESTORE_ASK);
        coordinator_send(rank->ranks->run, &ask);
}

void restoring_done(struct rank *rank, const struct wire_restore_done *m)
{
        struct wire_agent_restore_done done = {
                .rank = rank->rank, .code = m->code, .step = m->step, .copy_ns = m->copy_ns
        };

        /* Memory of stintd's is emptied when it is let go of, whoever still has it mapped. */
        if (!m->carries) {
                staging_drop(rank->lent);
                rank->lent = NULL;
        }
        WIRE_INIT(&done, WIRE_AGENT_RESTORE_DONE);
        memcpy(done.text, m->text, sizeof done.text);
        coordinator_send(rank->ranks->run, &done);
}

static void on_read(struct work *work);

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* reader is NULL when it did not come to that. */
static void report(struct rank *rank, const struct stint_error *err, const struct reader *reader)
{
        struct wire_agent_restore_read m = { .rank = rank->rank, .code = err->code, .ahead = rank->read_ahead };

        WIRE_INIT(&m, WIRE_AGENT_RESTORE_READ);
        if (reader) {
                m.from = reader->assembly   ? RESTORE_FROM_PIECES
                         : reader->recalled ? RESTORE_FROM_STAGING
                         : reader->streamed ? RESTORE_FROM_STREAM
                                            : RESTORE_FROM_DISK;
                m.took_ns = reader->took_ns;
                m.bytes = reader->file_bytes;
        }
        wire_text(m.text, sizeof m.text, !err->code && reader && reader->assembly ? reader->assembly->said : err->text);
        coordinator_send(rank->ranks->run, &m);
}

static void await(struct rank *rank, struct reader *reader)
{
        rank->reader = reader;
        rank->jobs++;
}

/* ---- of other ranks, or in other pieces -------------------------------------------------------------------------- */

/* `stint run` has told what all of it is. */
static int is_known(const struct rank *rank, const struct wire_run_restore *m)
{
        return rank->pieces.saved != 0 && strcmp(rank->pieces.checkpoint, m->checkpoint) == 0;
}

static int is_of_other_ranks(const struct rank *rank, const struct wire_run_restore *m)
{
        return is_known(rank, m) && rank->pieces.saved != m->ranks;
}

/* A job that puts its image together; NULL when this cannot be. */
static struct reader *new_assembly(struct rank *rank, const struct wire_run_restore *m, struct stint_error *err)
{
        struct reader *reader;

        if (!(rank->takes & HELLO_TAKES_RANKS)) {
                error_set(err, EPROTO, "the libstint of this program takes only what as many ranks have saved");
                return NULL;
        }
        reader = reader_new(rank->ranks->dir, m->checkpoint, rank->ranks->run_id, err);
        if (!reader)
                return NULL;
        reader->rank = (uint32_t)rank->rank;
        reader->ranks = m->ranks;
        reader->checkpoint_step = m->checkpoint_step;
        if (assembly_prepare(reader, &rank->ranks->gathered, &rank->pieces, m->ranks, &rank->attached, err) == 0)
                return reader;
        reader_free(reader);
        return NULL;
}

static void start_assembly(struct rank *rank, const struct wire_run_restore *m)
{
        struct stint_error err = { 0 };
        struct reader *reader = new_assembly(rank, m, &err);

        rank->read_ahead = 0;
        if (!reader) {
                report(rank, &err, NULL);
                return;
        }
        reader->owner = rank;
        await(rank, reader);
        work_start(rank->ranks->loop, NULL, &reader->work, assembly_run, on_read);
}

/* A file of this rank's own, whose arrays its program has cut otherwise since: the table is in memory already. */
static int is_cut_otherwise(const struct rank *rank, const struct reader *reader)
{
        const struct seal *seal = &reader->seal;
        const uint64_t bytes = seal->table_count * seal->record_bytes;
        void *table;
        int rc;

        if (!is_known(rank, &rank->wanted) || reader->assembly || reader->streamed || !reader_holds(reader))
                return 0;
        table = malloc(bytes + 1);
        rc = table && durable_pread(reader->fd, table, bytes, (off_t)seal->table_offset, reader->path, NULL) == 0 &&
             attached_is_cut_otherwise(&rank->attached, table, seal->table_count, seal->record_bytes);
        free(table);
        return rc;
}

static int stream_is_cut_otherwise(const struct rank *rank, const struct feed *feed)
{
        return is_known(rank, &rank->wanted) &&
               attached_is_cut_otherwise(&rank->attached, feed->table, feed->seal.table_count, feed->seal.record_bytes);
}

static void put_together_instead(struct rank *rank, struct reader *reader)
{
        reader_free(reader);
        start_assembly(rank, &rank->wanted);
}

/* ---- what became of it ------------------------------------------------------------------------------------------- */

/* What was read is held back for the other ranks; what was not is told. */
static void take(struct rank *rank, struct reader *reader)
{
        const struct stint_error fine = { 0 };

        if (is_cut_otherwise(rank, reader)) {
                put_together_instead(rank, reader);
                return;
        }
        report(rank, reader_holds(reader) ? &fine : &reader->err, reader);
        if (!reader_holds(reader)) {
                reader_free(reader);
                return;
        }
        rank->image = reader;
}

static int takes_stream(const struct rank *rank)
{
        return (rank->takes & HELLO_TAKES_STREAM) != 0;
}

/* The program copies what it gets, and counts nothing of it before it hears that it holds. */
static void bring(struct rank *rank, struct reader *reader)
{
        const struct feed *feed = reader->feed;
        struct wire_restore_table table = {.image_bytes = reader->file_bytes, .count = feed->seal.table_count};
        struct wire_restore_stream m = {.ring_bytes = feed->window.ring_bytes, .image_bytes = reader->file_bytes};

        WIRE_INIT(&table, WIRE_RESTORE_TABLE);
        table.record_bytes = feed->seal.record_bytes;
        memcpy(table.checkpoint, rank->wanted.checkpoint, sizeof table.checkpoint);
        rank_send(rank, &table, feed->table_fd);
        WIRE_INIT(&m, WIRE_RESTORE_STREAM);
        rank_send(rank, &m, feed->window.fd);
        reader->brought = 1;
        rank->read_ahead = 0;
        await(rank, reader);
        work_start(rank->ranks->loop, NULL, &reader->work, reader_bring, on_read);
}

static void on_read(struct work *work)
{
        struct reader *reader = (struct reader *)work;
        struct rank *rank = reader->owner;

        rank->jobs--;
        rank->reader = NULL;
        if (rank->gone)
                reader_free(reader);
        else if (reader->feed && !reader->brought && stream_is_cut_otherwise(rank, reader->feed))
                put_together_instead(rank, reader);
        else if (reader->feed && !reader->brought)
                bring(rank, reader);
        else
                take(rank, reader);
        rank_release(rank);
}

void restoring_gone(struct rank *rank)
{
        if (rank->reader && (rank->reader->brought || rank->reader->assembly))
                reader_stop(rank->reader);
}

static void start_reader(struct rank *rank, const struct wire_run_restore *m)
{
        struct stint_error err = { 0 };
        struct reader *reader = reader_new(rank->ranks->dir, m->checkpoint, rank->ranks->run_id, &err);

        if (!reader) {
                report(rank, &err, NULL);
                return;
        }
        reader->owner = rank;
        atomic_store(&reader->streams, takes_stream(rank));
        if (takes_stream(rank))
                reader->ring_fd = spare_take(rank->ranks->spare);
        reader->rank = (uint32_t)rank->rank;
        reader->ranks = m->ranks;
        reader->checkpoint_step = m->checkpoint_step;
        reader->file_bytes = m->file_bytes;
        reader->root = m->root;
        reader->staging = recall_find(rank->ranks->recall, m->rank, m->root, m->file_bytes);
        await(rank, reader);
        work_start(rank->ranks->loop, NULL, &reader->work, recall_run, on_read);
}

void restoring_pieces(struct ranks *r, const struct wire_run_pieces *m)
{
        struct rank *rank = ranks_connected(r, m->rank);

        if (rank)
                rank->pieces = *m;
}

/* ---- which way --------------------------------------------------------------------------------------------------- */

/* From the memory into which it was read ahead, or is about to be; else from the disk, streamed. */
static void read_image(struct rank *rank, const struct wire_run_restore *m)
{
        int at_work = 0;
        struct reader *reader;

        rank->wanted = *m;
        if (is_of_other_ranks(rank, m)) {
                prefetch_drop(rank->ranks->prefetch, rank->rank);
                spare_drop(rank->ranks->spare);
                start_assembly(rank, m);
                return;
        }
        reader = prefetch_take(rank->ranks->prefetch, m, takes_stream(rank), rank, on_read, &at_work);
        rank->read_ahead = reader != NULL;
        if (!reader) {
                start_reader(rank, m);
                return;
        }
        spare_drop(rank->ranks->spare);
        if (at_work)
                await(rank, reader);
        else
                take(rank, reader);
}

/* ---- handing over ------------------------------------------------------------------------------------------------ */

static void set_best(struct wire_restore_image *out, double value, uint32_t goal, const char *name)
{
        out->has_best = 1;
        out->best_value = value;
        out->best_goal = goal;
        wire_text(out->best_name, sizeof out->best_name, name);
}

/* There is nothing to read: the program hears so at once. */
static void answer_without(struct rank *rank, const struct wire_run_restore *m)
{
        const struct wire_run_best *best = &rank->ranks->best;
        struct wire_restore_image image = { .status = m->status, .code = m->code };

        WIRE_INIT(&image, WIRE_RESTORE_IMAGE);
        image.checkpoint_step = m->checkpoint_step;
        memcpy(image.checkpoint, m->checkpoint, sizeof image.checkpoint);
        memcpy(image.text, m->text, sizeof image.text);
        if (best->goal)
                set_best(&image, best->value, best->goal, best->name);
        rank_send(rank, &image, -1);
}

void restoring_read(struct ranks *r, const struct wire_run_restore *m)
{
        struct rank *rank = ranks_connected(r, m->rank);
        struct stint_error err = { 0 };

        if (!rank)
                return; /* AGENT_GONE says so */
        restoring_drop(rank);
        if (m->status != RESTORE_IMAGE) {
                prefetch_drop(r->prefetch, m->rank);
                answer_without(rank, m);
                return;
        }
        if (rank->reader) {
                error_set(&err, EBUSY, "rank %d is reading another checkpoint", rank->rank);
                report(rank, &err, NULL);
                return;
        }
        read_image(rank, m);
}

static void say_ranks(struct rank *rank, uint32_t saved)
{
        struct wire_restore_ranks m = { .saved = saved };

        WIRE_INIT(&m, WIRE_RESTORE_RANKS);
        rank_send(rank, &m, -1);
}

static void hand_over(struct rank *rank, const struct wire_run_use *m)
{
        const struct wire_run_best *best = &rank->ranks->best;
        const struct seal *seal = &rank->image->seal;
        struct wire_restore_image image = { .status = RESTORE_IMAGE,
                                            .step = seal->step,
                                            .image_bytes = seal->file_bytes };

        WIRE_INIT(&image, WIRE_RESTORE_IMAGE);
        image.checkpoint_step = rank->wanted.checkpoint_step;
        image.table_offset = seal->table_offset;
        image.streamed = (uint32_t)rank->image->streamed;
        image.count = seal->table_count;
        image.record_bytes = seal->record_bytes;
        memcpy(image.checkpoint, rank->wanted.checkpoint, sizeof image.checkpoint);
        memcpy(image.text, m->text, sizeof image.text);
        if (m->has_best)
                set_best(&image, m->best_value, m->best_goal, m->best_name);
        else if (best->goal)
                set_best(&image, best->value, best->goal, best->name);
        if (rank->image->assembly)
                say_ranks(rank, rank->image->assembly->gathered->told.saved);
        rank_send(rank, &image, rank->image->fd);
        if (rank->image->recalled) {
                staging_drop(rank->lent);
                rank->lent = staging_hold(rank->image->staging);
        }
        restoring_drop(rank);
}

void restoring_use(struct ranks *r, const struct wire_run_use *m)
{
        struct rank *rank = ranks_connected(r, m->rank);
        struct wire_run_restore failed = { .rank = m->rank, .status = RESTORE_FAILED };
        const int code = fault_point("restore.before_use");

        if (!rank)
                return;
        if (rank->image && code == 0) {
                hand_over(rank, m);
                return;
        }
        failed.code = code ? code : EPROTO;
        wire_text(failed.text, sizeof failed.text,
                  code ? "the image could not be handed over (fault restore.before_use)"
                       : "there is no image to hand over");
        log_error("rank %d: %s", rank->rank, failed.text);
        restoring_drop(rank);
        answer_without(rank, &failed);
}
