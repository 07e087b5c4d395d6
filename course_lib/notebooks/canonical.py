"""One form for every notebook: the same cells and outputs always give the same bytes."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
import os
import re
import struct
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from course_lib.setup_cell import ROOT, badge, setup_source

Notebook = dict[str, Any]
Cell = dict[str, Any]

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
SETUP_TAG = "setup"
BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*)\)")

COLOURS = 64  # of a plot; the letters' edges need most of them
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
# Chunks of a PNG that hold versions, comments and times, and no pixels.
_PNG_VARYING = {b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf"}


def text_of(value: str | list[str]) -> str:
    """A cell's or output's text; the format allows a list of lines as well."""
    return value if isinstance(value, str) else "".join(value)


def read(path: str | Path) -> Notebook:
    """Reads a notebook file; raises ValueError that names the file when it is none."""
    try:
        notebook: Notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no notebook: {error}") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError(f"{path} is no notebook: it has no list of cells")
    return notebook


def relative_path(path: str | Path) -> str:
    """The path from the top of the repository: its last folder and name."""
    path = Path(path)
    return f"{path.resolve().parent.name}/{path.name}"


def chapter_prefix(path: str | Path) -> str:
    """What every cell id of this notebook starts with: "c00" in chapters, "s00" in solutions."""
    kind = "s" if Path(path).resolve().parent.name == "solutions" else "c"
    number = re.match(r"\d+", Path(path).stem)
    return kind + (number[0] if number else re.sub(r"[^a-z0-9]", "", Path(path).stem.lower())[:8])


def canonicalise(notebook: Notebook, path: str | Path, root: Path = ROOT) -> Notebook:
    """The canonical copy of a notebook whose place is `path`.

    Renews set-up cell and badge, numbers code cells 1..n, keeps tags as the only cell metadata,
    merges streams, gives pictures a palette, and drops timings, widget state, model ids and the
    varying parts of PNGs.
    """
    cells = [_cell(cell) for cell in copy.deepcopy(notebook["cells"])]
    _number(cells)
    _renew_setup(cells, root)
    _renew_badge(cells, path, root)
    _name(cells, chapter_prefix(path))
    return {
        "cells": cells,
        "metadata": copy.deepcopy(METADATA),
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def dumps(notebook: Notebook) -> str:
    """The notebook's text: keys sorted, one space of indent, a newline at the end."""
    lined = copy.deepcopy(notebook)
    for cell in lined["cells"]:
        cell["source"] = _lines(cell["source"])
        for output in cell.get("outputs", []):
            _line_output(output)
    return json.dumps(lined, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write(notebook: Notebook, path: str | Path) -> None:
    """Writes in one step: a reader sees the old file or the new one, never half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".ipynb.tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(dumps(notebook))
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def tags(cell: Cell) -> list[str]:
    return list(cell.get("metadata", {}).get("tags", []))


def tagged_source(notebook: Notebook, tag: str) -> str:
    """The text of the one cell with this tag; raises KeyError when it is not exactly one."""
    found = [text_of(cell["source"]) for cell in notebook["cells"] if tag in tags(cell)]
    if len(found) != 1:
        raise KeyError(f"{len(found)} cells are tagged {tag!r}; there must be one")
    return found[0]


def code_cells(notebook: Notebook) -> list[Cell]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _cell(cell: Cell) -> Cell:
    kept: Cell = {
        "cell_type": cell["cell_type"],
        "id": cell.get("id", ""),
        "metadata": {"tags": tags(cell)} if tags(cell) else {},
        "source": text_of(cell["source"]).rstrip("\n"),
    }
    if cell["cell_type"] == "code":
        kept["execution_count"] = None
        kept["outputs"] = _merge([_output(output) for output in cell.get("outputs", [])])
    return kept


def _number(cells: list[Cell]) -> None:
    count = 0
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        count += 1
        cell["execution_count"] = count
        for output in cell["outputs"]:
            if output["output_type"] == "execute_result":
                output["execution_count"] = count


def _renew_setup(cells: list[Cell], root: Path) -> None:
    for cell in cells:
        if cell["cell_type"] == "code" and SETUP_TAG in tags(cell):
            cell["source"] = setup_source(root)


def _renew_badge(cells: list[Cell], path: str | Path, root: Path) -> None:
    if cells and cells[0]["cell_type"] == "markdown":
        own = badge(relative_path(path), root)
        cells[0]["source"] = BADGE.sub(lambda _: own, cells[0]["source"])


def _name(cells: list[Cell], prefix: str) -> None:
    """Keeps ids of our form; a new or repeated one comes from the cell's text."""
    own = re.compile(rf"{prefix}-[0-9a-f]{{8}}")
    taken: set[str] = set()
    kept = {id(c) for c in cells if own.fullmatch(c["id"]) and not _seen(c["id"], taken)}
    for cell in cells:
        salt = 0
        while id(cell) not in kept:
            text = f"{cell['cell_type']}\0{cell['source']}\0{salt}"
            cell["id"] = f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
            salt += 1
            if not _seen(cell["id"], taken):
                break


def _seen(name: str, taken: set[str]) -> bool:
    known = name in taken
    taken.add(name)
    return known


def _output(output: dict[str, Any]) -> dict[str, Any]:
    kind = output["output_type"]
    if kind == "stream":
        return {"output_type": kind, "name": output["name"], "text": text_of(output["text"])}
    if kind == "error":
        return {key: output[key] for key in ("output_type", "ename", "evalue", "traceback")}
    kept = {"output_type": kind, "metadata": {}, "data": _data(output["data"])}
    return kept | ({"execution_count": None} if kind == "execute_result" else {})


def _data(data: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for mime, value in sorted(data.items()):
        if mime.startswith("application/vnd.jupyter.widget"):
            continue  # a model id of a kernel that is gone
        if mime == "image/png":
            kept[mime] = _plain_png(text_of(value))
        else:
            kept[mime] = value if mime.endswith("json") else text_of(value)
    return kept


def _plain_png(encoded: str) -> str:
    """A PNG in base64 with few colours, without the chunks that name versions or times."""
    picture = base64.b64decode(encoded)
    if not picture.startswith(_PNG_HEAD):
        return encoded
    picture = _with_palette(picture)
    kept, place = [_PNG_HEAD], len(_PNG_HEAD)
    while place < len(picture):
        (length,) = struct.unpack(">I", picture[place : place + 4])
        end = place + length + 12  # length, kind and checksum take four bytes each
        if picture[place + 4 : place + 8] not in _PNG_VARYING:
            kept.append(picture[place:end])
        place = end
    return base64.b64encode(b"".join(kept)).decode("ascii") + "\n"


def _with_palette(picture: bytes) -> bytes:
    """A plot in a palette, a third of its size; what has a palette already stays as it is."""
    image = Image.open(io.BytesIO(picture))
    if image.mode == "P":
        return picture
    plain = Image.new("RGB", image.size, "white")
    plain.paste(image, mask=image.getchannel("A") if "A" in image.getbands() else None)
    small = io.BytesIO()
    # An octree keeps a thin line's colour; Pillow's default gives the palette to the large areas.
    few = plain.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(small, "PNG", optimize=True)
    return small.getvalue()


def _merge(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Joins neighbouring pieces of one stream, and applies carriage returns."""
    merged: list[dict[str, Any]] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            merged.append(output)
    for output in merged:
        if output["output_type"] == "stream":
            output["text"] = re.sub(r"[^\n]*\r(?!\n)", "", output["text"])
    return merged


def _lines(text: str | list[str]) -> list[str]:
    """Lines with their ends, split at newlines only, as the notebook format has them."""
    return re.findall(r"[^\n]*\n|[^\n]+", text_of(text))


def _line_output(output: dict[str, Any]) -> None:
    if "text" in output:
        output["text"] = _lines(output["text"])
    for mime, value in output.get("data", {}).items():
        if not mime.startswith("image/") and not mime.endswith("json"):
            output["data"][mime] = _lines(value)
