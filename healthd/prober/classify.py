"""From an error of the kernel or of TLS to what it says, in one place.

The question is always: does this error come from the server and the way to it, or from us? What the network sent back
(a reset, an ICMP error) fails the server. What our own kernel said before anything left the machine (no descriptor, no
port, no permission, *no route*) is `Inconclusive`: nothing was asked. So one errno can mean two things, and callers say
which it is: `refused_here` for errors of opening and of calling connect, `came_back` for all that come later.

No route, decided: a connect that fails at once with ENETUNREACH or EHOSTUNREACH was answered by our own routing table.
An interface of ours that flaps, or a routing daemon that restarts, must not take every server behind it down; what has
left this machine and is answered by a router's ICMP error, or finds no neighbour, is the server's path and fails.
"""

from __future__ import annotations

import errno
import os
import ssl

from healthd.check import CheckFailed, Inconclusive, Outcome, Reason, Verdict

_FAILURES = {
    errno.ECONNREFUSED: (Reason.REFUSED, "connection refused"),
    errno.ECONNRESET: (Reason.RESET, "connection reset"),
    errno.ECONNABORTED: (Reason.RESET, "connection aborted"),
    errno.EPIPE: (Reason.RESET, "connection closed while sending"),
    errno.ENOTCONN: (Reason.RESET, "connection reset"),
    errno.EHOSTUNREACH: (Reason.UNREACHABLE, "host unreachable"),
    errno.EHOSTDOWN: (Reason.UNREACHABLE, "host is down"),
    errno.ENETUNREACH: (Reason.UNREACHABLE, "network unreachable"),
    errno.ENOPROTOOPT: (Reason.UNREACHABLE, "protocol unreachable"),
    errno.EPROTO: (Reason.UNREACHABLE, "rejected on the way (ICMP parameter problem)"),
    errno.EACCES: (Reason.UNREACHABLE, "administratively prohibited on the way"),
    errno.ETIMEDOUT: (Reason.TIMEOUT, "no answer until the kernel gave up"),
}

_REMEDIES = {
    errno.EMFILE: "no file descriptor left in this process; raise LimitNOFILE= of the service",
    errno.ENFILE: "no file descriptor left on this machine; raise fs.file-max",
    errno.ENOBUFS: "no buffer space left on this machine; see net.core.wmem_max and the interface's queue",
    errno.ENOMEM: "no memory left for sockets; see net.ipv4.tcp_mem and the service's MemoryMax=",
    errno.EADDRNOTAVAIL: "no free local port; widen net.ipv4.ip_local_port_range or ask less often",
    errno.EADDRINUSE: "no free local port; widen net.ipv4.ip_local_port_range or ask less often",
    errno.EAGAIN: "no free local port or buffer; widen net.ipv4.ip_local_port_range or ask less often",
    errno.EPERM: "not permitted; a local firewall rule forbids it, or CAP_NET_RAW is missing",
    errno.EACCES: "not permitted; a route of type prohibit or a local security policy forbids it",
    errno.ENETUNREACH: "no route to it from here; see the interfaces and routes of this machine",
    errno.EHOSTUNREACH: "our own routing table calls it unreachable; see the routes of this machine",
    errno.EINVAL: "our own routing table drops it (a route of type blackhole?)",
    errno.ENETDOWN: "our interface is down",
    errno.EAFNOSUPPORT: "this machine does not speak that address family (IPv6 switched off?)",
}

_TLS_WORDS = {
    "WRONG_VERSION_NUMBER": "the answer is not TLS",
    "HTTP_REQUEST": "the answer is not TLS but HTTP",
    "UNSUPPORTED_PROTOCOL": "the server only offers a version of TLS that is too old",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the server refuses our versions of TLS",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server refused the handshake",
    "TLSV1_UNRECOGNIZED_NAME": "the server does not know the name",
    "TLSV1_ALERT_UNKNOWN_CA": "the server does not trust our certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server asks for a client certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the server rejects our certificate",
    "NO_APPLICATION_PROTOCOL": "the server speaks none of the application protocols offered (ALPN)",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "the server speaks none of the application protocols offered (ALPN)",
}


def refused_here(code: int, doing: str) -> CheckFailed | Inconclusive:
    """What an errno means that opening a socket or the call of connect gave at once. doing: words for the detail."""
    if code in _REMEDIES:
        return Inconclusive(f"{doing}: {_REMEDIES[code]}")
    return came_back(code, doing)


def came_back(code: int, doing: str) -> CheckFailed | Inconclusive:
    """What an errno means that came when the network had been asked: by a reset, an ICMP error or a timer."""
    if code in _FAILURES:
        reason, words = _FAILURES[code]
        return CheckFailed(reason, words)
    return Inconclusive(f"{doing}: {_REMEDIES.get(code) or os.strerror(code)}")


def tls_failure(error: ssl.SSLError) -> CheckFailed:
    """What an error of a TLS handshake or record means, in readable words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why: str = getattr(error, "verify_message", None) or str(error)
        return CheckFailed(Reason.TLS, f"certificate not accepted: {why.rstrip('.')}")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return CheckFailed(Reason.TLS, "connection closed during TLS")
    name: str = getattr(error, "reason", None) or ""  # missing where a library made the exception itself
    words = _TLS_WORDS.get(name) or name.lower().replace("_", " ") or str(error)
    return CheckFailed(Reason.TLS, f"TLS: {words}")


def library_failure(error: Exception) -> CheckFailed | Inconclusive | None:
    """What an exception of a check that does its own I/O means; None: it is a mistake in our program."""
    match error:
        case CheckFailed() | Inconclusive():
            return error
        case ssl.SSLError():
            return tls_failure(error)
        case TimeoutError():
            return CheckFailed(Reason.TIMEOUT, str(error) or "no answer in time")
        case EOFError():
            return CheckFailed(Reason.RESET, str(error) or "connection closed")
        case OSError(errno=int(code)):
            return came_back(code, "asking")
    return None


def verdict_of(error: CheckFailed | Inconclusive) -> Verdict:
    """The verdict that an exception of a check stands for."""
    if isinstance(error, CheckFailed):
        return Verdict(Outcome.FAIL, error.reason, error.detail)
    return Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, error.detail)
