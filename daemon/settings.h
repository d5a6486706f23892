/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * settings: what an admin sets for stintd, in one table: name, kind, unit, default and help.  The file, --help,
 * --check-config and the manual page say the same words.  Read by main at the start and at every SIGHUP.
 */
#ifndef STINTD_SETTINGS_H
#define STINTD_SETTINGS_H

#include <stdint.h>
#include <stdio.h>
#include "error.h"
#include "node.h"

#define SETTINGS_PATH 108 /* of a socket: what sun_path holds */

struct settings {
        char socket[SETTINGS_PATH]; /* as set; the pattern of a path */
        char node[NODE_NAME];       /* "": as the machine calls itself */
        int64_t staging_bytes;      /* for all jobs together; 0: off */
        int64_t staging_user_bytes; /* of that for one user; SETTINGS_ALL: as much as there is */
        int64_t keep_ns;            /* how long a snapshot stays after its job; 0: off */
        int64_t outlive;            /* whether writes are taken over from jobs that end */
        int64_t outlive_ns;         /* the longest for one of them */
        int64_t ask_as;             /* enum settings_ask_as */
        int64_t ask_every_ns;
        int64_t margin_ns;
        int64_t connections, connections_per_user;
        int64_t messages_per_second; /* of one user */
        int64_t jobs;
        int64_t log_level;           /* enum stint_log_level */
};

#define SETTINGS_ALL INT64_MAX

enum settings_ask_as { ASK_AS_OWNER = 0 };

/* What holds without a file. */
void settings_default(struct settings *s);

/*
 * Reads a file over *s.  -1 with the file, the line and, for a key that there is not, the nearest name; *s then is as
 * it was.  ENOENT when there is no file.
 */
int settings_read(struct settings *s, const char *path, struct stint_error *err);

/* One setting, as if a line of a file had said it. */
int settings_set(struct settings *s, const char *name, const char *value, struct stint_error *err);

/* What does not hold together, when everything was read. */
int settings_check(const struct settings *s, struct stint_error *err);

/* Takes over from *fresh what can change while stintd runs; answers a word for what cannot and did, or NULL. */
const char *settings_renew(struct settings *s, const struct settings *fresh);

/* "Name=VALUE" for each, as --check-config says it. */
void settings_print(const struct settings *s, FILE *out);

/* Name, default and help of each, as --help says it. */
void settings_help(FILE *out);

#endif
