/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * h5: what all who make HDF5 files here have in common.  The only file that includes hdf5.h; store and the rooms of
 * stint-export include this one, and nobody else does.
 */
#ifndef STINT_H5_H
#define STINT_H5_H

#include <hdf5.h>
#include "error.h"

/* Fills *err from HDF5's own stack of errors, which the next call of HDF5 would empty.  Answers -1. */
int h5_fail(struct stint_error *err, const char *doing);

/* As a tensor of that dtype is stored; a text of so many bytes or of H5T_VARIABLE.  The caller closes them. */
hid_t h5_type(enum stint_dtype dtype);
hid_t h5_text_type(size_t bytes);

#endif
