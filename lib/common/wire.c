/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wire: the table of all messages, and the check that every one of them passes on arrival.  channel.h and frame.h bring
 * bytes; whoever receives calls wire_check (frame_feed does so itself) before it looks at a field.
 */
#include "wire.h"

#include <errno.h>
#include <string.h>

#define WIRE_TEXTS 8 /* most text fields of one message */

struct wire_field {
        uint16_t offset, size;
};

struct wire_kind {
        const char *name;
        uint16_t size;
        struct wire_field texts[WIRE_TEXTS];
};

#define FIELD(type, member) { offsetof(struct type, member), sizeof(((struct type *)0)->member) }

#define MESSAGE(kind, type, ...) [WIRE_##kind] = { #kind, sizeof(struct type), { __VA_ARGS__ } }
#define PLAIN(kind, type) [WIRE_##kind] = { #kind, sizeof(struct type), { { 0, 0 } } }

/* By type.  A field of size 0 ends the texts of a message. */
static const struct wire_kind kinds[] = {
        MESSAGE(HELLO, wire_hello, FIELD(wire_hello, library), FIELD(wire_hello, program),
                FIELD(wire_hello, devices)),
        PLAIN(LAYOUT, wire_layout),
        PLAIN(WANTED, wire_wanted),
        PLAIN(RESTORE, wire_restore),
        MESSAGE(RESTORE_DONE, wire_restore_done, FIELD(wire_restore_done, text)),
        MESSAGE(SNAPSHOT, wire_snapshot, FIELD(wire_snapshot, metrics[0].name), FIELD(wire_snapshot, metrics[1].name),
                FIELD(wire_snapshot, metrics[2].name), FIELD(wire_snapshot, metrics[3].name)),
        MESSAGE(SNAPSHOT_FAILED, wire_snapshot_failed, FIELD(wire_snapshot_failed, text)),
        PLAIN(ASK_SAVE, wire_ask_save),
        PLAIN(COMPLETE, wire_complete),
        PLAIN(BYE, wire_bye),
        PLAIN(STREAMED, wire_streamed),
        MESSAGE(DEVICES, wire_devices, FIELD(wire_devices, driver), FIELD(wire_devices, uuids),
                FIELD(wire_devices, models)),

        MESSAGE(WELCOME, wire_welcome, FIELD(wire_welcome, run_id), FIELD(wire_welcome, dir)),
        MESSAGE(REFUSED, wire_refused, FIELD(wire_refused, text)),
        PLAIN(STAGING, wire_staging),
        PLAIN(PLACES, wire_places),
        PLAIN(WINDOW, wire_window),
        MESSAGE(LAYOUT_REFUSED, wire_layout_refused, FIELD(wire_layout_refused, text)),
        MESSAGE(RESTORE_IMAGE, wire_restore_image, FIELD(wire_restore_image, best_name),
                FIELD(wire_restore_image, checkpoint), FIELD(wire_restore_image, text)),
        PLAIN(RESTORE_RANKS, wire_restore_ranks),
        PLAIN(IMAGE_AHEAD, wire_image_ahead),
        MESSAGE(RESTORE_TABLE, wire_restore_table, FIELD(wire_restore_table, checkpoint)),
        PLAIN(RESTORE_STREAM, wire_restore_stream),
        PLAIN(WAKE, wire_wake),
        MESSAGE(RESULT, wire_result, FIELD(wire_result, text)),
        MESSAGE(COMPLETED, wire_completed, FIELD(wire_completed, text)),

        PLAIN(RUN_DEADLINE, wire_run_deadline),
        PLAIN(RUN_MEASURED, wire_run_measured),
        MESSAGE(RUN_BEST, wire_run_best, FIELD(wire_run_best, name)),
        PLAIN(RUN_SAVE, wire_run_save),
        MESSAGE(RUN_RESULT, wire_run_result, FIELD(wire_run_result, text)),
        MESSAGE(RUN_RESTORE, wire_run_restore, FIELD(wire_run_restore, checkpoint), FIELD(wire_run_restore, text)),
        MESSAGE(RUN_PIECES, wire_run_pieces, FIELD(wire_run_pieces, checkpoint)),
        MESSAGE(RUN_USE, wire_run_use, FIELD(wire_run_use, best_name), FIELD(wire_run_use, text)),
        MESSAGE(RUN_COMPLETED, wire_run_completed, FIELD(wire_run_completed, text)),
        MESSAGE(RUN_PREFETCH, wire_run_prefetch, FIELD(wire_run_prefetch, checkpoint)),

        MESSAGE(AGENT_READY, wire_agent_ready, FIELD(wire_agent_ready, node), FIELD(wire_agent_ready, socket)),
        MESSAGE(AGENT_RANK, wire_agent_rank, FIELD(wire_agent_rank, program), FIELD(wire_agent_rank, devices)),
        PLAIN(AGENT_LAYOUT, wire_agent_layout),
        PLAIN(AGENT_TRIGGER, wire_agent_trigger),
        PLAIN(AGENT_TERM, wire_agent_term),
        PLAIN(AGENT_ASK_SAVE, wire_agent_ask_save),
        PLAIN(AGENT_PROGRESS, wire_agent_progress),
        PLAIN(AGENT_SEALED, wire_agent_sealed),
        MESSAGE(AGENT_SAVE_FAILED, wire_agent_save_failed, FIELD(wire_agent_save_failed, text)),
        PLAIN(AGENT_RESTORE_ASK, wire_agent_restore_ask),
        MESSAGE(AGENT_RESTORE_READ, wire_agent_restore_read, FIELD(wire_agent_restore_read, text)),
        MESSAGE(AGENT_RESTORE_DONE, wire_agent_restore_done, FIELD(wire_agent_restore_done, text)),
        PLAIN(AGENT_COMPLETE, wire_agent_complete),
        PLAIN(AGENT_GONE, wire_agent_gone),
        MESSAGE(AGENT_DIED, wire_agent_died, FIELD(wire_agent_died, how)),
        PLAIN(AGENT_ASK_DEADLINE, wire_agent_ask_deadline),
        PLAIN(AGENT_TAKEN, wire_agent_taken),
        MESSAGE(AGENT_DEVICES, wire_devices, FIELD(wire_devices, driver), FIELD(wire_devices, uuids),
                FIELD(wire_devices, models)),
        MESSAGE(AGENT_PREFETCHED, wire_agent_prefetched, FIELD(wire_agent_prefetched, checkpoint),
                FIELD(wire_agent_prefetched, text)),

        MESSAGE(SCHEDULER_ASK, wire_scheduler_ask, FIELD(wire_scheduler_ask, job), FIELD(wire_scheduler_ask, text)),
        MESSAGE(SCHEDULER_ANSWER, wire_scheduler_answer, FIELD(wire_scheduler_answer, job),
                FIELD(wire_scheduler_answer, text)),
        MESSAGE(SCHEDULER_CLUSTER, wire_scheduler_cluster, FIELD(wire_scheduler_cluster, cluster.name),
                FIELD(wire_scheduler_cluster, cluster.version), FIELD(wire_scheduler_cluster, cluster.library),
                FIELD(wire_scheduler_cluster, cluster.preempt_type), FIELD(wire_scheduler_cluster, cluster.task_plugin),
                FIELD(wire_scheduler_cluster, cluster.proctrack), FIELD(wire_scheduler_cluster, cluster.partition),
                FIELD(wire_scheduler_cluster, text)),

        PLAIN(VERB, wire_verb),
        MESSAGE(VERB_ANSWER, wire_verb_answer, FIELD(wire_verb_answer, text)),

        MESSAGE(DAEMON_HELLO, wire_daemon_hello, FIELD(wire_daemon_hello, run_id)),
        PLAIN(DAEMON_PLAN, wire_daemon_plan),
        PLAIN(DAEMON_SAVING, wire_daemon_saving),
        PLAIN(DAEMON_MEMORY, wire_daemon_memory),
        MESSAGE(DAEMON_REQUEST, wire_daemon_request, FIELD(wire_daemon_request, job)),
        PLAIN(DAEMON_HANDOVER, wire_daemon_handover),
        PLAIN(DAEMON_WRITTEN, wire_daemon_written),
        PLAIN(DAEMON_SEALED, wire_daemon_sealed),
        MESSAGE(DAEMON_FIND, wire_daemon_find, FIELD(wire_daemon_find, run_id)),
        MESSAGE(DAEMON_WELCOME, wire_daemon_welcome, FIELD(wire_daemon_welcome, job)),
        MESSAGE(DAEMON_REFUSED, wire_daemon_refused, FIELD(wire_daemon_refused, text)),
        PLAIN(DAEMON_TRIGGER, wire_daemon_trigger),
        PLAIN(DAEMON_ASK, wire_daemon_ask),
        PLAIN(DAEMON_GRANT, wire_daemon_grant),
        MESSAGE(DAEMON_JOB, wire_daemon_job, FIELD(wire_daemon_job, job), FIELD(wire_daemon_job, run_id),
                FIELD(wire_daemon_job, state)),
        MESSAGE(DAEMON_DONE, wire_daemon_done, FIELD(wire_daemon_done, text)),
};

