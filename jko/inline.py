"""Small pieces of HTML by which objects show themselves in a notebook: tables, curves, dots, maps.

Nothing is loaded for them: they are texts. Colours are those that are legible on light and on dark paper.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 200, 96  # of a small picture, in pixels of a screen
BLUE = (0, 114, 178)  # the first colour of the pictures' palette
_TEXT = 'style="text-align:left;vertical-align:top;padding:2px 14px 2px 0"'


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Cells as a table, escaped; the first of a row in the place of its name."""
    top = "".join(f"<th {_TEXT}>{escape(str(cell))}</th>" for cell in head)
    body = "".join(
        f"<tr><th {_TEXT} scope='row'>{escape(str(row[0]))}</th>"
        + "".join(f"<td {_TEXT}>{escape(str(cell))}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table>{f'<thead><tr>{top}</tr></thead>' if top else ''}<tbody>{body}</tbody></table>"


def titled(title: str, *parts: str) -> str:
    """A line in bold, and what follows it."""
    return f"<div><b>{escape(title)}</b>{''.join(parts)}</div>"


def beside(pictures: Iterable[tuple[str, str]]) -> str:
    """Pictures in a row, each with a caption below."""
    items = "".join(
        f"<figure style='margin:4px 16px 4px 0;display:inline-block'>{picture}"
        f"<figcaption style='font-size:85%;opacity:.75'>{escape(caption)}</figcaption></figure>"
        for caption, picture in pictures
    )
    return f"<div>{items}</div>"


def curve(x: np.ndarray, y: np.ndarray, *, zero: bool = False, label: str = "curve") -> str:
    """A curve on its own scale, from 0 on where `zero`; what is not finite is left out."""
    good = np.isfinite(x) & np.isfinite(y)
    x, y = np.asarray(x, dtype=float)[good], np.asarray(y, dtype=float)[good]
    if x.size < 2:
        return _svg("", label)
    low, high = (min(0.0, float(y.min())) if zero else float(y.min())), float(y.max())
    points = _placed(x, y, (float(x.min()), float(x.max())), (low, high))
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    return _svg(f"<polyline points='{line}' fill='none' stroke='{_hex()}' stroke-width='1.6'/>", label)


def dots(points: np.ndarray, lower: np.ndarray, upper: np.ndarray, label: str = "points") -> str:
    """Points `[n, 2]` in a box."""
    placed = _placed(points[:, 0], points[:, 1], (lower[0], upper[0]), (lower[1], upper[1]))
    size = float(np.clip(30.0 / np.sqrt(len(points)), 1.0, 3.0))
    circles = "".join(f"<circle cx='{a:.1f}' cy='{b:.1f}' r='{size:.1f}'/>" for a, b in placed)
    return _svg(f"<g fill='{_hex()}' fill-opacity='.55'>{circles}</g>", label)


def image(values: np.ndarray, label: str = "map") -> str:
    """Values `[n1, n2]` ≥ 0 with the first axis to the right and the second upwards, darker where larger."""
    share = np.clip(values / (values.max() or 1.0), 0.0, 1.0).T[::-1]
    pixels = np.empty((*share.shape, 4), dtype=np.uint8)
    pixels[..., :3] = BLUE
    pixels[..., 3] = np.rint(255.0 * share)
    data = base64.b64encode(png(pixels)).decode("ascii")
    height = int(np.clip(WIDTH * share.shape[0] / share.shape[1] / 1.4, 60, 160))
    return (
        f"<img alt='{escape(label)}' src='data:image/png;base64,{data}' height='{height}' "
        "style='border:1px solid rgba(128,128,128,.5);image-rendering:auto'>"
    )


def png(pixels: np.ndarray) -> bytes:
    """Pixels `[rows, columns, 4]` of whole numbers as a PNG file [ISO 15948]."""
    rows, columns, _ = pixels.shape
    lines = b"".join(b"\0" + pixels[row].tobytes() for row in range(rows))
    head = struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _placed(x, y, x_range: tuple[float, float], y_range: tuple[float, float]) -> np.ndarray:
    shares = [
        (np.asarray(v, dtype=float) - low) / ((high - low) or 1.0)
        for v, (low, high) in ((x, x_range), (y, y_range))
    ]
    return np.stack([3.0 + shares[0] * (WIDTH - 6), HEIGHT - 4.0 - shares[1] * (HEIGHT - 8)], axis=1)


def _svg(inside: str, label: str) -> str:
    return (
        f"<svg role='img' aria-label='{escape(label, quote=True)}' width='{WIDTH}' height='{HEIGHT}' "
        f"viewBox='0 0 {WIDTH} {HEIGHT}' style='border:1px solid rgba(128,128,128,.4)'>{inside}</svg>"
    )


def _hex() -> str:
    return "#{:02x}{:02x}{:02x}".format(*BLUE)
