"""Our measures as modules of the package `evaluate`, loaded from a local folder without the Hub.

    bleu = load_measure("bleu")                     # in memory, safe in parallel runs
    bleu = evaluate.load(str(measure_path("bleu"))) # the same by evaluate's own call

A module gives {name: value, name_interval: [low, high], name_signature: text}; `groups` names each
item's dialogue. Each stands in modules/<name>/<name>.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import evaluate

FOLDER = Path(__file__).with_name("modules")
TEXT, NUMBER, WHOLE = (datasets.Value(kind) for kind in ("string", "float64", "int64"))


def measure_names() -> list[str]:
    """The measures that `load_measure` knows."""
    return sorted(path.parent.name for path in FOLDER.glob("*/*.py"))


def measure_path(name: str) -> Path:
    """The file that `evaluate.load` takes for a measure."""
    path = FOLDER / name / f"{name}.py"
    if not path.is_file():
        raise ValueError(f"no measure {name!r}; there are {', '.join(measure_names())}")
    return path


def load_measure(name: str, **settings: Any) -> Any:
    """A measure as an `evaluate` module, kept in memory: no file that parallel runs could share."""
    if not settings.get("experiment_id"):
        settings["experiment_id"] = uuid.uuid4().hex
    return evaluate.load(str(measure_path(name)), **{"keep_in_memory": True, **settings})


def combine_measures(names: Sequence[str]) -> Any:
    """Several measures that are computed together."""
    return evaluate.combine([load_measure(name) for name in names])


class Measure(evaluate.Metric):
    """What the modules share; one says what it takes (`inputs`) and computes a score (`score`)."""

    text = ""
    inputs: Any = {"predictions": TEXT, "references": TEXT}

    def _info(self) -> evaluate.MetricInfo:
        kinds = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        return evaluate.MetricInfo(
            description=self.text,
            citation="",
            inputs_description=self.text,
            features=[datasets.Features(kind) for kind in kinds],
        )

    def _compute(
        self,
        predictions: Any = None,
        references: Any = None,
        groups: Sequence[Any] | None = None,
        resamples: int = 1000,
        **settings: Any,
    ) -> dict[str, Any]:
        given = [side for side in (predictions, references) if side is not None]
        score = self.score(*given, **settings)
        interval = score.interval(groups, resamples)
        return {
            self.name: score.value,
            f"{self.name}_interval": [interval.low, interval.high],
            f"{self.name}_signature": score.signature,
        }

    def score(self, *sides: Any, **settings: Any) -> Any:
        """The measure's own function: predictions, then references; returns a Score."""
        raise NotImplementedError


WITH_REFERENCES = [  # one reference a reply, or a list of them
    {"predictions": TEXT, "references": TEXT},
    {"predictions": TEXT, "references": datasets.Sequence(TEXT)},
]
ALONE = {"predictions": TEXT}
LABELS = [
    {"predictions": TEXT, "references": TEXT},
    {"predictions": datasets.Sequence(TEXT), "references": datasets.Sequence(TEXT)},
    {"predictions": WHOLE, "references": WHOLE},
]
TAGS = {"predictions": datasets.Sequence(TEXT), "references": datasets.Sequence(TEXT)}
TOKENS = {"predictions": datasets.Sequence(WHOLE), "references": datasets.Sequence(WHOLE)}
TOKEN_SCORES = {"predictions": datasets.Sequence(NUMBER), "references": datasets.Sequence(WHOLE)}
