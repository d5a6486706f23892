/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image: the bytes of one rank's checkpoint file, seen as extents: tensors, their hashes, and the rest.  Hashing it
 * before a write and checking it after a read are the same walk, so both are here; no HDF5 is needed for either.
 */
#ifndef STINT_IMAGE_H
#define STINT_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include "extents.h"
#include "seal.h"

/*
 * Where the bytes of an image come from: all there at once, or one after another while somebody reads or copies them.
 * The first member of a struct that knows where they are.
 */
struct image_source {
        /*
         * Waits for the byte at `at` and answers where it is, and in *n how many are there behind it, between 1 and
         * `most`.  NULL and err when it never comes.
         */
        const unsigned char *(*take)(struct image_source *source, uint64_t at, uint64_t most, uint64_t *n,
                                     struct stint_error *err);
        /*
         * How many threads hash.  Up to 1: the caller's alone takes every byte once, in the order of the file, and has
         * done with all bytes before the one it asks for.  More: each of them takes in the order of the file, and
         * several take at a time.
         */
        unsigned threads;
};

/* Threads that are worth their while for hashing on this machine: one keeps up with most disks, XXH3 being quick. */
unsigned image_threads(void);

/*
 * Hashes an image in memory of image_bytes bytes, whose table stands at seal->table_offset: writes each tensor's hash
 * into the image at seal->hashes_offset, and fills seal->file_bytes, rest_hash, root and state_bytes.  table_offset (a
 * multiple of 8), table_count, record_bytes and hashes_offset are the caller's, and image is aligned to 8.  -1 with
 * EBADMSG when the table does not hold, ENOMEM.
 */
int image_hash(void *image, uint64_t image_bytes, struct seal *seal, struct stint_error *err);

/*
 * The same for an image that a source brings.  The table is in memory before the rest (aligned to 8); the hashes go to
 * `hashes`, table_count * 8 bytes, for the caller to put in their place.
 */
int image_hash_from(struct image_source *source, const void *table, void *hashes, uint64_t image_bytes,
                    struct seal *seal, struct stint_error *err);

/*
 * Checks an image in memory against its seal: size, table, every tensor's hash, the rest, and the root.  -1 with
 * EBADMSG and what does not hold: "tensor 'model/w' (4.0 MiB at offset 8192) does not match its hash".
 */
int image_check(const void *image, uint64_t image_bytes, const struct seal *seal, struct stint_error *err);

/* The same with several threads. */
int image_check_threads(const void *image, uint64_t image_bytes, const struct seal *seal, unsigned threads,
                        struct stint_error *err);

/*
 * Whether an image of this size can be that of this seal: its size, and where the table and the hashes lie.  To be
 * asked before the table is looked for at seal->table_offset.  -1 with EBADMSG.
 */
int image_check_places(uint64_t image_bytes, const struct seal *seal, struct stint_error *err);

/* image_check for an image that a source brings, whose table is in memory before the rest (aligned to 8). */
int image_check_from(struct image_source *source, const void *table, uint64_t image_bytes, const struct seal *seal,
                     struct stint_error *err);

/*
 * Checks all but the tensors, for which the source is never asked: the rest, and that the stored hashes, which go to
 * `hashes` (one for each tensor), are those that were sealed.  A tensor with the hash that stands there is then the one
 * that was sealed.  The source takes as with one thread; x is that of this image, whose size and places hold.
 */
int image_check_around(struct image_source *source, const struct extents *x, uint64_t *hashes, const struct seal *seal,
                       struct stint_error *err);

/*
 * Checks a file on disk the same way as one in memory, reading it anew in pieces (memory does not grow with the
 * file): on_progress, when not NULL, hears how many bytes were read so far.  EBADMSG: damaged; any other code: it could
 * not be read.
 */
int image_check_file(const char *path, const struct seal *seal, void (*on_progress)(void *arg, uint64_t bytes),
                     void *arg, struct stint_error *err);

#endif
