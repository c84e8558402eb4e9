"""An empty store, made next to the directory under test and renamed into it.

A crash while a database is created for the first time is a question of its own, and most programs
promise nothing about it. So each store is whole and synced before it has its name.
"""
import os
import shutil
import subprocess
import sys


def prepared(directory, name, make):
    """The path of the store. Where there is none yet, `make(path)` makes it under another name."""
    store = os.path.join(directory, name)
    if os.path.lexists(store):
        return store
    new = os.path.abspath(directory) + f".{name}.new"
    if os.stat(directory).st_dev != os.stat(os.path.dirname(new)).st_dev:
        # A file system of its own: nothing comes into it by a rename.
        new = os.path.join(directory, f".{name}.new")
    if os.path.isdir(new):
        shutil.rmtree(new)
    elif os.path.lexists(new):
        os.unlink(new)
    made_or_copied(new, name, make)
    subprocess.run(["sync", "--file-system", new], check=True)
    os.rename(new, store)
    subprocess.run(["sync", directory], check=True)
    return store


def made_or_copied(new, name, make):
    """With PROGRAMS_CACHE, a directory, each program's store is made once and copied afterwards."""
    cache = os.environ.get("PROGRAMS_CACHE")
    if not cache:
        return make(new)
    template = os.path.join(cache, f"{os.path.basename(sys.argv[0])}.{name}")
    if not os.path.exists(template):
        making = f"{template}.{os.getpid()}"
        make(making)
        os.rename(making, template)
    subprocess.run(["cp", "-a", template, new], check=True)
