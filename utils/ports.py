"""Ports of the servers that the platform starts, which serve this machine only."""

import errno
import os
import socket

from utils.errors import UserError

HOST = "127.0.0.1"
MAX_PORT = 65535


def listen(port: int) -> socket.socket:
    """A socket that listens on this port of this machine, or on a free port for 0.

    Raises UserError if the port is out of range, in use or not allowed.
    """
    if not 0 <= port <= MAX_PORT:
        raise UserError(f"port {port} does not exist: expected 1 to {MAX_PORT}, or 0 for a free port")
    # asyncio sets TCP_NODELAY only on sockets created with IPPROTO_TCP; without it, small responses take 40 ms longer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # on Windows this option would share the port with another program
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            cause = "is in use by another program"
        elif error.errno == errno.EACCES:
            cause = "is reserved for the system"
        else:
            cause = f"cannot be used ({error.strerror})"
        raise UserError(f"port {port} {cause}: choose another --port, or 0 for a free one") from None
    return listener
