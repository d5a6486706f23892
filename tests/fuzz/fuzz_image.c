/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_image: a seal and the image it is for. No table may lead out of the image, whatever it says; and what can be
 * hashed holds afterwards. What is proven without the tensors and what is proven with them is the same, but for the
 * tensors. A first byte with bit 0 lets the seal have the image's true size.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>
#include "checksum.h"
#include "contents.h"
#include "example.h"
#include "pieces.h"

/* The table by itself, with its size in memory exactly as it says. */
static void check_table(const unsigned char *image, uint64_t n, const struct seal *s)
{
        uint64_t bytes;
        void *table;

        if (s->record_bytes == 0 || s->table_count > n / s->record_bytes)
                return;
        bytes = s->table_count * s->record_bytes;
        if (s->table_offset > n - bytes)
                return;
        table = fuzz_copy(image + s->table_offset, bytes);
        if (table_check(table, s->table_count, s->record_bytes, n, NULL) == 0)
                for (uint64_t i = 0; i < s->table_count; i++) {
                        const struct table_record *r = table_at(table, s->record_bytes, i);

                        FUZZ_CHECK(r->bytes <= n && r->file_offset <= n - r->bytes);
                        FUZZ_CHECK(table_find(table, s->table_count, s->record_bytes, r->name) == r);
                }
        free(table);
}

static int tensors_hold(const struct contents *c, const unsigned char *image)
{
        int hold = 1;

        for (uint64_t i = 0; i < c->seal.table_count; i++)
                hold &= c->hashes[i] == checksum(image + contents_at(c, i)->file_offset, contents_at(c, i)->bytes);
        return hold;
}

/* The contents of a file with these bytes, of which `whole` says whether they match the seal; and the index of them alone. */
static void check_contents(const unsigned char *image, uint64_t n, const struct seal *s, int whole)
{
        struct stint_error err = {0};
        struct pieces pieces = {0};
        struct contents c;
        const int fd = memfd_create("image", MFD_CLOEXEC);

        FUZZ_CHECK(fd >= 0 && write(fd, image, n) == (ssize_t)n);
        if (contents_read_fd(&c, fd, "image", s, &err) == 0) {
                FUZZ_CHECK(tensors_hold(&c, image) == whole);
                if (pieces_add(&pieces, 0, &c, NULL) == 0 && pieces_close(&pieces, &err) != 0)
                        FUZZ_CHECK((err.code == EINVAL || err.code == EOVERFLOW) && err.text[0] != '\0');
                pieces_fini(&pieces);
                contents_fini(&c);
        } else {
                FUZZ_CHECK(!whole && (err.code == EBADMSG || err.code == ENOMEM));
        }
        close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        const size_t image_n = n > SEAL_BYTES + FUZZ_MODE ? n - SEAL_BYTES - FUZZ_MODE : 0;
        struct stint_error err = {0};
        unsigned char *seal, *image;
        struct seal s;

        if (image_n == 0)
                return 0;
        seal = fuzz_copy(bytes + FUZZ_MODE, SEAL_BYTES);
        example_reseal(seal, checksum(seal, SEAL_BYTES - 8));
        image = fuzz_copy(bytes + FUZZ_MODE + SEAL_BYTES, image_n);
        if (seal_decode(&s, seal, SEAL_BYTES, NULL) == 0) {
                if (bytes[0] & 1)
                        s.file_bytes = image_n;
                check_table(image, image_n, &s);
                if (image_check(image, image_n, &s, &err) != 0)
                        FUZZ_CHECK((err.code == EBADMSG || err.code == ENOMEM) && err.text[0] != '\0');
                check_contents(image, image_n, &s, err.code == 0);
                if (image_hash(image, image_n, &s, NULL) == 0) {
                        FUZZ_CHECK(image_check(image, image_n, &s, NULL) == 0);
                        check_contents(image, image_n, &s, 1);
                }
        }
        free(image);
        free(seal);
        return 0;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
        return number < 2 ? example_part(out, number) : 0;
}