static const struct wire_kind *kind_of(unsigned type)
{
        if (type >= sizeof kinds / sizeof kinds[0] || !kinds[type].name)
                return NULL;
        return &kinds[type];
}

size_t wire_size(unsigned type)
{
        const struct wire_kind *kind = kind_of(type);

        return kind ? kind->size : 0;
}

const char *wire_name(unsigned type)
{
        const struct wire_kind *kind = kind_of(type);

        return kind ? kind->name : "unknown message";
}

int wire_check_header(const struct wire_header *header, struct stint_error *err)
{
        const struct wire_kind *kind = kind_of(header->type);

        if (header->size < sizeof *header || header->size > WIRE_MOST)
                return error_set(err, EBADMSG, "a message says it has %u bytes; messages have %zu to %d", header->size,
                                 sizeof *header, WIRE_MOST);
        if (header->version != WIRE_VERSION)
                return error_set(err, EPROTONOSUPPORT,
                                 "a message of protocol %u came, and this side speaks %d: use one release on both "
                                 "sides",
                                 header->version, WIRE_VERSION);
        if (!kind)
                return error_set(err, EBADMSG, "a message of type %u came, which there is not", header->type);
        if (header->size != kind->size)
                return error_set(err, EBADMSG, "%s says it has %u bytes instead of %u", kind->name, header->size,
                                 kind->size);
        return 0;
}

