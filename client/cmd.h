/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cmd: the verbs of stint.  Each lives in cmd_<verb>.c and is called by main.c through its table. */
#ifndef STINT_CMD_H
#define STINT_CMD_H

#include "error.h"
#include "flags.h"

/* argv[0] is the verb itself.  Each answers the exit code; --help is its own affair. */
int cmd_run(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_save(int argc, char **argv);
int cmd_submit(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_cancel(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_vacate(int argc, char **argv);

/*
 * Reads a verb's options; answers -1 to go on, else the exit code: 0 after --help (usage, then the table), EXIT_OWN
 * after a mistake, which was said.  words receives what is no option.
 */
int cmd_flags(const char *usage, const struct flag *table, void *target, char **argv, char ***words);

/* 0 when the run is this user's, or has only been submitted yet; -1 with EPERM.  In cmd_stop.c. */
int cmd_own_run(const char *run, struct stint_error *err);

/* Says "stint VERB: sentence" on stderr and answers EXIT_OWN. */
int cmd_fail(const char *verb, const struct stint_error *err);

#endif
