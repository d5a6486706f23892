/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store: builds the HDF5 file of a checkpoint without its data.  template.c calls in, on a thread.
 *
 * The file is written in two passes.  In the first, with everything aligned to 64 bytes, come the datasets of /stint,
 * so that records and hashes can be used in place.  In the second come the tensors, those of a page and more aligned to
 * pages; smaller ones stand as close as HDF5 puts them, for each gap costs HDF5 a search in its list of gaps.  All
 * datasets are contiguous, allocated at once and never filled, so the file stays a hole where its data will be.  Times
 * are not tracked: the same tensors give the same bytes.
 */
#include "store.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "h5.h"
#include "names.h"
#include "table.h"

#define SMALL_ALIGNMENT 64
#define LARGE_ALIGNMENT 4096
#define DTYPES (STINT_BOOL + 1)

/* One open group and where its name ends in the path of the tensor that was made last. */
struct level {
        hid_t group;
        size_t end;
};

/* What building needs from beginning to end; the identifiers are -1 while they are not open. */
struct builder {
        hid_t file, state;
        hid_t dataset_plist, group_plist, link_plist;
        hid_t types[DTYPES]; /* as stored, by enum stint_dtype */
        char path[STINT_MAX_NAME + 1];
        struct level levels[STINT_MAX_NAME / 2 + 1];
        int depth;
};

/* ---- types ------------------------------------------------------------------------------------------------------- */

/* An enumeration over uint32 whose words are those of names.h, so that h5dump shows words and not numbers. */
static hid_t word_type(uint32_t first, uint32_t last, const char *(*word)(uint32_t))
{
        hid_t type = H5Tenum_create(H5T_STD_U32LE);
        uint32_t value;

        for (value = first; type >= 0 && value <= last; value++)
                if (H5Tenum_insert(type, word(value), &value) < 0) {
                        H5Tclose(type);
                        type = -1;
                }
        return type;
}

static const char *dtype_word(uint32_t value)
{
        return dtype_name((enum stint_dtype)value);
}

static const char *role_word(uint32_t value)
{
        return role_name((enum stint_role)value);
}

static const char *device_word(uint32_t value)
{
        return device_name((enum stint_device)value);
}

/* Inserts a member and closes the type that was made for it. */
static int member(hid_t record, const char *name, size_t offset, hid_t type)
{
        int rc = type < 0 || H5Tinsert(record, name, offset, type) < 0 ? -1 : 0;

        if (type >= 0)
                H5Tclose(type);
        return rc;
}

static hid_t dims_type(void)
{
        const hsize_t dims = STINT_MAX_DIMS;

        return H5Tarray_create2(H5T_STD_I64LE, 1, &dims);
}

