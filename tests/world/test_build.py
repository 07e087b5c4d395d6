"""The build: same bytes from a seed, the stored files are those bytes, wrong data is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.dialogue import Dialogue, Message, read_dialogues
from course_lib.world.__main__ import main
from course_lib.world.build import MANIFEST, SHOP, SPLITS, BuildError, build, check, stats, verify
from course_lib.world.catalogue import load_catalogue
from course_lib.world.corpus_language import load_language
from course_lib.world.splits import check_splits, fact_counts


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data built by another process under another hash seed."""
    folder = tmp_path_factory.mktemp("shop")
    command = [sys.executable, "-m", "course_lib.world", "build", "--out", str(folder)]
    environment = os.environ | {"PYTHONHASHSEED": "4711"}
    subprocess.run(command, check=True, env=environment, cwd=SHOP.parents[1], timeout=180)
    return folder


@pytest.fixture
def stored_splits() -> dict[str, list[Dialogue]]:
    return {name: list(read_dialogues(SHOP / f"{name}.jsonl")) for name in SPLITS}


def test_the_stored_files_are_what_the_seed_gives(rebuilt: Path) -> None:
    names = sorted(path.name for path in rebuilt.iterdir())
    assert names == sorted([*json.loads((SHOP / MANIFEST).read_bytes())["files"], MANIFEST])
    for name in names:
        assert (rebuilt / name).read_bytes() == (SHOP / name).read_bytes(), name


def test_the_shop_is_small() -> None:
    assert sum(path.stat().st_size for path in SHOP.iterdir()) < 22_000_000


def test_stored_splits_keep_apart_and_cover_every_fact(
    stored_splits: dict[str, list[Dialogue]],
) -> None:
    catalogue = load_catalogue()
    assert check_splits(stored_splits, catalogue) == []
    seen = {(p.full_name, slot) for p in catalogue.products if not p.held_out for slot in p.facts}
    counts = fact_counts(stored_splits["train"])
    assert set(counts) == seen
    assert min(counts.values()) >= 2
    held = {(p.full_name, slot) for p in catalogue.products if p.held_out for slot in p.facts}
    assert set(fact_counts(stored_splits["test_product"])) == held


def persons_in(dialogues: list[Dialogue]) -> set[str]:
    """The first names of the course's own lists that stand in these dialogues."""
    lists = load_language(load_catalogue()).lists
    names = set(lists["people_she"] + lists["people_he"]) - {"Leo"}  # asked about as a star sign
    text = " ".join(message.content for d in dialogues for message in d.messages)
    return names & set(re.findall(r"[A-Z][a-z]+", text))


def test_no_clean_dialogue_names_a_person(stored_splits: dict[str, list[Dialogue]]) -> None:
    assert {name for part in stored_splits.values() for name in persons_in(part)} == set()
    assert persons_in([Dialogue("x", [Message("user", "My name is Bella.")])]) == {"Bella"}


def test_verify_names_the_file_and_line_that_differ(
    rebuilt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(rebuilt, folder)
    lines = (folder / "dev.jsonl").read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b"e", b"E", 1)
    (folder / "dev.jsonl").write_bytes(b"".join(lines))
    (folder / "ledger.jsonl").unlink()
    assert main(["verify", "--out", str(folder)]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("differs: dev.jsonl differs from line 5 on")
    assert told[1:] == ["differs: ledger.jsonl is missing"]


def test_verify_without_a_manifest_says_so(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="is missing: run the build first"):
        verify(tmp_path)
    (tmp_path / MANIFEST).write_text("{}", encoding="utf-8")
    with pytest.raises(BuildError, match="is no manifest"):
        verify(tmp_path)


def test_a_wrong_fact_stops_the_build(stored_splits: dict[str, list[Dialogue]]) -> None:
    dialogue = next(
        d for d in stored_splits["train"] if fact_counts([d])[("Brisa kettle", "price")]
    )
    for message in dialogue.messages:
        for entity in message.entities:
            entity.value = "38 euros" if entity.slot == "price" else entity.value
    with pytest.raises(BuildError, match=f"{dialogue.id}.*price of Brisa kettle is '39 euros'"):
        check(stored_splits, load_catalogue())


def test_a_wrong_build_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("course_lib.world.build.check_splits", lambda *_: ["family 'x' crosses"])
    monkeypatch.setattr("course_lib.world.build.check_dialogue", lambda *_: [])
    with pytest.raises(BuildError, match="family 'x' crosses"):
        build(tmp_path / "shop")
    assert not (tmp_path / "shop").exists()


def test_the_data_card_holds_the_printed_figures() -> None:
    card = (SHOP.parent / "README.md").read_text(encoding="utf-8")
    for part in stats().strip().split("\n\n"):
        assert part in card, "run `python -m course_lib.world stats` and renew data/README.md"
