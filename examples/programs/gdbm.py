#!/usr/bin/python3
"""gdbm through Python's dbm.gnu, Debian package python3-gdbm.

Promise: with GDBM_SYNC (the flag `s`), a stored entry has been handed to the disk when the call
returns (gdbm manual, "Open": "causes all database operations to be synchronized to the disk").
A store is several writes, and without the separate "crash tolerance" of its manual (which Python
does not offer) gdbm does not promise that a database survives a crash between two of them.
Weak: without the flag, nothing is synced.
"""
import dbm.gnu
import os
from preparation import prepared
from protocol import entries, main, pack, survived


def write(directory, weak):
    path = prepared(directory, "db", lambda new: dbm.gnu.open(new, "n").close())
    database = dbm.gnu.open(path, "w" if weak else "ws")
    place = len(database)
    for name, body in entries():
        database[b"%020d" % place] = pack(name, body)
        place += 1


def check(directory, _):
    path = os.path.join(directory, "db")
    if os.path.exists(path):
        database = dbm.gnu.open(path, "ws")
        for key in sorted(database.keys()):
            survived(database[key])


main(write, check)
