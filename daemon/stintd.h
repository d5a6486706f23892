/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stintd: everything there is, for the whole life of the process.  Made by main.c; requests.c reaches the parts. */
#ifndef STINTD_STINTD_H
#define STINTD_STINTD_H

#include <uv.h>
#include "grants.h"
#include "jobs.h"
#include "notify.h"
#include "server.h"
#include "settings.h"
#include "whose.h"

struct stintd {
        uv_loop_t loop;
        uv_signal_t term, interrupt, hangup;
        struct settings settings;
        struct server server;
        struct jobs jobs;
        struct grants grants;
        struct whose whose;
        struct notify notify;
        int stopping;
};

#endif
