/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * h5: the types under which tensors are stored, and HDF5's own words when it fails.  store, which makes the files of
 * checkpoints, and export, which makes those for other programs, call in.
 */
#include "h5.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_BYTES 300

/* ---- what HDF5 says when it fails -------------------------------------------------------------------------------- */

struct why {
        int have, code;
        char text[WHY_BYTES];
};

/* Upward means that the first one heard is the innermost: the one with the system's own words. */
static herr_t on_stack(unsigned n, const H5E_error2_t *entry, void *arg)
{
        struct why *why = arg;
        const char *number;

        (void)n;
        if (why->have || !entry->desc)
                return 0;
        why->have = 1;
        snprintf(why->text, sizeof why->text, "%s", entry->desc);
        number = strstr(entry->desc, "errno = ");
        if (number)
                why->code = atoi(number + strlen("errno = "));
        return 0;
}

int h5_fail(struct stint_error *err, const char *doing)
{
        struct why why = { .code = 0 };

        H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, on_stack, &why);
        H5Eclear2(H5E_DEFAULT);
        return error_set(err, why.code > 0 ? why.code : EIO, "HDF5 failed at %s: %s", doing,
                         why.have ? why.text : "it gave no reason");
}

/* ---- types ------------------------------------------------------------------------------------------------------- */

/* IEEE 754 binary16, little-endian, which HDF5 1.10 has no name for. */
static hid_t half_type(void)
{
        hid_t type = H5Tcopy(H5T_IEEE_F32LE);

        if (type < 0)
                return -1;
        if (H5Tset_fields(type, 15, 10, 5, 0, 10) < 0 || H5Tset_size(type, 2) < 0 || H5Tset_ebias(type, 15) < 0) {
                H5Tclose(type);
                return -1;
        }
        return type;
}

/* As h5py stores numpy's complex: a compound of r and i. */
static hid_t complex_type(hid_t part)
{
        size_t size = H5Tget_size(part);
        hid_t type = H5Tcreate(H5T_COMPOUND, 2 * size);

        if (type < 0)
                return -1;
        if (H5Tinsert(type, "r", 0, part) < 0 || H5Tinsert(type, "i", size, part) < 0) {
                H5Tclose(type);
                return -1;
        }
        return type;
}

/* As h5py stores numpy's bool: an enumeration over one byte. */
static hid_t bool_type(void)
{
        const signed char no = 0, yes = 1;
        hid_t type = H5Tenum_create(H5T_STD_I8LE);

        if (type < 0)
                return -1;
        if (H5Tenum_insert(type, "FALSE", &no) < 0 || H5Tenum_insert(type, "TRUE", &yes) < 0) {
                H5Tclose(type);
                return -1;
        }
        return type;
}

hid_t h5_type(enum stint_dtype dtype)
{
        switch (dtype) {
        case STINT_U8:
                return H5Tcopy(H5T_STD_U8LE);
        case STINT_I8:
                return H5Tcopy(H5T_STD_I8LE);
        case STINT_BF16: /* its true name stands in the table */
        case STINT_U16:
                return H5Tcopy(H5T_STD_U16LE);
        case STINT_I16:
                return H5Tcopy(H5T_STD_I16LE);
        case STINT_U32:
                return H5Tcopy(H5T_STD_U32LE);
        case STINT_I32:
                return H5Tcopy(H5T_STD_I32LE);
        case STINT_U64:
                return H5Tcopy(H5T_STD_U64LE);
        case STINT_I64:
                return H5Tcopy(H5T_STD_I64LE);
        case STINT_F16:
                return half_type();
        case STINT_F32:
                return H5Tcopy(H5T_IEEE_F32LE);
        case STINT_F64:
                return H5Tcopy(H5T_IEEE_F64LE);
        case STINT_C64:
                return complex_type(H5T_IEEE_F32LE);
        case STINT_C128:
                return complex_type(H5T_IEEE_F64LE);
        case STINT_BOOL:
                return bool_type();
        }
        return -1;
}

hid_t h5_text_type(size_t bytes)
{
        hid_t type = H5Tcopy(H5T_C_S1);

        if (type >= 0 && (H5Tset_size(type, bytes) < 0 || H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 ||
                          H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
                H5Tclose(type);
                return -1;
        }
        return type;
}
