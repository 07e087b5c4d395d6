"""ROUGE-L: F1 of the longest common subsequence of words."""

from typing import Any

from course_lib.metrics import as_module, overlap


class RougeL(as_module.Measure):
    text = __doc__
    inputs = as_module.WITH_REFERENCES

    def score(self, replies: Any, references: Any, **settings: Any) -> Any:
        return overlap.rouge_l(replies, references, **settings)
