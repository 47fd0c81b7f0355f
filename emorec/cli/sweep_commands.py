"""The commands that a sweep may repeat: how one is called, and how its run is named."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from emorec.cli import faces, meld, mosei, mosi, ravdess, voices
from emorec.cli.console import OK, Parser
from emorec.errors import SpecError

_GROUPS = {
    "faces": faces,
    "meld": meld,
    "mosei": mosei,
    "mosi": mosi,
    "ravdess": ravdess,
    "voices": voices,
}


class _Named(NamedTuple):
    """Which options say where a command's runs go.

    Attributes
    ----------
    folder, name : str
        Options; without a name each trial has a folder of its own.
    trains_again : bool
        Whether the command trains a finished run again.
    """

    folder: str = "output"
    name: str = "name"
    trains_again: bool = False


COMMANDS: dict[tuple[str, str], _Named] = {
    ("faces", "train"): _Named(),
    ("meld", "audio"): _Named(),
    ("meld", "face"): _Named(),
    ("meld", "text"): _Named(),
    ("mosei", "train"): _Named("model_folder", "model_name", True),
    ("mosi", "train"): _Named(name=""),
    ("ravdess", "train"): _Named(),
    ("voices", "distill"): _Named(),
    ("voices", "train"): _Named(),
}
# What makes no sense in a trial.
_REFUSED = {
    "help": "print no help",
    "dry_run": "a trial trains",
    "no_train": "a trial trains",
    "overwrite": "what is finished stays",
    "display_fig": "nobody looks at a window per trial",
    "hosts": "a trial is one process",
    "host_rank": "a trial is one process",
    "coordinator": "a trial is one process",
}


def command_of(words: Sequence[str]) -> tuple[str, str]:
    """Return group and name of a training command.

    Raises
    ------
    SpecError
        When a sweep cannot repeat it.
    """
    found = tuple(words[:2])
    known = ", ".join(" ".join(command) for command in COMMANDS)
    if found not in COMMANDS:
        raise SpecError(
            f"command = {list(words)}: expected a training and what it needs, such as "
            f'["mosei", "train"] or ["meld", "text", "DIR"]; known: {known}.'
        )
    if options := [word for word in words if word.startswith("-")]:
        raise SpecError(
            f"command = {list(words)}: options such as {options[0]} stand in [fixed]."
        )
    return found


def _refuse(message: str) -> NoReturn:
    raise SpecError(message)


@cache
def _parsers(command: tuple[str, str]) -> tuple[Parser, argparse.ArgumentParser]:
    """Return the parser of whole lines and the one of the command's options."""
    whole = Parser(prog="emorec")
    groups = whole.add_subparsers(required=True)
    group = groups.add_parser(command[0])
    _GROUPS[command[0]].add_commands(group)
    (commands,) = (a for a in group._actions if isinstance(a.choices, dict))
    own = commands.choices[command[1]]
    whole.error = own.error = _refuse
    return whole, own


def words_of(
    words: Sequence[str], options: Mapping[str, Any], output: Path, name: str
) -> list[str]:
    """Return the command line of a trial.

    Parameters
    ----------
    words : sequence of str
        Command and positional arguments.
    options : mapping
        Name of an option -> its value.
    output : Path
        Folder of the sweep.
    name : str
        Of the trial's run.

    Raises
    ------
    SpecError
        When the command has no such option, or the option cannot have the value.
    """
    command = command_of(words)
    whole, own = _parsers(command)
    known = {
        text[2:]: action
        for action in own._actions
        for text in action.option_strings
        if text.startswith("--")
    }
    place = COMMANDS[command]
    set_here = {place.folder, place.name} - {""}
    for option in options:
        if option in set_here:
            raise SpecError(
                f"{option}: the sweep says where the runs of its trials go; choose its "
                "--output."
            )
        if option not in known or option in _REFUSED:
            there = sorted(set(known) - set_here - set(_REFUSED))
            why = f" ({_REFUSED[option]})" if option in _REFUSED else ""
            raise SpecError(
                f"{option}: not an option of emorec {' '.join(command)} in a "
                f"sweep{why}; known: {', '.join(there)}."
            )
    line = list(words)
    for option, value in options.items():
        line += _spelt(option, known[option], value)
    if place.name:
        line += [f"--{place.folder}={output}", f"--{place.name}={name}"]
    else:
        line.append(f"--{place.folder}={output / name}")
    try:
        whole.parse_args(line)
    except SpecError as error:
        raise SpecError(f"emorec {' '.join(line)}: {error}") from error
    return line


def _spelt(option: str, action: argparse.Action, value: Any) -> list[str]:
    """Return an option and its value as a command line has them."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise SpecError(f"{option} = {value!r}: expected true or false.")
        return [f"--{option}"] if value else []
    if isinstance(value, list):
        if action.nargs not in ("+", "*"):
            raise SpecError(f"{option} = {value!r}: expected one value, not a list.")
        return [f"--{option}", *(_text(option, one) for one in value)]
    if action.nargs in ("+", "*"):
        return [f"--{option}", _text(option, value)]
    return [f"--{option}={_text(option, value)}"]


def _text(option: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise SpecError(f"{option} = {value!r}: expected a text, a number, true or false.")


def call(arguments: Sequence[str]) -> int:
    """Run a command line in this process; return its exit code.

    Raises
    ------
    Exception
        What the command raises.
    """
    whole, _ = _parsers(command_of(arguments[:2]))
    parsed = whole.parse_args(list(arguments))
    return parsed.run(parsed) or OK
