"""Perl's patterns, translated, find what Perl finds: held to a table and to the installed Perl."""

import re
import shutil
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.rules import pattern
from healthd.config.ldirectord.perl_regex import PatternRefused, translate
from tests.config.ldirectord.perl_oracle import Perl
from tests.config.ldirectord.perl_patterns import POSIX, PROPERTIES, TANGLED_SUBJECTS, questions, tangled

TRANSLATED = {
    # what needs nothing
    "": "",
    "ok": "ok",
    "Test Page": "Test Page",
    r"^HTTP/1\.[01] 200 OK\r\n": r"^HTTP/1\.[01] 200 OK\r\n",
    "(Home|Index)": "(Home|Index)",
    "Willkommen für alle": "Willkommen für alle",
    r"(\d+) of \1": r"(\d+) of \1",
    "a@b.c/d": "a@b.c/d",
    "$foo": "$foo",
    # what Perl does not do in a variable
    r"\Qa.b\E": "Qa.bE",
    r"\Uok\E": "UokE",
    # classes
    "[[:alpha:]]+": "[A-Za-z]+",
    "[[:^digit:]]": r"\D",
    "[[:upper:][:digit:]_]": r"[\dA-Z_]",
    "[^[:space:]]": r"\S",
    "[]abc]": r"[\]a-c]",
    r"[a-\d]": r"[\d\-a]",
    r"[\w.-]": r"[\w\-.]",
    "[a&&b||c~~d[]": r"[\&\[a-d\|\~]",
    r"[\x00-\xff]": r"[\x00-\xff]",
    r"[\b]": r"[\x08]",
    "[é]": r"[\xa9\xc3]",
    r"\h\H": r"[\t \xa0][^\t \xa0]",
    r"\v": r"[\n-\r\x85]",
    r"\R": r"(?>\r\n|[\n-\r\x85])",
    r"\N+": ".+",
    r"\N{3}": ".{3}",
    # characters
    r"\x41\x{42}\o{103}\104\cA\e\0": r"ABCD\x01\x1b\x00",
    r"\x": r"\x00",
    r"\10": r"\x08",
    r"\xe9": r"\xe9",
    r"\xc3\xa9": "é",
    "é+": r"\xc3\xa9+",
    "(?:é)+": "(?:é)+",
    r"\_\-\é\/": "_-é/",
    # places
    r"a\z": r"a\Z",
    r"a\Z": r"a(?=\n?\Z)",
    r"\Aa$": r"\Aa$",
    "(?m)^a$": r"(?:\A|(?<=\n)(?!\Z))a(?m:$)",
    r"\B": r"(?!\b)",
    # quantifiers
    "a{2}b{3,}c{4,5}d{,6}": "a{2}b{3,}c{4,5}d{0,6}",
    "a{ 1, 2 }": "a{1,2}",
    "a{,}{b}{": r"a\{,\}\{b\}\{",
    "a++b*+c?+d{1,2}+": "(?>a+)(?>b*)(?>c?)(?>d{1,2})",
    "a+?b*?c??": "a+?b*?c??",
    "a{2,1}": "(?!)",
    "^?a": "(?:^)?a",
    "(?>a|b)c": "(?>a|b)c",
    "(*atomic:a)": "(?>a)",
    # groups
    r"(?<n>a)\k<n>\k'n'\k{n}\g{n}(?P=n)": r"(a)\1\1\1\1\1",
    r"(?'n'a)(b)\g2\g{-1}\g1": r"(a)(b)\2\2\1",
    r"(a)\g{1}0": r"(a)(?:\1)0",
    r"(?:(?<n>a)|(?<n>b))\k<n>": r"(?:(a)|(b))(?(1)\1|\2)",
    r"(a)(?>(b)|c)\1": r"(a)(?>(?:b)|c)\1",
    "(a)?(?(1)b|c)": "(a)?(?(1)b|c)",
    "(?(?=a)b|c)": "(?=a)b|(?!a)c",
    "(?<=a|bc)d": "(?:(?<=a)|(?<=bc))d",
    "(?<!a|bc)d": "(?<!a)(?<!bc)d",
    "(*nla:a)b": "(?!a)b",
    # flags
    "(?i)ok": "(?i)ok",
    "(?i)[a-c]1": "[A-Ca-c]1",
    "a(?i)b|c": "a(?i:b)|(?i:c)",
    "(a(?i)b)c": "(a(?i:b))c",
    "(?i-s:a.)b": "(?i:a).b",
    "(?s)a.b": "a(?s:.)b",
    "(?x) a b # c": "ab",
    "(?x) a\\ b [ ] \\#": "a b[ ]#",
    "(?xx) [a b]": "[ab]",
    "a(?#comment)+": "a+",
    "(?n)(a)(?<n>b)": "a(b)",
    "(?^i:a)": "(?i)a",
    # Unicode rules
    r"\p{Lu}": r"[A-Z\xc0-\xd6\xd8-\xde]",
    r"(?u)\d": r"\d",
}