/* struct table_record, member by member. */
static hid_t record_type(uint32_t record_bytes)
{
        hid_t type = H5Tcreate(H5T_COMPOUND, record_bytes);

        if (type < 0)
                return -1;
#define AT(field) offsetof(struct table_record, field)
        if (member(type, "file_offset", AT(file_offset), H5Tcopy(H5T_STD_U64LE)) < 0 ||
            member(type, "bytes", AT(bytes), H5Tcopy(H5T_STD_U64LE)) < 0 ||
            member(type, "dtype", AT(dtype), word_type(STINT_U8, STINT_BOOL, dtype_word)) < 0 ||
            member(type, "role", AT(role), word_type(STINT_ROLE_MODEL, STINT_ROLE_OTHER, role_word)) < 0 ||
            member(type, "device", AT(device), word_type(STINT_DEVICE_HOST, STINT_DEVICE_CUDA, device_word)) < 0 ||
            member(type, "device_index", AT(device_index), H5Tcopy(H5T_STD_I32LE)) < 0 ||
            member(type, "ndim", AT(ndim), H5Tcopy(H5T_STD_U32LE)) < 0 ||
            member(type, "flags", AT(flags), H5Tcopy(H5T_STD_U32LE)) < 0 ||
            member(type, "shape", AT(shape), dims_type()) < 0 ||
            member(type, "global_shape", AT(global_shape), dims_type()) < 0 ||
            member(type, "global_offset", AT(global_offset), dims_type()) < 0 ||
            member(type, "name", AT(name), h5_text_type(record_bytes - TABLE_RECORD_FIXED)) < 0) {
                H5Tclose(type);
                return -1;
        }
#undef AT
        return type;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------- */

static void builder_close(struct builder *b)
{
        int i;

        for (i = 0; i < DTYPES; i++)
                if (b->types[i] >= 0)
                        H5Tclose(b->types[i]);
        if (b->dataset_plist >= 0)
                H5Pclose(b->dataset_plist);
        if (b->group_plist >= 0)
                H5Pclose(b->group_plist);
        if (b->link_plist >= 0)
                H5Pclose(b->link_plist);
        if (b->file >= 0)
                H5Fclose(b->file); /* strong: takes the groups along */
}

static int builder_open(struct builder *b, struct stint_error *err)
{
        int i;

        memset(b, 0, sizeof *b);
        b->file = b->state = -1;
        for (i = 0; i < DTYPES; i++)
                b->types[i] = -1;
        b->dataset_plist = H5Pcreate(H5P_DATASET_CREATE);
        b->group_plist = H5Pcreate(H5P_GROUP_CREATE);
        b->link_plist = H5Pcreate(H5P_LINK_CREATE);
        if (b->dataset_plist < 0 || b->group_plist < 0 || b->link_plist < 0)
                return h5_fail(err, "its property lists");
        if (H5Pset_layout(b->dataset_plist, H5D_CONTIGUOUS) < 0 ||
            H5Pset_alloc_time(b->dataset_plist, H5D_ALLOC_TIME_EARLY) < 0 ||
            H5Pset_fill_time(b->dataset_plist, H5D_FILL_TIME_NEVER) < 0 ||
            H5Pset_obj_track_times(b->dataset_plist, 0) < 0 || H5Pset_obj_track_times(b->group_plist, 0) < 0 ||
            H5Pset_char_encoding(b->link_plist, H5T_CSET_UTF8) < 0)
                return h5_fail(err, "its property lists");
        for (i = STINT_U8; i < DTYPES; i++) {
                b->types[i] = h5_type((enum stint_dtype)i);
                if (b->types[i] < 0)
                        return h5_fail(err, "its types");
        }
        return 0;
}

/* Metadata comes in blocks that grow with the number of tensors, so that many tensors do not mean many small holes. */
static hsize_t metadata_block(uint64_t count)
{
        hsize_t block = 4096;

        while (block < 1024 * 1024 && block < count * 64)
                block *= 2;
        return block;
}

static hid_t access_plist(uint64_t count, hsize_t threshold, hsize_t alignment)
{
        hid_t plist = H5Pcreate(H5P_FILE_ACCESS);

        if (plist < 0)
                return -1;
        /* Any other driver resolves the link in /proc to a name, and memory has none. */
        if (H5Pset_fapl_stdio(plist) < 0 || H5Pset_fclose_degree(plist, H5F_CLOSE_STRONG) < 0 ||
            H5Pset_libver_bounds(plist, H5F_LIBVER_V18, H5F_LIBVER_V110) < 0 ||
            H5Pset_alignment(plist, threshold, alignment) < 0 ||
            H5Pset_meta_block_size(plist, metadata_block(count)) < 0
#if H5_VERSION_GE(1, 10, 7)
            || H5Pset_file_locking(plist, 0, 1) < 0 /* nobody else knows of this file */
#endif
        ) {
                H5Pclose(plist);
                return -1;
        }
        return plist;
}

static int file_create(struct builder *b, const char *path, struct stint_error *err)
{
        hid_t access = access_plist(0, 1, SMALL_ALIGNMENT);
        hid_t create = H5Pcreate(H5P_FILE_CREATE);

        if (access >= 0 && create >= 0 && H5Pset_obj_track_times(create, 0) >= 0)
                b->file = H5Fcreate(path, H5F_ACC_TRUNC, create, access);
        if (b->file < 0)
                h5_fail(err, "creating the template");
        if (access >= 0)
                H5Pclose(access);
        if (create >= 0)
                H5Pclose(create);
        return b->file < 0 ? -1 : 0;
}

static int file_reopen(struct builder *b, const char *path, uint64_t count, struct stint_error *err)
{
        hid_t access = access_plist(count, LARGE_ALIGNMENT, LARGE_ALIGNMENT);

        if (access >= 0)
                b->file = H5Fopen(path, H5F_ACC_RDWR, access);
        if (b->file < 0)
                h5_fail(err, "opening the template again");
        if (access >= 0)
                H5Pclose(access);
        return b->file < 0 ? -1 : 0;
}

/* H5Fclose is where HDF5 writes its metadata, so this is where a full disk shows. */
static int file_close(struct builder *b, struct stint_error *err)
{
        hid_t file = b->file;

        b->file = b->state = -1;
        b->depth = 0;
        return H5Fclose(file) < 0 ? h5_fail(err, "writing the template") : 0;
}

/* ---- groups and datasets ----------------------------------------------------------------------------------------- */

/*
 * The group that is the parent of /state/NAME, made when it is not there.  The groups on the way stay open until a name
 * leads elsewhere: names that stand together in the table mostly share them, and looking up each from the top would
 * cost as much as the datasets.  *leaf receives where the last component begins.
 */
static hid_t parent_of(struct builder *b, const char *name, const char **leaf)
{
        const char *slash;
        size_t begin;

        while (b->depth > 0) {
                const struct level *last = &b->levels[b->depth - 1];

                if (strncmp(b->path, name, last->end) == 0 && name[last->end] == '/')
                        break;
                H5Gclose(last->group);
                b->depth--;
        }
        begin = b->depth > 0 ? b->levels[b->depth - 1].end + 1 : 0;
        while ((slash = strchr(name + begin, '/')) != NULL) {
                hid_t above = b->depth > 0 ? b->levels[b->depth - 1].group : b->state;
                size_t end = (size_t)(slash - name);
                char component[STINT_MAX_NAME + 1];
                hid_t group;
                htri_t there;

                memcpy(component, name + begin, end - begin);
                component[end - begin] = '\0';
                there = H5Lexists(above, component, H5P_DEFAULT);
                group = there > 0 ? H5Gopen2(above, component, H5P_DEFAULT)
                                  : H5Gcreate2(above, component, b->link_plist, b->group_plist, H5P_DEFAULT);
                if (there < 0 || group < 0)
                        return -1;
                b->levels[b->depth++] = (struct level){ group, end };
                begin = end + 1;
        }
        memcpy(b->path, name, begin);
        *leaf = name + begin;
        return b->depth > 0 ? b->levels[b->depth - 1].group : b->state;
}

/* Makes one dataset and answers where its bytes are; 0 when it has none. */
static int make_dataset(struct builder *b, hid_t where, const char *name, hid_t type, int ndim, const hsize_t *dims,
                        uint64_t bytes, uint64_t *offset)
{
        hid_t space = ndim == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(ndim, dims, NULL);
        hid_t set = space < 0 ? -1 : H5Dcreate2(where, name, type, space, b->link_plist, b->dataset_plist, H5P_DEFAULT);
        haddr_t address = HADDR_UNDEF;

        *offset = 0;
        if (set >= 0 && bytes > 0) {
                address = H5Dget_offset(set);
                *offset = address;
        }
        if (space >= 0)
                H5Sclose(space);
        if (set >= 0)
                H5Dclose(set);
        return set < 0 || (bytes > 0 && address == HADDR_UNDEF) ? -1 : 0;
}

static int make_tensor(struct builder *b, struct table_record *record, struct stint_error *err)
{
        hsize_t dims[STINT_MAX_DIMS];
        const char *leaf = record->name;
        hid_t parent;
        uint32_t d;

        for (d = 0; d < record->ndim; d++)
                dims[d] = (hsize_t)record->shape[d];
        parent = parent_of(b, record->name, &leaf);
        if (parent < 0 || make_dataset(b, parent, leaf, b->types[record->dtype], (int)record->ndim, dims, record->bytes,
                                       &record->file_offset) < 0) {
                h5_fail(err, "a dataset");
                return error_wrap(err, "tensor '%s'", record->name);
        }
        return 0;
}

static int make_tensors(struct builder *b, void *table, uint64_t count, uint32_t record_bytes, struct stint_error *err)
{
        uint64_t i;

        for (i = 0; i < count; i++)
                if (make_tensor(b, table_at(table, record_bytes, i), err) < 0)
                        return -1;
        return 0;
}

/* /stint: the table, the hashes, and the text about the checkpoint. */
static int make_own(struct builder *b, struct store_places *at, uint64_t count, uint32_t record_bytes,
                    struct stint_error *err)
{
        hid_t group = H5Gcreate2(b->file, "stint", b->link_plist, b->group_plist, H5P_DEFAULT);
        hid_t record = record_type(record_bytes), text = h5_text_type(STORE_META_BYTES);
        const hsize_t n = count;
        int rc = 0;

        if (group < 0 || record < 0 || text < 0 ||
            make_dataset(b, group, "table", record, 1, &n, count * record_bytes, &at->table_offset) < 0 ||
            make_dataset(b, group, "hashes", H5T_STD_U64LE, 1, &n, count * 8, &at->hashes_offset) < 0 ||
            make_dataset(b, group, "meta", text, 0, NULL, STORE_META_BYTES, &at->meta_offset) < 0)
                rc = h5_fail(err, "the datasets of /stint");
        if (record >= 0)
                H5Tclose(record);
        if (text >= 0)
                H5Tclose(text);
        if (group >= 0)
                H5Gclose(group);
        return rc;
}

static int build(struct builder *b, struct store_places *at, const char *path, void *table, uint64_t count,
                 uint32_t record_bytes, struct stint_error *err)
{
        if (file_create(b, path, err) < 0 || make_own(b, at, count, record_bytes, err) < 0)
                return -1;
        if (file_close(b, err) < 0 || file_reopen(b, path, count, err) < 0)
                return -1;
        b->state = H5Gcreate2(b->file, "state", b->link_plist, b->group_plist, H5P_DEFAULT);
        if (b->state < 0)
                return h5_fail(err, "the group /state");
        if (make_tensors(b, table, count, record_bytes, err) < 0)
                return -1;
        return file_close(b, err);
}

/* Gives back the caches that HDF5 keeps for later: the next layout may never come. */
static void let_go(void)
{
        H5close();
        malloc_trim(0);
}

int store_build(struct store_places *at, const char *path, void *table, uint64_t count, uint32_t record_bytes,
                struct stint_error *err)
{
        struct builder b;
        int rc;

        H5open();
        H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
        rc = builder_open(&b, err);
        if (rc == 0)
                rc = build(&b, at, path, table, count, record_bytes, err);
        builder_close(&b);
        let_go();
        if (rc == 0 && ((at->table_offset | at->hashes_offset) & 7) != 0)
                return error_set(err, EPROTO,
                                 "HDF5 did not align the table as it was told; this version of HDF5 cannot be used");
        return rc;
}
