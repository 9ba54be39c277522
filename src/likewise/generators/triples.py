"""Having a language model write, for a sentence, one that follows from it and one that does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from likewise.errors import InputError
from likewise.generators.base import ContrastiveGenerator, Generator

__all__ = ["first_sentence", "sides_lacking", "write_triples", "writing_prompt"]

Side = Literal["positive", "negative"]

_RELATION: Mapping[Side, str] = {"positive": "entailment with", "negative": "negative with"}
_OPPOSITE: Mapping[Side, Side] = {"positive": "negative", "negative": "positive"}
_SHOTS: Mapping[Side, Sequence[tuple[str, str]]] = {
    "positive": (
        ("Two children are building a castle of sand at the lake.", "Kids are playing with sand."),
        ("When she came to the stop, the last bus had already left.", "She came too late for the last bus."),
    ),
    "negative": (
        ("Two children are building a castle of sand at the lake.", "Two children are sitting indoors with a book."),
        ("When she came to the stop, the last bus had already left.", "She was in time for the last bus and took it."),
    ),
}
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»"}


def writing_prompt(sentence: str, side: Side) -> str:
    """Return the prompt for a positive or a negative of a sentence, with two examples.

    Source: MultiCSR (arXiv 2310.10962) for its form; the examples are our own.

    Example:
        >>> print(writing_prompt("A dog barks.", "positive").splitlines()[-1])
        Write a sentence that is entailment with 'A dog barks.':
    """
    ask = f"Write a sentence that is {_RELATION[side]} '{{}}':"
    shots = "".join(f"{ask.format(given)} '{reply}'\n\n" for given, reply in _SHOTS[side])
    return f"Here is how to write such sentences.\n\n{shots}{ask.format(' '.join(sentence.split()))}"


def sides_lacking(row: Mapping[str, Any]) -> list[Side]:
    """Return which of ``positive`` and ``negative`` a row does not bring."""
    return [side for side in _RELATION if not row.get(side)]


def first_sentence(reply: str) -> str | None:
    r"""Return the first line of a reply that says anything, without quotes around it; None where there is none.

    Example:
        >>> first_sentence(" 'A dog is loud.'\n\nWrite a sentence that"), first_sentence("  ")
        ('A dog is loud.', None)
    """
    line = next((line.strip() for line in reply.splitlines() if line.strip()), "")
    if len(line) > 1 and _QUOTES.get(line[0]) == line[-1]:
        line = line[1:-1].strip()
    return line or None


def write_triples(
    rows: Iterable[Mapping[str, Any]],
    generator: Generator,
    *,
    beta: float = 0.0,
    gamma: float = 0.1,
    batch_size: int = 16,
) -> Iterator[dict[str, Any]]:
    """Write the positive and the negative that rows lack.

    Args:
        rows: Rows with a ``text``, and perhaps already with a ``positive`` or a ``negative``, which stay.
        generator: Writes.
        beta: How much the opposite instruction counts against each token, >= 0; above 0 the generator has to be a
            :class:`ContrastiveGenerator` (MultiCSR: 0.5, chosen here).
        gamma: As in :func:`likewise.generators.contrastive_logits`.
        batch_size: Rows whose prompts are handed over together.

    Yields:
        Each row with ``positive`` and ``negative``; None where the reply was empty.

    Raises:
        InputError: Contrast is asked of a generator that does not see its logits.

    Example:
        >>> class Parrot:
        ...     def generate(self, prompts):
        ...         return [prompt.splitlines()[-1].split("'")[1].upper() for prompt in prompts]
        >>> list(write_triples([{"text": "a dog", "negative": "a cat"}], Parrot()))
        [{'text': 'a dog', 'negative': 'a cat', 'positive': 'A DOG'}]
    """
    if beta and not isinstance(generator, ContrastiveGenerator):
        raise InputError(
            f"contrastive decoding (beta {beta}) needs a generator that sees its logits, and "
            f"{type(generator).__name__} does not; set beta to 0, or take a model that runs here."
        )
    left = iter(rows)
    while made := [dict(row) for row in islice(left, batch_size)]:
        missing = [(row, side) for row in made for side in sides_lacking(row)]
        prompts = [writing_prompt(row["text"], side) for row, side in missing]
        replies = _replies(generator, prompts, missing, beta, gamma) if prompts else []
        for (row, side), reply in zip(missing, replies, strict=True):
            row[side] = first_sentence(reply)
        yield from made


def _replies(
    generator: Generator, prompts: list[str], missing: list[tuple[dict[str, Any], Side]], beta: float, gamma: float
) -> list[str]:
    if beta and isinstance(generator, ContrastiveGenerator):
        opposites = [writing_prompt(row["text"], _OPPOSITE[side]) for row, side in missing]
        return generator.generate_against(prompts, opposites, beta=beta, gamma=gamma)
    return generator.generate(prompts)
