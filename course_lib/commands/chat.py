"""`python -m course_lib chat`: a chat in the terminal, with the shop's assistant or your own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Gives a parser the options of `chat`."""
    parser.add_argument(
        "--model", type=Path, help="folder that save_model wrote; by default the shop's assistant"
    )
    parser.add_argument("--system", help="system prompt")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Loads the model, which may have to be trained first, and chats until an empty line."""
    from course_lib.chat import ChatSession, terminal_chat
    from course_lib.generation import Sampling

    model, tokenizer = _model(arguments.model)
    sampling = Sampling(temperature=arguments.temperature)
    terminal_chat(ChatSession(model, tokenizer, sampling=sampling, system=arguments.system))


def _model(folder: Path | None) -> tuple[Any, Any]:
    if folder is None:
        from course_lib.assistant import shop_assistant

        return shop_assistant()
    from course_lib.models import load_chat

    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no model: give the folder that save_model wrote")
    return load_chat(folder)
