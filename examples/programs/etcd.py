#!/usr/bin/python3
"""etcd 3.4 with one member, Debian package etcd-server.

Promise: a put that was answered is in the write-ahead log, synced (etcd docs, "KV API guarantees":
durability: "Any completed operations are durable").
It has no weak mode. The member is started once before it is put under test.
"""
import base64
import http.client
import json
import os
import signal
from preparation import prepared
from protocol import entries, main, pack, port, started, stopped, survived


def opened(home):
    clients = port()
    here, peer = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{clients + 1}"

    def post(path, request):
        connection.request("POST", path, json.dumps(request))
        answer = connection.getresponse()
        if (body := answer.read()) and answer.status != 200:
            raise OSError(f"etcd answers {body}")
        return json.loads(body)

    def connect():
        connection.close()
        post("/v3/kv/range", {"key": base64.b64encode(b"log").decode()})  # once it has a leader

    connection = http.client.HTTPConnection("127.0.0.1", clients, timeout=20)
    process, _ = started(
        ["etcd", "--data-dir", home, "--listen-client-urls", here, "--advertise-client-urls", here,
         "--listen-peer-urls", peer, "--initial-advertise-peer-urls", "http://127.0.0.1:1",
         "--initial-cluster", "default=http://127.0.0.1:1", "--snapshot-count", "40",
         "--heartbeat-interval", "20", "--election-timeout", "200", "--log-level", "fatal"], connect)
    return process, post


def make(home):
    process, _ = opened(home)
    stopped(process, signal.SIGTERM)


def write(directory, _):
    _, post = opened(prepared(directory, "member", make))
    for name, body in entries():
        put(post, name, body)


def put(post, name, body):
    key = base64.b64encode(b"log/" + name.encode()).decode()
    post("/v3/kv/put", {"key": key, "value": base64.b64encode(pack(name, body)).decode()})


def check(directory, _):
    home = os.path.join(directory, "member")
    if not os.path.exists(home):
        return
    process, post = opened(home)
    first, end = (base64.b64encode(key).decode() for key in (b"log/", b"log0"))
    order = {"sort_target": "CREATE", "sort_order": "ASCEND"}
    found = post("/v3/kv/range", {"key": first, "range_end": end, **order})
    for entry in found.get("kvs", []):
        survived(base64.b64decode(entry["value"]))
    stopped(process)


if __name__ == "__main__":
    main(write, check)
