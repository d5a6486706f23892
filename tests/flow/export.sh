#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/flow/export.sh: `stint export` shows a checkpoint of four ranks as one file, and h5py finds every array of the
# training in it, each element where it belongs; by reference to the ranks' files, and as a copy.
set -eu
. "$(dirname "$0")/../tap.sh"
. "$TEST_SOURCE/tests/flow/flow.sh"
/usr/bin/python3 -c 'import h5py, numpy' 2>/dev/null || skip_all "/usr/bin/python3 has no h5py here (apt-get install python3-h5py)"

# The arrays of tests/programs/known_arrays.c, by the same rule.
cat >"$TEST_DIR/compare.py" <<'PYTHON'
import sys

import h5py
import numpy

DTYPES = {"uint8": "u1", "int32": "i4", "int64": "i8", "float16": "f2", "bfloat16": "u2", "float32": "f4", "float64": "f8",
          "complex64": "c8", "bool": "?"}

def known(array, dtype, shape):
    place = numpy.arange(int(numpy.prod(shape)), dtype=numpy.int64)
    value = (array * 101 + place * 7919 + place // 251) % 251
    if dtype == "uint8":
        value = value // 2
    elif dtype == "bool":
        value = value & 1
    elif dtype == "complex64":
        value = value + (value + 1) * 1j
    elif dtype == "float16":
        return value.astype("u2").view("f2").reshape(shape)
    return value.astype(DTYPES[dtype]).reshape(shape)

whole = {
    "model/rows": (1, "float32", (10, 6)),
    "model/columns": (2, "float64", (5, 14)),
    "model/grid": (3, "int32", (8, 6, 4)),
    "model/half": (4, "float16", (12,)),
    "model/brain": (5, "bfloat16", (12,)),
    "model/complex": (6, "complex64", (10, 6)),
    "model/mask": (7, "bool", (2,)),
    "optimizer/flat": (8, "uint8", (100003,)),
    "model/twice": (9, "float32", (4, 4)),
    "optimizer/thin": (10, "int64", (3000, 4)),
    "optimizer/wide": (11, "uint8", (1100, 4003)),
    "model/bias": (20, "float32", (7,)),
    "model/100% of it": (21, "float32", (7,)),
    "model/scale": (22, "float64", ()),
    "model/none": (23, "float32", (4, 0)),
    "model/last": (70, "float32", (7,)),
}
own = [{"metrics/mine": (30 + r, "float32", (3,)), "rng": (40 + r, "int64", (3,)), "data/order": (50, "int32", (r + 1,)),
        "data/position": (60 + r, "int64", ())} for r in range(4)]

def check(group, arrays):
    seen = []
    group.visititems(lambda name, item: seen.append(name) if isinstance(item, h5py.Dataset) else None)
    assert sorted(seen) == sorted(arrays), f"{group.name} has {sorted(seen)}"
    for name, (array, dtype, shape) in arrays.items():
        data = group[name]
        want = known(array, dtype, shape)
        assert data.shape == shape, f"{name}: shape {data.shape}"
        assert data.dtype == want.dtype, f"{name}: {data.dtype}"
        assert data.attrs["dtype"] == dtype, f"{name}: said to be {data.attrs['dtype']}"
        assert data.attrs["role"] == name.split("/")[0], f"{name}: its role is {data.attrs['role']}"
        got = data[()]
        assert got.tobytes() == want.tobytes(), f"{name}: {numpy.argwhere(got != want)[:3]} ... of {got.shape} differ"
        if len(shape) == 2 and shape[1] > 1:
            assert data[1:3, 1].tobytes() == want[1:3, 1].tobytes(), f"{name}: a part of it"
    return len(arrays)

with h5py.File(sys.argv[1], "r") as file:
    n = check(file["/state"], whole)
    assert sorted(file["/ranks"]) == list("0123")
    for r in range(4):
        n += check(file[f"/ranks/{r}/state"], own[r])
    assert (file.attrs["step"], file.attrs["ranks"], len(file.attrs["run"])) == (1, 4, 32), dict(file.attrs)
    virtual = file["/state/model/rows"].is_virtual
    sources = file["/state/model/rows"].virtual_sources() if virtual else []
    # Two percent signs are HDF5's way to write one there.
    named = {source.file_name.rpartition("/")[0].replace("%%", "%") for source in sources} or {"none"}
    print(n, "arrays,", "virtual" if virtual else "plain", *named)
PYTHON

arrays() # FILE: what compare.py says of it
{
        /usr/bin/python3 "$TEST_DIR/compare.py" "$1" 2>&1 || :
}

left() # FOLDER: what is in it besides runs
{
        find "$1" -maxdepth 1 -name '*.h5*' | sort
}

runs=$TEST_DIR/runs # with what HDF5 would take for a pattern in the name of the run
mkdir "$runs" "$TEST_DIR/elsewhere"
run=$runs/50%b.stint
run stint run --stint-dir "$run" -- known_arrays
is "$status" 0 "a training on four ranks comes to its end"
step=checkpoints/step-000000000001

# ---- by reference ----------------------------------------------------------------------------------------------------

run stint export "$run" "$runs/out.h5"
is "$status" 0 "\`stint export RUN OUT\` makes a file"
like "$(cat "$TEST_DIR/out")" "^$runs/out.h5: 16 arrays in /state, 16 in /ranks; refers to 50%b.stint/$step\$" "and says what is in it"
like "$(cat "$TEST_DIR/err")" "neither shards nor the same on all ranks, so in /ranks: metrics/mine\$" "and what is each rank's own unasked"
is "$(arrays "$runs/out.h5")" "32 arrays, virtual 50%b.stint/$step" "h5py reads every array of the training in it"
is "$(left "$runs")" "$runs/out.h5" "and nothing else is left there"
ok "it is a small file" test "$(stat -c %s "$runs/out.h5")" -lt 200000

mv "$runs" "$TEST_DIR/moved"
is "$(arrays "$TEST_DIR/moved/out.h5")" "32 arrays, virtual 50%b.stint/$step" "run and file can be moved together"
cd "$TEST_DIR/elsewhere"
is "$(arrays "../moved/out.h5")" "32 arrays, virtual 50%b.stint/$step" "and read from anywhere"
cd "$TEST_DIR"
mv "$TEST_DIR/moved" "$runs"

mkdir "$run/figures"
for case in "$run/newest.h5:newest:$step" "$run/figures/out.h5:1:../$step" "$TEST_DIR/elsewhere/out.h5:1:$run/$step"; do
        IFS=: read -r file which reference <<<"$case"
        run stint export "$run" "$which" "$file"
        is "$(arrays "$file")" "32 arrays, virtual $reference" "from ${file#"$TEST_DIR/"} it is $reference"
done
run stint export "$run" --absolute "$runs/absolute.h5"
is "$(arrays "$runs/absolute.h5")" "32 arrays, virtual $run/$step" "--absolute refers by absolute paths"
(cd "$run" && stint export here.h5 >/dev/null 2>&1)
is "$(arrays "$run/here.h5")" "32 arrays, virtual $step" "in the run directory, the file's name is enough"

run bash -c "ulimit -n 30; exec stint export '$run' '$TEST_DIR/elsewhere/few.h5'"
like "$(cat "$TEST_DIR/err")" "to read an array, 4 files must be open, and 30 may be here" "too few files for its readers are told of"

# ---- as a copy -------------------------------------------------------------------------------------------------------

run stint export --copy "$run" "$TEST_DIR/copy.h5"
is "$status" 0 "\`stint export --copy\` makes a file"
like "$(cat "$TEST_DIR/out")" "a copy of step 1\$" "and says that it is a copy"
mv "$run" "$TEST_DIR/away"
is "$(arrays "$TEST_DIR/copy.h5")" "32 arrays, plain none" "which h5py reads when the run is not there"
is "$(/usr/bin/python3 -c 'import h5py, numpy, sys
f = h5py.File(sys.argv[1])
print(numpy.isnan(f["/state/model/rows"][...]).all(), (f["/state/model/grid"][...] == -1).all())' "$runs/absolute.h5")" "True True" \
        "and without it what refers to it has not one number that could be taken for the training's"
mv "$TEST_DIR/away" "$run"

# ---- one rank --------------------------------------------------------------------------------------------------------

stint run --stint-dir "$TEST_DIR/one.stint" -- minimal 50 >/dev/null 2>&1
run stint export "$TEST_DIR/one" "$TEST_DIR/one.h5"
is "$status" 0 "a run of one rank can be exported"
is "$(/usr/bin/python3 -c 'import h5py, sys
f = h5py.File(sys.argv[1])
print(f["/state/model/x"].shape, f["/ranks/0/state/rng"].dtype, f.attrs["step"])' "$TEST_DIR/one.h5")" "() uint64 50" "with its own state apart too"

# ---- what is refused -------------------------------------------------------------------------------------------------

refused() # STATUS REGEX NAME ARGUMENT...
{
        local code=$1 regex=$2 name=$3
        shift 3
        run stint export "$@"
        is "$status" "$code" "$name is refused with $code"
        like "$(cat "$TEST_DIR/err")" "$regex" "$name is explained"
}

before=$(sha256sum "$runs/out.h5")
refused 125 "exists already" "a file that is there" "$run" "$runs/out.h5"
is "$(sha256sum "$runs/out.h5")" "$before" "and it is as it was"
refused 125 "not named" "no file at all"
refused 125 "too many words" "a word too many" "$run" best 1 "$TEST_DIR/x.h5"
refused 125 "no checkpoint of step 7" "a step that is not there" "$run" 7 "$TEST_DIR/x.h5"
refused 125 "there is no directory" "a folder that is not there" "$run" "$TEST_DIR/nowhere/x.h5"
STINT_LIBEXEC_DIR=$TEST_DIR/nothing refused 125 "stint-export" "an export without the program for it" "$run" "$TEST_DIR/x.h5"

stint run --stint-dir "$TEST_DIR/hole.stint" -- known_arrays --hole >/dev/null 2>&1
refused 125 "no rank has \[5:7, 0:6\] of 'model/rows' \(float32 \[10, 6\]\)" "an array with a hole" "$TEST_DIR/hole" "$TEST_DIR/x.h5"

# A byte of a tensor of one rank, at the place that its table tells.
cp -r "$run" "$TEST_DIR/damaged.stint"
damaged=$TEST_DIR/damaged.stint/$step/rank-00002-of-00004.h5
flip() # FILE OFFSET
{
        /usr/bin/python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2])); byte = f.read(1)[0]
    f.seek(int(sys.argv[2])); f.write(bytes([byte ^ 1]))' "$1" "$2"
}
at=$(/usr/bin/python3 -c 'import h5py, sys; print(h5py.File(sys.argv[1])["/state/optimizer/wide"].id.get_offset() + 1100000)' "$damaged")
flip "$damaged" "$at"
refused 1 "tensor 'optimizer/wide' of rank 2 .* does not match its hash" "a copy of a damaged tensor" --copy "$TEST_DIR/damaged" "$TEST_DIR/x.h5"
flip "$damaged" "$at"
flip "$damaged" 100
refused 1 "rank-00002-of-00004.h5: what is around the tensors" "a file whose headers are damaged" "$TEST_DIR/damaged" "$TEST_DIR/x.h5"
flip "$damaged" 100
ok "the same file as it was is not" stint export --copy "$TEST_DIR/damaged" "$TEST_DIR/whole.h5"
truncate -s -1 "$damaged"
refused 1 "rank-00002-of-00004.h5" "a file that is cut off" "$TEST_DIR/damaged" "$TEST_DIR/x.h5"
is "$(left "$TEST_DIR" | grep /x)" "" "what is refused leaves no file behind"

# ---- what it costs the others ----------------------------------------------------------------------------------------

unlike "$(readelf -dW "$TEST_BUILD/client/stint")" "hdf5" "no other verb loads HDF5"
done_testing
