"""What betrays people in ldirectord's lines is taken as it is meant, with a word about what ldirectord would do."""

from __future__ import annotations

import pytest

from healthd.config.ldirectord.listing import Listing
from healthd.config.ldirectord.reading import read_stock
from healthd.config.problems import Severity, render
from healthd.model import Family

BLOCK = "virtual=192.0.2.80:80\n    real=10.0.0.11:80 gate\n"


class Machine:
    """A machine with one host, one service and one file."""

    def address(self, name, family):
        """Of the host web, and of addresses."""
        known = {"web": {Family.IPV4: "10.0.0.5", Family.IPV6: "2001:db8::5"}}
        if name in known:
            return known[name][family]
        return name if (":" in name) == (family is Family.IPV6) and name[-1] in "0123456789" else None

    def port(self, name, protocol):
        """Of two services."""
        return {"http": 80, "domain": 53}.get(name)

    def hostname(self):
        """As it is in logins."""
        return "lb.example.org"

    def refuses(self, path):
        """All files but one."""
        return "" if path == "/var/log/there" else "No such file or directory"

    def folder(self, path):
        """There is one."""
        return path == "/there"

    def executable(self, path):
        """There is one."""
        return path == "/bin/there"


def read(text, *, strict=False):
    stock, problems = read_stock(Listing("a.cf", text, {}), Machine(), strict=strict)
    return stock, [(p.severity.value, p.span.line, p.text) for p in problems]


def meant(text):
    """What a file means that is taken with warnings, and these."""
    stock, told = read(text)
    assert stock is not None, told
    assert {severity for severity, _, _ in told} <= {"warning"}
    assert read(text, strict=True)[0] != stock
    return stock, [(line, message) for _, line, message in told]


def test_a_file_without_oddities_is_taken_without_a_word():
    stock, told = read(
        "checktimeout=3\nquiescent=yes\n# c\n\n" + BLOCK + '    request="/x" # c\n    service=http # c\n'
    )

    assert told == []
    assert stock.virtuals[0].request == "/x"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("quiescent=no # for now", "quiescent", "no"),
        ("quiescent=no \t", "quiescent", "no"),
        ("quiescent = yes # x", "quiescent", "yes"),
        ("emailalertfrom=a@b #me", "emailalertfrom", "a@b"),
        ("maintenancedir=/there # x", "maintenancedir", "/there"),
        ("  autoreload=yes", "autoreload", "yes"),
    ],
)
def test_a_global_line_may_have_a_comment_or_blanks(line, name, value):
    stock, told = meant(f"{line}\n{BLOCK}")

    assert getattr(stock.globals, name) == value
    assert len(told) == 1
    assert "stock ldirectord" in told[0][1]


@pytest.mark.parametrize("line", ["checktimeout=3 # x", "checktimeout=3# seconds", "failurecount=3#x"])
def test_a_comment_behind_a_number_changes_nothing_and_is_not_worth_a_word(line):
    assert read(f"{line}\n{BLOCK}")[1] == []


@pytest.mark.parametrize("value", ["a#b", "x # y", "#"])
def test_a_hash_between_quotes_is_kept(value):
    stock, told = meant(f'{BLOCK}    receive="{value}"\n')

    assert stock.virtuals[0].receive == value
    assert [line for line, _ in told] == [3]


def test_a_blank_line_does_not_end_a_block():
    stock, told = meant(f"{BLOCK}\n    service=https\n    scheduler=rr\n")

    assert stock.virtuals[0].service == "https"
    assert told == [(4, "stock ldirectord ends the virtual at the blank line 3 and refuses this one")]


def test_a_line_of_blanks_says_nothing():
    assert meant(f"{BLOCK}      \n    service=https\n")[1][0][0] == 3


def test_two_blanks_are_indent_enough():
    stock, told = meant("virtual=192.0.2.80:80\n  real=10.0.0.11:80 gate\n")

    assert len(stock.virtuals[0].real) == 1
    assert told == [(2, "stock ldirectord wants 4 blanks or a tab before a directive of a virtual")]


