"""Makes Perl patterns of all constructs, each with a few texts that it may match."""

from hypothesis import strategies as st

PLAIN = [
    "a",
    "b",
    "B",
    "ss",
    "ok",
    "1",
    "0",
    " ",
    "-",
    "@",
    "/",
    "#",
    "&",
    "~",
    "%",
    "]",
    "}",
    "é",
    "ß",
    "x",
    "\n",
    "\t",
]
BRACES = ["{", "{}", "{,}", "{a", "{1", "{-1}", "{ }"]
ESCAPES = [
    (r"\n", b"\n"), (r"\t", b"\t"), (r"\r", b"\r"), (r"\f", b"\f"), (r"\e", b"\x1b"), (r"\a", b"\a"),
    (r"\0", b"\0"), (r"\01", b"\x01"), (r"\012", b"\n"), (r"\101", b"A"), (r"\10", b"\x08"), (r"\18", b"\x018"),
    (r"\351", b"\xe9"), (r"\x41", b"A"), (r"\x{61}", b"a"), (r"\x{ e9 }", b"\xe9"), (r"\x", b"\0"), (r"\xa", b"\n"),
    (r"\o{101}", b"A"), (r"\o{ 7 }", b"\x07"), (r"\cA", b"\x01"), (r"\cj", b"\n"), (r"\c[", b"\x1b"), (r"\c?", b"\x7f"),
    (r"\.", b"."), (r"\*", b"*"), (r"\\", b"\\"), (r"\{", b"{"), (r"\$", b"$"), (r"\/", b"/"), (r"\"", b'"'),
    (r"\-", b"-"), (r"\_", b"_"), (r"\#", b"#"), (r"\ ", b" "), (r"\<", b"<"), (r"\é", "é".encode()),
    (r"\Q", b"Q"), (r"\E", b"E"), (r"\U", b"U"), (r"\L", b"L"), (r"\l", b"l"), (r"\u", b"u"), (r"\y", b"y"),
]  # fmt: skip
SETS = [
    (r"\d", b"5"), (r"\D", b"a"), (r"\w", b"a"), (r"\W", b"\xe9"), (r"\s", b"\x0b"), (r"\S", b"\xa0"), (r"\h", b"\xa0"),
    (r"\H", b"\n"), (r"\v", b"\x85"), (r"\V", b"a"), (r"\N", b"\xff"), (r"\R", b"\r\n"), (".", b"x"), (".", b"\n"),
]  # fmt: skip
ASSERTIONS = ["^", "$", r"\A", r"\z", r"\Z", r"\b", r"\B"]
POSIX = [
    "alpha",
    "alnum",
    "ascii",
    "blank",
    "cntrl",
    "digit",
    "graph",
    "lower",
    "print",
    "punct",
    "space",
    "upper",
    "word",
    "xdigit",
]
PROPERTIES = [
    "L",
    "Lu",
    "Ll",
    "N",
    "Nd",
    "P",
    "Sm",
    "Zs",
    "Alpha",
    "Upper",
    "IsLower",
    "Word",
    "Punct",
    "XPosixPunct",
    "PosixPunct",
    "Space",
    "Any",
    "Cntrl",
    "Graph",
    "Print",
    "No",
]
REFUSED = [
    r"\G",
    r"\K",
    r"\X",
    r"\b{wb}",
    "(?R)",
    "(?1)",
    "(?{1})",
    "(*FAIL)",
    r"\1",
    r"\k<n>",
    r"\g{-1}",
    "*",
    "{2}",
    "(?z)",
]
QUANTIFIERS = [
    "*",
    "+",
    "?",
    "{2}",
    "{1,}",
    "{0,2}",
    "{,2}",
    "{ 1 , 2 }",
    "{2,1}",
    "{0}",
    "*?",
    "+?",
    "??",
    "{1,2}?",
    "*+",
]
QUANTIFIERS += ["++", "?+", "{1,2}+", "{2}+", "{,}", "(?#c)*"]
FLAGS = ["i", "m", "s", "x", "n", "is", "xx", "i-s", "-i", "^", "^i", "^m", "-ms", "a", "u", "d", "p", ""]

pairs = st.sampled_from
plain = pairs(PLAIN + BRACES).map(lambda text: (text, text.encode()))
some_bytes = pairs([b"", b"a", b"b", b"ab", b"1", b"\n", b"a\n", b"\xe9", b"\xc3\xa9", b" ", b"A"])
assertions = pairs(ASSERTIONS).map(lambda text: (text, b""))
refused = pairs(REFUSED).map(lambda text: (text, b""))


@st.composite
def bracketed(draw):
    """A set in brackets, and one byte."""
    singles = pairs(
        ["a", "z", "Z", "0", "9", "-", "[", "^", "&", "&&", "--", "||", "~~", "é", " ", "#", ":", r"\]", r"\b"]
    )
    ranges = pairs(["a-f", "A-Z", "Z-a", "0-9", "a-", "-a", r"a-\d", r"\d-z", r"\x80-\xff", "!-/", r"\0-\x1f"])
    posix = st.tuples(st.sampled_from(["", "^"]), pairs(POSIX)).map(lambda parts: f"[:{parts[0]}{parts[1]}:]")
    others = pairs(
        [r"\d", r"\W", r"\s", r"\h", r"\V", r"\n", r"\x41", r"\101", r"\8", r"\cA", r"\R", r"\Q", "[:", ":]", "[=", "="]
    )
    body = "".join(draw(st.lists(singles | ranges | posix | others, min_size=1, max_size=4)))
    opening = draw(pairs(["[", "[^", "[]", "[^]"]))
    return opening + body + "]", bytes([draw(pairs(sorted(b"azZAf059-[]^&|~\xc3\xa9\xe9 #:\b\n\x01\x85\xa0Q")))])


