/* A stand-in for a plugin of another build.  SPDX-License-Identifier: GPL-2.0-or-later */
/* other_version: exports the table of a plugin whose interface is one version further; tests/unit/test_plugin loads it.
 */
#include "plugin.h"

extern const struct plugin_table stint_device_plugin;
const struct plugin_table stint_device_plugin = {
        .magic = PLUGIN_MAGIC,
        .version = PLUGIN_VERSION + 1,
        .error_bytes = sizeof(struct stint_error),
};
