#!/bin/sh
# git commits, Debian package git.
#
#   git_repository.sh write|check DIRECTORY [weak]
#
# Promise: with `core.fsync=all`, objects, index and refs are synced before git ends (git-config(1),
# core.fsync: "Items that are not hardened may be lost in the event of an unclean system shutdown").
# Weak: `core.fsync=none`.
set -eu
command=$1 repository=$2/repository new=$2.new fsync=all
# A directory that is a file system of its own is given nothing by a rename from outside.
[ "$(stat -c %d "$2")" = "$(stat -c %d "$2/..")" ] || new=$2/.new
[ "${3:-}" != weak ] || fsync=none
export GIT_CONFIG_NOSYSTEM=1 HOME=/nonexistent
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
repository() {
    git -C "$repository" -c core.fsync=$fsync -c gc.auto=0 "$@"
}

if [ "$command" = check ]; then
    [ -d "$repository" ] || exit 0
    repository rev-parse -q --verify HEAD > /dev/null || {
        # Without a commit there is no such file; with another content it is damage.
        [ ! -e "$repository/.git/refs/heads/main" ] || exit 1
        exit 0
    }
    repository fsck --no-dangling --no-progress >&2
    repository log --reverse --format='survived %s'
    exit
fi

if [ ! -d "$repository" ]; then
    # Made next to the directory, whole and synced before it has its name.
    rm -rf "$new"
    git init -q -b main "$new" >&2
    sync --file-system "$new"
    mv "$new" "$repository"
    sync "$2"
fi
# "Another git process seems to have crashed in this repository earlier: remove the file manually".
find "$repository/.git" -name '*.lock' -delete
number=0
while :; do
    name=g$PLUGPULL_GENERATION-$number
    echo "attempt $name"
    echo "$name" > "$repository/file"
    repository add file >&2
    repository commit -q --allow-empty -m "$name" >&2
    echo "ack $name"
    number=$((number + 1))
done
