"""Addresses of this machine."""

import socket

from scgrpo.policies.engines.network import free_port, own_address


def test_who_is_on_this_machine_reaches_it_by_loopback():
    assert own_address("http://127.0.0.1:8000/v1") == "127.0.0.1"


def test_a_free_port_can_be_listened_on():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
