#!/usr/bin/python3
"""Berkeley DB 5.3, Debian package python3-bsddb3.

Promise: a committed transaction is durable, and DB_RECOVER at the next open brings it back (Berkeley
DB Programmer's Reference, "Transactional Data Store": durability; DB_TXN->commit).
Weak: DB_TXN_NOSYNC keeps the log in the process, so that even a kill loses commits.
"""
import os
from bsddb3 import db
from preparation import prepared
from protocol import entries, main, pack, survived

FLAGS = db.DB_CREATE | db.DB_INIT_MPOOL | db.DB_INIT_TXN | db.DB_INIT_LOG | db.DB_INIT_LOCK


def opened(home):
    os.makedirs(home, exist_ok=True)
    environment = db.DBEnv()
    environment.set_cachesize(0, 1 << 20)
    environment.set_lg_max(1 << 18)
    environment.set_lg_bsize(1 << 15)
    environment.open(home, FLAGS | db.DB_RECOVER | db.DB_PRIVATE)
    table = db.DB(environment)
    # A page has to be written whole or not at all (Programmer's Reference, "Berkeley DB recoverability"), and
    # a disk promises that of a sector.
    table.set_pagesize(512)
    table.open("table", None, db.DB_BTREE, db.DB_CREATE | db.DB_AUTO_COMMIT)
    return environment, table


def make(home):
    environment, table = opened(home)
    table.close()
    environment.close()


def write(directory, weak):
    environment, table = opened(prepared(directory, "db", make))
    place = len(table)
    for name, body in entries():
        transaction = environment.txn_begin()
        table.put(b"%020d" % place, pack(name, body), txn=transaction)
        transaction.commit(db.DB_TXN_NOSYNC if weak else 0)
        place += 1
        if place % 16 == 0:
            environment.txn_checkpoint(0, 0, 0)


def check(directory, _):
    home = os.path.join(directory, "db")
    if os.path.exists(home):
        environment, table = opened(home)
        for value in table.values():
            survived(value)
        table.close()
        environment.close()


main(write, check)
