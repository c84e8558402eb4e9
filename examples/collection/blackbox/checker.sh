#!/bin/sh
# What a search finds in a collection, in the order in which it was inserted.
#
#   checker.sh DIRECTORY
set -eu
collection=${COLLECTION:-target/release/collection}
found=$("$collection" list --dir "$1")
[ -z "$found" ] || printf '%s\n' "$found" | sed 's/^/survived /'
