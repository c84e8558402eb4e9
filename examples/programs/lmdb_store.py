#!/usr/bin/python3
"""LMDB, Debian package python3-lmdb.

Promise: a write transaction is durable when its commit returns, and a crash never damages the
database (lmdb.h, "Caveats" and MDB_NOSYNC: "a system crash can then corrupt the database or lose the
last transactions").
Weak: MDB_NOSYNC.
"""
import os
import lmdb
from preparation import prepared
from protocol import entries, main, pack, survived


def opened(path, **options):
    return lmdb.open(path, map_size=8 << 20, **options)


def write(directory, weak):
    path = prepared(directory, "db", lambda new: opened(new).close())
    environment = opened(path, sync=not weak)
    for name, body in entries():
        with environment.begin(write=True) as transaction:
            place = transaction.stat()["entries"]
            transaction.put(b"%020d" % place, pack(name, body))


def check(directory, _):
    path = os.path.join(directory, "db")
    if os.path.exists(path):
        with opened(path).begin() as transaction:
            for _, value in transaction.cursor():
                survived(bytes(value))


main(write, check)
