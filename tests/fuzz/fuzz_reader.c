/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_reader: a seal and a rank's file as the agent reads them in a restore. What it hands to the program is what the
 * file holds, and holds by its hashes. A first byte with bit 0 puts the seal's checksum right, with bit 1 the manifest
 * says what the seal says.
 */
#include <errno.h>
#include <sys/mman.h>
#include "checksum.h"
#include "example.h"
#include "reader.h"

static void check_image(const struct reader *r, const uint8_t *file, size_t n)
{
        void *image = mmap(NULL, n, PROT_READ, MAP_SHARED, r->fd, 0);

        FUZZ_CHECK(image != MAP_FAILED && r->file_bytes == n && memcmp(image, file, n) == 0);
        FUZZ_CHECK(image_check(image, n, &r->seal, NULL) == 0);
        munmap(image, n);
}

static struct reader *new_reader(const unsigned char *sealed, int believe)
{
        struct reader *r = calloc(1, sizeof *r);
        struct seal s;
        _Alignas(16) unsigned char image[EXAMPLE_IMAGE];

        FUZZ_CHECK(r != NULL);
        if (!believe || seal_decode(&s, sealed, SEAL_BYTES, NULL) != 0)
                s = example_image(image);
        r->fd = -1;
        snprintf(r->checkpoint, sizeof r->checkpoint, "%s", fuzz_folder());
        r->ranks = 1;
        r->checkpoint_step = 40;
        r->file_bytes = s.file_bytes;
        r->root = s.root;
        strcpy(r->run_id, EXAMPLE_RUN_ID);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        const size_t file_n = n > SEAL_BYTES + FUZZ_MODE ? n - SEAL_BYTES - FUZZ_MODE : 0;
        unsigned char *seal;
        char name[RUNDIR_NAME];
        struct reader *r;

        if (file_n == 0)
                return 0;
        seal = fuzz_copy(bytes + FUZZ_MODE, SEAL_BYTES);
        if (bytes[0] & 1)
                example_reseal(seal, checksum(seal, SEAL_BYTES - 8));
        fuzz_write(rundir_rank_seal(name, 0, 1), seal, SEAL_BYTES);
        fuzz_write(rundir_rank_file(name, 0, 1), bytes + FUZZ_MODE + SEAL_BYTES, file_n);
        r = new_reader(seal, bytes[0] & 2);
        reader_run(&r->work);
        if (r->fd >= 0)
                check_image(r, bytes + FUZZ_MODE + SEAL_BYTES, file_n);
        else
                FUZZ_CHECK((r->err.code == EBADMSG || r->err.code == ENOMEM) && r->err.text[0] != '\0');
        reader_free(r);
        free(seal);
        return 0;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
        return number < 4 ? example_part(out, number) : 0;
}
