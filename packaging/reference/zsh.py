"""Completion for zsh."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from commands import Command, Option, Positional, Value

HEAD = """\
#compdef healthd
# zsh completion for healthd. Made by packaging/reference; do not edit.

# Names of the running daemon; there are none if no daemon answers.
_healthd_names() { # KIND [SERVICE]
  local socket=${opt_args[-s]:-${opt_args[--socket]}}
  local -a names
  names=("${(@f)$(_call_program names healthd complete ${socket:+-s ${(q)socket}} -- ${(q)@} 2>/dev/null)}")
  compadd -a -- names
}

_healthd() {
  local curcontext=$curcontext state line
  local -A opt_args
  _arguments -C '(- *)'{-h,--help}'[show help and exit]' '(- *)--version[show the version and exit]' \\
    '1: :->command' '*:: :->arguments'
  case $state in
    command)
      local -a commands=(
COMMANDS
      )
      _describe command commands
      ;;
    arguments)
      case $words[1] in
"""
TAIL = """\
      esac
      ;;
  esac
}

if [[ $funcstack[1] == _healthd ]]; then _healthd "$@"; else compdef _healthd healthd; fi
"""
ACTIONS = {  # with a space before it, a function is called with its own words only
    Value.ANYTHING: " ",
    Value.FILE: "_files",
    Value.FOLDER: "_files -/",
    Value.SERVICE: " _healthd_names services",
    Value.NAME: " _healthd_names names",
    Value.SERVER: " _healthd_names servers ${(Q)line[1]}",
}


def script(commands: Sequence[Command]) -> str:
    """The whole file."""
    known = "\n".join(f"        {_quoted(f'{command.name}:{command.summary}')}" for command in commands)
    return HEAD.replace("COMMANDS", known) + "".join(line for one in commands for line in _case(one)) + TAIL


def _case(command: Command) -> Iterator[str]:
    specs = [_option(option) for option in command.options]
    specs += [_place(number, one) for number, one in enumerate(command.positionals, 1)]
    yield f"        {command.name})\n          _arguments " + " \\\n            ".join(specs) + "\n          ;;\n"


def _option(option: Option) -> str:
    end = f"[{_told(option.help)}]"
    if option.value:
        end += f":{_told(option.value).replace(':', ' ')}:{_action(option.offered)}"
    names = option.names[0] if len(option.names) == 1 else f"{{{','.join(option.names)}}}"
    if len(option.names) == 1:
        return _quoted(f"{names}{end}")
    return f"{_quoted('(' + ' '.join(option.names) + ')')}{names}{_quoted(end)}"


def _place(number: int, one: Positional) -> str:
    where = "*" if one.repeated else f"{number}"
    optional = "" if one.required or one.repeated else ":"
    return _quoted(f"{where}:{optional}{one.name}:{_action(one.offered)}")


def _action(offered: Value | tuple[str, ...]) -> str:
    return ACTIONS[offered] if isinstance(offered, Value) else f"({' '.join(offered)})"


def _told(text: str) -> str:
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
