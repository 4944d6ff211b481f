"""Files of ldirectord, valid and nasty, made by hypothesis. Names are never looked up in DNS: they are addresses."""

from __future__ import annotations

from hypothesis import strategies as st

BUT = "!"
"""Values before it are right, those behind it mostly are not and are drawn less often."""

YES = ["yes", "no", BUT, "Yes", "no ", "", '"yes"']
NUMBERS = ["1", "5", "30", BUT, "0", "00", "012", "-5", "2.5", "12s", "x5y", "abc", "", "7 8", "99999"]
QUOTED = [
    '"x"', '"a b"', '"(Home|\\"Page\\")"', '"é"', BUT, '""', '"a"b"', "bare", '"open', '"x" y', '"a#b"', '"tab\there"',
]  # fmt: skip
TEXTS = ["x", "/usr/bin/x -y", "é", BUT, "a b ", '"q"', "", "a #b"]
HOSTS = ["10.0.0.1", "10.0.0.2", "127.0.0.1", BUT, "10.1", "010.0.0.1", "[::1]"]
PORTS = ["80", "443", "53", "domain", "http", "21", "5060", BUT, "0", "70000", "nosuch", "080", ""]
PATHS = ['"/dev/null"', '"local0"', BUT, "/dev/null", '""', '"/nonexistent/x"']
COMMANDS = ['"x"', "x", '"a b"', BUT, '""', "", '"a#b"', "x "]
STAGES = ["all", "none", "none,none", "starting,running", BUT, "all, none", "running ,stopping", "x", "", ",", "all,,"]
GLOBALS = {
    **dict.fromkeys(("checktimeout", "negotiatetimeout", "checkinterval", "checkcount", "failurecount"), NUMBERS),
    **dict.fromkeys(("autoreload", "fork", "supervised", "quiescent", "readdquiescent", "cleanstop"), YES),
    **dict.fromkeys(("callback", "logfile"), PATHS),
    **dict.fromkeys(("fallbackcommand", "emailalertfrom", "maintenancedir", "execute"), TEXTS),
    "emailalert": ["a@b", '"a@b, c@d"', "a@b, c@d", BUT, "", '"', '""'],
    "emailalertfreq": NUMBERS,
    "emailalertstatus": STAGES,
    "smtp": ["mail", "10.0.0.9", BUT, "mail.x:25", '"mail"', "::1", ""],
    "fallback": [
        "127.0.0.1", "127.0.0.1:80 gate", "127.0.0.1:http masq", BUT, "[::1]", "127.0.0.1 0", "a b c", "127.0.0.1:0",
    ],
    "fallback6": ["[::1]", "[::1]:80 masq", "[::1]:http", BUT, "::1"],
}  # fmt: skip
_OF_FILE_ALONE = (
    "callback", "logfile", "execute", "autoreload", "fork", "supervised", "readdquiescent", "emailalertfrom",
    "maintenancedir", "fallback6",
)  # fmt: skip
REFUSED = {
    "connecttimeout": ["1", BUT, "x"],
    "timeout": ["1", BUT, "x"],
    "Quiescent": ["no", BUT, "x"],
    "fork ed": ["x", BUT, ""],
}
INSIDE = {
    **{name: values for name, values in GLOBALS.items() if name not in _OF_FILE_ALONE},
    **dict.fromkeys(("request", "receive", "login", "passwd", "database", "secret", "load"), QUOTED),
    **dict.fromkeys(("checkcommand", "fallbackcommand"), COMMANDS),
    **dict.fromkeys(("servicename", "comment", "virtualhost"), QUOTED + TEXTS),
    "checktype": [
        "connect", "negotiate", "ping", "on", "off", "external", "external-perl", "3", "0",
        BUT, "connect3", "x", "-1", '"on"', " ",
    ],
    "checkport": ["1", "65535", BUT, *NUMBERS, "65536"],
    "scheduler": ["wlc", "rr", "wlc # c", BUT, "WLC", "my2sched", '"sh"', ""],
    "persistent": NUMBERS,
    "schedflags": ["sh-port", "sh-port,sh-fallback x", BUT, ""],
    "netmask": ["255.255.255.0", "255.255.0.0", "64", BUT, "24", "0", "129", "255.255.255.0 ", "999.0.0.0"],
    "protocol": ["tcp", "udp", "tcp # c", BUT, "fwm", "sctp", "", "-"],
    "ops": YES,
    "service": [
        "http", "ftp", "sip", "none", "https", "http_proxy", "ldap", "dns", "http # c", '"imap"', BUT, "ssh", "",
    ],
    "httpmethod": ["get", "HEAD", "head x", BUT, "POST"],
    "monitorfile": ["/dev/null", '"/dev/null"', "/dev/null # c", BUT, "/nonexistent/x", ""],
}  # fmt: skip
MARKS = ["1", "7", BUT, "0x10", "12abc", "10.0.0.1", "0"]
FLAGS = [
    "gate", "masq", "ipip", "gate 5", "masq 0", "gate -w 7", 'gate 2 "a","b"', 'gate "a" "b"',
    'gate 2 "/a","b" l:2', "gate 1 l:1 u:9",
    'masq 3 "http://h/x", "" l:2 u:3', "gate 1 # c", "gate l:3", "masq 70000", 'gate 7 "a","b","c"', "gate u:9 l:1",
    BUT, "dr", "GATE", "", "gate 1 foo", 'gate 7 "x"', 'gate "GET 5 x","ok"', 'gate 1 "/a" ,"b"',
]  # fmt: skip
SERVERS4 = [
    "10.0.0.2", "10.0.0.3", "10.0.0.2->10.0.0.4", ":10.0.0.2", "59.154.201.254->59.154.202.1", "(10.0.0.2",
    BUT, "10.0.0.9->10.0.0.2", "[::1]", *(host for host in HOSTS if host != BUT),
]  # fmt: skip
SERVERS6 = ["[2001:db8::2]", "[2001:DB8:0:0::9]", BUT, "[2001:db8::2]->[2001:db8::4]", "[::g]", "10.0.0.2", "::1"]
EQUALS = ["=", "=", "=", " = ", " =\t", "= "]
INDENTS = ["    ", "    ", "    ", "    ", "\t", "  \t", "      ", "  ", ""]
NOISE = [
    "",
    "",
    "# comment",
    "    # comment",
    "     ",
    "    ",
    "\t\t",
    "   ",
    "garbage",
    "    real",
    "virtual",
    "supervised",
]


