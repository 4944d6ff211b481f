"""Rows of the table as the kernel reports them (6.1, ip_vs_genl_fill_dest and ip_vs_genl_fill_service), made by hand.

Not made by healthd's codec, so that they can tell whether it is right.
"""

from __future__ import annotations

import struct

from healthd.model import DestKey, DestSpec

NEW_SERVICE, NEW_DEST = 1, 5
MULTI = 2


def attr(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def u32(kind: int, value: int) -> bytes:
    """A 32-bit attribute."""
    return attr(kind, struct.pack("=I", value))


def stats(kind: int, numbers: tuple[int, ...], *, wide: bool) -> bytes:
    """Nested counters: all of 64 bits, or of 32 bits but for the bytes."""
    forms = ["Q" if wide or at in (4, 5) else "I" for at in range(1, 11)]
    masked = [number if form == "Q" else number & 0xFFFFFFFF for form, number in zip(forms, numbers, strict=True)]
    return attr(
        kind,
        b"".join(
            attr(at, struct.pack("=" + form, n)) for at, (form, n) in enumerate(zip(forms, masked, strict=True), 1)
        ),
    )


def dest_attributes(
    key: DestKey, spec: DestSpec, *, connections: tuple[int, int, int] = (0, 0, 0), totals: tuple[int, ...] = (0,) * 10
) -> bytes:
    """The attributes of a destination in the kernel's order."""
    af = 2 if key.address.version == 4 else 10
    tunnel = spec.tunnel
    return b"".join(
        (
            attr(1, key.address.packed.ljust(16, b"\0")),
            attr(2, struct.pack("!H", key.port)),
            u32(3, spec.forwarding.value),
            u32(4, spec.weight),
            attr(13, bytes((tunnel.encapsulation.value,))),
            attr(14, struct.pack("!H", tunnel.port)),
            attr(15, struct.pack("=H", tunnel.checksum.value)),
            u32(5, spec.upper),
            u32(6, spec.lower),
            *(u32(kind, number) for kind, number in zip((7, 8, 9), connections, strict=True)),
            attr(11, struct.pack("=H", af)),
            stats(10, totals, wide=False),
            stats(12, totals, wide=True),
        )
    )


def reported(command: int, nest: int, attributes: bytes, sequence: int = 1, family: int = 32) -> bytes:
    """One row of a dump as a whole message."""
    body = struct.pack("=BBH", command, 1, 0) + attr(nest, attributes)
    return struct.pack("=IHHII", 16 + len(body), family, MULTI, sequence, 77) + body


def dest_message(key: DestKey, spec: DestSpec, sequence: int = 1, **counters: tuple[int, ...]) -> bytes:
    """One destination of a dump."""
    return reported(NEW_DEST, 2, dest_attributes(key, spec, **counters), sequence)
