"""Files named by an address: fetched once, checked, kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from emorec.corpora.checksums import record, recorded, sha256_of
from emorec.corpora.transfer import Patience, fetch, forget, part_of
from emorec.errors import DataError, SpecError
from emorec.files import digest, exclusive

FOLDER = Path("~/.cache/emorec/weights")


def local_copy(
    source: str | Path,
    sha256: str | None = None,
    folder: str | Path = FOLDER,
    patience: Patience | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Return where a file lies, after fetching it when `source` is an address.

    Parameters
    ----------
    source : str or path
        A path, or an address that begins with ``http://`` or ``https://``.
    sha256 : str, optional
        64 hexadecimal digits that the file must have.
    folder : path
        Where fetched files are kept. Each has a name made of its address, so that two
        files of one name do not meet.
    patience : Patience, optional
        Retries and time-outs.
    say : callable
        Receives a line per event.

    Returns
    -------
    Path
        The file; a fetched one has the suffix of its address.

    Raises
    ------
    DataError
        When it is missing, cannot be fetched, or has another digest than `sha256` or,
        without that, than it had when it was fetched.
    SpecError
        When `sha256` is no such digest.
    """
    expected = _checked(sha256)
    if urlsplit(str(source)).scheme not in ("http", "https"):
        path = Path(source).expanduser()
        if not path.is_file():
            raise DataError(
                f"{path}: expected a file, or an address that begins with https://, "
                "found none."
            )
        if expected is not None:
            _compare(path, sha256_of(path), expected, "the one asked for")
        return path
    url, folder = str(source), Path(folder).expanduser()
    name = Path(unquote(urlsplit(url).path)).name or "file"
    path = folder / f"{digest(url)}-{name}"
    # Another process may be fetching it; then it is waited for.
    with exclusive(path.with_name(path.name + ".lock")):
        if not path.is_file():
            _fetch(url, path, expected, patience or Patience(), say)
            return path
    found = sha256_of(path)
    if expected is not None:
        _compare(path, found, expected, "the one asked for")
    elif known := recorded(folder).get(path.name, {}).get("sha256"):
        _compare(path, found, known, "the one that it had when it was fetched")
    return path


def _checked(sha256: str | None) -> str | None:
    if sha256 is None:
        return None
    text = sha256.strip().lower()
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise SpecError(
            f"sha256 '{sha256}': expected 64 hexadecimal digits, as sha256sum prints."
        )
    return text


def _fetch(
    url: str,
    path: Path,
    expected: str | None,
    patience: Patience,
    say: Callable[[str], None],
) -> None:
    """Fetch under the partial name; give the name to a file with the right digest."""
    said = fetch(url, path, patience, say)
    part = part_of(path)
    found = sha256_of(part)
    if expected is not None and found != expected:
        # Kept, the next call would take it for the beginning of the right file.
        part.unlink()
        forget(path)
        raise DataError(
            f"{url}: expected the SHA-256 {expected}, received {found}; nothing was "
            "kept. Compare the address and the digest with where you have them from."
        )
    record(
        path.parent,
        path.name,
        {"sha256": found, "bytes": part.stat().st_size, "url": said["url"]},
    )
    part.replace(path)
    forget(path)
    say(f"{path.name}: fetched, SHA-256 {found}")


def _compare(path: Path, found: str, expected: str, which: str) -> None:
    if found != expected:
        raise DataError(
            f"{path}: its SHA-256 is {found}, not {expected}, {which}. Delete the file "
            "to have it fetched anew, or correct the digest."
        )