REFUSED = {
    r"ab\K": (r"cannot be translated: \K", 2),
    r"\G": (r"cannot be translated: \G", 0),
    r"\X": (r"cannot be translated: \X", 0),
    r"a\b{wb}": (r"cannot be translated: a boundary", 1),
    "a(?R)": ("cannot be translated: recursion", 1),
    "(a)(?1)": ("cannot be translated: recursion", 3),
    "(?<n>a)(?&n)": ("cannot be translated: recursion", 7),
    "(?{exit})": ("cannot be translated: code", 0),
    "(??{exit})": ("cannot be translated: code", 0),
    "(?|(a)|(b))": ("cannot be translated: (?|..)", 0),
    "(?(DEFINE)a)": ("cannot be translated: a condition", 0),
    "(?(R)a|b)": ("cannot be translated: a condition", 0),
    "(?[ [a] ])": ("cannot be translated: a set with operators", 0),
    "a(*SKIP)b": ("cannot be translated: a verb", 1),
    "(?<=a+)b": ("a look behind of more than 255 bytes", 0),
    "(?<=a?)b": ("cannot be translated: a look behind for something of no certain length", 0),
    r"(a)(?<=\1)": ("a look behind of more", 3),
    r"(?<=(?>a))": ("cannot be translated: a look behind for something atomic", 0),
    "(?l)a": ("cannot be translated: (?l)", 0),
    "(?iu)a": ("cannot be translated: (?i) together", 5),
    r"é\p{Greek}": (r"cannot be translated: the Unicode property \p{Greek}", 1),
    r"\N{SPACE}": (r"cannot be translated: \N{..}", 0),
    r"é\x{20ac}": ("cannot be translated: a character above 255", 1),
    r"\777": ("cannot be translated: a character above 255", 0),
    r"(a\1)": ("cannot be translated: a reference to group 1 from within", 2),
    r"(a)b|\1": ("cannot be translated: a reference to group 1 from another branch", 5),
    "x(?:|a)*": ("cannot be translated: a repetition of what would rather be empty", 1),
    "(?=(?:ab)*+).": ("cannot be translated: a look ahead for what may be nothing", 0),
    "a^*": ("cannot be translated: a quantifier on what has no length", 1),
    r"((a)*b)*\2": ("cannot be translated: a reference to group 2, which stands in two repetitions", 8),
    r"\1(a)": ("cannot be translated: a reference to group 1, which does not stand before", 0),
    r"\k<n>": ("cannot be translated: a reference to group 'n', which does not", 0),
    r"[^\d\D]": ("cannot be translated: a set of characters with none in it", 0),
    "(" * 61 + ")" * 61: ("cannot be translated: a group within 60 others", 60),
    "a\udfff": (r"not text: '\udfff' is no character", 1),
    "a**": ("not a regular expression of Perl's: a quantifier after a quantifier", 2),
    "*a": ("not a regular expression of Perl's: the quantifier *", 0),
    "(a": ("not a regular expression of Perl's: '(' without", 0),
    "a)": ("not a regular expression of Perl's: ')' without", 1),
    "a[b": ("not a regular expression of Perl's: '[' without", 1),
    "[]": ("not a regular expression of Perl's: '[' without", 0),
    "[z-a]": ("not a regular expression of Perl's: a range", 1),
    "[[:foo:]]": ("cannot be translated: the unknown class [:foo:]", 1),
    "a$\0": ("cannot be translated: '$' before a zero byte", 1),
    "[[=a=]]": ("not a regular expression of Perl's: [.x.]", 1),
    "a\\": ("not a regular expression of Perl's: a backslash", 1),
    r"\d{x": ("not a regular expression of Perl's: '{' after", 2),
    "a{65535}": ("not a regular expression of Perl's: a quantifier beyond 65534", 1),
    "a{01}": ("not a regular expression of Perl's: a quantifier with a leading zero", 1),
    "(?z)": ("not a regular expression of Perl's: the group or flag (?z", 0),
    "(?ua)": ("not a regular expression of Perl's: the flags ua", 0),
    "a(?#b": ("not a regular expression of Perl's: a comment", 1),
    "(?(1)a|b|c)": ("cannot be translated: a reference", 0),
    "(a)(?(1)a|b|c)": ("not a regular expression of Perl's: a condition", 3),
}


