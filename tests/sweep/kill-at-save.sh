#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# SIGKILL of the program, the agent, `stint run` or all of them at every fault point of a save, up to the seal.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/sweep/sweep.sh"

sweep : snapshot.before_copy snapshot.mid_copy snapshot.after_copy \
        save.before_create save.after_create save.mid_write save.before_sync save.after_sync \
        seal.before_write seal.after_write seal.after_sync
# Once more while a slot is written over, which is there from the third save on.
sweep : slot.after_take
sweep_nth=@5
sweep : save.mid_write save.before_sync seal.before_write
done_testing
