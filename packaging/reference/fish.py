"""Completion for fish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from commands import Command, Option, Value

HEAD = """\
# fish completion for healthd. Made by packaging/reference; do not edit.

# The words of the line that are no options and no values of options: the command, then what it is about.
function __healthd_words
    set -l tokens (commandline -opc)[2..-1]
    set -l skip 0
    for token in $tokens
        if test $skip = 1
            set skip 0
        else if contains -- $token VALUED
            set skip 1
        else if not string match -q -- '-*' $token
            echo $token
        end
    end
end

function __healthd_at # COMMAND PLACE: whether the word of this place is being typed
    set -l words (__healthd_words)
    test "$words[1]" = $argv[1] -a (count $words) -eq $argv[2]
end

function __healthd_in # COMMAND
    set -l words (__healthd_words)
    test "$words[1]" = $argv[1]
end

function __healthd_names # KIND: names of the running daemon; there are none if no daemon answers
    set -l words (__healthd_words)
    set -l tokens (commandline -opc)
    set -l socket
    if set -l at (contains -i -- -s $tokens; or contains -i -- --socket $tokens)
        set socket -s $tokens[(math $at + 1)]
    end
    if test $argv[1] = servers
        healthd complete $socket -- servers $words[2] 2>/dev/null
    else
        healthd complete $socket -- $argv[1] 2>/dev/null
    end
end

complete -c healthd -f
complete -c healthd -n 'test -z (__healthd_words)[1]' -s h -l help -d 'show help and exit'
complete -c healthd -n 'test -z (__healthd_words)[1]' -l version -d 'show the version and exit'
"""
OFFERS = {
    Value.ANYTHING: "",
    Value.FILE: "-F",
    Value.FOLDER: "-a '(__fish_complete_directories)'",
    Value.SERVICE: "-a '(__healthd_names services)'",
    Value.NAME: "-a '(__healthd_names names)'",
    Value.SERVER: "-a '(__healthd_names servers)'",
}


def script(commands: Sequence[Command]) -> str:
    """The whole file."""
    valued = {name for command in commands for option in command.options if option.value for name in option.names}
    lines = [line for command in commands for line in _command(command)]
    return HEAD.replace("VALUED", " ".join(sorted(valued))) + "\n".join(lines) + "\n"


def _command(command: Command) -> Iterator[str]:
    first = "test -z (__healthd_words)[1]"
    yield f"complete -c healthd -n {_quoted(first)} -a {command.name} -d {_quoted(command.summary)}"
    for place, one in enumerate(command.positionals, 1):
        where = f"__healthd_in {command.name}" if one.repeated else f"__healthd_at {command.name} {place}"
        if offer := _offer(one.offered):
            yield f"complete -c healthd -n {_quoted(where)} {offer}"
    for option in command.options:
        yield _option(command.name, option)


def _option(command: str, option: Option) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    value = f" -r {_offer(option.offered)}".rstrip() if option.value else ""
    return f"complete -c healthd -n '__healthd_in {command}' {names}{value} -d {_quoted(option.help)}"


def _offer(offered: Value | tuple[str, ...]) -> str:
    return OFFERS[offered] if isinstance(offered, Value) else f"-a {_quoted(' '.join(offered))}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
