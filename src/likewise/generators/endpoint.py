"""A language model behind an endpoint that speaks OpenAI's protocol, as most servers do."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from likewise.data import cache_folder
from likewise.errors import InputError, RunError
from likewise.extras import optional

__all__ = ["EndpointGenerator", "Estimate"]

KEY = "OPENAI_API_KEY"
"""Environment variable that holds the key."""
CHARACTERS_PER_TOKEN = 4
"""Of English, in the vocabularies of large models; for estimates only."""
USUAL_REPLY_TOKENS = 40
"""What a sentence that is written takes; for estimates only."""
MILLION = 1_000_000


@dataclass(frozen=True)
class Estimate:
    """What some prompts will take, before one of them is sent.

    Args:
        requests: Prompts that are not answered yet.
        tokens: Of prompts and replies together, about.
        cost: In the currency of the prices; None where no prices are known.
    """

    requests: int
    tokens: int
    cost: float | None

    def __str__(self) -> str:
        money = "" if self.cost is None else f", about {self.cost:.2f} in the currency of your prices"
        return f"{self.requests:,} requests, about {self.tokens:,} tokens{money}"


@dataclass
class _Spent:
    tokens: int = 0


class EndpointGenerator:
    """A model behind ``URL/chat/completions``, asked several prompts at a time, at temperature 0.

    The key is read from the environment variable ``OPENAI_API_KEY``, never from a setting, so that it gets into no
    file; an endpoint of your own that asks for none needs none. A request that fails for a while (timeout, connection,
    429, 5xx) is repeated after a growing pause, by the client of ``openai``. Every reply is kept on the disk as it
    comes, so that no prompt is paid for twice.

    Args:
        model: Name of the model, as the endpoint calls it.
        url: Where the endpoint is, with ``/v1``; OpenAI's where not given.
        max_new_tokens: Longest reply in tokens, >= 1.
        timeout_s: Seconds until a request counts as failed, > 0.
        retries: How often a request is repeated, >= 0.
        concurrency: Requests under way at a time, >= 1.
        token_limit: Most tokens, of prompts and replies together, that this object may take in its life, >= 0; prompts
            that would take more are refused before one is sent.
        prices: What a million tokens of prompts and of replies cost, >= 0; only for telling the cost.
        cache: File of the replies; ``likewise``'s cache folder where not given.

    Raises:
        InputError: A number is out of its range, there is no key, or the package ``openai`` is not installed.
    """

    def __init__(
        self,
        model: str,
        *,
        url: str | None = None,
        max_new_tokens: int = 256,
        timeout_s: float = 60.0,
        retries: int = 6,
        concurrency: int = 8,
        token_limit: int = MILLION,
        prices: tuple[float, float] = (0.0, 0.0),
        cache: Path | None = None,
    ) -> None:
        if max_new_tokens < 1 or timeout_s <= 0 or retries < 0 or concurrency < 1:
            raise InputError(
                f"the endpoint is to answer in {max_new_tokens} tokens and {timeout_s} seconds, {retries} retries, "
                f"{concurrency} requests at a time; these are >= 1, > 0, >= 0 and >= 1."
            )
        if token_limit < 0 or min(prices) < 0:
            raise InputError(f"the token limit is {token_limit} and prices are {prices}; they are 0 or more.")
        self.model, self.url, self.max_new_tokens = model, url, max_new_tokens
        self.concurrency, self.token_limit, self.prices = concurrency, token_limit, prices
        self._cache = cache_folder() / "replies.sqlite" if cache is None else cache
        self._client = _client(url, timeout_s, retries)
        self._spent = _Spent()

    @property
    def spent_tokens(self) -> int:
        """Tokens that were taken so far, as the endpoint counts them."""
        return self._spent.tokens

    def answering_in(self, max_new_tokens: int) -> EndpointGenerator:
        """Return the same endpoint, with the same limit, whose replies are at most this long."""
        other = copy.copy(self)
        other.max_new_tokens = max_new_tokens
        return other

    def estimate(self, prompts: Iterable[str]) -> Estimate:
        """Tell what the prompts will take, without those whose replies are kept, and refuse what is above the limit.

        Raises:
            InputError: It is more than the limit leaves.
        """
        requests = tokens_in = 0
        with self._replies() as replies:
            for prompt in prompts:
                if replies.get(self._name(prompt)) is None:
                    requests += 1
                    tokens_in += -(-len(prompt) // CHARACTERS_PER_TOKEN)
        tokens_out = requests * min(self.max_new_tokens, USUAL_REPLY_TOKENS)
        cost = (tokens_in * self.prices[0] + tokens_out * self.prices[1]) / MILLION if any(self.prices) else None
        found = Estimate(requests, tokens_in + tokens_out, cost)
        if requests and self._spent.tokens + found.tokens > self.token_limit:
            raise InputError(
                f"{self.model} would be sent {found}, and the limit leaves "
                f"{max(self.token_limit - self._spent.tokens, 0):,} tokens; raise --token-limit, or give fewer rows."
            )
        return found

    def generate(self, prompts: Sequence[str]) -> list[str]:
        """Return the reply to each prompt; those that are kept are not asked for again.

        Raises:
            InputError: The endpoint refuses the key, the model or the request, or the limit is below what is asked.
            RunError: The endpoint cannot be reached, or does not answer after all retries.
        """
        self.estimate(prompts)
        names = [self._name(prompt) for prompt in prompts]
        with self._replies() as replies:
            known = {name: reply for name in names if (reply := replies.get(name)) is not None}
            missing = {name: prompt for name, prompt in zip(names, prompts, strict=True) if name not in known}
            with ThreadPoolExecutor(self.concurrency) as pool:
                asked = {pool.submit(self._ask, prompt): name for name, prompt in missing.items()}
                try:
                    for done in as_completed(asked):
                        reply, tokens = done.result()
                        known[asked[done]] = reply
                        replies.put(asked[done], reply)
                        self._spent.tokens += tokens
                        if self._spent.tokens > self.token_limit:
                            raise RunError(
                                f"{self.model} has taken {self._spent.tokens:,} tokens and the limit is "
                                f"{self.token_limit:,}; what it answered is kept. Raise --token-limit, and repeat the "
                                "command with --resume."
                            )
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
        return [known[name] for name in names]

    def _ask(self, prompt: str) -> tuple[str, int]:
        import openai

        try:
            answer = self._client.chat.completions.create(
                model=self.model,
                messages=[{"role": "user", "content": prompt}],
                temperature=0.0,
                max_tokens=self.max_new_tokens,
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise InputError(
                f"the endpoint refuses the key ({_reason(error)}); set the environment variable {KEY}."
            ) from error
        except (openai.NotFoundError, openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise InputError(
                f"the endpoint refuses the request for the model '{self.model}' ({_reason(error)}); look at its name "
                "and at --endpoint-url."
            ) from error
        except openai.OpenAIError as error:
            raise RunError(
                f"the endpoint does not answer ({_reason(error)}); what it answered before is kept. Repeat the command "
                "with --resume when it can be reached."
            ) from error
        if not answer.choices:
            return "", 0
        usage = answer.usage
        reply = answer.choices[0].message.content or ""
        counted = usage.total_tokens if usage is not None else -(-len(prompt + reply) // CHARACTERS_PER_TOKEN)
        return reply, counted

    def _name(self, prompt: str) -> str:
        """Return the name under which the reply to a prompt is kept."""
        asked = json.dumps([str(self._client.base_url), self.model, self.max_new_tokens, prompt])
        return hashlib.sha256(asked.encode(errors="surrogatepass")).hexdigest()

    @contextlib.contextmanager
    def _replies(self) -> Iterator[_Replies]:
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self._cache, timeout=30.0)) as connection:
                yield _Replies(connection)
        except (OSError, sqlite3.Error) as error:
            raise RunError(
                f"the replies of the endpoint cannot be kept in {self._cache} ({error}); make room, or name another "
                "folder in the environment variable LIKEWISE_CACHE."
            ) from error


class _Replies:
    """Replies by name, in a file that several processes may use."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TABLE IF NOT EXISTS replies (name TEXT PRIMARY KEY, reply TEXT NOT NULL)")

    def get(self, name: str) -> str | None:
        found = self._connection.execute("SELECT reply FROM replies WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def put(self, name: str, reply: str) -> None:
        with self._connection:
            self._connection.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (name, reply))


def _client(url: str | None, timeout_s: float, retries: int) -> Any:
    openai = optional("openai", extra="endpoint", use="speaks to endpoints", instead="give a model that runs here")
    key = os.environ.get(KEY)
    if not key and url is None:
        raise InputError(
            f"there is no key for the endpoint; set the environment variable {KEY}, or give the address of an endpoint "
            "of your own with --endpoint-url."
        )
    return openai.OpenAI(api_key=key or "none", base_url=url, timeout=timeout_s, max_retries=retries)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
