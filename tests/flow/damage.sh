#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/damage.sh: checkpoint files are what the program had, for any reader of HDF5. A byte that changed, anywhere in
# them, is found by `stint verify`, and by the next start, which takes the older checkpoint, says why, and loses nothing.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"

reference

# ---- what others read ------------------------------------------------------------------------------------------------

run=$TEST_DIR/complete
run stint run --stint-dir "$run" --stint-interval off -- "${flow_train[@]}" --out "$run.bin"
is "$status" 0 "a training comes to its end"
file=$(newest "$run")/rank-00000-of-00001.h5
if command -v h5dump >/dev/null; then
        ok "h5dump reads its checkpoint" h5dump "$file"
        like "$(h5dump -d /state/optimizer/updates "$file")" "\(0\): $flow_steps\$" "and prints a number of the state"
        like "$(h5dump -H "$file")" 'DATASET "rng"' "the names of the program are there"
else
        skip "h5dump is not here" "h5dump reads its checkpoint"
fi
cat >"$TEST_DIR/values.py" <<'END'
# Every weight of the program's own file must be the bytes of a dataset under /state/model, and no byte must be left.
import sys
import h5py
weights = open(sys.argv[2], "rb").read()
with h5py.File(sys.argv[1], "r") as file:
    names = []
    file["/state"].visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    model = [file["/state/" + name][...] for name in names if name.startswith("model/")]
    assert model and all(values.dtype == "float32" and values.ndim == 2 for values in model)
    for values in model:
        assert weights.count(values.tobytes()) >= 1, "a tensor has other values than the program had"
    assert sum(values.nbytes for values in model) == len(weights), "tensors are missing"
    assert int(file["/state/optimizer/updates"][()]) == int(sys.argv[3])
    assert file["/state/data/order"].dtype == "uint32" and file["/state/rng"].dtype == "uint8"
    assert len(file["/stint/hashes"]) == len(names) == len(file["/stint/table"])
    assert {row["name"].decode() for row in file["/stint/table"][...]} == set(names)
    assert file["/state/optimizer/updates"].shape == () and all(file["/state/" + name].chunks is None for name in names)
END
if /usr/bin/python3 -c 'import h5py' 2>/dev/null; then
        ok "h5py reads from it what the program wrote itself" /usr/bin/python3 "$TEST_DIR/values.py" "$file" "$run.bin" "$flow_steps"
else
        skip "python3-h5py is not here" "h5py reads from it what the program wrote itself"
fi

# ---- a run to be damaged ---------------------------------------------------------------------------------------------

