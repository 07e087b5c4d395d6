"""The writer: one form, stable ids, nothing that varies."""

from __future__ import annotations

import base64
import io
import json

import pytest

from course_lib.notebooks.canonical import canonicalise, dumps, read, tagged_source
from course_lib.setup_cell import badge, setup_source
from tests.notebooks.conftest import clean_solution, code, markdown, notebook, stream

PATH = "solutions/90_try.ipynb"


def canonical(*cells):
    return canonicalise(notebook(*cells), PATH)


def test_the_canonical_form_is_a_fixed_point():
    once = canonicalise(clean_solution(), PATH)
    assert dumps(canonicalise(once, PATH)) == dumps(once)
    assert dumps(canonicalise(json.loads(dumps(once)), PATH)) == dumps(once)


def test_the_notebook_format_is_valid():
    nbformat = pytest.importorskip("nbformat")
    picture = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "a\nb"}}
    result = {"output_type": "execute_result", "metadata": {}, "data": {"text/plain": "1"}}
    result["execution_count"] = 9
    form = canonical(markdown("# x"), code("1", stream("a\n"), picture, result))
    nbformat.validate(nbformat.reads(dumps(form), as_version=4))


def test_the_input_is_not_changed():
    content = clean_solution()
    before = json.dumps(content)
    canonicalise(content, PATH)
    assert json.dumps(content) == before


def test_counts_run_from_one_and_results_carry_them():
    result = {"output_type": "execute_result", "execution_count": 44, "data": {}, "metadata": {}}
    cells = canonical(code("a"), markdown("m"), code("b", result))["cells"]
    assert [cell.get("execution_count") for cell in cells] == [1, None, 2]
    assert cells[2]["outputs"][0]["execution_count"] == 2


def test_neighbouring_streams_merge_and_carriage_returns_apply():
    cell = code("a", stream("1%\r50%\r"), stream("100%\ndone\n"), stream("w", "stderr"))
    outputs = canonical(cell)["cells"][0]["outputs"]
    assert [(o["name"], o["text"]) for o in outputs] == [
        ("stdout", "100%\ndone\n"),
        ("stderr", "w"),
    ]


def test_timings_widget_views_and_output_metadata_go():
    view = {
        "output_type": "display_data",
        "metadata": {"needs_background": "light"},
        "data": {"text/plain": "Chat()", "application/vnd.jupyter.widget-view+json": {"id": "x"}},
    }
    cell = code("a", view, tags=("keep",))
    cell["metadata"] |= {"execution": {"start": "10:00"}, "collapsed": False}
    done = canonical(cell)["cells"][0]
    assert done["metadata"] == {"tags": ["keep"]}
    assert done["outputs"][0]["data"] == {"text/plain": "Chat()"}
    assert done["outputs"][0]["metadata"] == {}


def test_ids_survive_edits_and_insertions():
    first = canonical(markdown("one"), code("two"), code("three"))
    edited = json.loads(dumps(first))
    edited["cells"][1]["source"] = "two, better"
    edited["cells"].insert(1, code("new"))
    names = [cell["id"] for cell in canonicalise(edited, PATH)["cells"]]
    assert [names[0], *names[2:]] == [cell["id"] for cell in first["cells"]]
    assert len(set(names)) == 4


def test_equal_and_copied_cells_get_different_ids():
    form = canonical(code("same"), code("same"))
    form["cells"].append(json.loads(json.dumps(form["cells"][0])))
    again = canonicalise(form, PATH)
    names = [cell["id"] for cell in again["cells"]]
    assert len(set(names)) == 3 and names[:2] == [cell["id"] for cell in form["cells"][:2]]


def test_chapters_and_solutions_never_share_an_id():
    content = notebook(markdown("same"))
    one = canonicalise(content, "notebooks/03_x.ipynb")["cells"][0]["id"]
    other = canonicalise(content, "solutions/03_x.ipynb")["cells"][0]["id"]
    assert (one[:4], other[:4]) == ("c03-", "s03-")


def test_set_up_cell_and_badge_are_renewed():
    old = code("import old", tags=("setup",))
    cells = canonical(markdown("# T\n\n[![Open in Colab](a)](b)"), old)["cells"]
    assert badge(PATH) in cells[0]["source"]
    assert cells[1]["source"] == setup_source()


def figure_png(**metadata: str) -> str:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 3, 2])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata=metadata)
    return base64.b64encode(buffer.getvalue()).decode("ascii") + "\n"


def test_the_same_figure_gives_the_same_bytes_whatever_wrote_it():
    ours, theirs = figure_png(), figure_png(Software="another 9.9", Comment="now")
    assert ours != theirs
    forms = [
        canonical(
            code("plt.show()", {"output_type": "display_data", "data": {"image/png": picture}})
        )
        for picture in (ours, theirs)
    ]
    assert dumps(forms[0]) == dumps(forms[1])
    kept = base64.b64decode(forms[0]["cells"][0]["outputs"][0]["data"]["image/png"])
    assert b"matplotlib" not in kept
    before = base64.b64decode(ours)
    image = pytest.importorskip("PIL.Image")
    pixels = [image.open(io.BytesIO(p)).convert("RGB").tobytes() for p in (kept, before)]
    assert max(abs(a - b) for a, b in zip(*pixels, strict=True)) < 32  # of 255, at letters' edges
    assert len(kept) < len(before) / 2


def test_a_picture_keeps_its_palette():
    once = canonical(
        code("a", {"output_type": "display_data", "data": {"image/png": figure_png()}})
    )
    assert dumps(canonicalise(once, PATH)) == dumps(once)


def test_a_thin_line_keeps_its_colour_beside_large_areas():
    image = pytest.importorskip("PIL.Image")
    blue, picture = (31, 111, 180), image.new("RGB", (300, 200), "white")
    for x in range(300):
        for y in range(150):
            share = (x * 37 + y * 101) % 256 / 255
            picture.putpixel((x, y), tuple(round(255 - share * d) for d in (132, 161, 88)))
    for x in range(10, 30):
        picture.putpixel((x, 170), blue)
    file = io.BytesIO()
    picture.save(file, "PNG")
    data = {"image/png": base64.b64encode(file.getvalue()).decode()}
    form = canonical(code("a", {"output_type": "display_data", "data": data}))
    kept = base64.b64decode(form["cells"][0]["outputs"][0]["data"]["image/png"])
    small = image.open(io.BytesIO(kept))
    seen = small.convert("RGB").getpixel((20, 170))
    assert small.mode == "P"
    assert max(abs(a - b) for a, b in zip(seen, blue, strict=True)) < 16


def test_a_tag_names_one_cell():
    form = canonical(code("a", tags=("x",)), code("b", tags=("y",)), code("c", tags=("y",)))
    assert tagged_source(form, "x") == "a"
    for tag in ("y", "missing"):
        with pytest.raises(KeyError, match="there must be one"):
            tagged_source(form, tag)


def test_a_failed_write_leaves_the_file(put, monkeypatch):
    path = put(clean_solution())
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        put(notebook(markdown("other")))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert read(path)["cells"][0]["source"][0].startswith("# Solutions")
