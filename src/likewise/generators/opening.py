"""From a name to a generator: a folder or a hub name runs here, ``endpoint:MODEL`` is asked over the network."""

from __future__ import annotations

from likewise.generators.endpoint import EndpointGenerator
from likewise.generators.local import LocalGenerator, identity

__all__ = ["generator_identity", "is_endpoint", "open_generator"]

ENDPOINT = "endpoint:"


def is_endpoint(name: str) -> bool:
    """Tell whether a name is that of a model behind an endpoint.

    Example:
        >>> is_endpoint("endpoint:gpt-4o-mini"), is_endpoint("google/flan-t5-base")
        (True, False)
    """
    return name.startswith(ENDPOINT)


def open_generator(
    name: str,
    *,
    url: str | None = None,
    max_new_tokens: int = 256,
    batch_size: int = 16,
    one_line: bool = False,
    token_limit: int = 1_000_000,
    prices: tuple[float, float] = (0.0, 0.0),
) -> LocalGenerator | EndpointGenerator:
    """Open a generator; see :class:`LocalGenerator` and :class:`EndpointGenerator` for the settings.

    Args:
        name: A folder or a hub name, or ``endpoint:MODEL``.
        url: Where the endpoint is; only for one.
        max_new_tokens: Longest reply in tokens.
        batch_size: Prompts that a model reads at a time; only for one that runs here.
        one_line: Whether a reply ends behind its first line; only for one that runs here.
        token_limit: Most tokens that may be taken; only for an endpoint.
        prices: What a million tokens of prompts and of replies cost; only for an endpoint.

    Raises:
        InputError: It cannot be opened.
    """
    if is_endpoint(name):
        return EndpointGenerator(
            name.removeprefix(ENDPOINT), url=url, max_new_tokens=max_new_tokens, token_limit=token_limit, prices=prices
        )
    return LocalGenerator(name, max_new_tokens=max_new_tokens, batch_size=batch_size, one_line=one_line)


def generator_identity(name: str, url: str | None = None) -> str:
    """Return what the replies of a generator depend on beside the prompts, without opening it."""
    return f"{name} at {url}" if is_endpoint(name) else identity(name)
