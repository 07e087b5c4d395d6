"""From a base language model to a dialogue assistant: the helper library of the course.

Importing the package is light: torch is loaded by the first stage that needs it.
"""

__version__ = "0.1.0"
