/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doctor_devices: which GPUs a program started here would see, in its own numbers, and why no others.  cmd_doctor.c
 * calls in.  CUDA is not touched: what it would do is worked out from the driver's files, nvidia-smi and the
 * environment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "doctor.h"
#include "hear.h"
#include "inventory.h"
#include "print.h"

#define SMI_LIMIT (30 * CLOCK_SECOND) /* it wakes GPUs that sleep, seconds for each; on a broken one it hangs */
#define SMI_TEXT 65536                /* bytes of its answer */
#define SHOWN 16                      /* devices and words that get a line each */

/* ---- nvidia-smi -------------------------------------------------------------------------------------------------- */

static void take_smi(const struct doctor *d, struct inventory *inv)
{
        char *const list[] = {"nvidia-smi", "-L", NULL};
        char *const query[] = {"nvidia-smi", "--query-gpu=uuid,pci.bus_id,memory.total,mig.mode.current",
                               "--format=csv,noheader,nounits", NULL};
        char *text = malloc(SMI_TEXT);
        enum hear heard = text != NULL ? hear(list, SMI_LIMIT, text, SMI_TEXT) : HEAR_NONE;

        if (heard == HEAR_HANGS)
                doctor_found(
                        d, "nvidia-smi", FINDING_WARNING,
                        "it has not ended within 30 s: a GPU of this machine may be broken, and a program that uses CUDA "
                        "would hang too; tell who runs this cluster");
        else if (heard == HEAR_FAILED && inv->n > 0)
                doctor_found(
                        d, "nvidia-smi", FINDING_WARNING,
                        "it fails although there is a driver: run it by hand to see why; instances (MIG) and memory "
                        "are not known without it");
        else if (heard == HEAR_ANSWERED && inventory_take_list(inv, text) == 0 &&
                 hear(query, SMI_LIMIT, text, SMI_TEXT) == HEAR_ANSWERED)
                inventory_take_query(inv, text);
        free(text);
}

/* ---- what is here ------------------------------------------------------------------------------------------------ */

static void show_machine(const struct doctor *d, const struct inventory *inv)
{
        unsigned gpus = 0, instances;
        char more[160] = "", parts[60] = "";

        for (unsigned i = 0; i < inv->n; i++)
                gpus += inv->device[i].gpu < 0;
        instances = inv->n - gpus;
        if (inv->withheld > 0)
                snprintf(
                        more, sizeof more,
                        "; %u more may not be used from here, since the job was not given them or a container does not "
                        "show them",
                        inv->withheld);
        if (instances > 0)
                snprintf(parts, sizeof parts, " with %u instance%s (MIG)", instances, instances > 1 ? "s" : "");
        if (gpus == 0 && inv->withheld == 0)
                doctor_found(d, "GPUs here", FINDING_OK, "%s",
                             inv->driver[0] != '\0' ? "none, though there is a driver of NVIDIA's"
                                                    : "none, and no driver of NVIDIA's");
        else
                doctor_found(d, "GPUs here", FINDING_OK, "%u%s%s%s%s", gpus, parts,
                             inv->driver[0] != '\0' ? ", driver " : "", inv->driver, more);
}

/* ---- what a program sees ----------------------------------------------------------------------------------------- */

/* Whoever writes these wants no device. */
static int hides_all_on_purpose(const char *text)
{
        return text[0] == '\0' || strcmp(text, "-1") == 0 || strcmp(text, "NoDevFiles") == 0;
}

static void show_whole(const struct doctor *d, const struct visible *v, const struct visible_question *q)
{
        const char *text = q->text != NULL ? q->text : "";
        char whole[400];

        visible_whole_text(whole, sizeof whole, v, q);
        if (q->text == NULL || text[0] == '\0')
                doctor_found(d, "CUDA_VISIBLE_DEVICES", FINDING_OK, "%s", whole);
        else
                doctor_found(d, "CUDA_VISIBLE_DEVICES",
                             v->n > 0 || q->n == 0 || hides_all_on_purpose(text) ? FINDING_OK : FINDING_WARNING,
                             "'%.200s%s': %s (%s)", text, strlen(text) > 200 ? "..." : "", whole,
                             visible_certainty_name(v->certainty));
}

