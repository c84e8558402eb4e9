#!/bin/sh
# A checker for SQLite's command line: what survived, in the order in which it was inserted.
#
#   sqlite_checker.sh DIRECTORY
set -eu
db=$1/store.db

# Killed before the table was there: nothing survived, and that is fine.
[ -e "$db" ] || exit 0
[ -n "$(sqlite3 "$db" "SELECT 1 FROM sqlite_schema WHERE name = 'entries'")" ] || exit 0

damage=$(sqlite3 "$db" 'PRAGMA integrity_check')
if [ "$damage" != ok ]; then
    echo "integrity_check: $damage" >&2
    exit 1
fi
exec sqlite3 "$db" "SELECT 'survived ' || id FROM entries ORDER BY place"
