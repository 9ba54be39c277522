"""Utterances as models of dialogs read them: words in lower case, without punctuation that transcripts hold or lack."""

from __future__ import annotations

import re

__all__ = ["plain_utterance"]

_APOSTROPHE = re.compile(r"(\w)\s+'\s*")
_QUESTION = re.compile(r"(\w)\s+\?")
_WORDS = re.compile(r"(?:[^\W_]|['?])+")


def plain_utterance(text: str) -> str:
    """Join what a tokenizer has split off, and keep words, apostrophes and question marks, in lower case.

    Args:
        text: What was said, perhaps in the spelling of a corpus ("it 's", "where ?").

    Returns:
        The words with one space between them; empty where there is none.

    Source: official ``create_training_data.py`` of arXiv 2410.18481, with three differences: the question mark of
        "where ?" is kept (there it becomes an apostrophe), the typographic apostrophe is an apostrophe, and letters of
        all scripts are letters.

    Example:
        >>> plain_utterance("It 's fine ... Where ?"), plain_utterance("I’d like a café!"), plain_utterance("...")
        ("it's fine where?", "i'd like a café", '')
    """
    text = text.replace("’", "'")
    text = _APOSTROPHE.sub(r"\1'", text)
    text = _QUESTION.sub(r"\1?", text)
    return " ".join(_WORDS.findall(text)).lower()