/* Whether a text ends within its field and only zeros follow: what is sent again then carries nothing unseen. */
static int text_holds(const unsigned char *text, size_t size)
{
        size_t i, n = strnlen((const char *)text, size);

        if (n == size)
                return 0;
        for (i = n; i < size; i++)
                if (text[i])
                        return 0;
        return 1;
}

int wire_check(const void *bytes, size_t n, struct stint_error *err)
{
        const struct wire_kind *kind;
        struct wire_header header;
        int i;

        if (n < sizeof header)
                return error_set(err, EBADMSG, "a message of %zu bytes is too short to be one", n);
        memcpy(&header, bytes, sizeof header);
        if (wire_check_header(&header, err) < 0)
                return -1;
        if (header.size != n)
                return error_set(err, EBADMSG, "%s came with %zu bytes and says it has %u", wire_name(header.type), n,
                                 header.size);
        kind = kind_of(header.type);
        for (i = 0; i < WIRE_TEXTS && kind->texts[i].size > 0; i++)
                if (!text_holds((const unsigned char *)bytes + kind->texts[i].offset, kind->texts[i].size))
                        return error_set(err, EBADMSG, "text %d of %s does not end as a text does", i + 1, kind->name);
        if (header.type == WIRE_SNAPSHOT) {
                uint32_t metrics;

                memcpy(&metrics, (const char *)bytes + offsetof(struct wire_snapshot, metric_count), sizeof metrics);
                if (metrics > SEAL_METRICS)
                        return error_set(err, EBADMSG, "SNAPSHOT says it has %u metrics; it has room for %d", metrics,
                                         SEAL_METRICS);
        }
        return 0;
}

void wire_text(char *field, size_t size, const char *text)
{
        size_t n = strnlen(text, size - 1);

        /* A character of several bytes that would be cut in its middle is left out whole. */
        if (text[n] != '\0')
                while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
                        n--;
        memcpy(field, text, n);
        memset(field + n, 0, size - n);
}

