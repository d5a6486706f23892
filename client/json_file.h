/* SPDX-License-Identifier: GPL-2.0-or-later */
/* json_file: a small file of a run directory, read as JSON whole or not at all: a FIFO in its place is not waited for. */
#ifndef STINT_JSON_FILE_H
#define STINT_JSON_FILE_H

#include <jansson.h>

/* What RUN/name holds, a new reference; NULL when it is not there, is no regular file, or cannot be read as JSON. */
json_t *json_file_read(const char *run_dir, const char *name);

#endif
