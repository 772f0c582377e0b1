"""The ports of the platform's servers: a free one, and one clear line per cause of a refusal."""

import socket

import pytest

from utils.errors import UserError
from utils.ports import HOST, listen


def test_a_free_port_accepts_connections_and_is_free_again_afterwards():
    with listen(0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((HOST, port)):
            pass
    with listen(port) as listener:
        assert listener.getsockname() == (HOST, port)


@pytest.mark.parametrize("port", [-1, 65536, 99999, 10**30])
def test_a_port_that_does_not_exist_is_refused(port):
    with pytest.raises(UserError) as refusal:
        listen(port)
    assert str(refusal.value) == f"port {port} does not exist: expected 1 to 65535, or 0 for a free port"


def test_a_port_in_use_is_refused():
    with listen(0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UserError) as refusal:
            listen(port)
    expected = f"port {port} is in use by another program: choose another --port, or 0 for a free one"
    assert str(refusal.value) == expected
