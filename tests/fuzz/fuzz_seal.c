/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_seal: bytes as a seal: what decodes, as it or as the mark in its place, is, encoded again, the same bytes. An odd
 * first byte puts the checksum right.
 */
#include <errno.h>
#include "checksum.h"
#include "example.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        unsigned char *seal, again[SEAL_BYTES];
        struct stint_error err = {0};
        struct seal_pending mark;
        struct seal s;

        if (n < FUZZ_MODE)
                return 0;
        seal = fuzz_copy(bytes + FUZZ_MODE, n - FUZZ_MODE);
        if ((bytes[0] & 1) && n - FUZZ_MODE == SEAL_BYTES)
                example_reseal(seal, checksum(seal, SEAL_BYTES - 8));
        if (seal_decode(&s, seal, n - FUZZ_MODE, &err) == 0) {
                FUZZ_CHECK(n - FUZZ_MODE == SEAL_BYTES && s.metric_count <= SEAL_METRICS &&
                           strlen(s.run_id) < sizeof s.run_id);
                for (int i = 0; i < SEAL_METRICS; i++)
                        FUZZ_CHECK(memchr(s.metrics[i].name, 0, SEAL_METRIC_NAME) != NULL);
                seal_encode(&s, again);
                FUZZ_CHECK(memcmp(again, seal, SEAL_BYTES) == 0);
        } else {
                const int pending = seal_pending_decode(&mark, seal, n - FUZZ_MODE, NULL) == 0;

                FUZZ_CHECK(err.code == (n == FUZZ_MODE || pending ? ENODATA : EBADMSG) && err.text[0] != '\0');
                if (pending) {
                        FUZZ_CHECK(memchr(mark.node, 0, sizeof mark.node) != NULL);
                        seal_pending_encode(&mark, again);
                        FUZZ_CHECK(memcmp(again, seal, SEAL_BYTES) == 0);
                }
        }
        free(seal);
        return 0;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
        _Alignas(16) unsigned char image[EXAMPLE_IMAGE];
        struct seal s = example_image(image);
        const struct seal_pending mark = {.until_wall_ns = 1, .node = "n1"};

        memset(out, 0, FUZZ_MODE);

        out[0] = (uint8_t)(number & 1);
        if (number == 3)
                seal_pending_encode(&mark, out + FUZZ_MODE);
        else
                seal_encode(&s, out + FUZZ_MODE);
        return number == 2 ? FUZZ_MODE : number < 4 ? FUZZ_MODE + SEAL_BYTES : 0;
}
