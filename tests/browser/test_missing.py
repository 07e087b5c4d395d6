"""Without a browser a learner is told how to get one."""

from __future__ import annotations

import pytest

from tests.browser import lab
from tests.browser.conftest import what_is_missing


def test_without_chromium_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lab, "chromium", lambda: None)
    said = what_is_missing()
    assert said is not None and "apt-get install chromium" in said and "CHROMIUM" in said
