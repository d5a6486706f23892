/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kept: a list, the newest first, and one timer for the next that has been there long enough.  Called by grants.c. */
#include "kept.h"

#include <string.h>
#include "clock.h"
#include "grants.h"
#include "log.h"

static void on_timer(uv_timer_t *timer);

static void set_timer(struct kept *k)
{
        const int64_t now_ns = clock_now();
        int64_t next_ns = CLOCK_NEVER;
        const struct grant *grant;

        for (grant = k->first; grant; grant = grant->next_kept)
                if (grant->until_ns < next_ns)
                        next_ns = grant->until_ns;
        if (next_ns == CLOCK_NEVER)
                uv_timer_stop(&k->timer);
        else
                uv_timer_start(&k->timer, on_timer,
                               next_ns > now_ns ? (uint64_t)((next_ns - now_ns) / CLOCK_MS) + 1 : 0, 0);
}

void kept_take(struct kept *k, struct grant *grant)
{
        struct grant **at;

        for (at = &k->first; *at && *at != grant; at = &(*at)->next_kept)
                ;
        if (*at)
                *at = grant->next_kept;
        grant->next_kept = NULL;
        set_timer(k);
}

static void drop(struct kept *k, struct grant *grant)
{
        kept_take(k, grant);
        k->release(grant);
}

static void on_timer(uv_timer_t *timer)
{
        struct kept *k = timer->data;
        const int64_t now_ns = clock_now();
        struct grant *grant, *next;

        for (grant = k->first; grant; grant = next) {
                next = grant->next_kept;
                if (grant->until_ns <= now_ns)
                        drop(k, grant);
        }
        set_timer(k);
}

void kept_add(struct kept *k, struct grant *grant)
{
        if (k->settings->keep_ns == 0) {
                k->release(grant);
                return;
        }
        grant->until_ns = clock_now() + k->settings->keep_ns;
        grant->next_kept = k->first;
        k->first = grant;
        log_debug("a snapshot of uid %u stays in memory", (unsigned)grant->user->uid);
        set_timer(k);
}

struct grant *kept_find(const struct kept *k, const struct user *user, const struct wire_daemon_find *wanted)
{
        struct grant *grant;

        for (grant = k->first; grant; grant = grant->next_kept)
                if (grant->user == user && grant->image.root == wanted->root && grant->image.rank == wanted->rank &&
                    grant->image.ranks == wanted->ranks && (uint64_t)grant->bytes == wanted->bytes &&
                    strcmp(grant->image.run_id, wanted->run_id) == 0)
                        return grant;
        return NULL;
}

int64_t kept_bytes(const struct kept *k, const struct user *user)
{
        const struct grant *grant;
        int64_t bytes = 0;

        for (grant = k->first; grant; grant = grant->next_kept)
                if (!user || grant->user == user)
                        bytes += grant->bytes;
        return bytes;
}

int kept_drop(struct kept *k, const struct user *user)
{
        struct grant *grant, *oldest = NULL;

        for (grant = k->first; grant; grant = grant->next_kept)
                if (!user || grant->user == user)
                        oldest = grant;
        if (oldest)
                drop(k, oldest);
        return oldest != NULL;
}

void kept_open(struct kept *k, uv_loop_t *loop, const struct settings *settings, void (*release)(struct grant *grant))
{
        memset(k, 0, sizeof *k);
        k->settings = settings;
        k->release = release;
        uv_timer_init(loop, &k->timer);
        k->timer.data = k;
}

void kept_close(struct kept *k)
{
        while (kept_drop(k, NULL))
                ;
        uv_close((uv_handle_t *)&k->timer, NULL);
}
