/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control: the page of memory that an agent shares with one training process, so that a safe point with nothing to do
 * costs no system call.  The agent makes it (memfd, sealed against a change of size) and hands it over with WELCOME.
 * Each word has one writer.  Neither side believes the other's words further than docs/protocol.md says.
 */
#ifndef STINT_CONTROL_H
#define STINT_CONTROL_H

#include <stdatomic.h>
#include <stdint.h>
#include "histogram.h"

#define CONTROL_MAGIC 0x54534e54u /* "TNST" */
#define CONTROL_VERSION 1u

/*
 * The word that a safe point loads.  Anything in it different from last time is a reason for the slow path:
 *   bits 63..32  id of the save that is wanted; 0 when none ever was.  Ids only grow within a stint
 *   bits 31..24  CONTROL_FINAL: the program waits at its safe point until that save landed, and then stops
 *   bits 23..0   how many messages the agent has sent (mail); the program reads its socket when this moved
 */
#define CONTROL_FINAL (UINT64_C(1) << 24)
#define CONTROL_MAIL_MASK UINT64_C(0xffffff)
#define CONTROL_SAVE_ID(word) ((uint32_t)((word) >> 32))
#define CONTROL_WORD(save_id, flags, mail) (((uint64_t)(save_id) << 32) | (flags) | ((mail) & CONTROL_MAIL_MASK))

struct control_page {
        uint32_t magic, version;
        uint32_t bytes; /* sizeof(struct control_page) of the side that made it */
        uint32_t reserved;

        /* The agent writes these. */
        _Alignas(64) _Atomic uint64_t word;
        _Atomic int64_t request_ns;  /* CLOCK_BOOTTIME when that save was asked for */
        _Atomic int64_t deadline_ns; /* CLOCK_BOOTTIME of the end of the stint; CLOCK_NEVER when nobody told */
        _Atomic int64_t trigger_ns;  /* when the final save will be asked for; CLOCK_NEVER likewise */

        /* The program writes these. */
        _Alignas(64) _Atomic int64_t safe_ns; /* CLOCK_BOOTTIME of the last safe point or poll; 0 before the first */
        _Atomic int64_t step;                 /* of the last safe point; -1 before the first */
        _Atomic uint64_t polls;               /* calls of stint_poll */
        struct histogram steps;               /* time from safe point to safe point, without what stint took of it */
};

#endif
