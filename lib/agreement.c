/* SPDX-License-Identifier: BSD-3-Clause */
/* agreement: the reductions behind agreement.h, over the callbacks that the program gave. */
#include "agreement.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int agreement_init(struct agreement *a, int rank, int ranks, const struct stint_agree *agree, int every,
                   struct stint_error *err)
{
        memset(a, 0, sizeof *a);
        if (ranks == 0 && rank == 0)
                ranks = 1;
        if (ranks < 1 || rank < 0 || rank >= ranks)
                return error_set(err, EINVAL,
                                 "rank %d of %d: ranks are numbered from 0, and options.ranks says how many there are",
                                 rank, ranks);
        if (ranks > 1 && (!agree || !agree->begin || !agree->wait))
                return error_set(err, EINVAL,
                                 "%d ranks cannot save together unless options.agree lets them agree; stint_mpi.h has "
                                 "it for MPI",
                                 ranks);
        if (every < 0)
                return error_set(err, EINVAL, "agree_every is %d: it counts safe points, from 1", every);
        a->rank = rank;
        a->ranks = ranks;
        a->every = every ? every : 1;
        if (agree)
                a->agree = *agree;
        return 0;
}

void agreement_silence(int64_t words[AGREE_WORDS])
{
        int i;

        for (i = 0; i < AGREE_WORDS; i++)
                words[i] = AGREE_NOTHING;
        words[AGREE_WANT] = words[AGREE_SYNC] = words[AGREE_ACTIVE] = 0;
        words[AGREE_UNABLE] = words[AGREE_ABLE] = words[AGREE_FAILED] = words[AGREE_LEAVING] = words[AGREE_EVERY] = 0;
}

static int communicator_failed(struct agreement *a, struct stint_error *err)
{
        a->broken = 1;
        a->open = 0;
        return error_set(
                err, ECOMM,
                "the ranks cannot agree any more (options.agree failed): no state of this stint is saved from here on");
}

int agreement_begin(struct agreement *a, const int64_t words[AGREE_WORDS], struct stint_error *err)
{
        memcpy(a->open_words, words, sizeof a->open_words);
        if (a->broken || (a->ranks > 1 && a->agree.begin(a->agree.arg, a->open_words, AGREE_WORDS) < 0))
                return communicator_failed(a, err);
        a->open = 1;
        return 0;
}

int agreement_wait(struct agreement *a, struct stint_error *err)
{
        if (a->broken || (a->ranks > 1 && a->agree.wait(a->agree.arg) < 0))
                return communicator_failed(a, err);
        a->open = 0;
        memcpy(a->all, a->open_words, sizeof a->all);
        return 0;
}

int agreement_now(struct agreement *a, const int64_t words[AGREE_WORDS], struct stint_error *err)
{
        return agreement_begin(a, words, err) < 0 ? -1 : agreement_wait(a, err);
}

int agreement_due(struct agreement *a)
{
        return ++a->points % a->every == 0;
}

int agreement_steps_differ(const struct agreement *a, struct stint_error *err)
{
        if (a->all[AGREE_ACTIVE_STEP] == AGREE_NOTHING || a->all[AGREE_ACTIVE_STEP] == -a->all[AGREE_ACTIVE_LEAST])
                return 0;
        error_set(err, EPROTO, "the ranks are at different steps, %" PRId64 " to %" PRId64
                  ": every rank must call stint_step once for every step, and with the same number",
                  -a->all[AGREE_ACTIVE_LEAST], a->all[AGREE_ACTIVE_STEP]);
        return 1;
}
