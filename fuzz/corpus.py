#!/usr/bin/env python3
"""The corpus as it is kept: one archive for each fuzz target, instead of thousands of small files.

    fuzz/corpus.py unpack     fuzz/corpus/TARGET.tar.gz into the folder fuzz/corpus/TARGET
    fuzz/corpus.py pack       the folders into the archives; one that would hold the same is left alone

A file that a fuzzer found is named by its hash. One with a name of its own was written by hand: it
stays in the archive, even where minimising took it out of the folder. To drop one, delete the archive before
packing.

`make fuzz` does both. The tests read the archives themselves (tests/corpus/main.rs).
"""

import gzip
import io
import pathlib
import re
import sys
import tarfile

CORPUS = pathlib.Path(__file__).parent / "corpus"
HASH = re.compile("[0-9a-f]{40}")


def members(archive: pathlib.Path) -> dict[str, bytes]:
    if not archive.exists():
        return {}
    with tarfile.open(archive) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened}


def unpack(archive: pathlib.Path) -> None:
    folder = CORPUS / archive.name.removesuffix(".tar.gz")
    folder.mkdir(exist_ok=True)
    for name, data in members(archive).items():
        if pathlib.PurePath(name).name != name:
            sys.exit(f"{archive}: {name} is not the name of a file alone")
        (folder / name).write_bytes(data)


def pack(folder: pathlib.Path) -> None:
    archive = folder.with_name(f"{folder.name}.tar.gz")
    kept = members(archive)
    found = {name: data for name, data in kept.items() if not HASH.fullmatch(name)}
    found |= {path.name: path.read_bytes() for path in folder.iterdir()}
    if found == kept:
        return
    # The same files give the same bytes: sorted, and without times and owners.
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as opened:
        for name, data in sorted(found.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            opened.addfile(member, io.BytesIO(data))
    archive.write_bytes(gzip.compress(tar.getvalue(), compresslevel=9, mtime=0))
    print(f"{archive}: {len(found)} files in {archive.stat().st_size} bytes")


if sys.argv[1:] == ["unpack"]:
    for archive in sorted(CORPUS.glob("*.tar.gz")):
        unpack(archive)
elif sys.argv[1:] == ["pack"]:
    for folder in sorted(path for path in CORPUS.iterdir() if path.is_dir()):
        pack(folder)
else:
    sys.exit(__doc__)
