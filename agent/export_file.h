/* SPDX-License-Identifier: GPL-2.0-or-later */
/* export_file: the HDF5 file of an export: its groups, its datasets, what is said of them.  Called by export_main. */
#ifndef STINT_EXPORT_FILE_H
#define STINT_EXPORT_FILE_H

#include "export_list.h"

/*
 * Makes it at path, where nothing is yet.  `reference` is the checkpoint's directory as the file is to name it:
 * absolute, or as seen from where the file will be; NULL for a file that has the bytes itself.  Datasets whose bytes
 * are to be in the file, those of tensors without dimensions always, have them allocated and their offset in the list.
 */
int export_file_make(const char *path, struct export_list *list, const char *reference, struct stint_error *err);

#endif
