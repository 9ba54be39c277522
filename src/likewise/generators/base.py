"""What is asked of a language model that writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

__all__ = ["ContrastiveGenerator", "Generator"]


@runtime_checkable
class Generator(Protocol):
    """Continues prompts."""

    def generate(self, prompts: Sequence[str]) -> list[str]:
        """Return the reply to each prompt, in their order; an empty one where the model has none."""
        ...


@runtime_checkable
class ContrastiveGenerator(Generator, Protocol):
    """One that sees its own logits, and so can write what one prompt asks for and the opposite one does not."""

    def generate_against(
        self, prompts: Sequence[str], opposites: Sequence[str], *, beta: float, gamma: float
    ) -> list[str]:
        """Return the reply to each prompt, each token chosen by :func:`likewise.generators.contrastive_logits`.

        Args:
            prompts: What is asked for.
            opposites: The opposite of each; its reply is held to begin as that of the prompt.
            beta: How much the opposite counts, >= 0.
            gamma: Which tokens may be chosen, in [0, 1].
        """
        ...