/* Those that count have a line as devices. */
static void show_words(const struct doctor *d, const struct visible *v, const struct visible_question *q)
{
        char text[600];
        size_t i, shown = 0;

        for (i = 0; i < v->words && i < VISIBLE_WORDS && shown < SHOWN; i++) {
                if (v->word[i].verdict == VISIBLE_COUNTS || v->word[i].verdict == VISIBLE_UNREAD)
                        continue;
                doctor_found(d, "CUDA_VISIBLE_DEVICES",
                             q->n == 0 || hides_all_on_purpose(q->text) ? FINDING_OK : FINDING_WARNING, "%s",
                             visible_word_text(text, sizeof text, v, q, i));
                shown++;
        }
}

static void show_device(const struct doctor *d, const struct inventory *inv, unsigned number, int place)
{
        const struct visible_device *device = &inv->device[place == VISIBLE_WHICH ? 0 : place], *gpu = device;
        char what[32], memory[40] = "", size[32];

        snprintf(what, sizeof what, "device %u", number);
        if (place == VISIBLE_WHICH) {
                doctor_found(d, what, FINDING_OK, "which one cannot be known here");
                return;
        }
        if (device->gpu >= 0)
                gpu = &inv->device[device->gpu];
        if (device->memory_bytes > 0)
                snprintf(memory, sizeof memory, ", %s", print_size(size, sizeof size, device->memory_bytes));
        doctor_found(d, what, FINDING_OK, "%s, %s%s%s%s%s%s", device->uuid[0] != '\0' ? device->uuid : "no UUID yet",
                     device->name, gpu != device ? " of " : "", gpu != device ? gpu->uuid : "",
                     gpu->pci[0] != '\0' ? ", at " : "", gpu->pci, memory);
}

static void show_devices(const struct doctor *d, const struct inventory *inv, const struct visible *v)
{
        for (unsigned i = 0; i < v->n && i < SHOWN; i++)
                show_device(d, inv, i, v->device[i]);
        if (v->n > SHOWN)
                doctor_found(d, "devices", FINDING_OK, "and %u more", v->n - SHOWN);
}

/* Of one device in each rank: who uses all of them has read the lines above. */
static void show_rank(const struct doctor *d, const struct visible *v)
{
        const char *localid = getenv("SLURM_LOCALID");
        unsigned first, n;

        switch (visible_own(v, VISIBLE_EACH_ONE, localid, &first, &n)) {
        case VISIBLE_OWN_LOCAL:
                doctor_found(d, "rank", FINDING_OK,
                             "SLURM_LOCALID is %s: of a program with one device for each rank, this one has device %u",
                             localid, first);
                break;
        case VISIBLE_OWN_TOO_FEW:
                doctor_found(
                        d, "rank", FINDING_WARNING,
                        "SLURM_LOCALID is %s, and %u devices are visible: with one device for each rank there is none "
                        "for this one; ask for as many GPUs as there are ranks on a node",
                        localid, v->n);
                break;
        case VISIBLE_OWN_FIRST:
                doctor_found(
                        d, "rank", FINDING_OK,
                        "a program that does not choose begins with device 0; `srun stint doctor` shows each rank of a "
                        "job its own");
                break;
        case VISIBLE_OWN_NONE:
        case VISIBLE_OWN_ALL:
        case VISIBLE_OWN_ONLY:
                break;
        }
}

static void show_doubts(const struct doctor *d, const struct visible *v)
{
        for (unsigned i = 0; i < VISIBLE_DOUBTS; i++)
                if (v->doubts & (1u << i))
                        doctor_found(d, visible_doubt_certainty(i) == VISIBLE_UNKNOWN ? "not known" : "not certain",
                                     visible_doubt_certainty(i) == VISIBLE_UNKNOWN ? FINDING_WARNING : FINDING_OK, "%s",
                                     visible_doubt_text(i));
}

void doctor_devices(const struct doctor *d)
{
        struct inventory *inv = calloc(1, sizeof *inv);
        struct visible_question q = {.text = getenv("CUDA_VISIBLE_DEVICES"), .order = getenv("CUDA_DEVICE_ORDER")};
        struct visible v;

        if (inv == NULL) {
                doctor_found(d, "GPUs here", FINDING_WARNING, "no memory to look at them");
                return;
        }
        inventory_read(inv, inventory_root());
        take_smi(d, inv);
        q.device = inv->device;
        q.n = inv->n;
        visible_resolve(&v, &q);
        show_machine(d, inv);
        show_whole(d, &v, &q);
        show_words(d, &v, &q);
        show_devices(d, inv, &v);
        show_rank(d, &v);
        doctor_model(d, inv, &v);
        show_doubts(d, &v);
        free(inv);
}
