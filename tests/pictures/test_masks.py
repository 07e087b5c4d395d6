"""Pictures of masks and batches: they show what the data say, in the same bytes every time."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

from course_lib.batching import IGNORE, collate_packed, pad_batch
from course_lib.chat_format import Encoded
from course_lib.pictures import masks
from course_lib.pictures.masks import (
    batch_grid,
    cut_strip,
    plot_lengths,
    plot_steps,
    row_masks,
    shift_strip,
)

DIALOGUE = Encoded(
    list(range(9)), [False] * 2 + [True, True] + [False] * 2 + [True] * 3, "d", [(0, 4), (4, 9)]
)
OTHER = Encoded([5, 6, 7], [False, True, True], "e", [(0, 3)])


def test_the_shift_shows_what_each_token_predicts():
    view = shift_strip(["a", "b", "<c>"], [IGNORE, IGNORE, 7])
    assert repr(view) == "a · b, b → <c>"
    assert "&lt;c&gt;" in view._repr_html_() and "<c>" not in view._repr_html_()
    with pytest.raises(ValueError, match="2 tokens, but 1 labels"):
        shift_strip(["a", "b"], [1])


def test_a_cut_shows_what_is_left():
    tokens = list("abcdefghi")
    assert repr(cut_strip(DIALOGUE, tokens, 9, "right")) == "ab«cd»ef«ghi»"
    assert repr(cut_strip(DIALOGUE, tokens, 6, "right")) == "ab«cd»ef[-ghi-]"
    assert repr(cut_strip(DIALOGUE, tokens, 5, "oldest_turns")) == "[-abcd-]ef«ghi»"
    assert repr(cut_strip(DIALOGUE, tokens, 5, "set_aside")) == "[-abcdefghi-]"


def test_a_grid_tells_padding_context_and_trained_apart():
    padded = masks._kinds(pad_batch([DIALOGUE, OTHER], 0))
    assert padded[1] == [3, 2, 2, 0, 0, 0, 0, 0, 0]
    packed = masks._kinds(collate_packed([[OTHER, OTHER], [OTHER]], 7, 8))
    assert packed == [[3, 2, 2, 3, 2, 2, 0, 0], [3, 2, 2, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: batch_grid({"one": pad_batch([DIALOGUE, OTHER], 0)}),
        lambda: row_masks({"all": [[1, 0, 0], [1, 1, 0], [1, 1, 1]]}, {"a": 1, "b": 2}),
        lambda: plot_lengths([3, 9, 30], [10]),
        lambda: plot_steps({"fixed": [3, 1], "budget": [2, 2]}, "tokens"),
        lambda: plot_steps({"leak": [0.0, 1.0]}, "moved", "position", log=True),
    ],
)
def test_pictures_repeat_byte_for_byte(draw):
    assert draw()._repr_png_() == draw()._repr_png_()
    assert draw()._repr_png_().startswith(b"\x89PNG")
    assert repr(draw()).startswith("<")
