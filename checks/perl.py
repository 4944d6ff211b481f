"""perl: a file of Perl decides, in a process of its own, called as ldirectord calls that of checktype external-perl.

The file is the body of a sub there and here, so `return` and `@_` work at its top, it needs neither `#!` nor the right
to be executed, and falling off its end passes. Read anew for every probe, and nothing of it outlives the probe.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from checks.rules import between
from checks.script import ARGS_DOC, DEFAULT_ARGS, ScriptCheck, args_rule, command_rule, env_rule, user_rule
from healthd.check import REQUIRED, Binding, Conversation, Target, option

_UNUSABLE = 126
"""What the loader exits with if there is nothing to run; an exit of the file's own with that is turned into 125."""

# `exit` is overridden where the file is compiled: `exit system(...)` exits with 256 and more, which a process would
# turn into 0. `compiled` has no variables of its own that the file could see.
_LOADER = r"""
package Healthd;
BEGIN {
    *CORE::GLOBAL::exit = sub {
        no warnings;
        my $n = @_ ? $_[0] : 0;
        my $code = ($n & 255) || 1;
        CORE::exit($n == 0 ? 0 : $code == 126 ? 125 : $code);
    };
}
sub compiled { package main; eval "sub { \@ARGV = \@_;\n#line 1 \"$_[1]\"\n$_[0]\n}" }
sub unusable { print STDERR "$_[0]\n"; CORE::exit(126) }
my ($path, @args) = @ARGV;
open(my $in, '<', $path) or unusable("$path: $!");
defined(my $text = do { local $/; <$in> }) or unusable("$path: $!");
close($in);
$text =~ s/^__(?:END|DATA)__(?:\s.*|\z)//ms;
(my $name = $path) =~ tr/"\n/__/;
$0 = $path;
my $sub = compiled($text, $name) or unusable($@);
eval { $sub->(@args); 1 } or do { print STDERR $@; CORE::exit(255) };
CORE::exit(0);
"""


@dataclass(frozen=True, slots=True)
class PerlCheck:
    """A file of Perl that exits with 0, or comes to its end, to pass. Its output's last line becomes the detail.

    It fails by any other exit and by `die`. It runs as the check `script` runs a program, with the same variables; at
    the deadline its whole process group is killed, which fails the server. A file that cannot be read or compiled is
    our fault and fails nobody.
    """

    kind: ClassVar[str] = "perl"
    needs_port: ClassVar[bool] = False

    command: str = option(REQUIRED, "path of the file", rule=command_rule, file="read")
    args: tuple[str, ...] = option(DEFAULT_ARGS, ARGS_DOC, rule=args_rule)
    env: tuple[tuple[str, str], ...] = option((), "variables to set besides the HEALTHD_* ones", rule=env_rule)
    user: str | None = option(None, "user to run it as; default: the runner's", rule=user_rule)
    perl: str = option("/usr/bin/perl", "path of perl", rule=command_rule, file="execute")
    output_limit: int = option(4096, "bytes of output to keep, the last ones", rule=between(0, 1024 * 1024))

    _script: ScriptCheck = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare the program that it is."""
        script = ScriptCheck(
            command=self.perl,
            args=("-e", _literal(_LOADER), _literal(self.command), *self.args),
            env=self.env,
            user=self.user,
            inconclusive_codes=(str(_UNUSABLE),),
            output_limit=self.output_limit,
        )
        object.__setattr__(self, "_script", script)

    def bound(self, binding: Binding) -> BoundPerl:
        """The check for one row."""
        return BoundPerl(self, binding)

    def run(self, binding: Binding, target: Target) -> Conversation:
        """The conversation for one row."""
        return self._script.bound(binding).converse(target)

    def converse(self, target: Target) -> Conversation:
        """Ask about a server that belongs to no service: it stands for the virtual one too."""
        return self._script.converse(target)


@dataclass(frozen=True, slots=True)
class BoundPerl:
    """A perl check for one row."""

    kind: ClassVar[str] = "perl"
    needs_port: ClassVar[bool] = False

    check: PerlCheck
    binding: Binding

    def converse(self, target: Target) -> Conversation:
        """Run the file and judge how it ends."""
        return self.check.run(self.binding, target)


def _literal(text: str) -> str:
    """A text in which nothing is filled in."""
    return text.replace("{", "{{").replace("}", "}}")
