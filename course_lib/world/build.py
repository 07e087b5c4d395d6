"""Builds `data/shop` from one seed, checks it, and compares a rebuild with what is stored."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from course_lib.dialogue import Dialogue, Reject, read_dialogues
from course_lib.world.catalogue import FACT_SLOTS, Catalogue, load_catalogue
from course_lib.world.corpus import build_corpus
from course_lib.world.defects import encoded, plant
from course_lib.world.richness import act_shares, distinct_share, nearest_similarities, words_of
from course_lib.world.splits import (
    SIZES,
    check_dialogue,
    check_splits,
    fact_counts,
    text_of,
    write_splits,
)
from course_lib.world.wordings import Language, load_language

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "data" / "shop"
SEED = 7
SPLITS = tuple(SIZES)
MANIFEST = "manifest.json"
END_OF_TEXT = "<|endoftext|>"


class BuildError(RuntimeError):
    """Data that breaks its own rules, or differs from what the seed gives; lists what and where."""


def build(out: str | Path = SHOP, seed: int = SEED) -> dict[str, Any]:
    """Writes splits, raw logs, ledger and manifest into `out`; returns the manifest.

    The same seed gives the same bytes. Raises BuildError, before a file is written, when a
    dialogue states a wrong fact or something crosses between splits.
    """
    catalogue, language = load_catalogue(), load_language()
    splits = write_splits(catalogue, language, seed)
    check(splits, catalogue)
    raw, ledger = plant(splits["train"], splits["test_iid"], catalogue, seed)
    files = {f"{name}.jsonl": _lines(d.to_dict() for d in splits[name]) for name in SPLITS}
    files["raw.jsonl"] = b"".join(line + b"\n" for line in raw)
    files["ledger.jsonl"] = _lines(ledger)
    manifest = {
        "seed": seed,
        "files": {name: _described(data) for name, data in files.items()},
        "counts": _counts(splits, ledger, catalogue, language),
        "corpus": corpus_entry(catalogue, seed),
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    _write_all(Path(out), files | {MANIFEST: text.encode()})
    return manifest


def check(splits: Mapping[str, Sequence[Dialogue]], catalogue: Catalogue) -> None:
    """Raises BuildError on a wrong fact, a broken record or a crossing between splits."""
    problems = check_splits(splits, catalogue)
    for dialogues in splits.values():
        problems += [p for dialogue in dialogues for p in check_dialogue(dialogue, catalogue)]
    if problems:
        more = f"\n  and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise BuildError("the dialogues are wrong:\n  " + "\n  ".join(problems[:10]) + more)


def corpus_entry(catalogue: Catalogue, seed: int) -> dict[str, Any]:
    """sha256, documents and words of the pretraining text, which is rebuilt and not stored.

    The hash is that of the model card: each document followed by the end token.
    """
    digest, documents, words = hashlib.sha256(), 0, 0
    for text in build_corpus(catalogue, seed):
        digest.update(f"{text}{END_OF_TEXT}".encode())
        documents, words = documents + 1, words + len(text.split())
    return {"sha256": digest.hexdigest(), "documents": documents, "words": words}


def _lines(records: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(encoded(record) + b"\n" for record in records)


def _described(data: bytes) -> dict[str, Any]:
    sha256 = hashlib.sha256(data).hexdigest()
    return {"sha256": sha256, "bytes": len(data), "lines": data.count(b"\n")}


def _counts(
    splits: Mapping[str, Sequence[Dialogue]],
    ledger: Sequence[Mapping[str, Any]],
    catalogue: Catalogue,
    language: Language,
) -> dict[str, Any]:
    wordings = {
        side: {"files": len(files), "wordings": sum(map(len, files.values()))}
        for side, files in language.wordings.items()
    }
    return {
        "products": len(catalogue.products),
        "held_out_products": sum(product.held_out for product in catalogue.products),
        "wordings": wordings,
        "dialogues": {name: len(dialogues) for name, dialogues in splits.items()},
        "families": {name: len({d.family_id for d in part}) for name, part in splits.items()},
        "planted": dict(sorted(Counter(entry["kind"] for entry in ledger).items())),
    }


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        aside = folder / f".{name}.new"
        aside.write_bytes(data)
        aside.replace(folder / name)


# -- verify ------------------------------------------------------------------------------------


def verify(folder: str | Path = SHOP) -> list[str]:
    """Rebuilds from the manifest's seed and says which stored files differ, and how."""
    folder = Path(folder)
    try:
        stored = json.loads((folder / MANIFEST).read_bytes())
        seed = stored["seed"]
    except FileNotFoundError:
        raise BuildError(f"{folder / MANIFEST} is missing: run the build first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BuildError(f"{folder / MANIFEST} is no manifest ({error}): build again") from None
    with tempfile.TemporaryDirectory() as rebuilt:
        manifest = build(rebuilt, seed)
        names = [*manifest["files"], MANIFEST]
        problems = [_difference(folder / name, Path(rebuilt) / name) for name in names]
    if stored.get("corpus") != manifest["corpus"]:
        problems.append("the pretraining text differs from the manifest's corpus entry")
    return [problem for problem in problems if problem]


def _difference(stored: Path, rebuilt: Path) -> str | None:
    if not stored.exists():
        return f"{stored.name} is missing"
    old, new = stored.read_bytes().split(b"\n"), rebuilt.read_bytes().split(b"\n")
    if old == new:
        return None
    pairs = zip(old, new, strict=False)
    line = next((n for n, (a, b) in enumerate(pairs, 1) if a != b), min(len(old), len(new)) + 1)
    return f"{stored.name} differs from line {line} on ({len(old) - 1} and {len(new) - 1} lines)"


# -- stats -------------------------------------------------------------------------------------


def stats(folder: str | Path = SHOP) -> str:
    """The data card's figures, read from the stored files, as Markdown."""
    folder = Path(folder)
    counts = json.loads((folder / MANIFEST).read_bytes())["counts"]
    splits = {name: list(read_dialogues(folder / f"{name}.jsonl")) for name in SPLITS}
    parts = [
        _split_table(splits, counts["families"]),
        _length_table(splits["train"]),
        _act_table(splits["train"]),
        _richness_table(splits),
        _nearest_table(splits["train"]),
        _raw_table(folder),
        _wordings_text(counts),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _split_table(splits: Mapping[str, list[Dialogue]], families: Mapping[str, int]) -> str:
    rows = []
    for name, dialogues in splits.items():
        turns = sum(len(dialogue.messages) for dialogue in dialogues)
        words = sum(len(m.content.split()) for d in dialogues for m in d.messages)
        asking = sum(bool(fact_counts([dialogue])) for dialogue in dialogues)
        facts = sum(fact_counts(dialogues).values())
        share = f"{asking / len(dialogues):.0%}"
        rows.append((name, len(dialogues), families[name], turns, words, facts, share))
    head = ("split", "dialogues", "families", "messages", "words", "facts told", "with a fact")
    return _table(head, rows)


def _length_table(dialogues: Sequence[Dialogue]) -> str:
    lengths = Counter(len(dialogue.messages) for dialogue in dialogues)
    return _table(("messages (train)", "dialogues"), sorted(lengths.items()))


def _act_table(dialogues: Sequence[Dialogue]) -> str:
    rows = [
        (role, act, f"{share:.1%}")
        for role in ("user", "assistant")
        for act, share in act_shares(dialogues, role)
    ]
    return _table(("role (train)", "act", "share of turns"), rows)


def _richness_table(splits: Mapping[str, list[Dialogue]]) -> str:
    """Vocabulary and distinct n-grams of each split, by role."""
    rows = []
    for name, dialogues in splits.items():
        for role in ("user", "assistant"):
            turns = [words_of(m.content) for d in dialogues for m in d.messages if m.role == role]
            shares = [f"{distinct_share(turns, n):.3f}" for n in (1, 2, 3)]
            vocabulary = len({word for turn in turns for word in turn})
            rows.append((name, role, len(turns), vocabulary, *shares))
    head = ("split", "role", "turns", "different words", "distinct-1", "distinct-2", "distinct-3")
    return _table(head, rows)


def _nearest_table(dialogues: Sequence[Dialogue]) -> str:
    """Histogram of the similarity to the nearest neighbour, for every sixth dialogue."""
    texts = [text_of(dialogue).lower() for dialogue in dialogues]
    nearest = nearest_similarities(texts, range(0, len(texts), 6))
    bins = Counter(min(9, int(similarity * 10)) for similarity in nearest)
    rows = [(f"{b / 10:.1f} to {(b + 1) / 10:.1f}", bins[b]) for b in range(10)]
    median = f"median {sorted(nearest)[len(nearest) // 2]:.2f}"
    return _table((f"nearest neighbour (train), {median}", "dialogues"), rows)


def _raw_table(folder: Path) -> str:
    rejects: list[Reject] = []
    read = sum(1 for _ in read_dialogues(folder / "raw.jsonl", rejects))
    entries = [json.loads(line) for line in (folder / "ledger.jsonl").read_bytes().splitlines()]
    kinds = Counter((entry["kind"], entry["action"]) for entry in entries)
    rows = [(kind, action, count) for (kind, action), count in sorted(kinds.items())]
    text = (
        f"raw.jsonl: {read + len(rejects):,} lines, of which {len(rejects):,} cannot be read "
        f"and {len(entries):,} stand in the ledger."
    )
    return text + "\n\n" + _table(("planted", "right action", "lines"), rows)


def _wordings_text(counts: Mapping[str, Any]) -> str:
    customer, agent = counts["wordings"]["customer"], counts["wordings"]["agent"]
    return (
        f"{customer['wordings']:,} customer wordings in {customer['files']} files, "
        f"{agent['wordings']:,} agent wordings in {agent['files']} files, "
        f"{counts['products']} products ({counts['held_out_products']} held out), "
        f"{len(FACT_SLOTS)} kinds of facts."
    )
