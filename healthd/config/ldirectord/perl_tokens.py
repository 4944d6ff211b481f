"""The words of Perl's regular expressions: what a quantifier, a reference or the beginning of a group looks like."""

from __future__ import annotations

import re
from types import MappingProxyType

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
COUNT = re.compile(r"\{[ \t]*(?:([0-9]+)[ \t]*(?:(,)[ \t]*([0-9]*)[ \t]*)?|,[ \t]*([0-9]+)[ \t]*)\}")
SPACE = re.compile(r"[\t-\r \x85]+|#[^\n]*\n?")
COMMENT = re.compile(r"\(\?#[^)]*(\))?")
GROUP_NAME = re.compile(rf"P?<({_NAME})>|'({_NAME})'")
OLD_REFERENCE = re.compile(rf"P=({_NAME})\)")
DIGITS = re.compile(r"[1-9][0-9]*")
NUMBER_G = re.compile(r"(-?)([1-9][0-9]*)|\{[ \t]*(-?)([1-9][0-9]*)[ \t]*\}")
NAME_G = re.compile(rf"\{{[ \t]*({_NAME})[ \t]*\}}")
NAME_K = re.compile(rf"<({_NAME})>|'({_NAME})'|\{{[ \t]*({_NAME})[ \t]*\}}")
CONDITION = re.compile(rf"([1-9][0-9]*)\)|<({_NAME})>\)|'({_NAME})'\)")
AFTER_LETTER = re.compile(r"\\[A-Za-z]\Z")

ALPHA = MappingProxyType(
    {
        "pla": "=",
        "positive_lookahead": "=",
        "nla": "!",
        "negative_lookahead": "!",
        "plb": "<=",
        "positive_lookbehind": "<=",
        "nlb": "<!",
        "negative_lookbehind": "<!",
        "atomic": ">",
    }
)
ALPHA_NAME = re.compile(rf"\*({'|'.join(ALPHA)}):")
LOOK = re.compile(r"(<)?([=!])")

REFUSED_GROUPS = (
    (re.compile(r"R\)|0\)|[+-]?[1-9]|&|P>"), "recursion into a group"),
    (re.compile(r"\??\{|p\{"), "code in the pattern"),
    (re.compile(r"\|"), "(?|..), which numbers the groups of each branch anew,"),
    (re.compile(r"\["), "a set with operators, (?[..]),"),
)
REFUSED_ESCAPES = MappingProxyType(
    {
        "G": r"\G, where the last match ended,",
        "K": r"\K, which moves the beginning of the match,",
        "X": r"\X, a character as people see it,",
        "C": r"\C, which Perl does not know any more,",
    }
)
