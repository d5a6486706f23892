/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agent_restores: a checkpoint to restore, and what `stint run` and a program say to the agent on the way to it, for the
 * tests of a restore and of reading ahead.
 */
#ifndef AGENT_RESTORES_H
#define AGENT_RESTORES_H

#include "agent_talk.h"

/* A save from its wish to its result, and the seal that it has left. */
TALK void save_whole(struct program *p, uint32_t save_id, int64_t step, struct seal *seal)
{
        ask_save(save_id, 1, SAVE_INTERVAL);
        wake_up(p, save_id, 0);
        snapshot(p, save_id, step, 0);
        heard(WIRE_AGENT_SEALED);
        read_seal(seal, step, 0, 1);
        commit(step);
        result(save_id, 1);
        program_heard(p, WIRE_RESULT);
}

/* What `stint run` answers: this checkpoint, or none (seal NULL). */
TALK void order_restore(enum restore_status status, int64_t step, const struct seal *seal)
{
        struct wire_run_restore m = { .rank = 0, .status = status, .ranks = 1, .checkpoint_step = step };

        WIRE_INIT(&m, WIRE_RUN_RESTORE);
        if (seal) {
                m.file_bytes = seal->file_bytes;
                m.root = seal->root;
                rundir_whole(m.checkpoint, step);
        }
        tell_agent(&m);
}

/* The program asks for its state, and `stint run` hears that. */
TALK void ask_restore(struct program *p)
{
        struct wire_restore m = { .which = RESTORE_NEWEST };
        const struct wire_agent_restore_ask *ask;

        WIRE_INIT(&m, WIRE_RESTORE);
        program_says(p, &m, -1);
        ask = heard(WIRE_AGENT_RESTORE_ASK);
        ck_assert_int_eq(ask->rank, 0);
        ck_assert_uint_eq(ask->ranks, 1);
}

#endif
