/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_lease: bytes as RUN/lease: read, or refused with a sentence, and never believed to be over without a proof. */
#include "fuzz.h"
#include "run_lease.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        struct lease_holder h;
        struct stint_error err = {0};
        int over;

        fuzz_write(RUNDIR_LEASE, bytes, n);
        if (lease_read(fuzz_folder(), &h, &over, &err) != 0) {
                FUZZ_CHECK(err.code != 0 && err.text[0] != '\0');
                return 0;
        }
        FUZZ_CHECK(over >= -1 && over <= 1);
        FUZZ_CHECK(strlen(h.host) < sizeof h.host && strlen(h.boot_id) < sizeof h.boot_id &&
                   strlen(h.job) < sizeof h.job);
        FUZZ_CHECK(strlen(h.agent) < sizeof h.agent && strlen(h.control) < sizeof h.control);
        return 0;
}

/* A lease of a process of this machine that is gone, and one of another host. */
size_t fuzz_seed(unsigned number, uint8_t *out)
{
        struct lease_holder me = {.stint = 3};
        char text[1000];

        lease_self(&me);
        if (number == 1)
                strcpy(me.host, "elsewhere");
        snprintf(text, sizeof text,
                 "{\"epoch\": 4, \"stint\": 3, \"host\": \"%s\", \"boot_id\": \"%s\", \"pid\": %d, \"start_ticks\": "
                 "%llu, \"scheduler\": "
                 "\"none\", \"job\": \"\", \"agent\": \"a\", \"control\": \"c\", \"attending\": false, \"since\": "
                 "\"x\", \"since_ns\": 5}\n",
                 me.host, me.boot_id, 1, 5ULL);
        return number < 2 ? fuzz_seed_text(out, text) : 0;
}
