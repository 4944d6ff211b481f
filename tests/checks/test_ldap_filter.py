"""Search filters: those of RFC 4515, mistakes, and any at all taken apart again by a reader of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import ber
from checks.ldap_filter import compiled

NAMES = {0xA3: "=", 0xA5: ">=", 0xA6: "<=", 0xA8: "~="}
Tree = tuple[object, ...]


def tree(data: bytes) -> Tree:
    """A filter as nested tuples, read by the definition in RFC 4511, 4.5.1."""
    elements = ber.Elements(data)
    tag, contents = elements.take_any()
    assert not elements
    inner = ber.Elements(contents)
    match tag:
        case 0xA0 | 0xA1:
            parts = []
            while inner:
                parts.append(tree(ber.pack(*inner.take_any())))
            return ("&" if tag == 0xA0 else "|", *parts)
        case 0xA2:
            return ("!", tree(contents))
        case 0x87:
            return ("present", contents)
        case 0xA4:
            name, pieces, found = inner.take(4), ber.Elements(inner.take(0x30)), []
            while pieces:
                found.append(pieces.take_any())
            return ("substrings", name, *found)
        case 0xA9:
            rule, name, value = inner.take_if(0x81), inner.take_if(0x82), inner.take(0x83)
            return (":=", name, inner.take_if(0x84) == b"\xff", rule, value)
    name, value = inner.take(4), inner.take(4)
    assert not inner
    return (NAMES[tag], name, value)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("(cn=Babs Jensen)", ("=", b"cn", b"Babs Jensen")),
        ("(!(cn=Tim Howes))", ("!", ("=", b"cn", b"Tim Howes"))),
        (
            "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))",
            (
                "&",
                ("=", b"objectClass", b"Person"),
                ("|", ("=", b"sn", b"Jensen"), ("substrings", b"cn", (0x80, b"Babs J"))),
            ),
        ),
        ("(o=univ*of*mich*)", ("substrings", b"o", (0x80, b"univ"), (0x81, b"of"), (0x81, b"mich"))),
        ("(o=*of*mich)", ("substrings", b"o", (0x81, b"of"), (0x82, b"mich"))),
        ("(seeAlso=)", ("=", b"seeAlso", b"")),
        ("(cn=*)", ("present", b"cn")),
        ("(cn:caseExactMatch:=Fred Flintstone)", (":=", b"cn", False, b"caseExactMatch", b"Fred Flintstone")),
        ("(cn:=Betty Rubble)", (":=", b"cn", False, None, b"Betty Rubble")),
        ("(sn:dn:2.4.6.8.10:=Barney Rubble)", (":=", b"sn", True, b"2.4.6.8.10", b"Barney Rubble")),
        ("(o:dn:=Ace Industry)", (":=", b"o", True, None, b"Ace Industry")),
        ("(:1.2.3:=Wilma Flintstone)", (":=", None, False, b"1.2.3", b"Wilma Flintstone")),
        ("(:DN:2.4.6.8.10:=Dino)", (":=", None, True, b"2.4.6.8.10", b"Dino")),
        (r"(o=Parens \28for all your needs\29)", ("=", b"o", b"Parens (for all your needs)")),
        (r"(cn=*\2A*)", ("substrings", b"cn", (0x81, b"*"))),
        (r"(filename=C:\5cMyFile)", ("=", b"filename", rb"C:\MyFile")),
        (r"(bin=\00\00\00\04)", ("=", b"bin", b"\0\0\0\4")),
        (r"(sn=Lu\c4\8di\c4\87)", ("=", b"sn", "Lučić".encode())),
        ("(sn=Lučić)", ("=", b"sn", "Lučić".encode())),
        (r"(1.3.6.1.4.1.1466.0=\04\02\48\69)", ("=", b"1.3.6.1.4.1.1466.0", b"\4\2Hi")),
        ("(age>=21)", (">=", b"age", b"21")),
        ("(age<=21)", ("<=", b"age", b"21")),
        ("(cn~=babs)", ("~=", b"cn", b"babs")),
        ("(cn;lang-de;x=a=b)", ("=", b"cn;lang-de;x", b"a=b")),
        ("(&)", ("&",)),
        ("(|)", ("|",)),
    ],
)
def test_it_reads_what_rfc_4515_and_4526_write(text: str, want: Tree):
    assert tree(compiled(text)) == want


def test_the_bytes_are_those_that_go_over_the_network():
    assert compiled("(&(cn=ab)(!(sn=*)))").hex() == "a0 10 a3 08 0402636e 04026162 a2 04 8702736e".replace(" ", "")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", r"'\(' is missing, at position 0"),
        ("cn=a", r"'\(' is missing, at position 0"),
        ("(cn=a", r"'\)' is missing, at position 5"),
        ("(cn=a))", "nothing may follow the filter, at position 6"),
        ("(cn=a)(cn=b)", "nothing may follow the filter, at position 6"),
        ("()", "an attribute, one of"),
        ("(cn)", "an attribute, one of"),
        ("(cn>a)", "an attribute, one of"),
        ("(c n=a)", "an attribute, one of"),
        ("(=a)", "an attribute is missing"),
        ("(:=a)", "an attribute or a matching rule is missing"),
        ("(:dn:=a)", "an attribute or a matching rule is missing"),
        ("(!)", r"'\(' is missing"),
        ("(!(cn=a)(cn=b))", r"'\)' is missing"),
        ("(& (cn=a))", r"'\)' is missing"),
        ("(cn=a(b)", r"'\)' is missing"),
        ("(cn=a**b)", "nothing stands between two asterisks"),
        ("(cn=**)", "nothing stands between two asterisks"),
        ("(age>=2*)", r"written \\2a"),
        ("(cn:=a*)", r"written \\2a"),
        (r"(cn=a\2)", "two hex digits"),
        (r"(cn=a\gg)", "two hex digits"),
        ("(cn=a\\", "two hex digits"),
        ("(cn=a\0)", r"'\)' is missing"),
        ("(!" * 80 + "(a=b)" + ")" * 80, "nested deeper than 64"),
        ("(&" * 100000, "nested deeper than 64"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, error: str):
    with pytest.raises(ValueError, match=error):
        compiled(text)


def escaped(value: bytes) -> str:
    return "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:02x}" for byte in value)


NAME = st.sampled_from([b"cn", b"objectClass", b"1.2.840", b"sn;lang-en"])
VALUE = st.binary(max_size=6)
PIECE = st.binary(min_size=1, max_size=4)


@st.composite
def items(draw: st.DrawFn) -> tuple[str, Tree]:
    name, value = draw(NAME), draw(VALUE)
    kind = draw(st.sampled_from(["=", ">=", "<=", "~=", "present", "substrings", ":="]))
    if kind == "present":
        return f"({name.decode()}=*)", (kind, name)
    if kind == "substrings":
        first, last = draw(st.binary(max_size=3)), draw(st.binary(max_size=3))
        middle = draw(st.lists(PIECE, min_size=0 if first or last else 1, max_size=3))
        text = "*".join(escaped(piece) for piece in (first, *middle, last))
        ends = ([(0x80, first)] if first else []), ([(0x82, last)] if last else [])
        return f"({name.decode()}={text})", (kind, name, *ends[0], *((0x81, piece) for piece in middle), *ends[1])
    if kind == ":=":
        dn, rule = draw(st.booleans()), draw(st.sampled_from([None, b"2.5.13.2", b"caseExactMatch"]))
        text = f"({name.decode()}{':dn' * dn}{f':{rule.decode()}' if rule else ''}:={escaped(value)})"
        return text, (kind, name, dn, rule, value)
    return f"({name.decode()}{kind}{escaped(value)})", (kind, name, value)


def combined(inner: st.SearchStrategy[tuple[str, Tree]]) -> st.SearchStrategy[tuple[str, Tree]]:
    several = st.tuples(st.sampled_from("&|"), st.lists(inner, max_size=3))
    joined = several.map(lambda s: (f"({s[0]}{''.join(text for text, _ in s[1])})", (s[0], *(t for _, t in s[1]))))
    return joined | inner.map(lambda one: (f"(!{one[0]})", ("!", one[1])))


@given(st.recursive(items(), combined, max_leaves=8))
def test_any_filter_means_what_it_says(pair: tuple[str, Tree]):
    text, want = pair
    assert tree(compiled(text)) == want


@given(st.text(alphabet="()&|!=<>~:*\\2acn;.-_ ä\0", max_size=30))
def test_junk_is_a_filter_or_a_value_error(text: str):
    try:
        packed = compiled(text)
    except ValueError:
        return
    tree(packed)
