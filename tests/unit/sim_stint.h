/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_stint: a training process with two simulated devices of 64 KiB, and a run directory of its own, for the tests of
 * where state goes.
 */
#ifndef SIM_STINT_H
#define SIM_STINT_H

#include "durable.h"
#include "suite.h"
#include "example_part.h"
#include "training.h"

#define SIM_STINT __attribute__((unused)) static
#define N         256

SIM_STINT const char *run;
SIM_STINT float host[N], back[N];

SIM_STINT void devices_are(const char *setting)
{
        fake_set("STINT_DEVICE", setting);
        device_sim_reset();
}

SIM_STINT void setup_devices(void)
{
        setup();
        run = part_folder();
        devices_are("sim:devices=2,memory=64K");
}

SIM_STINT void teardown_devices(void)
{
        devices_are("");
        durable_remove_tree(run, NULL);
        teardown();
}

/* A handle with these words, in the run of this test. */
SIM_STINT struct stint *open_with(const char *model_device, const char *map_location, int allow_host)
{
        struct stint_options options = STINT_OPTIONS;
        struct stint *s;

        options.log = keep_log;
        options.model_device = model_device;
        options.map_location = map_location;
        options.allow_host = allow_host;
        s = stint_open(&options, NULL);
        ck_assert_ptr_nonnull(s);
        strcpy(s->session.dir, run);
        return s;
}

SIM_STINT struct stint_tensor vector(void *data, int64_t n)
{
        return (struct stint_tensor){ .data = data, .dtype = STINT_F32, .ndim = 1, .shape = { n } };
}

/* The place as text, or why there is none. */
SIM_STINT const char *place_of(struct stint *s, const char *name, const struct stint_tensor *t, const char *parameter)
{
        static char text[PLACE_TEXT];
        struct stint_place place;

        return stint_place(s, name, t, parameter, &place) < 0 ? stint_why(s) : place_format(text, &place);
}

#endif
