/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_inventory: bytes as what nvidia-smi prints, or as a file of the driver: the devices that come out of them are
 * whole, and each instance stands behind its GPU.
 */
#include "fuzz.h"
#include "inventory.h"

static void check(const struct inventory *inv)
{
        FUZZ_CHECK(inv->n <= VISIBLE_MOST && memchr(inv->driver, '\0', sizeof inv->driver) != NULL);
        for (unsigned i = 0; i < inv->n; i++) {
                const struct visible_device *d = &inv->device[i];

                FUZZ_CHECK(d->gpu >= -1 && d->gpu < (int)i);
                FUZZ_CHECK(d->gpu < 0 || (inv->device[d->gpu].gpu < 0 && inv->device[d->gpu].mig == VISIBLE_DIVIDED));
                FUZZ_CHECK(memchr(d->uuid, '\0', sizeof d->uuid) != NULL &&
                           memchr(d->name, '\0', sizeof d->name) != NULL);
                FUZZ_CHECK(memchr(d->pci, '\0', sizeof d->pci) != NULL && d->memory_bytes >= 0);
                FUZZ_CHECK(d->instance >= -1 && d->compute >= -1);
        }
}

static void make_folders(void)
{
        static const char *const folders[] = {"proc", "proc/driver", "proc/driver/nvidia", "proc/driver/nvidia/gpus",
                                              "proc/driver/nvidia/gpus/0000:07:00.0"};
        char path[400];

        for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
                snprintf(path, sizeof path, "%s/%s", fuzz_folder(), folders[i]);
                mkdir(path, 0700);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        static struct inventory inv;
        char *text;

        if (n < FUZZ_MODE)
                return 0;
        memset(&inv, 0, sizeof inv);
        text = fuzz_copy(bytes + FUZZ_MODE - 1, n - FUZZ_MODE + 1);
        memmove(text, text + 1, n - FUZZ_MODE);
        text[n - FUZZ_MODE] = '\0';
        if (bytes[0] % 8 == 0) {
                make_folders();
                fuzz_write("proc/driver/nvidia/version", text, strlen(text));
                fuzz_write("proc/driver/nvidia/gpus/0000:07:00.0/information", text, strlen(text));
                inventory_read(&inv, fuzz_folder());
        } else {
                FUZZ_CHECK((inventory_take_list(&inv, text) == 0) == (inv.n > 0));
                inventory_take_query(&inv, text);
        }
        check(&inv);
        free(text);
        return 0;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
        static const char proc[] =
                "Model: \t\t NVIDIA A100\nGPU UUID: \t GPU-1\nDevice Minor: \t 0\nGPU Excluded:\t No\n";
        static const char list[] = "GPU 0: A100 (UUID: GPU-1)\n  MIG 1g.10gb     Device  0: (UUID: MIG-GPU-1/7/0)\n"
                                   "GPU 1: B (UUID: GPU-2)\n";
        static const char query[] = "GPU 0: A100 (UUID: GPU-1)\nGPU-1, 00000000:0B:00.0, 81920, Enabled\n";
        static const char version[] = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19\n";
        static const char *const texts[] = {proc, list, query, version};

        if (number >= sizeof texts / sizeof *texts)
                return 0;
        memset(out, 0, FUZZ_MODE);
        out[0] = number == 1 || number == 2;
        return FUZZ_MODE + fuzz_seed_text(out + FUZZ_MODE, texts[number]);
}
