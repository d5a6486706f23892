/* SPDX-License-Identifier: GPL-2.0-or-later */
/* export_copy: the bytes of an export's arrays, out of the ranks' files.  Called by export_main. */
#ifndef STINT_EXPORT_COPY_H
#define STINT_EXPORT_COPY_H

#include "export_list.h"

/*
 * Fills the arrays that have an offset in the file at path, each piece proven by its hash on the way.  EBADMSG: one of
 * them is damaged; any other code: the files could not be read or written.
 */
int export_copy(const char *path, const struct export_list *list, struct stint_error *err);

#endif
