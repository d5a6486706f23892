/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doctor_model: where a model would go in a program started here that asks stint_place and says nothing itself, and
 * whether that is refused: by STINT_MODEL_DEVICE, the devices that are visible, and what the newest checkpoint holds.
 * doctor_devices.c calls in.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "doctor.h"
#include "durable.h"
#include "image.h"
#include "inventory.h"
#include "names.h"
#include "print.h"
#include "seal.h"
#include "table.h"
#include "visible.h"
#include "wish.h"

#define WHAT "model device"

/* What rank 0's file of the newest checkpoint holds; nothing, where there is none or it cannot be read. */
struct saved {
        int64_t bytes;            /* that go where the model goes */
        enum stint_device device; /* that its state was on; HOST: none */
        int index;
};

/* ---- the checkpoint ---------------------------------------------------------------------------------------------- */

/* By the destination table: all that goes with the model. */
static int goes_with_model(const struct table_record *r)
{
        return r->role == STINT_ROLE_MODEL || r->role == STINT_ROLE_LOSS || r->role == STINT_ROLE_RNG_DEVICE ||
               (r->role == STINT_ROLE_OPTIMIZER && r->ndim > 0);
}

static void count(struct saved *saved, void *table, const struct seal *seal)
{
        for (uint64_t i = 0; i < seal->table_count; i++) {
                const struct table_record *r = table_at(table, seal->record_bytes, i);

                if (!goes_with_model(r))
                        continue;
                saved->bytes += (int64_t)r->bytes;
                if (saved->device == STINT_DEVICE_HOST && r->device != STINT_DEVICE_HOST) {
                        saved->device = (enum stint_device)r->device;
                        saved->index = r->device_index;
                }
        }
}

static void read_table(struct saved *saved, const struct seal *seal, const char *path)
{
        const size_t bytes = seal->table_count * seal->record_bytes;
        struct stat st;
        void *table = NULL;
        int fd = durable_open(path, &st, NULL);

        if (fd >= 0 && image_check_places((uint64_t)st.st_size, seal, NULL) == 0)
                table = malloc(bytes + 1);
        if (table && durable_pread(fd, table, bytes, (off_t)seal->table_offset, path, NULL) == 0 &&
            table_check(table, seal->table_count, seal->record_bytes, seal->file_bytes, NULL) == 0)
                count(saved, table, seal);
        free(table);
        if (fd >= 0)
                close(fd);
}

static struct saved look_at_newest(const struct doctor *d)
{
        struct saved saved = {.device = STINT_DEVICE_HOST, .index = -1};
        char folder[RUNDIR_PATH + RUNDIR_NAME], path[RUNDIR_PATH + 3 * RUNDIR_NAME], name[RUNDIR_NAME];
        struct seal seal;

        if (d->newest[0] == '\0' || rundir_join(folder, sizeof folder, d->run, RUNDIR_CHECKPOINTS, NULL, NULL) ||
            rundir_join(path, sizeof path, folder, d->newest, rundir_rank_seal(name, 0, d->newest_ranks), NULL) ||
            seal_read(&seal, path, NULL) ||
            rundir_join(path, sizeof path, folder, d->newest, rundir_rank_file(name, 0, d->newest_ranks), NULL))
                return saved;
        read_table(&saved, &seal, path);
        return saved;
}

/* ---- where it goes ----------------------------------------------------------------------------------------------- */

static unsigned highest(const struct wish_model *model)
{
        int most = model->first.index;

        for (int i = 0; i < model->more; i++)
                if (model->also[i] > most)
                        most = model->also[i];
        return most < 0 ? 0 : (unsigned)most;
}

/* The one that the program uses then is its own choice; why this one is told, in words. */
static unsigned device_in_use(const struct visible *v, char *why, size_t size)
{
        unsigned first = 0, n;

        if (visible_own(v, VISIBLE_EACH_ONE, getenv("SLURM_LOCALID"), &first, &n) == VISIBLE_OWN_LOCAL && first > 0) {
                snprintf(why, size, " if the program goes by SLURM_LOCALID, and device 0 if it has chosen none");
                return first;
        }
        snprintf(why, size, ", unless the program has chosen another one");
        return 0;
}

