/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * seen: what visible.c makes of CUDA_VISIBLE_DEVICES here, as a message.  It is worked out in the program's own
 * process, because control groups and containers show each process its own devices.  session.c calls in, once:
 * later, in a safe point, no file of a driver is worth a wait.
 */
#include "seen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "inventory.h"

/* What is no device under any driver, so that a process on the CPU asks nothing of one. */
static int hides_all(const char *text)
{
        return text != NULL && (text[0] == '\0' || strcmp(text, "-1") == 0 || strcmp(text, "NoDevFiles") == 0);
}

/* One more word behind a comma; a list that has no room for it stays as it is.  0 then. */
static int add_word(char *list, size_t size, const char *word)
{
        const size_t used = strlen(list), n = strlen(word);
        size_t i;

        if (used + (used > 0) + n >= size)
                return 0;
        if (used > 0)
                list[used] = ',';
        for (i = 0; i < n; i++)
                list[used + (used > 0) + i] = (char)(word[i] == ',' ? ' ' : word[i]);
        return 1;
}

static void name_them(struct wire_devices *m, const struct visible *v, const struct inventory *inv)
{
        int room = 1;
        unsigned i;

        for (i = 0; i < v->n && room; i++) {
                const struct visible_device *d = v->device[i] != VISIBLE_WHICH ? &inv->device[v->device[i]] : NULL;

                room = add_word(m->uuids, sizeof m->uuids, d != NULL && d->uuid[0] != '\0' ? d->uuid : "?") &&
                       add_word(m->models, sizeof m->models, d != NULL && d->name[0] != '\0' ? d->name : "?");
        }
}

void seen_devices(struct wire_devices *m)
{
        struct visible_question q = {.text = getenv("CUDA_VISIBLE_DEVICES"), .order = getenv("CUDA_DEVICE_ORDER")};
        struct inventory *inv;
        struct visible v;

        memset(m, 0, sizeof *m);
        WIRE_INIT(m, WIRE_DEVICES);
        if (hides_all(q.text))
                return;
        m->certainty = VISIBLE_UNKNOWN;
        inv = calloc(1, sizeof *inv);
        if (inv == NULL)
                return;
        inventory_read(inv, inventory_root());
        if (inv->driver[0] != '\0') {
                q.device = inv->device;
                q.n = inv->n;
                visible_resolve(&v, &q);
                m->count = v.n;
                m->certainty = v.certainty;
                wire_text(m->driver, sizeof m->driver, inv->driver);
                name_them(m, &v, inv);
        }
        free(inv);
}
