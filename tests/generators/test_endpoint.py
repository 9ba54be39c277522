"""An endpoint is asked as little as can be, told what it will cost before, and its failures are told in a sentence."""

import sys

import pytest

from generators.server import served
from likewise.errors import InputError, RunError
from likewise.generators import ContrastiveGenerator, EndpointGenerator, Estimate, Generator


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("LIKEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")


def test_replies_come_in_the_order_of_prompts_from_several_requests_at_a_time():
    with served(slow_s=0.05) as server:
        generator = EndpointGenerator("small", url=server.url, max_new_tokens=7, concurrency=3)
        prompts = [f"prompt {i}" for i in range(9)]
        assert generator.generate(prompts) == [prompt.upper() for prompt in prompts]
    assert sorted(server.prompts) == prompts
    assert 1 < server.most_at_a_time <= 3
    assert generator.spent_tokens == 90
    assert {key: server.asked[0][key] for key in ("model", "temperature", "max_tokens")} == {
        "model": "small", "temperature": 0.0, "max_tokens": 7,
    }  # fmt: skip
    assert isinstance(generator, Generator)
    assert not isinstance(generator, ContrastiveGenerator)


def test_a_prompt_is_asked_once_whoever_asks_again(tmp_path):
    with served() as server:
        assert EndpointGenerator("m", url=server.url).generate(["a", "b", "a"]) == ["A", "B", "A"]
        assert sorted(server.prompts) == ["a", "b"]
        again = EndpointGenerator("m", url=server.url)
        assert again.estimate(["a", "b"]) == Estimate(0, 0, None)
        assert again.generate(["b", "a", "c"]) == ["B", "A", "C"]
        assert sorted(server.prompts) == ["a", "b", "c"]
        EndpointGenerator("other", url=server.url).generate(["a"])  # another model, another length: other replies
        again.answering_in(3).generate(["a"])
        assert len(server.asked) == 5
    assert "sk-secret" in server.keys
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert kept
    assert b"sk-secret" not in kept


def test_what_fails_for_a_while_is_asked_again():
    with served(failures=[429, 500, 503]) as server:
        assert EndpointGenerator("m", url=server.url, concurrency=1).generate(["a"]) == ["A"]
    assert len(server.asked) == 4


def test_what_fails_for_good_is_told_and_what_was_answered_is_kept():
    with served(reply=lambda prompt: prompt + "!") as server:
        generator = EndpointGenerator("m", url=server.url, retries=1, concurrency=1)
        generator.generate(["a"])
        server.failures += [500, 500]
        with pytest.raises(RunError, match=r"does not answer \(.*500.*\); what it answered before is kept"):
            generator.generate(["a", "b"])
        assert generator.generate(["a", "b"]) == ["a!", "b!"]
        assert server.prompts == ["a", "b", "b", "b"]
    with pytest.raises(RunError, match="the endpoint does not answer"):
        EndpointGenerator("m", url="http://127.0.0.1:9/v1", retries=0).generate(["a"])


def test_a_slow_endpoint_is_not_waited_for_without_end():
    with served(slow_s=0.6) as server, pytest.raises(RunError, match="the endpoint does not answer"):
        EndpointGenerator("m", url=server.url, timeout_s=0.1, retries=0).generate(["a"])


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "refuses the key .* OPENAI_API_KEY"),
        (403, "refuses the key"),
        (404, "refuses the request for the model 'm'"),
    ],
)
def test_a_request_that_is_refused_is_not_repeated(status, says):
    with served(failures=[status]) as server, pytest.raises(InputError, match=says):
        EndpointGenerator("m", url=server.url).generate(["a"])
    assert len(server.asked) == 1


def test_the_cost_is_told_before_and_above_the_limit_nothing_is_sent():
    with served() as server:
        generator = EndpointGenerator("m", url=server.url, max_new_tokens=20, prices=(2.0, 10.0), token_limit=130)
        estimate = generator.estimate(["x" * 80] * 3)  # 20 tokens each way
        assert estimate == Estimate(3, 120, pytest.approx((60 * 2 + 60 * 10) / 1e6))
        assert str(estimate) == "3 requests, about 120 tokens, about 0.00 in the currency of your prices"
        with pytest.raises(InputError, match=r"would be sent 4 requests, about 160 tokens.* limit leaves 130"):
            generator.generate([f"{i}" * 80 for i in range(4)])
        assert not server.asked


def test_an_endpoint_that_takes_more_than_estimated_is_stopped():
    with served(usage=90) as server:
        generator = EndpointGenerator("m", url=server.url, token_limit=200, concurrency=1)
        with pytest.raises(RunError, match=r"has taken 270 tokens and the limit is 200; what it answered is kept"):
            generator.generate(["a", "b", "c"])
        assert server.prompts == ["a", "b", "c"]
        with pytest.raises(InputError, match="the limit leaves 0 tokens"):
            generator.answering_in(5).generate(["d"])
        assert generator.generate(["a"]) == ["A"]


def test_an_endpoint_that_does_not_count_is_counted():
    with served(usage=None) as server:
        generator = EndpointGenerator("m", url=server.url)
        generator.generate(["x" * 8])
    assert generator.spent_tokens == 4


def test_a_key_is_needed_where_the_endpoint_is_not_your_own(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(InputError, match=r"there is no key for the endpoint; set .* OPENAI_API_KEY"):
        EndpointGenerator("m")
    with served() as server:
        assert EndpointGenerator("m", url=server.url).generate(["a"]) == ["A"]
    assert server.keys == ["none"]


def test_what_is_missing_or_cannot_be_is_named(monkeypatch):
    for settings in ({"max_new_tokens": 0}, {"timeout_s": 0}, {"retries": -1}, {"concurrency": 0}):
        with pytest.raises(InputError, match="the endpoint is to answer in"):
            EndpointGenerator("m", **settings)
    for settings in ({"token_limit": -1}, {"prices": (1.0, -1.0)}):
        with pytest.raises(InputError, match="they are 0 or more"):
            EndpointGenerator("m", **settings)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(InputError, match=r"the package openai is not installed.*'likewise\[endpoint\]"):
        EndpointGenerator("m")