@st.composite
def quantified(draw, inner):
    """Something repeated."""
    text, sample = draw(inner)
    text = text if len(text) == 1 or draw(pairs([True, False, False])) else f"(?:{text})"
    quantifier = draw(pairs(QUANTIFIERS))
    return text + quantifier, sample * draw(st.integers(0, 3))


@st.composite
def alternatives(draw, inner):
    """One or several, a sample of one of them."""
    branches = draw(st.lists(inner, min_size=1, max_size=3))
    return "|".join(text for text, _ in branches), draw(pairs(branches))[1]


def grouped(inner):
    """Groups of all kinds around alternatives."""
    openings = ["(", "(?:", "(?<n>", "(?'m'", "(?P<o>", "(?>", "(?=", "(*atomic:"]
    openings += [f"(?{flags}:" for flags in FLAGS]
    empty = ["(?!", "(?<=", "(?<!", "(?<=", "(*nlb:"]
    whole = st.tuples(pairs(openings), inner).map(lambda parts: (f"{parts[0]}{parts[1][0]})", parts[1][1]))
    aside = st.tuples(pairs(empty), inner).map(lambda parts: (f"{parts[0]}{parts[1][0]})", b""))
    return whole | whole | aside


@st.composite
def remembered(draw, inner):
    """A group and a reference to it."""
    text, sample = draw(inner)
    opening, reference = draw(
        pairs([("(", r"\1"), ("(", r"\g1"), ("(", r"\g{1}"), ("(", r"\g{-1}"), ("(", r"\g-1"), ("(?<q>", r"\k<q>")])
        | pairs([("(?<q>", r"\k{q}"), ("(?<q>", r"\k'q'"), ("(?'q'", r"\g{q}"), ("(?P<q>", "(?P=q)")])
        | pairs([("(", "(?(1)a|b)"), ("(?<q>", "(?(<q>)a|b)"), ("(", "?(?(1)a)"), ("(", r"?\1"), ("(", r"*\1")])
    )
    name = draw(pairs(["q", "r", "s", "t"]))
    opening, reference = opening.replace("q", name), reference.replace("q", name)
    between = draw(pairs(["", "a", "-?", "0"]))
    return f"{opening}{text}){between}{reference}", sample + between.encode().strip(b"?") + sample


@st.composite
def in_line(draw, inner):
    """Several, with flags and comments between."""
    parts = draw(st.lists(inner, min_size=1, max_size=4))
    between = pairs(["", "", "", "", "", "(?#c)", "(?i)", "(?-i)", "(?s)", "(?m)", "(?x) ", "(?^)", " # c\n"])
    return "".join(text + draw(between) for text, _ in parts), b"".join(sample for _, sample in parts)


simple = plain | plain | pairs(ESCAPES) | pairs(SETS) | bracketed() | assertions
LOOK = pairs([("(?(?=a)a|b)", b"a"), ("(?(?!a)b|ab)", b"ab"), ("(?(?<=a)b|c)", b"b"), ("(?<=a|bc)d", b"bcd")])
patterns = st.recursive(
    simple,
    lambda inner: (
        in_line(inner) | in_line(inner) | grouped(alternatives(inner)) | quantified(inner) | remembered(inner) | LOOK
    ),
    max_leaves=8,
)
beginnings = pairs(["", "", "", "(?i)", "(?s)", "(?m)", "(?x)", "(?xx)", "(?n)", "(?a)", "(?u)"])
usual = alternatives(in_line(patterns))
odd = alternatives(in_line(patterns | refused))
whole = st.integers(0, 9).flatmap(lambda number: odd if number == 9 else usual)


@st.composite
def questions(draw):
    """A pattern as text, and subjects as bytes of which some are likely to match."""
    start, (text, sample) = draw(beginnings), draw(whole)
    around = st.tuples(some_bytes, some_bytes)
    subjects = [before + sample + after for before, after in draw(st.lists(around, min_size=2, max_size=4))]
    spoilt = draw(st.binary(max_size=4)) + sample[1:] + draw(some_bytes)
    return start + text, [sample, sample.swapcase(), sample + b"\n", *subjects, spoilt]


properties = pairs(PROPERTIES).map(lambda name: f"\\p{{{name}}}")


# --- loops within loops, of two letters ---

LETTERS = ["a", "b", "ab", ".", "", "[ab]", "^", "$", r"\b", "(?=a)", "(?!b)", "(?<=a)"]
LOOPS = ["*", "+", "?", "{2}", "{1,2}", "{0,2}", "{2,}", "*?", "+?", "??", "{1,2}?", "*+", "++", "?+", "{0,2}+"]
BACK = ["", "", r"\1", r"\1?", "(?(1)a|b)", r"\2", r"|\1"]
TANGLED_SUBJECTS = [b"", b"a", b"b", b"ab", b"aab", b"aba", b"abab", b"bbaa", b"abba", b"aaa", b"babab", b"a\nb"]

tangled = st.recursive(
    pairs(LETTERS),
    lambda inner: (
        st.tuples(pairs(["(?:", "(", "(?>"]), inner, pairs([")"]), pairs(LOOPS), pairs(BACK)).map("".join)
        | st.tuples(pairs(["(?=", "(?!", "(?:"]), inner, pairs([")"]), inner).map("".join)
        | st.tuples(inner, pairs(["", "|"]), inner).map("".join)
    ),
    max_leaves=6,
)
