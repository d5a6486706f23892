/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image: the bytes of one rank's checkpoint file, seen as extents: tensors, their hashes, and the rest.  Hashing it
 * before a write and checking it after a read are the same walk, so both are here; no HDF5 is needed for either.
 */
#ifndef STINT_IMAGE_H
#define STINT_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include "seal.h"

/*
 * Hashes an image in memory of image_bytes bytes, whose table stands at seal->table_offset: writes each tensor's hash
 * into the image at seal->hashes_offset, and fills seal->file_bytes, rest_hash, root and state_bytes.  table_offset (a
 * multiple of 8), table_count, record_bytes and hashes_offset are the caller's, and image is aligned to 8.  -1 with
 * EBADMSG when the table does not hold, ENOMEM.
 */
int image_hash(void *image, uint64_t image_bytes, struct seal *seal, struct stint_error *err);

/*
 * Checks an image in memory against its seal: size, table, every tensor's hash, the rest, and the root.  -1 with
 * EBADMSG and what does not hold: "tensor 'model/w' (4.0 MiB at offset 8192) does not match its hash".
 */
int image_check(const void *image, uint64_t image_bytes, const struct seal *seal, struct stint_error *err);

/*
 * Checks a file on disk the same way, reading it anew in pieces (memory does not grow with the file): on_progress, when
 * not NULL, hears how many bytes were read so far.  EBADMSG: damaged; any other code: it could not be read.
 */
int image_check_file(const char *path, const struct seal *seal, void (*on_progress)(void *arg, uint64_t bytes),
                     void *arg, struct stint_error *err);

#endif
