"""A TCP proxy that breaks a connection as networks do: cut politely, reset, stalled, or stalled and woken again."""

import contextlib
import socket
import struct
import threading
import time

_PIECE_BYTES = 64 << 10
_RESET = struct.pack("ii", 1, 0)  # linger for no time: the kernel sends RST instead of FIN


class Proxy:
    """Passes each connection on to a server on loopback until `after_bytes` went up; then the fault happens, once.

    Faults: `fin` and `rst` end the connection to the server, `stall` leaves it open and silent, `zombie` is a stall
    that `wake` ends: what the client had sent behind it arrives late. Connections that come after it pass untouched.
    """

    def __init__(self, server_port: int, fault: str, after_bytes: int) -> None:
        self.fault, self.after_bytes = fault, after_bytes
        self.struck = threading.Event()
        self._server_port = server_port
        self._woken = threading.Event()
        self._is_over = False
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End every connection."""
        self._is_over = True
        self._woken.set()
        for one in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                one.close()

    def wake(self) -> None:
        """Let a zombie go on."""
        self._woken.set()

    def _accept(self) -> None:
        while not self._is_over:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            self._open += [client, server]
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while True:
                left = _PIECE_BYTES if self.struck.is_set() else min(_PIECE_BYTES, self.after_bytes - sent)
                piece = client.recv(left)
                if not piece:
                    server.shutdown(socket.SHUT_WR)
                    return
                server.sendall(piece)
                sent += len(piece)
                if sent >= self.after_bytes and not self.struck.is_set():
                    time.sleep(0.2)  # the server takes what came: what a reset finds in its kernel never arrived
                    self.struck.set()
                    if not self._strike(server):
                        return

    def _strike(self, server: socket.socket) -> bool:
        """Do it; tell whether the connection goes on."""
        if self.fault == "rst":
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if self.fault in ("fin", "rst"):
            server.close()
            return False
        self._woken.wait()
        return not self._is_over


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
