/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_manifest: bytes as manifest.json. What decodes can be written again and says the same. An odd first byte puts
 * the checksum in the last line right.
 */
#include "checksum.h"
#include "example.h"
#include "manifest.h"

#define BEHIND 4                      /* bytes after the digits: quote, newline, brace, newline */
#define ENDING (15 + 5 + 16 + BEHIND) /* `  "checksum": "` and `xxh3:` and the digits */

static void put_right(char *text, size_t n)
{
        char digits[17];

        if (n < ENDING)
                return;
        checksum_hex(digits, checksum(text, n - ENDING));
        memcpy(text + n - BEHIND - 16, digits, 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        struct manifest m, back;
        struct stint_error err = {0};
        char *text, *again, *third;
        size_t again_n, third_n;

        if (n < FUZZ_MODE)
                return 0;
        text = fuzz_copy(bytes + FUZZ_MODE, n - FUZZ_MODE);
        if (bytes[0] & 1)
                put_right(text, n - FUZZ_MODE);
        if (manifest_decode(&m, text, n - FUZZ_MODE, &err) == 0) {
                FUZZ_CHECK(m.ranks > 0 && m.step >= 0 && strlen(m.run_id) < sizeof m.run_id &&
                           m.metric_count <= SEAL_METRICS);
                if (manifest_encode(&m, &again, &again_n, NULL) == 0) {
                        FUZZ_CHECK(manifest_decode(&back, again, again_n, &err) == 0);
                        FUZZ_CHECK(back.step == m.step && back.ranks == m.ranks &&
                                   manifest_bytes(&back) == manifest_bytes(&m));
                        FUZZ_CHECK(manifest_encode(&back, &third, &third_n, NULL) == 0);
                        FUZZ_CHECK(third_n == again_n && memcmp(third, again, again_n) == 0);
                        manifest_fini(&back);
                        free(third);
                        free(again);
                }
                manifest_fini(&m);
        } else {
                FUZZ_CHECK(err.code != 0 && err.text[0] != '\0');
        }
        free(text);
        return 0;
}

/* Manifests of one and of three ranks, each with and without the repair. */
size_t fuzz_seed(unsigned number, uint8_t *out)
{
        _Alignas(16) unsigned char image[EXAMPLE_IMAGE];
        struct seal seals[3];
        struct manifest m;
        char *text;
        size_t n;
        const uint32_t ranks = number < 2 ? 1 : 3;

        if (number >= 4)
                return 0;
        for (uint32_t i = 0; i < ranks; i++) {
                seals[i] = example_image(image);
                seals[i].rank = i;
                seals[i].ranks = ranks;
        }
        FUZZ_CHECK(manifest_from_seals(&m, seals, ranks, NULL) == 0 && manifest_encode(&m, &text, &n, NULL) == 0);
        memset(out, 0, FUZZ_MODE);
        out[0] = (uint8_t)(number & 1);
        memcpy(out + FUZZ_MODE, text, n);
        free(text);
        manifest_fini(&m);
        return n + FUZZ_MODE;
}
