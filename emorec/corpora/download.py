"""Fetching CMU-MOSEI: the SDK's files and fold lists, into a folder.

Addresses and names are those of the CMU-Multimodal SDK, whose server is often down; a
copy of the files serves as well.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from emorec.corpora import folds as fold_lists
from emorec.corpora import mosei
from emorec.corpora.checksums import read_checksums, record, recorded, sha256_of
from emorec.corpora.server import UnreachableError
from emorec.corpora.transfer import (
    Patience,
    fetch,
    fetch_small,
    forget,
    part_of,
)
from emorec.errors import BusyError, DataError
from emorec.files import exclusive
from emorec.sequences.csd import open_sequence

SERVER = "http://immortal.multicomp.cs.cmu.edu/CMU-MOSEI"
# The SDK keeps its folds as Python lists; they are read as literals, never run.
FOLDS_URL = (
    "https://raw.githubusercontent.com/CMU-MultiComp-Lab/CMU-MultimodalSDK/main/mmsdk/"
    "mmdatasdk/dataset/standard_datasets/CMU_MOSEI/cmu_mosei_std_folds.py"
)
# What users call a file -> (its folder on the server, its sequence).
PARTS = {
    "words": ("language", mosei.TEXT),
    "facet": ("visual", mosei.IMAGE["facet"]),
    "openface": ("visual", mosei.IMAGE["openface"]),
    "covarep": ("acoustic", mosei.AUDIO),
    "labels": ("labels", mosei.LABELS),
}
FOLDS = "folds"
_FOLDS_LIMIT = 4 << 20

Say = Callable[[str], None]


@dataclass(frozen=True)
class Item:
    """One thing to fetch.

    Attributes
    ----------
    name : str
        What users call it.
    path : Path
        Where it shall lie.
    url : str
        Where it comes from.
    """

    name: str
    path: Path
    url: str

    def state(self) -> str:
        """Say how much of it is here."""
        if self.path.is_file():
            return "there"
        part = part_of(self.path)
        if part.is_file():
            return f"{part.stat().st_size:,} bytes of it are there"
        return "to fetch"


def items(
    folder: str | Path,
    names: Sequence[str],
    server: str = SERVER,
    folds_url: str = FOLDS_URL,
) -> list[Item]:
    """Return what `names` (keys of `PARTS`, `FOLDS`) stand for.

    A file that lies in the folder ``labels`` of the SDK's own layout stays there.
    """
    folder = Path(folder)
    result = []
    for name in names:
        if name == FOLDS:
            result.append(Item(name, folder / fold_lists.FILE_NAME, folds_url))
            continue
        where, sequence = PARTS[name]
        file = mosei.FILES[sequence]
        path = folder / file
        if not path.is_file() and (folder / "labels" / file).is_file():
            path = folder / "labels" / file
        result.append(Item(name, path, f"{server.rstrip('/')}/{where}/{file}"))
    return result


def download(
    wanted: Sequence[Item],
    say: Say,
    patience: Patience | None = None,
    checksums: str | Path | None = None,
) -> list[str]:
    """Fetch what is not there yet, and check what is.

    Parameters
    ----------
    wanted : sequence of Item
        From `items`.
    say : callable
        Receives a line per file and event.
    patience : Patience, optional
        Retries and time-outs.
    checksums : path, optional
        Digests that the files must have (`read_checksums`).

    Returns
    -------
    list of str
        What failed, one message a file; the others are whole.
    """
    patience = patience or Patience()
    expected = read_checksums(checksums) if checksums else {}
    failures: list[str] = []
    unreachable: set[str] = set()
    for item in wanted:
        if checksums and item.name != FOLDS and item.path.name not in expected:
            say(f"{item.path.name}: not named in {checksums}")
        host = urlsplit(item.url).netloc
        # One silence of a server is waited for long, not that of each of its files.
        tries = replace(patience, retries=0) if host in unreachable else patience
        try:
            if item.name == FOLDS:
                _fetch_folds(item, tries, say)
            else:
                _fetch_sequence(item, tries, say, expected.get(item.path.name))
        except (BusyError, DataError) as error:
            if isinstance(error, UnreachableError):
                unreachable.add(host)
            failures.append(str(error))
            say(f"{item.path.name}: FAILED")
        except OSError as error:  # the notes beside a file, on a full disk
            failures.append(
                f"{item.path}: cannot be written ({error.strerror}). Make room, or "
                "choose another folder; what arrived is kept."
            )
            say(f"{item.path.name}: FAILED")
    return failures


def _fetch_sequence(
    item: Item, patience: Patience, say: Say, expected: str | None
) -> None:
    path, folder = item.path, item.path.parent
    if path.is_file():
        _check_present(path, say, expected)
        return
    busy = (
        f"{path}: another emorec is fetching this file. Let it finish, or stop it and "
        "start again; nothing was changed."
    )
    with exclusive(path.with_name(path.name + ".lock"), busy):
        if path.is_file():  # another process was faster
            _check_present(path, say, expected)
            return
        known = recorded(folder).get(path.name, {})
        said = fetch(item.url, path, patience, say)
        part = part_of(path)
        digest = sha256_of(part)
        damaged = path.with_name(path.name + ".damaged")
        try:
            _open(part)
            kept = f"it is kept as {damaged.name}"
            _compare(path, digest, expected, known.get("sha256"), kept)
        except DataError as error:
            # Under its partial name the next call would take it for whole again.
            part.replace(damaged)
            forget(path)
            raise DataError(
                f"{error} It came from {item.url} and lies in {damaged}; the same "
                "command fetches it anew."
            ) from None
        record(folder, path.name, _entry(part, digest, said))
        part.replace(path)
        forget(path)
        size = path.stat().st_size
        say(
            f"{path.name}: {size:,} bytes, SHA-256 {digest[:12]}...{_against(expected)}"
        )


def _check_present(path: Path, say: Say, expected: str | None) -> None:
    known = recorded(path.parent).get(path.name, {})
    digest = sha256_of(path)
    _compare(path, digest, expected, known.get("sha256"), "it is kept as it is")
    _open(path)
    if not known:
        try:
            record(path.parent, path.name, _entry(path, digest, {}))
        except DataError as error:
            # A shared folder need not be ours to write to.
            say(f"{path.name}: its SHA-256 was not recorded: {error}")
    say(f"{path.name}: there, SHA-256 {digest[:12]}...{_against(expected)}")


def _entry(path: Path, digest: str, said: dict) -> dict:
    origin = {key: said[key] for key in ("url", "etag", "last_modified") if key in said}
    return {"sha256": digest, "bytes": path.stat().st_size, **origin}


def _against(expected: str | None) -> str:
    return ", as expected" if expected else ""


def _open(path: Path) -> None:
    """Refuse a file that is no computational sequence."""
    sequence = open_sequence(path)
    if not len(sequence.data):
        raise DataError(f"{path}: a computational sequence without entries.")


def _compare(
    path: Path, digest: str, expected: str | None, known: str | None, kept: str
) -> None:
    if expected is not None and digest != expected:
        raise DataError(
            f"{path}: expected the SHA-256 {expected} of --checksums, received "
            f"{digest}; {kept}. Compare with whoever gave you the digests."
        )
    if expected is None and known is not None and digest != known:
        raise DataError(
            f"{path}: its SHA-256 is {digest}, but {known} was recorded when it came "
            f"first; {kept}. If the change is meant, delete its entry in "
            "checksums.json; else delete the file and fetch it again."
        )


def _fetch_folds(item: Item, patience: Patience, say: Say) -> None:
    if item.path.is_file():
        folds = fold_lists.read_folds(item.path)
        origin = "there"
    elif (folds := fold_lists.mmsdk_folds()) is not None:
        origin = "from the installed mmsdk"
        fold_lists.check_disjoint(folds, "mmsdk")
        fold_lists.write_folds(item.path, folds)
    else:
        origin = f"read from {item.url}"
        try:
            source = fetch_small(item.url, _FOLDS_LIMIT, patience, say)
            folds = parse_folds(source, item.url)
        except DataError as error:
            raise type(error)(
                f"{error} The fold lists are part of the SDK's program, not of its "
                f"data: install mmsdk, give --folds_url, or write {item.path} yourself."
            ) from None
        fold_lists.write_folds(item.path, folds)
    sizes = ", ".join(f"{fold} {len(folds[fold])}" for fold in fold_lists.FOLDS)
    say(f"{item.path.name}: {origin} ({sizes} videos)")


def parse_folds(source: bytes, where: str) -> fold_lists.FoldLists:
    """Read fold lists from JSON or from the SDK's Python source, which is not run.

    Raises
    ------
    DataError
        When `source` is neither.
    """
    try:
        tree = ast.parse(source)
        lists = {}
        for statement in tree.body:
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        lists[target.id] = ast.literal_eval(statement.value)
            elif isinstance(statement, ast.Expr):
                # A JSON object of lists of texts is also a literal of Python.
                lists.update(ast.literal_eval(statement.value))
        folds = {
            fold: lists.get(f"standard_{fold}_fold", lists.get(fold))
            for fold in fold_lists.FOLDS
        }
    # Deep nesting exhausts the parser's memory or stack.
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        start = source[:60].decode("utf-8", "replace").strip()
        raise DataError(
            f"{where}: expected the SDK's fold lists, found '{start}' ({error})."
        ) from None
    for fold, videos in folds.items():
        if (
            not isinstance(videos, list)
            or not videos
            or not all(isinstance(video, str) for video in videos)
        ):
            raise DataError(
                f"{where}: expected a list of video ids standard_{fold}_fold, found "
                f"{type(videos).__name__}."
            )
    fold_lists.check_disjoint(folds, where)
    return folds
