#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/full-disk.sh: a run directory on a disk that is too small, by every measure from nothing to just enough. A
# save that does not fit is NOT saved, costs no checkpoint that there was, and does not end the training.
set -eu
if [ -z "${FLOW_NAMESPACE-}" ]; then
        # The disks are mounted where nobody else sees them and where they end with the test, whatever becomes of it.
        for unshare in "unshare --mount" "unshare --map-root-user --mount"; do
                # shellcheck disable=SC2086  # a command and its options
                if $unshare mount -t tmpfs -o size=64k disk /mnt 2>/dev/null; then
                        FLOW_NAMESPACE=yes exec $unshare bash "$0"
                fi
        done
fi
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"
[ -n "${FLOW_NAMESPACE-}" ] || skip_all "no tmpfs can be mounted here: that takes root, or user namespaces"
unset FLOW_NAMESPACE

disk=$TEST_DIR/disk
run=$disk/run
mkdir "$disk"

disk_end()
{
        local rc=$?
        set +e
        ! mountpoint -q "$disk" || wait_for 15 "the disk to be free" umount "$disk"
        (exit "$rc")
        tap_end
}
trap disk_end EXIT

stint_run=(stint run --stint-dir "$run" --stint-interval 50ms --stint-keep 1)

# ---- every size ------------------------------------------------------------------------------------------------------

reference
mount -t tmpfs disk "$disk"
run "${stint_run[@]}" -- "${flow_train[@]}" --out "$TEST_DIR/0.bin"
is "$status" 0 "with room enough the training ends with 0"
same_weights "$TEST_DIR/0.bin" "with room enough it ends with the weights of a training nobody touched"
checkpoint_kb=$(du -sk "$(newest "$run")" | cut -f 1)
umount "$disk"

one_size() # KB
{
        local kb=$1 verdict first
        mount -t tmpfs -o "size=${kb}k" disk "$disk"
        run "${stint_run[@]}" -- "${flow_train[@]}" --out "$TEST_DIR/$kb.bin"
        cp "$TEST_DIR/err" "$TEST_DIR/$kb.err"
        is "$status" "$([ -e "$run/DONE" ] && echo 0 || echo 75)" "on a disk of $kb KiB the training ends: with 75 unless its last state landed"
        same_weights "$TEST_DIR/$kb.bin" "on a disk of $kb KiB it ends with the same weights"
        if [ -e "$run/DONE" ]; then
                pass "on a disk of $kb KiB the run is DONE, so its last state is there"
        else
                like "$(cat "$TEST_DIR/err")" "NOT saved: .*([Nn]o space|full)" "on a disk of $kb KiB the verdict is NOT saved, for want of space"
        fi
        # Whatever had landed must still be there, in all its bytes.
        verdict=landed
        [ "$(count_events "$run" save "$landed")" -gt 0 ] || verdict=
        if [ -n "$verdict" ]; then
                isnt "$(whole "$run")" "" "on a disk of $kb KiB what had landed is still there"
                ok "on a disk of $kb KiB every byte of it holds" stint verify "$run" --all
        fi
        # With more room the same command carries on from there.
        first=$(whole "$run" | tail -n 1)
        mount -o "remount,size=64m" "$disk"
        run "${stint_run[@]}" -- "${flow_train[@]}" --out "$TEST_DIR/$kb.bin"
        is "$status" 0 "after $kb KiB became 64 MiB the run comes to its end (had ${first:-nothing})"
        ok "after $kb KiB became 64 MiB it is DONE" test -e "$run/DONE"
        same_weights "$TEST_DIR/$kb.bin" "after $kb KiB became 64 MiB the weights are the same"
        umount "$disk"
}

for kb in 16 $((checkpoint_kb / 2)) $((checkpoint_kb + 20)) $((checkpoint_kb * 3 / 2)) $((checkpoint_kb * 2 - 8)); do
        one_size "$kb"
done

# ---- the last save of a stint ----------------------------------------------------------------------------------------

# The disk is filled when something has landed: the final save before the limit has no room, and the stint is not ended
# on it, but by its limit.
mount -t tmpfs -o size=16m disk "$disk"
start limited "${stint_run[@]}" --stint-interval off --stint-limit 2s --stint-kill-wait 500ms --stint-requeues 0 -- \
        train_lm --small --steps 600 --step-ms 5 --eval-every 0 --log-every 0 --out "$TEST_DIR/limited.bin"
wait_landed "$run"
before=$(newest "$run")
head -c 64m /dev/zero >"$disk/filling" 2>/dev/null || :
wait_exit limited 30
is "$status" 75 "a stint whose final save has no room ends at its limit with 75"
like "$(cat "$TEST_DIR/limited.err")" "NOT saved: .*([Nn]o space|full)" "its verdict is NOT saved, for want of space"
like "$(cat "$TEST_DIR/limited.err")" "time limit reached" "it was not stopped before its limit"
ok "the checkpoint from before is still there" test -e "$before/manifest.json"
ok "and holds" stint verify "$run" --all
rm "$disk/filling"
start resumed "${stint_run[@]}" -- train_lm --small --steps 600 --step-ms 5 --eval-every 0 --log-every 0 --out "$TEST_DIR/limited.bin"
ok "with room again the next stint starts" wait_for 30 "a restore" has_events "$run" 1 restore
is "$(journal "$run" restore checkpoint)" "${before##*/}" "from that checkpoint"
kill_family KILL resumed
wait_exit resumed 30
umount "$disk"
done_testing
