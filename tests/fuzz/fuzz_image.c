/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_image: a seal and the image it is for. No table may lead out of the image, whatever it says; and what can be
 * hashed holds afterwards. A first byte with bit 0 lets the seal have the image's true size.
 */
#include <errno.h>
#include "checksum.h"
#include "example.h"

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
                if (image_hash(image, image_n, &s, NULL) == 0)
                        FUZZ_CHECK(image_check(image, image_n, &s, NULL) == 0);
        }
        free(image);
        free(seal);
        return 0;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
        return number < 2 ? example_part(out, number) : 0;
}
