"""Delimited files, read as text: good records into a frame, every other one aside with line, cause and text.

The reader proves itself: every line break of the file belongs to exactly one record, and an independent
parser finds
as many rows as there are good records. Otherwise `ReconciliationError`.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from malles.data import record_kernels as kernels
from malles.errors import DataError, ReconciliationError, SchemaError

REACH = 1 << 16
"""A quoted field may span lines within this many bytes; beyond it, its quote counts as unclosed."""

TEXT_LIMIT = 2_000
"""Characters of raw text kept per quarantined record."""

CAUSE = {
    kernels.UNCLOSED: "unclosed quote",
    kernels.AFTER_QUOTE: "text after a closing quote",
    kernels.TOO_FEW: "too few fields",
    kernels.TOO_MANY: "too many fields",
    kernels.NUL: "NUL byte",
    kernels.NOT_UTF8: "not valid UTF-8",
}


@dataclass(frozen=True)
class Records:
    """One file as text."""

    file: str
    rows: pl.DataFrame
    """The good records: every column as read, `_line` (first physical line)."""
    refused: pl.DataFrame
    """file, line, cause, column, text."""
    count: int
    """Records in the file: good + refused. The header and blank lines are not records."""
    blank: int
    columns: tuple[str, ...]
    content: bytes = b""
    """The file itself, and where each good record stands in it (empty for files that are not delimited
    text)."""
    start: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    end: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def text(self, rows: np.ndarray) -> list[str]:
        """The raw text of good records by their position, at most `TEXT_LIMIT` characters each."""
        if len(self.start):
            return [_excerpt(self.content, int(self.start[i]), int(self.end[i])) for i in rows]
        picked = self.rows[rows.tolist()].drop("_line")
        return [
            json.dumps(row, ensure_ascii=False, default=str)[:TEXT_LIMIT]
            for row in picked.iter_rows(named=True)
        ]


REFUSED = {"file": pl.String, "line": pl.Int64, "cause": pl.String, "column": pl.String, "text": pl.String}
"""Schema of a quarantine."""


def read_delimited(path: Path, *, delimiter: str | None = None, encoding: str = "utf-8") -> Records:
    """Read a delimited file with a header line; nothing is guessed about types.

    A quoted field may contain line breaks. A quote that is not closed, or closed into a record with the
    wrong number of
    fields, spoils only the line it stands on.

    Raises:
        DataError: the file cannot be opened, is empty, or is not in `encoding`.
        SchemaError: two columns have the same name.
        ReconciliationError: the parser and the splitter disagree.
    """
    content = _load(path, encoding)
    raw = np.frombuffer(content, np.uint8)
    head_end = content.find(b"\n")
    head = content[: head_end if head_end >= 0 else len(content)].decode("utf-8", "replace")
    separator = delimiter or _sniff(head)
    names = _header(path, head, separator)
    begin = head_end + 1 if head_end >= 0 else len(content)
    breaks = content.count(b"\n", begin)
    physical = breaks + int(len(content) > begin and not content.endswith(b"\n"))
    start, end, line, lines, status, high = kernels.split_bytes(
        raw, begin, 2, ord(separator), len(names), REACH, physical + 1
    )
    if int(lines.sum()) != physical:
        raise ReconciliationError(
            f"{path.name}: records cover {int(lines.sum()):,} of {physical:,} lines; nothing was imported. "
            "Please report this file."
        )
    _mark_bad_text(content, start, end, status, high)
    good = status <= kernels.ODD
    rows = _parse(
        _good_bytes(content, raw, start, end, status, begin, separator), names, separator, int(good.sum())
    )
    if len(rows) != int(good.sum()):
        raise ReconciliationError(
            f"{path.name}: {int(good.sum()):,} good records but {len(rows):,} parsed rows; nothing was "
            "imported. Please report this file."
        )
    bad = np.flatnonzero(status > kernels.BLANK)
    refused = pl.DataFrame(
        {
            "file": [path.name] * len(bad),
            "line": line[bad],
            "cause": [CAUSE[int(status[i])] for i in bad],
            "column": [None] * len(bad),
            "text": [_excerpt(content, int(start[i]), int(end[i])) for i in bad],
        },
        schema=REFUSED,
    )
    blank = int((status == kernels.BLANK).sum())
    rows = rows.with_columns(pl.Series("_line", line[good], pl.Int64))
    return Records(
        path.name, rows, refused, len(status) - blank, blank, names, content, start[good], end[good]
    )


def _excerpt(content: bytes, start: int, end: int) -> str:
    return content[start : min(end, start + 4 * TEXT_LIMIT)].decode("utf-8", "replace")[:TEXT_LIMIT]


def _load(path: Path, encoding: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}. Check the path and its permissions."
        ) from None
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif content[:3] == b"\xef\xbb\xbf":
        content = content[3:]
    if encoding.lower().replace("-", "") not in ("utf8", "utf8sig"):
        try:
            content = content.decode(encoding).encode("utf-8")
        except LookupError:
            raise DataError(
                f"{path.name}: there is no encoding {encoding!r}. Try 'utf-8', 'latin-1' or 'cp1252'."
            ) from None
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path.name} is not in {encoding}: byte {error.start:,} cannot be read. State another "
                "`encoding`."
            ) from None
    if not content.strip():
        raise DataError(
            f"{path.name} is empty: it has no header line. Give a file whose first line names the columns."
        )
    if b"\n" not in content and b"\r" in content:
        content = content.replace(b"\r", b"\n")
    return content


def _sniff(head: str) -> str:
    """The delimiter that occurs most often in the header, outside quotes; a comma if none does."""
    outside = "".join(head.split('"')[::2])
    return max(",;\t|", key=lambda mark: (outside.count(mark), mark == ","))


def _header(path: Path, head: str, separator: str) -> tuple[str, ...]:
    if "\ufffd" in head or "\x00" in head:
        raise DataError(
            f"{path.name} does not start with a line of text. Unpack it if it is compressed, or state its "
            "`encoding`."
        )
    try:
        cells = next(csv.reader([head.rstrip("\r")], delimiter=separator), [])
    except csv.Error as error:
        raise DataError(f"{path.name}: the header line cannot be read ({error}). Mend its quotes.") from None
    names = tuple(c.strip() or f"column {i + 1}" for i, c in enumerate(cells))
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise SchemaError(
            f"{path.name} names a column twice: {', '.join(map(repr, twice))}. Rename one of them in the "
            "header."
        )
    return names


def _mark_bad_text(
    content: bytes, start: np.ndarray, end: np.ndarray, status: np.ndarray, high: np.ndarray
) -> None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        for i in np.flatnonzero(high & (status <= kernels.ODD)):
            try:
                content[start[i] : end[i]].decode("utf-8")
            except UnicodeDecodeError:
                status[i] = kernels.NOT_UTF8


def _good_bytes(
    content: bytes,
    raw: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    status: np.ndarray,
    begin: int,
    separator: str,
) -> bytes:
    """The good records alone, in canonical quoting; the file itself where it is all good."""
    special = np.flatnonzero(status != kernels.GOOD)
    if len(special) == 0:
        return content[begin:]
    pieces: list[bytes] = []
    at = begin
    for i in special:
        pieces.append(content[at : start[i]])
        if status[i] == kernels.ODD:
            pieces.append(_requote(content[start[i] : end[i]], separator))
        at = int(start[i + 1]) if i + 1 < len(start) else len(content)
    pieces.append(content[at:])
    return b"".join(pieces)


def _requote(record: bytes, separator: str) -> bytes:
    """A record with quotes inside unquoted fields, rewritten so that every parser reads the same."""
    fields, at, mark = [], 0, separator.encode()
    while True:
        if record[at : at + 1] == b'"':
            end = at + 1
            while record[end : end + 1] != b'"' or record[end + 1 : end + 2] == b'"':
                end += 2 if record[end : end + 1] == b'"' else 1
            fields.append(record[at : end + 1])
            at = end + 1
        else:
            end = record.find(mark, at)
            end = len(record) if end < 0 else end
            fields.append(b'"' + record[at:end].replace(b'"', b'""') + b'"' if end > at else b"")
            at = end
        if at >= len(record):
            return mark.join(fields) + b"\n"
        at += 1


def _parse(content: bytes, names: tuple[str, ...], separator: str, expected: int) -> pl.DataFrame:
    if expected == 0:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    try:
        return pl.read_csv(
            content,
            has_header=False,
            new_columns=list(names),
            separator=separator,
            infer_schema=False,
        )
    except pl.exceptions.PolarsError as error:
        raise ReconciliationError(
            f"The good records could not be parsed: {str(error).splitlines()[0]}. Please report this file."
        ) from None
