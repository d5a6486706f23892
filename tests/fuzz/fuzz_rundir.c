/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_rundir: bytes as a name within checkpoints/: what is accepted is spelled in exactly one way. */
#include "fuzz.h"
#include "rundir.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        char *name = malloc(n + 1), again[RUNDIR_NAME];
        enum rundir_kind kind;
        int64_t step = -1;
        uint32_t stint = 0;

        FUZZ_CHECK(name != NULL);
        memcpy(name, bytes, n);
        name[n] = '\0';
        kind = rundir_parse(name, &step, &stint);
        FUZZ_CHECK(kind == rundir_parse(name, NULL, NULL));
        if (kind != RUNDIR_OTHER)
                FUZZ_CHECK(step >= 0 && strlen(name) < RUNDIR_NAME && strchr(name, '/') == NULL);
        if (kind == RUNDIR_WHOLE)
                FUZZ_CHECK(strcmp(rundir_whole(again, step), name) == 0);
        if (kind == RUNDIR_PART)
                FUZZ_CHECK(strcmp(rundir_part(again, step, stint), name) == 0);
        free(name);
        return 0;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
        static const char *const names[] = {
                "step-000000001200",
                "step-000000001800.s7.part",
                "abandoned-step-000000001800.s7",
                "abandoned-step-000000001800.s7.2",
                "quarantined-step-000000001200",
                "superseded-step-000000001200.3",
                "retired-step-9223372036854775807",
                "step-9223372036854775807.s4294967295.part",
        };

        return number < sizeof names / sizeof *names ? fuzz_seed_text(out, names[number]) : 0;
}
