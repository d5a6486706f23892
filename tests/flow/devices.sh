#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/devices.sh: docs/devices.md has the very table that test_visible checks.
set -eu
. "$(dirname "$0")/../tap.sh"

page=$TEST_SOURCE/docs/devices.md
test_visible=$TEST_BUILD/tests/unit/test_visible

part() # NAME: what stands between <!-- NAME --> and <!-- end -->
{
        sed -n "/^<!-- $1 -->\$/,/^<!-- end -->\$/p" "$page" | sed '1d;$d'
}

# ---- the page --------------------------------------------------------------------------------------------------------

is "$(part forms)" "$("$test_visible" --table)" "docs/devices.md has every form of CUDA_VISIBLE_DEVICES as it was tested"
is "$(part doubts)" "$("$test_visible" --doubts)" "and what takes certainty away"
like "$("$test_visible" --table)" "^\| NoDevFiles \|" "which are rows that were printed"
for source in $(part forms | sed -n 's/.*| \([^|]*\) |$/\1/p' | tr ' ' '_' | sort -u); do
        [ "$source" != source ] || continue
        ok "the source '${source//_/ }' is named" grep -qE "^\| ${source//_/ } \| [^|]{20}" "$page"
done
done_testing
