#!/usr/bin/python3
"""The test zone for any number of domains, computed instead of looked up: MX of dN.bench.test is
mx.dN.bench.test, whose address is that of tools/testzone.py. dnsmasq looks through all of its MX
records for each question, which takes too long where there are 100,000.

Usage: zone_server.py ADDRESS PORT
"""

import os
import re
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "tools"))
import testzone  # noqa: E402

A, MX, TTL = 1, 15, 3600
NAME = re.compile(rb"(\x02mx)?.d(\d+)\x05bench\x04test\x00", re.IGNORECASE | re.DOTALL)
RECORD = struct.Struct(">HHHIH")
HERE = 0xc00c  # the name that was asked for


def answer(query):
    """The reply to a question; None to what is none."""
    found = NAME.match(query, 12)
    if len(query) < 12 or query[2] & 0x80 or query[4:6] != b"\0\1":
        return None
    end = query.find(b"\0", 12) + 5 if found is None else found.end() + 4
    kind = int.from_bytes(query[end - 4:end - 2], "big")
    records = b""
    if found is not None:
        if found[1] is None and kind == MX:
            host = b"\x02mx\xc0\x0c"
            records = RECORD.pack(HERE, MX, 1, TTL, 2 + len(host)) + b"\0\x0a" + host
        elif found[1] is not None and kind == A:
            records = RECORD.pack(HERE, A, 1, TTL, 4) + socket.inet_aton(testzone.address(int(found[2])))
    flags = b"\x85\x80" if found is not None else b"\x85\x83"  # authoritative; no such domain
    return query[:2] + flags + b"\0\1" + (b"\0\1" if records else b"\0\0") + b"\0\0\0\0" + query[12:end] + records


def main():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        s.bind((sys.argv[1], int(sys.argv[2])))
        print("ready", flush=True)
        while True:
            query, peer = s.recvfrom(4096)
            reply = answer(query)
            if reply is not None:
                s.sendto(reply, peer)


if __name__ == "__main__":
    main()
