"""Completion for bash, with the functions of the package bash-completion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from commands import Command, Value

HEAD = """\
# bash completion for healthd. Made by packaging/reference; do not edit.

# Names of the running daemon that begin as the word does; there are none if no daemon answers.
_healthd_names() { # KIND [SERVICE]
    local name
    while IFS= read -r name; do
        printf -v name %q "$name"
        [[ $name == "$cur"* ]] && COMPREPLY+=("$name")
    done < <(healthd complete "${socket[@]}" -- "$@" 2>/dev/null)
    __ltrim_colon_completions "$cur"
}

_healthd_value() { # WHAT [SERVICE]
    case $1 in
        :file) _filedir ;;
        :folder) _filedir -d ;;
        :services | :names) _healthd_names "${1#:}" ;;
        :servers) _healthd_names servers "$2" ;;
        :*) ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur") ;;
    esac
}

_healthd() {
    local cur prev words cword split
    _init_completion -n =: || return
    local command= options='-h --help --version' i service place=0 socket=()
    local -A after=()
    local places=()
    for ((i = 1; i < cword; i++)); do
        [[ ${words[i]} == -* ]] || { command=${words[i]}; break; }
    done
    case $command in
        '') places=(COMMANDS) ;;
"""
TAIL = """\
        *) return ;;
    esac
    for ((i++; i < cword; i++)); do
        if [[ -n ${after[${words[i]}]} ]]; then
            [[ ${words[i]} == -s || ${words[i]} == --socket ]] && ((i + 1 < cword)) && socket=(-s "${words[i + 1]}")
            ((i++))
        elif [[ ${words[i]} != -* ]]; then
            printf -v service %b "${words[i]}"
            ((place++))
        fi
    done
    if [[ -n $command && -n ${after[$prev]} ]]; then
        _healthd_value "${after[$prev]}"
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    else
        ((place >= ${#places[@]})) && [[ ${places[-1]} == *+ ]] && place=$((${#places[@]} - 1))
        _healthd_value "${places[place]%+}" "$service"
    fi
} && complete -F _healthd healthd
"""
WORDS = {
    Value.ANYTHING: ":anything",
    Value.FILE: ":file",
    Value.FOLDER: ":folder",
    Value.SERVICE: ":services",
    Value.NAME: ":names",
    Value.SERVER: ":servers",
}


def script(commands: Sequence[Command]) -> str:
    """The whole file."""
    names = quote(" ".join(command.name for command in commands))
    cases = "".join(line for command in commands for line in _case(command))
    return HEAD.replace("COMMANDS", names) + cases + TAIL


def _case(command: Command) -> Iterator[str]:
    options = " ".join(name for option in command.options for name in option.names)
    after = [f"[{name}]={_what(o.offered)}" for o in command.options if o.value for name in o.names]
    places = [_what(one.offered, "+" if one.repeated else "") for one in command.positionals]
    yield f"        {command.name})\n            options={quote(options)}\n"
    if after:
        yield f"            after=({' '.join(after)})\n"
    if places:
        yield f"            places=({' '.join(places)})\n"
    yield "            ;;\n"


def _what(offered: Value | tuple[str, ...], more: str = "") -> str:
    return quote((WORDS[offered] if isinstance(offered, Value) else " ".join(offered)) + more)
