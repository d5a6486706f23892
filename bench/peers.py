# SPDX-License-Identifier: GPL-2.0-or-later
"""peers SIZES: saves and loads the tensors of the bench as a user of torch, h5py or numpy would.

SIZES is a file with the bytes of each tensor, a line each; the libraries share the tensors. The first line on stdout says
which of them are there. On stdin: `save LIBRARY PATH` and `load LIBRARY PATH`, where PATH is a file, or for numpy a folder
with a file per tensor; on stdout a line of JSON for each: how long the library's own call took (that is what training waits
for), and how long it was until everything was synced. `drop` and `remove` get rid of what is cached of a file, and of the
file. players.py starts it.
"""
import json
import os
import shutil
import sys
import time


def tensors_of(numpy, sizes):
    """Numbers that do not compress: each tensor is another stretch of one random array."""
    with open(sizes, encoding="ascii") as f:
        wanted = [int(line) // 4 for line in f]
    pool = numpy.random.default_rng(42).random(max(wanted) + 4096, dtype=numpy.float32)
    return {f"model/layer{i:05d}/weight": pool[i % 4096:i % 4096 + n].copy() for i, n in enumerate(wanted)}


def sync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


class Torch:
    def __init__(self, numpy):
        import torch
        self.torch = torch

    def take(self, tensors):
        self.state = {name: self.torch.from_numpy(data) for name, data in tensors.items()}

    def save(self, path):
        self.torch.save(self.state, path)

    def sync(self, path):
        sync(path)

    def load(self, path):
        return self.torch.load(path)


class H5py:
    def __init__(self, numpy):
        import h5py
        self.h5py, self.numpy = h5py, numpy

    def take(self, tensors):
        self.state = tensors

    def save(self, path):
        with self.h5py.File(path, "w") as f:
            for name, data in self.state.items():
                f.create_dataset(name, data=data)

    def sync(self, path):
        sync(path)

    def load(self, path):
        with self.h5py.File(path, "r") as f:
            return {name: f[name][...] for name in self.state}


class Numpy:
    def __init__(self, numpy):
        self.numpy = numpy

    def take(self, tensors):
        self.state = {name.replace("/", "."): data for name, data in tensors.items()}

    def save(self, path):
        os.mkdir(path)
        for name, data in self.state.items():
            self.numpy.save(f"{path}/{name}.npy", data)

    def sync(self, path):
        for name in os.listdir(path):
            sync(f"{path}/{name}")
        sync(path)

    def load(self, path):
        return {name: self.numpy.load(f"{path}/{name}.npy") for name in self.state}


LIBRARIES = {"torch": Torch, "h5py": H5py, "numpy": Numpy}


def drop(path):
    """What the page cache has of it goes away, so that a load is a cold one."""
    for name in [f"{path}/{name}" for name in os.listdir(path)] if os.path.isdir(path) else [path]:
        fd = os.open(name, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)


def load(library, path):
    begin = time.monotonic_ns()
    kept = library.load(path)
    took = time.monotonic_ns() - begin
    del kept
    return {"ns": took}


def save(library, path):
    begin = time.monotonic_ns()
    library.save(path)
    blocked = time.monotonic_ns()
    library.sync(path)
    return {"blocked_ns": blocked - begin, "ns": time.monotonic_ns() - begin}


def obey(library, what, path):
    if what == "drop":
        drop(path)
    elif what == "remove":
        remove(path)
    else:
        return load(library, path) if what == "load" else save(library, path)
    return {}


def found(numpy):
    """Those that are installed for this Python."""
    libraries = {}
    for name, library in LIBRARIES.items():
        try:
            libraries[name] = library(numpy)
        except ImportError:
            continue
    return libraries


def answer(words):
    print(json.dumps(words), flush=True)


def main():
    try:
        import numpy
    except ImportError:
        answer({"libraries": []})
        return
    tensors, libraries = tensors_of(numpy, sys.argv[1]), found(numpy)
    for library in libraries.values():
        library.take(tensors)
    answer({"libraries": list(libraries)})
    for line in sys.stdin:
        what, name, path = line.split(maxsplit=2)
        try:
            answer(obey(libraries[name], what, path.strip()))
        except Exception as error:  # whatever a library throws is an answer
            answer({"error": f"{name}: {error}"})


main()
