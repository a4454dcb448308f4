"""A small HTTP/1.1 server in a thread that answers as a script says, for tests of the load generator."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from bench.loader import Address

Script = Callable[[int], list[bytes]]
StartServer = Callable[[Script], "ScriptedServer"]

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class ScriptedServer:
    """Answers request number N (over all connections) with the segments `script(N)`; none: hangs up."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._lock = threading.Condition()
        self._socks: list[socket.socket] = []
        self.requests: list[bytes] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> Address:
        host, port = self._listener.getsockname()
        return str(host), int(port)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def received(self, count: int) -> list[bytes]:
        """The requests, once there are `count`: a generator may end before the last it sent has been read here."""
        with self._lock:
            assert self._lock.wait_for(lambda: len(self.requests) >= count, timeout=20), f"{len(self.requests)} came"
            return list(self.requests)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self._socks.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            while data := sock.recv(65536):
                with self._lock:
                    number = len(self.requests)
                    self.requests.append(data)
                    self._lock.notify_all()
                    segments = self._script(number)
                for segment in segments:
                    sock.sendall(segment)
                if not segments:
                    return