/* What a compiler could do differently on some machine, and would be another protocol then. */
#define FITS(type) \
        _Static_assert(sizeof(struct type) <= WIRE_MOST && sizeof(struct type) % 8 == 0, #type " fits")
FITS(wire_hello);
FITS(wire_layout);
FITS(wire_wanted);
FITS(wire_restore);
FITS(wire_restore_done);
FITS(wire_snapshot);
FITS(wire_snapshot_failed);
FITS(wire_streamed);
FITS(wire_devices);
FITS(wire_ask_save);
FITS(wire_complete);
FITS(wire_bye);
FITS(wire_welcome);
FITS(wire_refused);
FITS(wire_staging);
FITS(wire_places);
FITS(wire_window);
FITS(wire_layout_refused);
FITS(wire_restore_image);
FITS(wire_restore_ranks);
FITS(wire_image_ahead);
FITS(wire_restore_table);
FITS(wire_restore_stream);
FITS(wire_wake);
FITS(wire_result);
FITS(wire_completed);
FITS(wire_run_deadline);
FITS(wire_run_measured);
FITS(wire_run_best);
FITS(wire_run_save);
FITS(wire_run_result);
FITS(wire_run_restore);
FITS(wire_run_pieces);
FITS(wire_run_use);
FITS(wire_run_completed);
FITS(wire_run_prefetch);
FITS(wire_agent_ready);
FITS(wire_agent_rank);
FITS(wire_agent_layout);
FITS(wire_agent_trigger);
FITS(wire_agent_term);
FITS(wire_agent_ask_save);
FITS(wire_agent_progress);
FITS(wire_agent_taken);
FITS(wire_agent_sealed);
FITS(wire_agent_save_failed);
FITS(wire_agent_restore_ask);
FITS(wire_agent_restore_read);
FITS(wire_agent_prefetched);
FITS(wire_agent_restore_done);
FITS(wire_agent_complete);
FITS(wire_agent_gone);
FITS(wire_agent_died);
FITS(wire_scheduler_ask);
FITS(wire_scheduler_answer);
FITS(wire_scheduler_cluster);
FITS(wire_verb);
FITS(wire_verb_answer);
FITS(wire_agent_ask_deadline);
FITS(wire_daemon_hello);
FITS(wire_daemon_plan);
FITS(wire_daemon_saving);
FITS(wire_daemon_memory);
FITS(wire_daemon_request);
FITS(wire_daemon_handover);
FITS(wire_daemon_written);
FITS(wire_daemon_sealed);
FITS(wire_daemon_find);
FITS(wire_daemon_welcome);
FITS(wire_daemon_refused);
FITS(wire_daemon_trigger);
FITS(wire_daemon_ask);
FITS(wire_daemon_grant);
FITS(wire_daemon_job);
FITS(wire_daemon_done);

#define AT(type, member, where) \
        _Static_assert(offsetof(struct type, member) == (where), #type "." #member " is where the protocol has it")
AT(wire_header, version, 4);
AT(wire_header, type, 6);
AT(wire_hello, program, 48);
AT(wire_hello, devices, 112);
AT(wire_devices, uuids, 56);
AT(wire_layout, count, 16);
AT(wire_snapshot, metrics, 80);
AT(wire_welcome, dir, 56);
AT(wire_staging, table_offset, 40);
AT(wire_restore_image, best_name, 80);
AT(wire_restore_image, text, 248);
AT(wire_restore_table, checkpoint, 32);
AT(wire_result, text, 40);
AT(wire_run_measured, margin_ns, 56);
AT(wire_run_restore, checkpoint, 48);
AT(wire_run_pieces, checkpoint, 32);
AT(wire_run_prefetch, checkpoint, 40);
AT(wire_run_result, text, 48);
AT(wire_agent_ready, socket, 80);
AT(wire_agent_progress, left_ns, 56);
AT(wire_agent_sealed, file_bytes, 48);
AT(wire_scheduler_ask, text, 88);
AT(wire_scheduler_answer, text, 144);
AT(wire_scheduler_cluster, cluster, 16);
AT(wire_verb_answer, text, 40);
AT(wire_daemon_hello, run_id, 24);
AT(wire_daemon_plan, cause, 152);
AT(wire_daemon_handover, seal, 16);
AT(wire_daemon_find, run_id, 32);
AT(wire_daemon_job, job, 56);
_Static_assert(sizeof(struct seal_metric) == SEAL_METRIC_NAME + 16, "a metric has no padding");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "messages are structs, and little-endian");
