/* SPDX-License-Identifier: GPL-2.0-or-later */
/* users: a list by uid, which is short, and a bucket of time for each.  Called by server.c, peer.c, grants.c and finishes.c. */
#include "users.h"

#include <stdlib.h>
#include "clock.h"

#define BURST_NS (2 * CLOCK_SECOND)
#define FORGET_NS (60 * CLOCK_SECOND)
#define LINES_NS (60 * CLOCK_SECOND)
#define LINE_NS (CLOCK_SECOND / 10)

static void forget_idle(struct users *users, int64_t now_ns)
{
        struct user **at = &users->first, *user;

        while ((user = *at)) {
                if (user->connections > 0 || user->staging_bytes > 0 || user->handed > 0 ||
                    now_ns - user->seen_ns < FORGET_NS) {
                        at = &user->next;
                } else {
                        *at = user->next;
                        free(user);
                }
        }
}

struct user *users_get(struct users *users, uid_t uid, int64_t now_ns)
{
        struct user *user;

        forget_idle(users, now_ns);
        for (user = users->first; user; user = user->next)
                if (user->uid == uid)
                        return user;
        user = calloc(1, sizeof *user);
        if (!user)
                return NULL;
        user->uid = uid;
        user->credit_ns = BURST_NS;
        user->lines_ns = LINES_NS;
        user->seen_ns = now_ns;
        user->next = users->first;
        users->first = user;
        return user;
}

void users_free(struct users *users)
{
        struct user *user;

        while ((user = users->first)) {
                users->first = user->next;
                free(user);
        }
}

int user_may_be_named(struct user *user, int64_t now_ns)
{
        if (user->said_ns > 0 && now_ns - user->said_ns < FORGET_NS)
                return 0;
        user->said_ns = now_ns;
        return 1;
}

static void count(struct user *user, int64_t now_ns)
{
        if (now_ns > user->seen_ns) {
                user->credit_ns += now_ns - user->seen_ns;
                user->lines_ns += now_ns - user->seen_ns;
                user->seen_ns = now_ns;
        }
        if (user->credit_ns > BURST_NS)
                user->credit_ns = BURST_NS;
        if (user->lines_ns > LINES_NS)
                user->lines_ns = LINES_NS;
}

static int spend(int64_t *credit_ns, int64_t cost_ns)
{
        if (*credit_ns < cost_ns)
                return 0;
        *credit_ns -= cost_ns;
        return 1;
}

int user_speaks(struct user *user, int64_t per_second, int64_t now_ns)
{
        count(user, now_ns);
        return spend(&user->credit_ns, CLOCK_SECOND / (per_second > 0 ? per_second : 1));
}

int user_may_log(struct user *user, int64_t now_ns)
{
        count(user, now_ns);
        return spend(&user->lines_ns, LINE_NS);
}
