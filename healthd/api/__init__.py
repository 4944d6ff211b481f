"""What the daemon answers to: the control socket, and HTTP on TCP."""

from healthd.api.actions import Actions, Document, NotFound, Order, Refused
from healthd.api.paths import ControlSocketUnusable
from healthd.api.server import ControlSocket
from healthd.api.tcp import HttpListener

__all__ = [
    "Actions",
    "ControlSocket",
    "ControlSocketUnusable",
    "Document",
    "HttpListener",
    "NotFound",
    "Order",
    "Refused",
]
