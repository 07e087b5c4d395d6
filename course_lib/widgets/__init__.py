"""Widgets for the notebooks; no stage of the pipeline imports this package."""

from course_lib.widgets.chat import Chat
from course_lib.widgets.label import Label

__all__ = ["Chat", "Label"]
