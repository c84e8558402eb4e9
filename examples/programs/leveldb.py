#!/usr/bin/python3
"""LevelDB, Debian package python3-plyvel.

Promise: a write with `sync` is durable when the call returns; one without it survives the end of the
process and not the end of the machine (LevelDB doc/index.md, "Synchronous Writes").
Weak: without `sync`.
"""
import os
import subprocess
import plyvel
from protocol import entries, main, pack, survived


def opened(directory):
    # A small buffer, so that tables are written and compacted. LevelDB creates itself atomically.
    path = os.path.join(directory, "db")
    try:
        return plyvel.DB(path, create_if_missing=True, write_buffer_size=65536)
    except plyvel.Error as error:
        raise SystemExit(f"LevelDB does not open: {error}") from None


def write(directory, weak):
    path = os.path.join(directory, "db")
    if not os.path.exists(path):
        # LevelDB syncs what is in its directory, and not the name of that.
        os.mkdir(path)
        subprocess.run(["sync", directory], check=True)
    database = opened(directory)
    place = sum(1 for _ in database.iterator(include_value=False))
    for name, body in entries():
        database.put(b"%020d" % place, pack(name, body), sync=not weak)
        place += 1


def check(directory, _):
    if os.path.exists(os.path.join(directory, "db")):
        for value in opened(directory).iterator(include_key=False):
            survived(value)


if __name__ == "__main__":
    main(write, check)
