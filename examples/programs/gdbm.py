#!/usr/bin/python3
"""gdbm through Python's dbm.gnu, Debian package python3-gdbm.

Promise: a store survives the end of the process; a database that a crash left between two writes is
brought back by gdbm_recover (gdbm manual, "Recovery"). With GDBM_SYNC (the flag `s`) it is also handed
to the disk when the call returns; without the separate "crash tolerance" of the manual, which Python
does not offer, nothing promises that a database survives a power cut between two of them.
Weak: without the flag, nothing is synced.
"""
import ctypes
import dbm.gnu
import os
from preparation import prepared
from protocol import entries, main, pack, survived

GDBM_WRITER, GDBM_SYNC = 1, 0x20


def opened(path, flags="ws"):
    """Recovers first, if necessary. Python has no name for that, and shows no entry where it is due."""
    library = ctypes.CDLL("libgdbm.so.6")
    library.gdbm_open.restype = ctypes.c_void_p
    handle = library.gdbm_open(path.encode(), 0, GDBM_WRITER | GDBM_SYNC, 0, None)
    if not handle or library.gdbm_recover(ctypes.c_void_p(handle), None, 0) != 0:
        raise SystemExit("gdbm cannot recover")
    library.gdbm_close(ctypes.c_void_p(handle))
    return dbm.gnu.open(path, flags)


def write(directory, weak):
    path = prepared(directory, "db", lambda new: dbm.gnu.open(new, "n").close())
    database = opened(path, "w" if weak else "ws")
    place = len(database)
    for name, body in entries():
        database[b"%020d" % place] = pack(name, body)
        place += 1


def check(directory, _):
    path = os.path.join(directory, "db")
    if os.path.exists(path):
        database = opened(path)
        for key in sorted(database.keys()):
            survived(database[key])


main(write, check)