def test_what_is_odd_about_every_line_of_a_block_is_said_of_its_first():
    block = "virtual=192.0.2.{}:80\n  real=10.0.0.11:80 gate\n  service=http\n  scheduler=rr\n"
    stock, told = meant(block.format(80) + block.format(81))

    assert len(stock.virtuals) == 2
    assert [line for line, _ in told] == [2, 6]


def test_a_byte_order_mark_and_crlf_are_one_warning_each():
    stock, told = meant("\ufeffquiescent=yes\r\n" + BLOCK.replace("\n", "\r\n"))

    assert stock.globals.quiescent == "yes"
    assert [line for line, _ in told] == [1, 1]


def test_a_range_is_counted_in_numbers():
    stock, told = meant("virtual=192.0.2.80:80\n    real=59.154.201.254->59.154.202.1:80 gate\n")

    assert [real.server for real in stock.virtuals[0].real][-1] == "59.154.202.1"
    assert len(stock.virtuals[0].real) == 4
    assert "compares the ends of this range as texts" in told[0][1]


def test_thresholds_may_come_in_either_order():
    stock, told = meant("virtual=192.0.2.80:80\n    real=10.0.0.11:80 gate 1 u:100 l:10\n")

    assert (stock.virtuals[0].real[0].lower, stock.virtuals[0].real[0].upper) == (10, 100)
    assert "loses an upper threshold" in told[0][1]


def test_a_request_that_begins_with_a_slash_keeps_its_receive():
    stock, told = meant('virtual=192.0.2.80:80\n    real=10.0.0.11:80 gate 1 "/own", "ok" l:1 u:9\n')
    (real,) = stock.virtuals[0].real

    assert (real.request, real.receive, real.upper, real.url) == ("/own", "ok", 9, "http://10.0.0.11:80/own")
    assert "forgets what stands behind a request that begins with a slash" in told[0][1]


@pytest.mark.parametrize("value", ['"10.0.0.11:80 gate 2\t# the old one"', '10.0.0.11:80 gate 2 "/own","ok" junk'])
def test_a_line_with_servers_that_only_ldirectord_understands_is_taken_as_there(value):
    text = f"virtual=192.0.2.80:80\n    real={value}\n    service=none\n"
    stock, told = read(text)

    assert [(real.server, real.weight) for real in stock.virtuals[0].real] == [("10.0.0.11", 2)]
    assert stock.virtuals[0].real == read(text, strict=True)[0].virtuals[0].real
    assert {severity for severity, _, _ in told} == {"warning"}
    assert told[-1][2].startswith("Invalid real server line, around")
    assert told[-1][2].endswith("; stock ldirectord takes the line without that, and so does healthd")


def test_two_colons_before_a_port_are_taken_for_one():
    stock, told = meant("virtual=192.0.2.80:5060\n    real=10.0.0.11::5060 gate\n")

    assert (stock.virtuals[0].real[0].server, stock.virtuals[0].real[0].port) == ("10.0.0.11", "5060")
    assert told == [(2, "two colons are taken for one; stock ldirectord takes the port for the address")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("virtual=10.0.0.1\n    real=10.0.0.2 gate\n", "takes it for firewall mark 10"),
        ("virtual=0x10\n    real=10.0.0.2 gate\n", "takes it for firewall mark 0"),
        ("virtual=10.0.0.1:80 foo\n    real=10.0.0.2:80 gate\n", '"foo" says nothing here'),
        ("virtual=10.0.0.1:80\n    real=10.0.0.2:80 gate -w 7\n", '"-w" says nothing here'),
        ("virtual=10.0.0.1:80\n    real=(10.0.0.2:80 gate\n", 'skips "("'),
        ("checktimeout=2.5\n" + BLOCK, "takes the first number of this, 2"),
        ("checkinterval=2m\n" + BLOCK, "takes the first number of this, 2"),
        (BLOCK + "    checktype=connect3\n", "3 connects between two negotiations"),
        (BLOCK + "    scheduler=my2sched\n", 'takes "my" of this'),
        ("smtp=mail.x:25\n" + BLOCK, 'takes "mail.x" of this'),
        ("checkcount=2\n" + BLOCK, "checkcount option is deprecated"),
        ("supervised\n" + BLOCK, "bare supervised directive"),
        ("maintenancedir=/gone\n" + BLOCK, "maintenance directory does not exist"),
        (BLOCK + "    checkinterval=3\n", "ignored when fork=no by stock ldirectord, not by healthd"),
    ],
)
def test_what_stock_takes_in_an_odd_way_is_taken_alike_with_a_warning(text, said):
    stock, told = read(text)

    assert stock is not None
    assert [severity for severity, _, _ in told] == ["warning"]
    assert said in told[0][2]


