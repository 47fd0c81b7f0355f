"""One request to a server of files, and what its answer means."""

from __future__ import annotations

import contextlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator

from emorec import __version__
from emorec.errors import DataError

_CHUNK = 1 << 18
# Answers that may be better in a while.
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


class UnreachableError(DataError):
    """No connection to the server could be made."""


class TransientError(Exception):
    """An attempt failed in a way that another may not."""

    def __init__(self, reason: str, wait: float | None = None, connected=True) -> None:
        super().__init__(reason)
        self.wait = wait
        self.connected = connected


class OutOfRangeError(Exception):
    """The server has no bytes from the offset on."""

    def __init__(self, total: int | None) -> None:
        super().__init__()
        self.total = total


def opened(url: str, headers: dict, timeout: float) -> http.client.HTTPResponse:
    """Open `url`; redirections are followed.

    Raises
    ------
    TransientError, OutOfRangeError, DataError
        By what the server answers.
    """
    own = {"User-Agent": f"emorec/{__version__}", "Accept-Encoding": "identity"}
    try:
        request = urllib.request.Request(url, headers=own | headers)
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and "Range" in headers:
                total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
                raise OutOfRangeError(integer(total)) from None
            answer = f"the server answered {error.code} {error.reason}".rstrip()
            if error.code in _TRANSIENT:
                wait = integer(error.headers.get("Retry-After"))
                raise TransientError(answer, wait) from None
            raise DataError(
                f"{url}: {answer}. The file is not there, or not for everyone. Give "
                "another server with --url, or copy the file from someone who has it."
            ) from None
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise TransientError(f"no connection ({reason})", connected=False) from None
    except ValueError as error:
        raise DataError(f"{url}: not an address ({error}).") from None
    encoding = response.headers.get("Content-Encoding", "identity")
    if response.status not in (200, 206) or encoding != "identity":
        response.close()
        raise DataError(
            f"{url}: expected the file as it is, but the server answered "
            f"{response.status} with the encoding '{encoding}'. Give another server "
            "with --url."
        )
    return response


def chunks_of(
    response: http.client.HTTPResponse, limit: int | None = None
) -> Iterator[bytes]:
    """Yield what arrives, never more than declared; a broken one is transient."""
    sizes = (limit, integer(response.headers.get("Content-Length")))
    left = min((size for size in sizes if size is not None), default=None)
    while left is None or left > 0:
        try:
            chunk = response.read1(_CHUNK if left is None else min(_CHUNK, left))
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(
                f"the connection broke ({error or 'dropped'})"
            ) from None
        if not chunk:
            return
        left = None if left is None else left - len(chunk)
        yield chunk


def refuse_pages(
    first: bytes,
    begin: int,
    response: http.client.HTTPResponse,
    name: str,
    url: str,
) -> None:
    """Refuse a page of HTML in place of the file."""
    is_html = "text/html" in (response.headers.get("Content-Type") or "")
    if is_html or (begin == 0 and first.lstrip()[:1] == b"<"):
        start = " ".join(first[:200].decode("utf-8", "replace").split())[:80]
        raise DataError(
            f"{name}: expected data, but {response.url} sends a page that begins "
            f"'{start}'. Is {url} the right place? Give another with --url."
        )


def integer(text: str | None) -> int | None:
    """Return the number that a header holds, None where it holds none."""
    with contextlib.suppress(TypeError, ValueError):
        return int(text)
    return None
