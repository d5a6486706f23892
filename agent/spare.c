/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spare: one window's memory, before anybody needs it.  Called by main and restoring. */
#include "spare.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "feed.h"
#include "memory.h"
#include "rundir.h"
#include "window.h"

#define BYTES (FEED_BLOCKS * WINDOW_BLOCK)
#define KEEP (60 * CLOCK_SECOND) /* most programs have asked by then, and others can wait for its pages */

/* ---- is it worth it? --------------------------------------------------------------------------------------------- */

/* Some file in there is as large. */
static int has_large_file(int checkpoints, const char *name)
{
        const int fd = openat(checkpoints, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *entry;
        struct stat status;
        int found = 0;

        if (!dir) {
                if (fd >= 0)
                        close(fd);
                return 0;
        }
        while (!found && (entry = readdir(dir)))
                found = fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode) &&
                        (uint64_t)status.st_size >= BYTES;
        closedir(dir);
        return found;
}

/* The states of a run are of one size, so any of its checkpoints tells. */
static int is_worth_it(const char *run_dir)
{
        char path[RUNDIR_PATH + RUNDIR_NAME];
        const struct dirent *entry;
        int found = 0;
        DIR *dir;

        if (rundir_join(path, sizeof path, run_dir, RUNDIR_CHECKPOINTS, NULL, NULL) < 0 || !(dir = opendir(path)))
                return 0;
        while ((entry = readdir(dir)))
                if (rundir_parse(entry->d_name, NULL, NULL) == RUNDIR_WHOLE) {
                        found = has_large_file(dirfd(dir), entry->d_name);
                        break;
                }
        closedir(dir);
        return found;
}

/* ---- making it --------------------------------------------------------------------------------------------------- */

static void make(struct work *work)
{
        struct spare *s = (struct spare *)work;
        uint64_t at;

        for (at = 0; at < BYTES && !atomic_load_explicit(&s->stop, memory_order_relaxed); at += WINDOW_BLOCK)
                if (memory_make_large((unsigned char *)s->memory + at, WINDOW_BLOCK) < 0)
                        break; /* small ones come soon enough by themselves */
}

static void on_made(struct work *work)
{
        struct spare *s = (struct spare *)work;

        munmap(s->memory, BYTES);
        s->memory = NULL;
}

static void on_forget(uv_timer_t *timer)
{
        spare_drop(timer->data);
}

void spare_make(struct spare *s, const char *run_dir)
{
        if (s->fd >= 0 || s->memory || !is_worth_it(run_dir))
                return;
        s->fd = window_memory(BYTES, NULL);
        s->memory = s->fd >= 0 ? memory_map(s->fd, 0, BYTES, PROT_READ | PROT_WRITE) : NULL;
        if (!s->memory) {
                spare_drop(s);
                return;
        }
        atomic_store(&s->stop, 0);
        uv_timer_start(&s->forget, on_forget, KEEP / CLOCK_MS, 0);
        work_start(s->loop, NULL, &s->work, make, on_made);
}

/* ---- letting go of it -------------------------------------------------------------------------------------------- */

int spare_take(struct spare *s)
{
        const int fd = s->fd;

        s->fd = -1;
        uv_timer_stop(&s->forget);
        return fd;
}

void spare_drop(struct spare *s)
{
        const int fd = spare_take(s);

        atomic_store(&s->stop, 1);
        if (fd >= 0)
                close(fd);
}

void spare_open(struct spare *s, uv_loop_t *loop)
{
        s->loop = loop;
        s->fd = -1;
        uv_timer_init(loop, &s->forget);
        s->forget.data = s;
}

void spare_close(struct spare *s)
{
        spare_drop(s);
        uv_close((uv_handle_t *)&s->forget, NULL);
}
