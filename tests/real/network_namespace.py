"""Relays between this machine's loopback and an isolated network namespace.

A Swarm's daemon and tasks in such a namespace open no port of this machine. The two sockets of a relay belong to
different namespaces, because a socket stays in the namespace in which it was created.
"""

import contextlib
import ctypes
import fcntl
import os
import selectors
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

CLONE_NEWNET = 0x40000000
SET_FLAGS, UP = 0x8914, 0x1
ANYWHERE = "0.0.0.0"  # nosec B104 - of a namespace that no network leads to


class NetworkNamespace:
    """The namespace of a running process, and the relays of a test."""

    def __init__(self, process: int) -> None:
        self._file = os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        # A dedicated thread that never returns to the machine's namespace.
        self._inside = ThreadPoolExecutor(1, initializer=_enter, initargs=(self._file,))
        self._servers: list[socketserver.BaseServer] = []

    def listen(self, port: int) -> socket.socket:
        return self._inside.submit(socket.create_server, (ANYWHERE, port), backlog=100).result()

    def connect(self, port: int) -> socket.socket:
        # Made inside, connected here: a slow connect blocks no other.
        made = self._inside.submit(socket.socket, socket.AF_INET, socket.SOCK_STREAM).result()
        try:
            made.connect(("127.0.0.1", port))
        except OSError:
            made.close()
            raise
        return made

    def lead_out(self, port: int) -> None:
        """Relay connections to `port` in the namespace to the same port of this machine's loopback."""
        self._serve(_Relay(self.listen(port), lambda: socket.create_connection(("127.0.0.1", port))))

    def lead_in(self, port: int) -> int:
        listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._serve(_Relay(listening, lambda: self.connect(port)))
        return int(listening.getsockname()[1])

    def answer(self, name: str, address: str) -> None:
        """Serve DNS in the namespace for this one name."""

        def bound() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((ANYWHERE, 53))
            return made

        self._serve(_Names(self._inside.submit(bound).result(), name, address))

    def bring_up_loopback(self) -> None:
        self._inside.submit(_bring_up_loopback).result()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._inside.shutdown()
        os.close(self._file)

    def _serve(self, server: socketserver.BaseServer) -> None:
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


def _enter(file: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(file, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _bring_up_loopback() -> None:
    """Bring up loopback like `ip link set lo up`: netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", UP).ljust(40, b"\0"))


class _Relay(socketserver.ThreadingTCPServer):
    """Relays from a listening socket to the socket of `connect`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, connect: Callable[[], socket.socket]) -> None:
        super().__init__(listening.getsockname(), _Passing, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.connect = connect


class _Passing(socketserver.BaseRequestHandler):
    server: _Relay
    request: socket.socket

    def handle(self) -> None:
        with contextlib.suppress(OSError), self.server.connect() as there:
            for end in (self.request, there):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _pump(self.request, there)


def _pump(here: socket.socket, there: socket.socket) -> None:
    """Copy data until both ends have closed, or one has failed. A half-closed connection still delivers in one
    direction."""
    with selectors.DefaultSelector() as ends:
        ends.register(here, selectors.EVENT_READ, (here, there))
        ends.register(there, selectors.EVENT_READ, (there, here))
        while ends.get_map():
            for key, _ in ends.select():
                end, other = key.data
                data = end.recv(65536)
                if data:
                    other.sendall(data)
                else:
                    ends.unregister(end)
                    other.shutdown(socket.SHUT_WR)


class _Names(socketserver.ThreadingUDPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, bound: socket.socket, name: str, address: str) -> None:
        super().__init__(bound.getsockname(), _Question, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.name = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
        self.address = socket.inet_aton(address)


class _Question(socketserver.BaseRequestHandler):
    """Answers a DNS query with one question (RFC 1035): an A record for the name, and nothing for others."""

    server: _Names

    def handle(self) -> None:
        requested, reply_to = self.request
        end = requested.find(b"\0", 12) + 5
        known = requested[12 : end - 4].lower() == self.server.name
        found = known and requested[end - 4 : end - 2] == struct.pack(">H", 1)
        flags = 0x8580 if known else 0x8583  # an authoritative answer; or no such name
        answer = requested[:2] + struct.pack(">HHHHH", flags, 1, int(found), 0, 0) + requested[12:end]
        if found:
            answer += struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + self.server.address
        reply_to.sendto(answer, self.client_address)
