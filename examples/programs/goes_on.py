#!/usr/bin/python3
"""A client that goes on after an error of its store, for disks that fail (docs/failing-disks.md).

    goes_on.py STORE DIRECTORY

It appends one entry after the other. An entry that is refused was attempted and not acknowledged: the
client repeats on standard error what it was told, and tries the next one. It starts the store again where
that has ended, and gives up after some errors in a row. The checker is `sqlite_wal.sh check` for
SQLite, else `STORE.py check`.
"""
import itertools
import os
import sqlite3
import subprocess
import sys
from importlib import import_module
from preparation import prepared
from protocol import ack, attempt, digest, entry, pack, stopped, wait_for

ERRORS_MAX = 6


def sync(path):
    subprocess.run(["sync", path], check=True)


class Refused(Exception):
    """The store answers that it has not taken an entry."""


def sqlite(directory, journal, synchronous):
    path = os.path.join(directory, "store.db")
    if not os.path.exists(path):
        make_sqlite(path + ".new", journal)
        os.rename(path + ".new", path)
        sync(directory)
    database = sqlite3.connect(path, isolation_level=None, timeout=1)
    for pragma in "synchronous=" + synchronous, "wal_autocheckpoint=8":
        database.execute("PRAGMA " + pragma)

    def put(name, body):
        database.execute("INSERT INTO entries (name, body) VALUES (?, ?)", (name, body))

    return put, None


def make_sqlite(path, journal):
    for end in "", "-journal", "-wal", "-shm":
        if os.path.exists(path + end):
            os.unlink(path + end)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=" + journal)
    database.execute("CREATE TABLE entries (place INTEGER PRIMARY KEY, name, body)")
    database.close()
    sync(path)


def sqlite_journal(directory):
    # FULL does not sync the directory after the journal's removal, which commits (pragma.html).
    return sqlite(directory, "DELETE", "EXTRA")


def sqlite_journal_full(directory):
    return sqlite(directory, "DELETE", "FULL")


def sqlite_wal(directory):
    return sqlite(directory, "WAL", "FULL")


def leveldb(directory):
    path = os.path.join(directory, "db")
    if not os.path.exists(path):
        os.mkdir(path)
        sync(directory)
    database = import_module("leveldb").opened(directory)
    places = itertools.count(sum(1 for _ in database.iterator(include_value=False)))

    def put(name, body):
        database.put(b"%020d" % next(places), pack(name, body), sync=True)

    return put, None


def redis_server(directory):
    process, command = import_module("redis_server").opened(directory, False)
    sync(directory)  # the server does not; what that costs is shown without an error, too (README.md)

    def put(name, body):
        command(b"RPUSH", b"log", pack(name, body))

    return put, process


def beanstalkd(directory):
    process, command, _ = import_module("beanstalkd").opened(directory, False)
    sync(directory)

    def put(name, body):
        job = pack(name, body)
        answer = command(f"put 0 0 60 {len(job)}", job)
        if answer[:1] != ["INSERTED"]:
            raise Refused(f"beanstalkd answers {answer}")

    return put, process


def etcd(directory):
    program = import_module("etcd")
    process, post = program.opened(prepared(directory, "member", program.make))

    def put(name, body):
        program.put(post, name, body)

    return put, process


def nats(directory):
    process, request = import_module("nats").opened(directory)

    def put(name, body):
        answer = request("s", pack(name, body))
        if "error" in answer:
            raise Refused(f"JetStream answers {answer}")

    return put, process


def postgresql(directory):
    program = import_module("postgresql")
    where, server = program.opened(prepared(directory, "data", program.make))

    def put(name, body):
        try:
            program.psql(where, f"INSERT INTO log (name, body) VALUES ('{name}', '{body.decode()}')")
        except OSError as error:
            # It starts itself again.
            wait_for(server, lambda: program.psql(where, "SELECT 1"))
            raise Refused(error) from None

    return put, server


STORES = {store.__name__: store for store in
          (sqlite_journal, sqlite_journal_full, sqlite_wal, leveldb, redis_server, beanstalkd, etcd,
           nats, postgresql)}


def main():
    store, directory = sys.argv[1:]
    put, process = STORES[store](directory)
    errors = 0
    for number in itertools.count():
        name, body = entry(number)
        attempt(name, digest(body))
        try:
            if put is None:
                put, process = STORES[store](directory)
            put(name, body)
        # What a store answers, and what its script says by SystemExit.
        except (Exception, SystemExit) as error:
            if process and not isinstance(error, Refused):
                # It has ended, or will.
                stopped(process)
                put = process = None
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            errors += 1
            if errors == ERRORS_MAX:
                sys.exit(f"{store} has refused {errors} entries in a row")
        else:
            errors = 0
            ack(name)


main()
