"""Writing the texts that rows lack, and scoring pairs."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from likewise.errors import InputError
from likewise.generators import EncoderScorer, PromptScorer, TripleScorer, parse_score, write_triples, writing_prompt


class Recorder:
    """Replies with the number of the prompt, and keeps what it was asked."""

    def __init__(self, replies=None):
        self.calls, self.opposites, self.replies = [], [], replies

    def generate(self, prompts):
        self.calls.append(list(prompts))
        return [f" '{prompt.split()[6]} of {prompt.splitlines()[-1][-3:]}'\n\nmore" for prompt in prompts]


class Contrasting(Recorder):
    def generate_against(self, prompts, opposites, *, beta, gamma):
        self.opposites.append((list(opposites), beta, gamma))
        return [prompt.splitlines()[-1] for prompt in prompts]


def test_what_a_row_lacks_is_written_and_what_it_has_stays():
    generator = Recorder()
    rows = [
        {"text": "A"},
        {"text": "B", "positive": "b"},
        {"text": "C", "positive": "c", "negative": "d"},
        {"text": "D"},
    ]
    found = list(write_triples(rows, generator, batch_size=2))
    assert [row["text"] for row in found] == list("ABCD")
    assert found[1]["positive"] == "b"
    assert found[2] == rows[2]
    assert all(row["positive"] and row["negative"] for row in found)
    assert [len(prompts) for prompts in generator.calls] == [3, 2]
    assert generator.calls[0] == [
        writing_prompt("A", "positive"), writing_prompt("A", "negative"), writing_prompt("B", "negative"),
    ]  # fmt: skip
    assert rows[0] == {"text": "A"}


def test_prompts_have_two_examples_and_end_with_the_sentence():
    prompt = writing_prompt("A  dog\nbarks", "negative")
    assert prompt.count("Write a sentence that is negative with '") == 3
    assert prompt.endswith("Write a sentence that is negative with 'A dog barks':")
    assert "entailment" not in prompt


def test_the_opposite_instruction_is_that_of_the_other_side_on_the_same_sentence():
    generator = Contrasting()
    (row,) = write_triples([{"text": "A", "positive": "a"}], generator, beta=0.5, gamma=0.2)
    assert row["negative"] == "Write a sentence that is negative with 'A':"
    assert generator.opposites == [([writing_prompt("A", "positive")], 0.5, 0.2)]
    assert not generator.calls
    list(write_triples([{"text": "A"}], generator, beta=0.0))
    assert len(generator.calls) == 1


def test_contrast_needs_a_generator_that_sees_its_logits():
    with pytest.raises(InputError, match=r"contrastive decoding \(beta 0.5\) needs a generator that sees its logits"):
        list(write_triples([{"text": "A"}], Recorder(), beta=0.5))


class Fixed:
    def __init__(self, *replies):
        self.replies = list(replies)

    def generate(self, prompts):
        return [self.replies.pop(0) for _ in prompts]


def test_an_empty_reply_is_no_text():
    (row,) = write_triples([{"text": "A"}], Fixed(" \n ", "\n «b» \n c"))
    assert (row["positive"], row["negative"]) == (None, "b")


@given(st.text(alphabet="0123456789.5 x-", max_size=5))
def test_only_a_digit_or_a_digit_with_one_decimal_is_a_score(reply):
    text = reply.strip()
    valid = (len(text) == 1 and text in "012345") or (
        len(text) == 3 and text[0] in "012345" and text[1] == "." and text[2] in "0123456789"
    )
    assert (parse_score(reply) is not None) == valid
    assert not valid or parse_score(reply) == min(float(text), 5.0)


def test_a_prompted_score_is_none_where_the_reply_is_no_number():
    scorer = PromptScorer(Fixed("4.5", "4.5.", "6"))
    assert scorer.score([("a", "b"), ("a", "c"), ("d", "e")]) == [4.5, None, None]
    assert isinstance(scorer, TripleScorer)


class Compass:
    """Encodes texts as directions in the plane, in degrees."""

    dim, name, fingerprint = 2, "compass", "0"
    asked = 0

    def encode(self, inputs, **_):
        self.asked += len(inputs)
        angles = torch.deg2rad(torch.tensor([float(text) for text in inputs]))
        return 7 * torch.stack([angles.cos(), angles.sin()], dim=1)

    def save(self, folder):
        raise NotImplementedError


def test_an_encoder_scores_by_its_cosine_and_encodes_each_text_once():
    compass = Compass()
    scorer = EncoderScorer(compass)
    assert scorer.score([("0", "0"), ("0", "60"), ("0", "90"), ("0", "180")]) == pytest.approx([5, 2.5, 0, 0], abs=1e-5)
    assert compass.asked == 4
    assert scorer.score([]) == []
