"""Writes what is made from the commands and the tables of the configuration: man pages, completion, the JSON schema.

python packaging/reference            write packaging/share anew
python packaging/reference --check    exit 1, with their names, if files are not as they would be written
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import bash
import fish
import man_commands
import man_configuration
import zsh
from commands import all_commands

from healthd.config.json_schema import as_text

SHARE = Path(__file__).parents[1] / "share"


def files() -> Iterator[tuple[str, str]]:
    """Every file below packaging/share, with what should be in it."""
    commands = all_commands()
    yield "man/man8/healthd.8", man_commands.page(commands)
    yield "man/man5/healthd.toml.5", man_configuration.page()
    yield "bash-completion/completions/healthd", bash.script(commands)
    yield "zsh/site-functions/_healthd", zsh.script(commands)
    yield "fish/vendor_completions.d/healthd.fish", fish.script(commands)
    yield "healthd/healthd.schema.json", as_text()


def main() -> int:
    """Write or compare."""
    wrong = []
    for name, text in files():
        path = SHARE / name
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong.append(name)
    if wrong:
        print(f"not current: {', '.join(wrong)}; run: python packaging/reference", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