def _picked(draw: st.DrawFn, values: list[str], nasty: int) -> str:
    """One of some values; of a hundred, about nasty come from those that are not right."""
    at = values.index(BUT)
    return draw(st.sampled_from(values[at + 1 :] if draw(st.integers(0, 99)) < nasty else values[:at]))


@st.composite
def _pair(draw: st.DrawFn, names: dict[str, list[str]], nasty: int) -> str:
    known = names | REFUSED if draw(st.integers(0, 99)) < nasty else names
    name = draw(st.sampled_from(sorted(known)))
    return name + draw(st.sampled_from(EQUALS)) + _picked(draw, known[name], nasty)


@st.composite
def _server(draw: st.DrawFn, nasty: int, *, six: bool) -> str:
    host = _picked(draw, SERVERS6 if six else SERVERS4, nasty)
    port = _picked(draw, [*(f":{port}" if port != BUT else BUT for port in ["80", "", *PORTS])], nasty)
    port = "" if port == ":" else port
    name = "real6" if six != (draw(st.integers(0, 99)) < nasty // 2) else "real"
    return f"{name}{draw(st.sampled_from(EQUALS))}{host}{port} {_picked(draw, FLAGS, nasty)}"


@st.composite
def _block(draw: st.DrawFn, nasty: int) -> list[str]:
    six = draw(st.integers(0, 3)) == 0
    host = _picked(draw, ["[2001:db8::1]", "[::1]", BUT, "[::g]", "10.0.0.1"] if six else HOSTS, nasty)
    mark = draw(st.integers(0, 4)) == 0
    header = _picked(draw, MARKS, nasty) if mark else f"{host}:{_picked(draw, PORTS, nasty)}"
    lines = [f"virtual{'6' if six else ''}{draw(st.sampled_from(EQUALS))}{header}"]
    for _ in range(draw(st.integers(1, 5))):
        indent = draw(st.sampled_from(INDENTS)) if draw(st.integers(0, 99)) < nasty else "    "
        body = draw(_pair(INSIDE, nasty)) if draw(st.booleans()) else draw(_server(nasty, six=six))
        lines.append(indent + body)
    return lines


@st.composite
def files(draw: st.DrawFn, nasty: int = 4) -> str:
    """A file. nasty: of a hundred values, indents and so on, about so many are odd."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            lines.append(draw(_pair(GLOBALS, nasty)))
        lines += draw(_block(nasty))
        lines += [""] if draw(st.booleans()) else []
    if draw(st.integers(0, 99)) < 5 * nasty:
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(NOISE)))
    end = "\r\n" if draw(st.integers(0, 99)) < nasty else "\n"
    return end.join(lines) + draw(st.sampled_from([end, end, ""]))
