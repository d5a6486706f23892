/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * export_file: an array becomes a virtual dataset, each of whose parts is a dataset in the file of a rank, or a plain
 * one with room for its bytes.  export_main calls in.
 *
 * Where HDF5 does not find a file that a virtual dataset refers to, it says nothing and fills in: with all bits set
 * here, which is not-a-number in every floating-point type and the last or -1 in every integer.
 */
#include "export_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "h5.h"
#include "names.h"
#include "rundir.h"

#define LARGE_ALIGNMENT 4096
#define WIDEST 16 /* bytes of an element of complex128 */

/* What making the file needs from beginning to end; the identifiers are -1 while they are not open. */
struct maker {
        struct export_list *list;
        const char *reference;
        hid_t file, link_plist, group_plist;
        hid_t text; /* of any length, which h5py reads as a str */
};

/* ---- words about it ---------------------------------------------------------------------------------------------- */

static int attribute(hid_t object, const char *name, hid_t type, const void *value)
{
        hid_t space = H5Screate(H5S_SCALAR);
        hid_t made = space < 0 ? -1 : H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
        const int rc = made >= 0 && H5Awrite(made, type, value) >= 0 ? 0 : -1;

        if (made >= 0)
                H5Aclose(made);
        if (space >= 0)
                H5Sclose(space);
        return rc;
}

static int text_attribute(const struct maker *m, hid_t object, const char *name, const char *text)
{
        return attribute(object, name, m->text, &text);
}

/* bfloat16 is stored as uint16, and only the attribute says so. */
static int describe(const struct maker *m, hid_t set, const struct export_array *a)
{
        return text_attribute(m, set, "dtype", dtype_name((enum stint_dtype)a->dtype)) < 0 ||
                               text_attribute(m, set, "role", role_name((enum stint_role)a->role)) < 0
                       ? -1
                       : 0;
}

static int describe_file(const struct maker *m)
{
        const struct export_list *list = m->list;

        if (text_attribute(m, m->file, "run", list->run_id) < 0 ||
            text_attribute(m, m->file, "checkpoint", m->reference ? m->reference : list->dir) < 0 ||
            attribute(m->file, "step", H5T_NATIVE_INT64, &list->step) < 0 ||
            attribute(m->file, "ranks", H5T_NATIVE_UINT32, &list->ranks) < 0)
                return -1;
        return 0;
}

/* ---- virtual datasets -------------------------------------------------------------------------------------------- */

/* HDF5 takes a percent sign in the names of sources for the beginning of a pattern, and two for one. */
static void put_percents(char *out, size_t size, const char *text)
{
        size_t n = 0;

        for (; *text && n + 2 < size; text++) {
                if (*text == '%')
                        out[n++] = '%';
                out[n++] = *text;
        }
        out[n] = '\0';
}

/* The part of the array that a piece is; the names of its file and its dataset there. */
static int map_piece(const struct maker *m, hid_t plist, hid_t space, const struct export_array *a,
                     const struct piece *piece)
{
        const struct table_record *r = piece->record;
        char path[PATH_MAX + RUNDIR_NAME], file[2 * sizeof path];
        char set[STINT_MAX_NAME + 8], name[2 * sizeof set];
        hsize_t offset[STINT_MAX_DIMS] = { 0 }, shape[STINT_MAX_DIMS];
        hid_t source;
        uint32_t d;
        int rc;

        for (d = 0; d < a->ndim; d++) {
                offset[d] = a->sharded ? (hsize_t)r->global_offset[d] : 0;
                shape[d] = (hsize_t)r->shape[d];
        }
        put_percents(file, sizeof file, export_list_file(path, sizeof path, m->list, m->reference, piece->rank));
        snprintf(set, sizeof set, "/state/%s", r->name);
        put_percents(name, sizeof name, set);
        source = H5Screate_simple((int)a->ndim, shape, NULL);
        rc = source >= 0 && H5Sselect_hyperslab(space, H5S_SELECT_SET, offset, NULL, shape, NULL) >= 0 &&
                             H5Pset_virtual(plist, space, file, name, source) >= 0
                     ? 0
                     : -1;
        if (source >= 0)
                H5Sclose(source);
        return rc;
}

static int map_pieces(const struct maker *m, hid_t plist, hid_t space, const struct export_array *a)
{
        uint32_t i;

        for (i = 0; i < a->count; i++)
                if (map_piece(m, plist, space, a, &a->pieces[i]) < 0)
                        return -1;
        return 0;
}

/* An enumeration has no name for all bits set; there zero, which is False, has to do. */
static int set_filling(hid_t plist, const struct export_array *a, hid_t type)
{
        unsigned char filling[WIDEST];

        memset(filling, a->dtype == STINT_BOOL ? 0 : 0xff, sizeof filling);
        return H5Pset_fill_value(plist, type, filling) < 0 ? -1 : 0;
}

/* ---- datasets ---------------------------------------------------------------------------------------------------- */

/* HDF5 has no virtual datasets without dimensions, and an empty one needs none. */
static int is_virtual(const struct maker *m, const struct export_array *a)
{
        return m->reference && a->ndim > 0 && a->bytes > 0;
}

