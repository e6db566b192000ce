"""Writes the TorchScript archives of the peers: cd bench/peers && python3 write.py

Every public function of the family files beside this one, but not of scripts, becomes an archive of its name. Written
with torch 1.13 so that any newer libtorch reads it.
"""

import importlib
import inspect
import io
import pathlib
import zipfile

import torch

HERE = pathlib.Path(__file__).parent
ARCHIVES = HERE.parent / "src/peers/resources/io/quern/bench/peers"


def write(name, function):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(function), buffer)
    with zipfile.ZipFile(buffer) as full, zipfile.ZipFile(ARCHIVES / f"{name}.pt", "w") as archive:
        for entry in full.namelist():
            # Source locations name the machine's folders, and nothing needs them.
            if not entry.endswith(".debug_pkl"):
                path = name + entry[entry.index("/") :]
                archive.writestr(zipfile.ZipInfo(path), full.read(entry))


for family in sorted(HERE.glob("*.py")):
    if family.stem not in ("write", "torch_peers"):
        module = importlib.import_module(family.stem)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == family.stem and not name.startswith("_"):
                write(name, function)
                print(name)
