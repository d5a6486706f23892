/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemon_line: the agent's connection to this node's stintd: tells it the plan and what saves come to, and passes its
 * orders on.  Nothing waits for it: when stintd is not there the agent's own timer does, and it is looked for again.
 * Used by main; what staging asks of stintd is in daemon_memory.
 */
#ifndef STINT_DAEMON_LINE_H
#define STINT_DAEMON_LINE_H

#include <uv.h>
#include "coordinator.h"
#include "watch.h"

struct daemon_line {
        uv_loop_t *loop;
        uv_timer_t retry;
        uv_poll_t *poll; /* NULL: there is no connection */
        int fd;
        struct watch *watch;
        struct coordinator *run;
        uint32_t stint;
        const char *run_id;
        uint64_t wait_ms; /* before the next attempt */
        int said;         /* that it is not there */
        int closed;

        struct deadline_inputs sent; /* the plan it has */
        int sent_programs;
        int64_t sent_ns; /* when it was sent; 0: it has none */
        struct wire_daemon_saving saving; /* the save in flight; save_id 0: none */
};

/* watch, run and run_id must outlive the line. */
void daemon_line_open(struct daemon_line *l, uv_loop_t *loop, struct watch *watch, struct coordinator *run,
                      uint32_t stint, const char *run_id);

/* What `stint run` says of saves. */
void daemon_line_save(struct daemon_line *l, const struct wire_run_save *m);
void daemon_line_result(struct daemon_line *l, const struct wire_run_result *m);

void daemon_line_close(struct daemon_line *l);

#endif
