#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# As kill-at-save.sh, with a state that is streamed: the program is in the middle of its snapshot while the agent writes.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/sweep/sweep.sh"

# 19 MiB through 8.
sweep_train=(train_lm --small --rows 50000 --steps "$sweep_steps" --step-ms 5 --eval-every 15 --log-every 0)
sweep_options=(--stint-staging=8M)

sweep : snapshot.before_copy snapshot.mid_copy snapshot.after_copy \
        save.before_create save.after_create save.mid_write save.before_sync save.after_sync \
        seal.before_write seal.after_write seal.after_sync
done_testing