@pytest.fixture(scope="module")
def perl():
    program = shutil.which("perl") or pytest.skip("perl is not installed")
    asked = Perl(program)
    yield asked
    asked.close()


def found(text, subjects):
    compiled = pattern(text)
    return [match.span() if (match := compiled.search(subject)) else None for subject in subjects]


def outcome_of(text):
    """The translation, or why there is none."""
    try:
        return translate(text)
    except PatternRefused as refused:
        return refused


def assert_like_perl(perl, text, subjects):
    """What Perl refuses is refused; what is translated finds what Perl finds. True if it was translated."""
    answer = perl.spans(text.encode("utf-8", "surrogateescape"), subjects)
    translated = outcome_of(text)
    if isinstance(translated, PatternRefused):
        return False
    assert answer == found(translated, subjects), (text, translated, subjects)
    return True


@pytest.mark.parametrize("text", TRANSLATED)
def test_a_pattern_is_written_as_python_has_it(text):
    assert translate(text) == TRANSLATED[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_said_is_refused_with_its_place(text):
    words, position = REFUSED[text]
    with pytest.raises(ValueError, match=f"^is .*{re.escape(words)}.* at position {position}$") as refused:
        translate(text)
    assert refused.value.position == position


@pytest.mark.parametrize("text", TRANSLATED)
def test_a_pattern_of_the_table_finds_what_perl_finds(perl, text):
    raw = text.encode()
    subjects = [raw, raw.upper(), *(raw.replace(b"\\", other) for other in (b"", b"\n")), *SUBJECTS]

    assert assert_like_perl(perl, text, subjects)


SUBJECTS = [
    b"",
    b"a",
    b"abc\n",
    b"a\n\n",
    b"ab12 of 12",
    b"aaaa",
    b"bcd",
    b"ABCD\x01\x1b\0",
    b"\xc3\xa9\xa9",
    b"\xe9 \xa0\x85",
]
SUBJECTS += [
    b"abab",
    b"aab0",
    b"bd ad",
    b"a{,}{b}{",
    b"aabbbccccdddddd",
    b"\r\n",
    b"x\na\n",
    b"ab",
    b"ac",
    b"aC",
    b"[]~|&",
    b"-",
]


@pytest.mark.parametrize("text", [text for text, (words, _) in REFUSED.items() if words.startswith("not a regular")])
def test_what_is_called_no_pattern_is_none_to_perl(perl, text):
    assert perl.spans(text.encode(), [b"a"]) == "refused"


EVERY_BYTE = [bytes((byte,)) for byte in range(256)]
EVERY_SET = [f"[[:{sign}{name}:]]" for sign in ("", "^") for name in POSIX]
EVERY_SET += [rf"\{letter}" for letter in "dDwWsShHvVN"] + [r"[^\h\v]", r"[\D\n]", r"\x41", ".", "(?s).", r"\b"]
EVERY_PROPERTY = [rf"\{letter}{{{name}}}" for letter in "pP" for name in PROPERTIES] + [
    r"\pL",
    r"\PN",
    r"\p{^L}",
    r"\P{ ^ Nd }",
]


@pytest.mark.parametrize("flags", ["", "(?i)", "(?a)", "(?u)"])
@pytest.mark.parametrize("text", EVERY_SET)
def test_a_set_has_the_bytes_that_it_has_to_perl(perl, flags, text):
    assert_like_perl(perl, flags + text, EVERY_BYTE)


@pytest.mark.parametrize("text", EVERY_PROPERTY)
def test_a_property_has_the_bytes_that_it_has_to_perl(perl, text):
    assert assert_like_perl(perl, text, EVERY_BYTE) or text == r"\P{Any}"


@pytest.mark.parametrize(
    "text", [r"\w|\p{L}[[:upper:]]", r"\w\N{U+41}", r"\xe9\N{U+E9}", r"[\N{U+e9}]", r"(?d)\w|\p{Sm}", r"(?^:\w)\pN?"]
)
def test_a_property_makes_the_whole_pattern_one_of_unicode(perl, text):
    pairs_of_bytes = [bytes((first, second)) for first in range(64, 256, 5) for second in (65, 97, 0xC9, 0xE9)]

    assert assert_like_perl(perl, text, EVERY_BYTE + pairs_of_bytes)


def like_perl_mostly(perl, made, examples):
    """Holds what a strategy makes to Perl; a good part of it must have been translated."""
    translated = []

    @settings(max_examples=examples)
    @given(made)
    def ask(question):
        translated.append(assert_like_perl(perl, *question))

    ask()
    assert sum(translated) > len(translated) / 4


def test_generated_patterns_find_what_perl_finds(perl):
    like_perl_mostly(perl, questions(), 250)


def test_loops_within_loops_find_what_perl_finds(perl):
    like_perl_mostly(perl, st.tuples(tangled, st.just(TANGLED_SUBJECTS)), 250)


SIGNS = "()[]{}|?*+\\^$.,:=!<>'#-&~@/ 01239abdegiklmnopqrsuvwxzADGHKNPQRSVWXZ_\n\t\x85é€\udce9\ud800"
WORDS = [
    "(?",
    "(?<",
    "(?(",
    "(?#",
    "(*",
    "[[:",
    ":]]",
    "\\g{",
    "\\k<",
    "\\x{",
    "\\p{",
    "{1,",
    "}",
    ")",
    "]",
    "|",
    "(?i",
    "(?x)",
    "a",
]


@settings(max_examples=500)
@given(
    st.text(SIGNS, max_size=12) | st.lists(st.sampled_from(WORDS) | st.text(SIGNS, max_size=2)).map("".join) | st.text()
)
def test_any_text_is_translated_or_refused(perl, text):
    outcome = outcome_of(text)

    if isinstance(outcome, PatternRefused):
        assert 0 <= outcome.position <= len(text)
    else:
        raw = text.encode("utf-8", "surrogateescape")
        subjects = [b"", b"a", raw, raw + b"\n", raw.replace(b"\\", b"")]
        assert perl.spans(raw, subjects) == found(outcome, subjects)


LONG = [
    "(" * 9999,
    "[" * 9999,
    "((a{9}){9}){9}" * 99,
    "(?x)" * 9999,
    "(a)" * 2000 + r"\1999",
    "[[.[." * 2000,
    "a|" * 9999,
    "é+" * 5000,
]
LONG += [
    "(?#" * 9999,
    "(?i)a(?-i)b" * 2000,
    "\\" * 9999,
    "(?:" * 60 + "a" * 2000 + ")*" * 60,
    "{" * 9999,
    "((a{65534}){65534}){65534}",
]
LONG += [
    r"\p{L}" * 2000,
    "a{" + "9" * 9999 + "}",
    "\\" + "1" * 9999,
    r"\x{" + "f" * 9999 + "}",
    r"\g{" + "1" * 9999 + "}",
]


@pytest.mark.parametrize("text", LONG, ids=lambda text: text[:12])
def test_a_long_pattern_is_translated_or_refused(text):
    outcome = outcome_of(text)

    assert isinstance(outcome, str) or 0 <= outcome.position <= len(text)


def test_bytes_that_are_no_utf8_stand_for_themselves():
    assert pattern(translate(b"caf\xe9".decode("utf-8", "surrogateescape"))).search(b"un caf\xe9").span() == (3, 7)


def test_python_warns_of_nothing_that_comes_out():
    """In a fresh Python: a compiled pattern is remembered, and then there is no second warning."""
    program = "import re, sys\nfor line in sys.stdin: re.compile(bytes.fromhex(line))"
    lines = "".join(f"{text.encode().hex()}\n" for text in TRANSLATED.values())

    done = subprocess.run([sys.executable, "-W", "error", "-c", program], input=lines.encode(), capture_output=True)

    assert (done.returncode, done.stderr) == (0, b"")
