/* SPDX-License-Identifier: BSD-3-Clause */
/* stranger: a short list of uids.  Called by the agent, `stint run` and the local scheduler, each for its own door. */
#include "stranger.h"

#include <unistd.h>

int stranger_is(uid_t uid)
{
        return uid != geteuid() && uid != 0;
}

int strangers_news(struct strangers *s, uid_t uid)
{
        int i;

        for (i = 0; i < s->count; i++)
                if (s->uid[i] == uid)
                        return 0;
        if (s->count == STRANGERS_NAMED)
                return 0;
        s->uid[s->count++] = uid;
        return 1;
}
