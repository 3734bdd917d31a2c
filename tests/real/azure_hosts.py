"""A proxy on loopback for Azure's host names. CONNECT to a known name leads to a stand-in.

Clients use their URLs of Azure, and check certificates and names. An unknown name is refused, so nothing leaves this
machine.
"""

import contextlib
import selectors
import socket
import socketserver
import threading

DEADLINE = 600.0  # Seconds that a tunnel may be idle.
# urllib3 sends to a proxy with Nagle's algorithm: a delayed acknowledgement costs 40 ms a write.
QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class AzureHosts(socketserver.ThreadingTCPServer):
    """A proxy that supports only CONNECT."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.ports: dict[str, int] = {}  # Host name, in lower case -> the port of its stand-in on loopback.
        self.unknown: list[str] = []  # Requested names without a stand-in.
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join(DEADLINE)
        self.server_close()


class _Tunnel(socketserver.StreamRequestHandler):
    server: AzureHosts
    disable_nagle_algorithm = True  # nor may what it forwards wait for an acknowledgement

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self._handle()

    def _handle(self) -> None:
        method, target, _ = self.rfile.readline().decode("latin-1").split(" ", 2)
        while self.rfile.readline().strip():
            ...
        host = target.partition(":")[0].lower()
        port = self.server.ports.get(host)
        if method != "CONNECT" or port is None:
            self.server.unknown.append(host)
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as there:
            there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _pump(self.connection, there)


def _pump(here: socket.socket, there: socket.socket) -> None:
    for end in (here, there):
        end.settimeout(DEADLINE)
    with selectors.DefaultSelector() as ends:
        ends.register(here, selectors.EVENT_READ, (here, there))
        ends.register(there, selectors.EVENT_READ, (there, here))
        while readable := ends.select(DEADLINE):
            for key, _ in readable:
                end, other = key.data
                data = end.recv(65536)
                if QUICK_ACK is not None:
                    end.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, True)
                if not data:
                    return
                other.sendall(data)
