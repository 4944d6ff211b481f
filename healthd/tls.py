"""What a check may ask of TLS: one table of options that all protocols share. `healthd.check` hands this on."""

from __future__ import annotations

from dataclasses import dataclass

from healthd.option import option


def tls_name(text: str | None) -> str | None:
    """A rule: a name that TLS can ask for and verify, or an address (RFC 6066, 3); None is left alone."""
    if text is not None and not all(0 < len(label) < 64 for label in text.removesuffix(".").split(".")):
        raise ValueError(f"must be a host name or an address, got {text!r}")
    if text is not None and not all("!" <= c <= "~" and c not in "/[]@" for c in text):
        raise ValueError(f"must be a host name in ASCII (xn--... for others) or an address, got {text!r}")
    return text


def _days(number: int) -> int:
    if number < 0:
        raise ValueError(f"must not be negative, got {number}")
    return number


def _protocols(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not name.isascii() or not 0 < len(name) < 256:
            raise ValueError(f"{name!r} is not the name of an application protocol (RFC 7301), such as http/1.1")
    return names


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS as a client. `tls = true` in the configuration takes these defaults."""

    verify: bool = option(True, "verify the server's certificate and name")
    verify_name: bool = option(True, "verify the name, too; false: a certificate for any name that is trusted will do")
    server_name: str | None = option(
        None, "name for SNI and verification; default: the check's host name or the address", rule=tls_name
    )
    ca_file: str | None = option(None, "PEM file of the authorities to trust; default: the system's", file="read")
    cert_file: str | None = option(None, "PEM file of our own certificate", file="read")
    key_file: str | None = option(None, "PEM file of our own key, if it is not in cert_file", file="read")
    min_days: int = option(0, "days the certificate must still be valid; 0: only as verification asks", rule=_days)
    alpn: tuple[str, ...] = option((), "application protocols to offer", rule=_protocols)

    def __post_init__(self) -> None:
        """A key alone is of no use."""
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file")
