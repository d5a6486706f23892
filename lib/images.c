/* SPDX-License-Identifier: BSD-3-Clause */
/* images: mapped, checked, and all of their pages made present.  Snapshot calls in. */
#include "images.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>

#include "channel.h"
#include "device.h"
#include "memory.h"

#define POPULATE_PIECE ((size_t)64 << 20) /* between two looks at `stop` */

/*
 * Maps the pages of staging, so that the first copy runs as fast as every other.  The agent has made them, as large as
 * it could; to make them larger now would only move them while the program copies.
 */
static void *populate(void *arg)
{
        struct image_area *area = arg;
        size_t at, piece;

        for (at = 0; at < area->bytes && !atomic_load(&area->stop); at += piece) {
                piece = area->bytes - at < POPULATE_PIECE ? area->bytes - at : POPULATE_PIECE;
                if (memory_populate(area->base + at, piece, MEMORY_SMALL, NULL) < 0)
                        break; /* the copy will find out what there is to find out */
                memory_enter(area->base + at, piece, 1);
        }
        device_pin(area->base, area->bytes, 0, &area->stop);
        if (area->copy && area->bytes >= COPY_ALONE && !atomic_load(&area->stop))
                copy_learn(area->copy);
        return NULL;
}

static void start_populating(struct image_area *area)
{
        sigset_t all, before;

        atomic_store(&area->stop, 0);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        area->populating = pthread_create(&area->thread, NULL, populate, area) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void drop(struct image_area *area)
{
        if (area->populating) {
                atomic_store(&area->stop, 1);
                pthread_join(area->thread, NULL);
                area->populating = 0;
        }
        device_unpin(area->base, area->bytes);
        if (area->base)
                munmap(area->base, area->bytes);
        area->base = NULL;
        area->bytes = 0;
}

void images_drop(struct images *m)
{
        int i;

        for (i = 0; i < STAGING_IMAGES; i++)
                drop(&m->area[i]);
        m->layout = 0;
}

/* What the agent says of its memory is looked at before it counts; where the tensors are is kept on this side. */
static int is_right(const struct images *m, struct layout *layout, const struct wire_staging *told, const void *base,
                    struct stint_error *err)
{
        if (told->image > 0 && (!m->area[0].base || m->layout != told->layout || m->area[0].bytes != told->image_bytes))
                return error_set(err, EPROTO, "a further image is not like the first one");
        if (told->image > 0)
                return 0;
        if (layout_check_image(base, told->image_bytes, told->table_offset, told->count, told->record_bytes, err) < 0)
                return -1;
        return layout_place(layout, told->layout, (const char *)base + told->table_offset, told->count,
                            told->record_bytes, err);
}

int images_map(struct images *m, struct layout *layout, const struct wire_staging *told, int fd,
               struct stint_error *err)
{
        struct image_area *area;
        void *base;

        if (fd < 0 || told->image >= STAGING_IMAGES)
                return error_set(err, EPROTO, "STAGING came without its memory");
        if (told->image == 0)
                images_drop(m);
        if (channel_memory_check(fd, told->image_bytes, err) < 0)
                return -1;
        base = memory_map(fd, 0, told->image_bytes, PROT_READ | PROT_WRITE);
        if (!base)
                return error_system(err, errno, "%" PRIu64 " bytes of staging cannot be mapped", told->image_bytes);
        if (is_right(m, layout, told, base, err) < 0) {
                munmap(base, told->image_bytes);
                return -1;
        }
        area = &m->area[told->image];
        drop(area);
        area->base = base;
        area->bytes = told->image_bytes;
        area->copy = told->image == 0 ? m->copy : NULL;
        m->layout = told->layout;
        start_populating(area);
        return 0;
}
