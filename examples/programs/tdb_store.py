#!/usr/bin/python3
"""tdb, Samba's trivial database, Debian package python3-tdb.

Promise: a transaction is on disk, whole, when `transaction_commit` returns, and one that a crash
interrupts is undone when the database is opened (tdb_transaction_commit in tdb's API docs; TDB_NOSYNC:
"don't use synchronous transactions").
Weak: TDB_NOSYNC.
"""
import os
import tdb
from preparation import prepared
from protocol import entries, main, pack, survived


def opened(path, flags=tdb.DEFAULT):
    try:
        return tdb.Tdb(path, 64, flags, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        raise SystemExit("tdb does not open") from None


def write(directory, weak):
    path = prepared(directory, "db", lambda new: opened(new).close())
    database = opened(path, tdb.NOSYNC if weak else tdb.DEFAULT)
    place = sum(1 for _ in database)
    for name, body in entries():
        database.transaction_start()
        database.store(b"%020d" % place, pack(name, body))
        database.transaction_commit()
        place += 1


def check(directory, _):
    path = os.path.join(directory, "db")
    if os.path.exists(path):
        database = opened(path)
        for key in sorted(database):
            survived(database[key])


main(write, check)
