"""What every command shares: printing, errors without traceback, exit codes."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable

from emorec.errors import EmorecError
from emorec.files import DISK

# INCOMPLETE: everything is written, but damaged videos were left out.
OK, FAILED, MISUSED, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130


def say(line: str) -> None:
    """Print a line at once, also into a log file."""
    print(line, flush=True)


def guarded(command: Callable[[], int | None]) -> int:
    """Run a command; turn a user's mistake into a message and an exit code.

    Of several hosts that train together, one with an error ends at once, so that the
    others do not wait for it.
    """
    try:
        code = _guarded(command)
    except Exception:
        if hosts := _several_hosts():
            traceback.print_exc()
            hosts.leave(FAILED)
        raise
    if code not in (OK, INCOMPLETE) and (hosts := _several_hosts()):
        hosts.leave(code)
    return code


def _several_hosts():
    """Return the module of the hosts when the command has joined others."""
    module = sys.modules.get("emorec.training.hosts")
    return module if module and module.here().count > 1 else None


def _guarded(command: Callable[[], int | None]) -> int:
    try:
        return command() or OK
    except EmorecError as error:
        print(f"emorec: error: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        if error.errno not in DISK:
            raise
        print(f"emorec: error: {error}. Make room and try again.", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(
            "\nemorec: interrupted; the same command goes on where it stopped.",
            file=sys.stderr,
        )
        return INTERRUPTED


def yes_or_no(text: str) -> bool:
    """Parse the value of a switch, as in ``-t false``."""
    lowered = text.lower()
    if lowered in ("true", "yes", "1", "on"):
        return True
    if lowered in ("false", "no", "0", "off"):
        return False
    raise argparse.ArgumentTypeError(f"expected true or false, received '{text}'")


def threshold(text: str) -> float | str:
    """Parse a threshold: a number, or the word valid."""
    if text == "valid":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number or valid, received '{text}'"
        ) from None


class Parser(argparse.ArgumentParser):
    """An argument parser whose options may be spelt with ``-`` or ``_``."""

    def __init__(self, *args, **kwargs) -> None:
        kwargs.setdefault("formatter_class", _Help)
        # An abbreviation that works today is ambiguous after the next option.
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def parse_known_args(self, args=None, namespace=None):
        """Parse with hyphens inside long options read as underscores."""
        args = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args([_underscored(a) for a in args], namespace)


def _underscored(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Defaults in the help, except where the text itself tells them."""

    def _get_help_string(self, action):
        if action.default in (None, False, ""):
            return action.help
        return super()._get_help_string(action)