def test_every_mistake_is_told_in_one_run():
    text = (
        "quiescnt=yes\ncheckinterval=x\nlogfile=local0\nvirtual=10.0.0.1:80\n    real=10.0.0.2:80 dr\n"
        "    servise=http\n"
        "    quiescent=maybe\nvirtual=10.0.0.300:zz\n    real=10.0.0.2 gate\nreal=10.0.0.3:80 gate\n    fork=yes\n"
    )

    stock, told = read(text)

    assert stock is None
    assert {(line, message.split(";")[0]) for _, line, message in told} == {
        (1, 'Unknown command "quiescnt=yes"'),
        (2, "invalid check interval value"),
        (3, 'Unknown command "logfile=local0"'),
        (5, "forward method must be gate, masq or ipip"),
        (6, 'Unknown command "servise=http"'),
        (7, "quiescent must be 'yes' or 'no'"),
        (8, "invalid address for virtual service"),
        (10, 'Unknown command "real=10.0.0.3:80 gate"'),
        (11, "stock ldirectord takes a global directive only at the beginning of a line"),
    }


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("quiescnt=yes", "did you mean 'quiescent'?"),
        ("callback=/x", "its value must stand in quotes"),
        ("Quiescent=yes", "directives are in lower case"),
        ("    Real=10.0.0.2:80 gate", "directives are in lower case"),
        ("    real 10.0.0.2:80 gate", "'=' is missing behind real"),
        ("virtal=10.0.0.1:80", "did you mean 'virtual'?"),
        ("real=10.0.0.1:80 gate", "it is a directive of a virtual and stands below its virtual"),
        ("    maintenancedir=/x", "it is a directive of the whole file and stands at the beginning of a line"),
    ],
)
def test_an_unknown_command_comes_with_a_hint(line, hint):
    text = BLOCK + line + "\n"

    assert hint in read(text)[1][0][2]
    assert read(text)[1] == read(text, strict=True)[1]


def test_the_first_error_ends_a_strict_reading():
    assert len(read("quiescnt=yes\ncheckinterval=x\n", strict=True)[1]) == 1


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "line", ["    passwd=sesame", '    pasword="sesame"', "    secret=sesame", 'passwd="sesame"', "    passwd"]
)
def test_no_password_is_shown(line, strict):
    text = f"{BLOCK}{line} sesame\n"
    _, problems = read_stock(Listing("a.cf", text, {}), Machine(), strict=strict)

    assert any(problem.severity is Severity.ERROR for problem in problems)
    assert "sesame" not in render(problems)


def test_names_are_looked_up_in_the_family_of_the_block():
    stock, _ = read("virtual6=web:http\n    real6=web:domain masq\n    fallback6=web\n")
    (virtual,) = stock.virtuals

    assert (virtual.server, virtual.port, virtual.service) == ("[2001:db8::5]", "80", "http")
    assert (virtual.real[0].server, virtual.real[0].port) == ("[2001:db8::5]", "53")
    assert (virtual.fallback.server, virtual.fallback.port) == ("[2001:db8::5]", "80")


def test_service_ftp_and_sip_bring_a_login_unless_there_is_one():
    stock, _ = read(BLOCK + '    login="me"\n    service=ftp\n')

    assert (stock.virtuals[0].login, stock.virtuals[0].passwd) == ("me", "ldirectord@lb.example.org")


def test_a_problem_has_a_caret_under_the_value():
    _, problems = read_stock(Listing("a.cf", BLOCK + "\tquiescent = maybe\n", {}), Machine())

    assert render(problems).startswith(
        "a.cf:3:14: error: quiescent must be 'yes' or 'no'\n  3 | \tquiescent = maybe\n    | \t            ^^^^^\n"
    )