# Two checkpoints, and a training that is not at its end.
good=$TEST_DIR/good
command=(stint run --stint-interval 80ms)
killed_after "$good" 2 "${command[@]}" --stint-dir "$good" -- "${flow_train[@]}" --out "$TEST_DIR/damaged.bin"
rm -rf "$good"/checkpoints/*.part
newer=$(basename "$(newest "$good")")
older=$(whole "$good" | tail -n 2 | head -n 1)
isnt "$older" "$newer" "there are two checkpoints"
ok "both hold" stint verify "$good" --all

# Where things are in the newer file, from its seal, as docs/checkpoint-format.md draws it, and from its table.
cat >"$TEST_DIR/places.py" <<'END'
import struct, sys
import h5py
path = sys.argv[1] + "/rank-00000-of-00001.h5"
with h5py.File(path, "r") as file:
    table, hashes = file["/stint/table"], file["/stint/hashes"]
    at, step = table.id.get_offset(), table.dtype.itemsize
    data = open(path, "rb").read()
    extents = sorted(struct.unpack_from("<QQ", data, at + i * step) for i in range(len(table)))
    first, last = extents[0], extents[-1]
    big = max(extents, key=lambda e: e[1])
    print("superblock", 0)
    print("table", at)
    print("table-end", at + step * len(table) - 1)
    print("hashes", hashes.id.get_offset())
    print("hashes-end", hashes.id.get_offset() + 8 * len(hashes) - 1)
    print("tensor", big[0])
    print("tensor-middle", big[0] + big[1] // 2)
    print("tensor-end", big[0] + big[1] - 1)
    print("last", len(data) - 1)
    print("name", next(row["name"].decode() for row in table[...] if row[0] == big[0]))
END
/usr/bin/python3 "$TEST_DIR/places.py" "$good/checkpoints/$newer" >"$TEST_DIR/places"
place()
{
        sed -n "s/^$1 //p" "$TEST_DIR/places"
}
tensor=$(place name)

flip() # FILE OFFSET: one bit of that byte
{
        local byte
        byte=$(od -An -tu1 -j "$2" -N 1 "$1")
        # shellcheck disable=SC2059  # an octal escape is made
        printf "\\$(printf %03o $((byte ^ 4)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# ---- every byte ------------------------------------------------------------------------------------------------------

# sweep.py RUN CHECKPOINT COUNT FILE...: flips a bit in every byte of small files and in COUNT places of the large one, looks
# whether `stint verify` finds it and names the checkpoint, and puts it back. Prints what was not found.
cat >"$TEST_DIR/sweep.py" <<'END'
import os, subprocess, sys
run, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
# A thousand times: without the checking allocator, under which the rest of this test runs.
quick = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD" and not key.startswith("MALLOC_")}
stride = 1 if os.environ.get("TEST_SANITIZERS", "no") == "no" else 5
missed = tried = 0
for file in sys.argv[4:]:
    path = os.path.join(run, "checkpoints", name, file)
    size = os.path.getsize(path)
    places = range(0, size, stride) if size <= 2048 else sorted({0, 1, 7, size - 1} | {i * (size - 1) // count for i in range(count)})
    with open(path, "r+b", buffering=0) as f:
        for at in places:
            byte = os.pread(f.fileno(), 1, at)
            os.pwrite(f.fileno(), bytes([byte[0] ^ (1 << at % 8)]), at)
            found = subprocess.run(["stint", "verify", run], capture_output=True, text=True, env=quick)
            os.pwrite(f.fileno(), byte, at)
            tried += 1
            if found.returncode not in range(1, 124) or name not in found.stdout + found.stderr:
                missed += 1
                print(f"{file}: byte {at}: exit {found.returncode}: {found.stdout.strip()[-200:]} {found.stderr.strip()[-200:]}")
print(f"# {tried} tried")
sys.exit(1 if missed or not tried else 0)
END
for kind in manifest.json rank-00000-of-00001.seal rank-00000-of-00001.h5; do
        cp -a "$good" "$TEST_DIR/sweep-$kind"
        start "sweep-$kind" /usr/bin/python3 "$TEST_DIR/sweep.py" "$TEST_DIR/sweep-$kind" "$newer" 200 "$kind"
done
wait_exit sweep-manifest.json
is "$status" 0 "a bit flipped in any byte of the manifest is found by \`stint verify\`"
wait_exit sweep-rank-00000-of-00001.seal
is "$status" 0 "a bit flipped in any byte of the seal is found by \`stint verify\`"
wait_exit sweep-rank-00000-of-00001.h5
is "$status" 0 "a bit flipped in any place of the file is found by \`stint verify\`"
ok "put back, everything holds" stint verify "$TEST_DIR/sweep-manifest.json" --all

# ---- one place after the other ---------------------------------------------------------------------------------------

h5=rank-00000-of-00001.h5
seal=rank-00000-of-00001.seal

# damaged NAME VERIFY_REGEX START_REGEX COMMAND...: a copy of the run in which the command, run in its newer checkpoint,
# damages that; what `stint verify` says of it, and what the next start.
damaged()
{
        local name=$1 verify_regex=$2 start_regex=$3 run
        shift 3
        run=$TEST_DIR/copy
        rm -rf "$run"
        cp -a "$good" "$run"
        (cd "$run/checkpoints/$newer" && "$@")
        run stint verify "$run" --all
        is "$status" 1 "$name: \`stint verify\` ends with 1"
        like "$(cat "$TEST_DIR/out" "$TEST_DIR/err")" "^$newer: .*$verify_regex" "$name: \`stint verify\` names it"
        rm -f "$TEST_DIR/damaged.bin"
        run "${command[@]}" --stint-dir "$run" -- "${flow_train[@]}" --out "$TEST_DIR/damaged.bin"
        is "$status" 0 "$name: the next stint comes to its end"
        is "$(journal "$run" restore checkpoint | tail -n 1)" "$older" "$name: it begins at the older checkpoint"
        like "$(cat "$TEST_DIR/err")" "$newer.*$start_regex" "$name: it says why"
        ok "$name: the damaged one is set aside" test -d "$run/checkpoints/quarantined-$newer"
        like "$(journal "$run" quarantined reason)" "$start_regex" "$name: the journal has the reason"
        same_weights "$TEST_DIR/damaged.bin" "$name: the training ends as if nothing had been"
}

damaged "a tensor's first byte" "$h5.*$tensor" "$tensor" flip "$h5" "$(place tensor)"
damaged "a tensor's last byte" "$h5.*$tensor" "$tensor" flip "$h5" "$(place tensor-end)"
damaged "the file's first byte" "$h5.*header" "header" flip "$h5" 0
damaged "the table" "$h5.*(record|table)" "(record|table)" flip "$h5" "$(place table)"
damaged "the hashes" "$h5.*hash" "hash" flip "$h5" "$(place hashes)"
damaged "the seal" "$seal" "$seal" flip "$seal" 100
damaged "the manifest" "manifest.*checksum" "manifest.*checksum" flip manifest.json 40
damaged "a file cut short" "$h5" "$h5" truncate -s -1 "$h5"
damaged "a file with a byte too many" "$h5" "$h5" truncate -s +1 "$h5"
damaged "a file that is missing" "$h5" "$h5" rm "$h5"
damaged "a seal that is missing" "$seal" "$seal" rm "$seal"
damaged "an empty manifest" "manifest" "manifest" truncate -s 0 manifest.json

# ---- nothing left ----------------------------------------------------------------------------------------------------

run=$TEST_DIR/copy
rm -rf "$run"
cp -a "$good" "$run"
for name in $(whole "$run"); do
        flip "$run/checkpoints/$name/rank-00000-of-00001.h5" "$(place tensor)"
done
run "${command[@]}" --stint-dir "$run" -- "${flow_train[@]}" --out "$TEST_DIR/damaged.bin"
isnt "$status" 0 "when no checkpoint holds the training does not begin afresh by itself"
like "$(cat "$TEST_DIR/err")" "$tensor" "it is said what is wrong"
not_ok "and the run is not DONE" test -e "$run/DONE"
done_testing