static void show_host(const struct doctor *d, const struct saved *saved, int asked)
{
        if (asked)
                doctor_found(d, WHAT, FINDING_OK, "host memory, since STINT_MODEL_DEVICE is 'cpu'");
        else if (saved->device == STINT_DEVICE_HOST)
                doctor_found(d, WHAT, FINDING_OK, "host memory, since a program sees no device here");
        else
                doctor_found(
                        d, WHAT, FINDING_WARNING,
                        "a program sees no device here, and %s was saved from %s:%d: it does not go on in host memory "
                        "unless somebody says so, with STINT_MODEL_DEVICE=cpu or options.allow_host",
                        d->newest, device_name(saved->device), saved->index);
}

static void show_beyond(const struct doctor *d, const struct visible *v, const char *said)
{
        const enum finding finding = v->certainty == VISIBLE_UNKNOWN ? FINDING_WARNING : FINDING_PROBLEM;

        if (v->n == 0)
                doctor_found(d, WHAT, finding,
                             "STINT_MODEL_DEVICE is '%s', and a program sees no device here: stint_place refuses it",
                             said);
        else
                doctor_found(
                        d, WHAT, finding,
                        "STINT_MODEL_DEVICE is '%s', and a program sees %u here, counted from 0: stint_place refuses "
                        "it", said, v->n);
}

/* The memory of that one of the visible devices; 0: not known. */
static int64_t memory_of(const struct inventory *inv, const struct visible *v, unsigned number)
{
        const int place = number < v->n ? v->device[number] : VISIBLE_WHICH;

        return place == VISIBLE_WHICH ? 0 : inv->device[place].memory_bytes;
}

static void show_device(const struct doctor *d, const struct saved *saved, unsigned number, int64_t memory,
                        const char *why)
{
        char need[32], has[32], more[RUNDIR_NAME + 64] = "";

        print_size(need, sizeof need, saved->bytes);
        print_size(has, sizeof has, memory);
        if (memory > 0 && saved->bytes > memory) {
                doctor_found(d, WHAT, FINDING_PROBLEM,
                             "device %u, which has %s, and %s puts %s there: stint_place refuses it", number, has,
                             d->newest, need);
                return;
        }
        if (saved->bytes > 0)
                snprintf(more, sizeof more, "; %s puts %s there", d->newest, need);
        doctor_found(d, WHAT, FINDING_OK, "device %u%s%s", number, why, more);
}

static void show_cuda(const struct doctor *d, const struct saved *saved, const struct wish *wish, const char *said,
                      const struct inventory *inv, const struct visible *v)
{
        char why[300];
        unsigned number;

        if (wish->word == WISH_AT && wish->index >= 0) {
                number = (unsigned)wish->index;
                snprintf(why, sizeof why, ", since STINT_MODEL_DEVICE is '%.200s'", said);
        } else {
                number = device_in_use(v, why, sizeof why);
        }
        show_device(d, saved, number, memory_of(inv, v, number), why);
}

static int is_simulated(const struct wish *wish)
{
        const char *sim = getenv("STINT_DEVICE");

        return wish->word == WISH_AT ? wish->device == STINT_DEVICE_SIM : sim != NULL && !strncmp(sim, "sim", 3);
}

void doctor_model(const struct doctor *d, const struct inventory *inv, const struct visible *v)
{
        const char *said = getenv("STINT_MODEL_DEVICE");
        const struct saved saved = look_at_newest(d);
        struct wish_model model;

        said = said != NULL && *said != '\0' ? said : NULL;
        if (wish_read_model(&model, said ? said : "auto") < 0)
                doctor_found(d, WHAT, FINDING_PROBLEM,
                             "STINT_MODEL_DEVICE is '%s': it is " WISH_WORDS ", or " WISH_LISTS, said);
        else if (is_simulated(&model.first))
                doctor_found(d, WHAT, FINDING_OK, "the simulated one, which is there for tests");
        else if (model.first.word == WISH_AT && model.first.device == STINT_DEVICE_HOST)
                show_host(d, &saved, 1);
        else if (model.first.word == WISH_AT && highest(&model) >= v->n)
                show_beyond(d, v, said);
        else if (v->n == 0)
                show_host(d, &saved, 0);
        else
                show_cuda(d, &saved, &model.first, said, inv, v);
}
