#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# h5py and h5dump read a checkpoint file with a tensor of every type and shape: the same bytes, under numpy's own types, and
# a table whose fields have names. The file is the one that tests/unit/test_store makes.
set -eu
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"

file=$TEST_DIR/example.h5
made=$(STORE_KEEP=$file "$TEST_BUILD/tests/unit/test_store" 2>&1) || diag "$made"
ok "test_store keeps its file" test -s "$file"

cat >"$TEST_DIR/read.py" <<'PYTHON'
import sys

import h5py
import numpy

def expected(record, number):
    at = numpy.arange(int(record["bytes"]), dtype=numpy.uint64)
    with numpy.errstate(over="ignore"):
        mixed = (numpy.uint64(number * 131) + at) * numpy.uint64(0x9E3779B97F4A7C15) >> numpy.uint64(56)
    mixed = mixed.astype(numpy.uint8)
    return mixed & 1 if words["dtype"][int(record["dtype"])] == "bool" else mixed

with h5py.File(sys.argv[1], "r") as file:
    table = file["/stint/table"]
    words = {field: {number: word for word, number in h5py.check_enum_dtype(table.dtype[field]).items()}
             for field in ("dtype", "role", "device")}
    seen = []
    file["/state"].visititems(lambda name, item: seen.append(name) if isinstance(item, h5py.Dataset) else None)
    rows = table[:]
    assert sorted(seen) == sorted(row["name"].decode() for row in rows), "the names of table and datasets differ"
    for number, row in enumerate(rows):
        name = row["name"].decode()
        data = file["/state/" + name]
        dtype = words["dtype"][int(row["dtype"])]
        want = numpy.dtype("uint16" if dtype == "bfloat16" else dtype)
        assert data.dtype == want, f"{name}: {data.dtype} instead of {want}"
        assert data.shape == tuple(row["shape"][: row["ndim"]]), f"{name}: shape {data.shape}"
        assert data.chunks is None
        assert data.size == 0 or data.id.get_offset() == row["file_offset"], f"{name}: offset"
        assert data[()].tobytes() == expected(row, number).tobytes(), f"{name}: bytes"
        assert words["device"][int(row["device"])] == "host"
    assert words["role"][int(rows[0]["role"])] == "model"
    assert file["/stint/hashes"].shape == (len(rows),)
    assert file["/stint/meta"].shape == ()
    print(len(rows), "datasets")
PYTHON
if /usr/bin/python3 -c 'import h5py, numpy' 2>/dev/null; then
        like "$(/usr/bin/python3 "$TEST_DIR/read.py" "$file" 2>&1)" '^51 datasets$' "h5py reads every dataset as numpy's own type"
else
        skip "/usr/bin/python3 has no h5py here (apt-get install python3-h5py)" "h5py reads every dataset as numpy's own type"
fi
if command -v h5dump >/dev/null; then
        ok "h5dump reads all of it" h5dump -o "$TEST_DIR/all" "$file"
        like "$(h5dump -d /stint/table "$file")" "optimizer" "and prints words in the table"
else
        skip "h5dump is not here (apt-get install hdf5-tools)" "h5dump reads all of it" "and prints words in the table"
fi
done_testing
