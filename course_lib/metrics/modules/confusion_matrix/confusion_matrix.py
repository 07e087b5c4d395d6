"""Counts of one label an item: rows true, columns said."""

from typing import Any

from course_lib.metrics import as_module, classes


class ConfusionMatrix(as_module.Measure):
    text = __doc__
    inputs = {"predictions": as_module.TEXT, "references": as_module.TEXT}

    def _compute(
        self, predictions: Any = None, references: Any = None, *_: Any, **settings: Any
    ) -> dict[str, Any]:
        labels, counts = classes.confusion(references, predictions, settings.get("most"))
        return {"confusion_matrix": counts.tolist(), "confusion_matrix_labels": labels}
