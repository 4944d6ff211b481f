"""Small configurations as text, and what is in them once loaded."""

from ipaddress import ip_address

from healthd.config.problems import render
from healthd.model import DestKey


def services_of(loaded):
    assert loaded.config is not None, render(loaded.problems)
    return loaded.config.services


def service_of(loaded):
    (service,) = services_of(loaded)
    return service


def one(head="", check='type = "tcp"', real='address = "10.0.0.11"', virtual='virtual = "192.0.2.80:80"'):
    """A service with one check and one server."""
    return f"[[service]]\n{virtual}\n{head}\n[service.check]\n{check}\n[[service.real]]\n{real}\n"


def key(address, port):
    return DestKey(ip_address(address), port)
