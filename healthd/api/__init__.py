"""What the daemon answers to: the control socket."""

from healthd.api.actions import Actions, Document, NotFound, Order, Refused
from healthd.api.paths import ControlSocketUnusable
from healthd.api.server import ControlSocket

__all__ = ["Actions", "ControlSocket", "ControlSocketUnusable", "Document", "NotFound", "Order", "Refused"]