static hid_t dataset_plist(const struct maker *m, const struct export_array *a, hid_t type, hid_t space)
{
        hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
        int rc = plist < 0 || H5Pset_obj_track_times(plist, 0) < 0 ? -1 : 0;

        if (rc == 0 && is_virtual(m, a))
                rc = set_filling(plist, a, type) < 0 || map_pieces(m, plist, space, a) < 0 ? -1 : 0;
        else if (rc == 0)
                rc = H5Pset_layout(plist, H5D_CONTIGUOUS) < 0 || H5Pset_fill_time(plist, H5D_FILL_TIME_NEVER) < 0 ||
                                     H5Pset_alloc_time(plist, H5D_ALLOC_TIME_EARLY) < 0
                             ? -1
                             : 0;
        if (rc == 0)
                return plist;
        if (plist >= 0)
                H5Pclose(plist);
        return -1;
}

static hid_t array_space(const struct export_array *a)
{
        hsize_t dims[STINT_MAX_DIMS];
        uint32_t d;

        for (d = 0; d < a->ndim; d++)
                dims[d] = (hsize_t)a->shape[d];
        return a->ndim == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple((int)a->ndim, dims, NULL);
}

static hid_t create_dataset(const struct maker *m, const struct export_array *a, hid_t type, hid_t space)
{
        char path[STINT_MAX_NAME + 48];
        hid_t plist, set;

        if (a->rank < 0)
                snprintf(path, sizeof path, "/state/%s", a->name);
        else
                snprintf(path, sizeof path, "/ranks/%d/state/%s", a->rank, a->name);
        plist = dataset_plist(m, a, type, space);
        if (plist < 0)
                return -1;
        /* The selections that the parts were given by are no part of the whole. */
        if (a->ndim > 0)
                H5Sselect_all(space);
        set = H5Dcreate2(m->file, path, type, space, m->link_plist, plist, H5P_DEFAULT);
        H5Pclose(plist);
        return set;
}

static int make_dataset(const struct maker *m, struct export_array *a)
{
        hid_t type = h5_type((enum stint_dtype)a->dtype), space = array_space(a), set = -1;
        int rc = -1;

        if (type >= 0 && space >= 0)
                set = create_dataset(m, a, type, space);
        if (set >= 0)
                rc = describe(m, set, a);
        if (rc == 0 && a->bytes > 0 && !is_virtual(m, a)) {
                const haddr_t address = H5Dget_offset(set);

                rc = address == HADDR_UNDEF ? -1 : 0;
                a->offset = address;
        }
        if (set >= 0 && H5Dclose(set) < 0)
                rc = -1;
        if (space >= 0)
                H5Sclose(space);
        if (type >= 0)
                H5Tclose(type);
        return rc;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* Nobody else knows of the file yet, and a filesystem that cannot lock is none the worse for it. */
static hid_t create_file(const char *path)
{
        hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = -1;

        if (access < 0)
                return -1;
        if (H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V110) >= 0 &&
            H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 &&
#if H5_VERSION_GE(1, 10, 7)
            H5Pset_file_locking(access, 0, 1) >= 0 &&
#endif
            H5Pset_alignment(access, LARGE_ALIGNMENT, LARGE_ALIGNMENT) >= 0)
                file = H5Fcreate(path, H5F_ACC_EXCL, H5P_DEFAULT, access);
        H5Pclose(access);
        return file;
}

static int make_group(const struct maker *m, const char *name)
{
        hid_t group = H5Gcreate2(m->file, name, m->link_plist, m->group_plist, H5P_DEFAULT);

        return group < 0 || H5Gclose(group) < 0 ? -1 : 0;
}

static int make_all(struct maker *m, const char *path, struct stint_error *err)
{
        uint32_t i;

        m->link_plist = H5Pcreate(H5P_LINK_CREATE);
        m->group_plist = H5Pcreate(H5P_GROUP_CREATE);
        m->text = h5_text_type(H5T_VARIABLE);
        if (m->link_plist < 0 || m->group_plist < 0 || m->text < 0 ||
            H5Pset_create_intermediate_group(m->link_plist, 1) < 0 ||
            H5Pset_char_encoding(m->link_plist, H5T_CSET_UTF8) < 0)
                return h5_fail(err, "its property lists");
        m->file = create_file(path);
        if (m->file < 0 || describe_file(m) < 0 || make_group(m, "/state") < 0)
                return h5_fail(err, "creating the file");
        for (i = 0; i < m->list->count; i++)
                if (make_dataset(m, &m->list->arrays[i]) < 0) {
                        h5_fail(err, "a dataset");
                        return error_wrap(err, "'%s'", m->list->arrays[i].name);
                }
        return 0;
}

int export_file_make(const char *path, struct export_list *list, const char *reference, struct stint_error *err)
{
        struct maker m = { list, reference, -1, -1, -1, -1 };
        int rc;

        H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
        rc = make_all(&m, path, err);
        if (m.text >= 0)
                H5Tclose(m.text);
        if (m.group_plist >= 0)
                H5Pclose(m.group_plist);
        if (m.link_plist >= 0)
                H5Pclose(m.link_plist);
        /* Where HDF5 writes its metadata, and a full disk shows. */
        if (m.file >= 0 && H5Fclose(m.file) < 0 && rc == 0)
                rc = h5_fail(err, "writing the file");
        return rc;
}
