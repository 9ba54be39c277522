"""Language models on this machine: what is loaded, how prompts reach it, and what is refused."""

import pytest

from generators.language_models import save_language_model
from likewise.errors import InputError
from likewise.generators import ContrastiveGenerator, Generator, LocalGenerator
from likewise.generators.local import identity


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_language_model(tmp_path_factory.mktemp("model"), "gpt2")


def test_it_is_a_generator_that_sees_its_logits_and_says_the_same_every_time(folder):
    generator = LocalGenerator(folder, max_new_tokens=6)
    assert isinstance(generator, Generator)
    assert isinstance(generator, ContrastiveGenerator)
    assert generator.generate(["a dog", "the cat"]) == LocalGenerator(folder, max_new_tokens=6).generate(
        ["a dog", "the cat"]
    )
    assert generator.generate([]) == []


def test_replies_are_as_long_as_is_asked(folder):
    generator = LocalGenerator(folder, max_new_tokens=6, batch_size=1)
    short = generator.answering_in(2)
    assert short.model is generator.model
    (longer,), (shorter,) = generator.generate(["a dog"]), short.generate(["a dog"])
    assert longer.split()[:2] == shorter.split()
    assert len(longer.split()) > 2


def test_a_prompt_that_leaves_no_room_has_an_empty_reply(tmp_path):
    generator = LocalGenerator(save_language_model(tmp_path, "gpt2", positions=16), max_new_tokens=4)
    whole, too_long = "dog " * 12, "dog " * 13
    replies = generator.generate([too_long, whole, "cat"])
    assert replies[0] == ""
    assert all(replies[1:])


def test_a_chat_template_is_used_where_there_is_one(tmp_path, folder):
    template = (
        "{% for m in messages %}write : {{ m['content'] }}{% endfor %}{% if add_generation_prompt %} here{% endif %}"
    )
    chat = LocalGenerator(save_language_model(tmp_path, "gpt2", template=template), max_new_tokens=6)
    plain = LocalGenerator(folder, max_new_tokens=6)
    assert chat.generate(["a dog"]) == plain.generate(["write : a dog here"])
    assert chat.generate(["a dog"]) != plain.generate(["a dog"])


def test_what_a_checkpoint_would_sample_is_decoded_greedily(tmp_path, folder):
    generator = LocalGenerator(folder, max_new_tokens=6)
    generator.model.generation_config.do_sample = True
    generator.model.generation_config.temperature = 9.0
    generator.model.save_pretrained(tmp_path)
    generator.tokenizer.save_pretrained(tmp_path)
    again = LocalGenerator(str(tmp_path), max_new_tokens=6)
    assert again.generate(["a dog"] * 3) == LocalGenerator(folder, max_new_tokens=6).generate(["a dog"] * 3)


def test_a_folder_is_told_from_another_one_of_its_name(tmp_path):
    save_language_model(tmp_path, "gpt2")
    before = identity(str(tmp_path))
    assert before == identity(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert identity(str(tmp_path)) != before
    assert identity("google/flan-t5-xl") == "google/flan-t5-xl"


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot load the language model '.*nothing': .* Give a folder with safetens"):
        LocalGenerator(str(tmp_path / "nothing"))
    for settings in ({"max_new_tokens": 0}, {"batch_size": 0}):
        with pytest.raises(InputError, match="the generator is asked for at most"):
            LocalGenerator("any", **settings)


def test_opposites_belong_to_prompts(folder):
    with pytest.raises(ValueError, match="1 opposites for 2 prompts"):
        LocalGenerator(folder).generate_against(["a", "b"], ["c"], beta=0.5, gamma=0.1)


def test_a_reply_may_end_with_its_first_line(tmp_path):
    name = save_language_model(tmp_path, "gpt2", lines=True)
    prompts = ["a dog", "the cat", "house river house", "sand", "write a sentence", "how", "children", "of castle"]
    whole = LocalGenerator(name, max_new_tokens=12).generate(prompts)
    lines = LocalGenerator(name, max_new_tokens=12, one_line=True).generate(prompts)
    assert any(len(line) < len(reply) for line, reply in zip(lines, whole, strict=True))
    for reply, line in zip(whole, lines, strict=True):
        assert reply.startswith(line)
        assert line == reply or ("\n" in line.lstrip() and "\n" not in line.strip())
