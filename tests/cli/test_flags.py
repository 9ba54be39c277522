"""The options people may have in scripts; one that goes or changes its name has to be said in the changelog."""

import pytest

from likewise.run_config import RunConfig

SHARED = {
    "data": "data columns bad_rows streaming eval_data eval_task",
    "encoder": (
        "encoder pooling max_tokens encoder_layers dropout query_prompt document_prompt trust_remote_code"
    ),
    "training": (
        "steps epochs batch_size micro_batch lr weight_decay schedule warmup clip_norm precision seed workers "
        "checkpoint_every keep_checkpoints eval_every log_every tensorboard"
    ),
}  # fmt: skip
OWN = {
    "pairs": "temperature learn_temperature symmetric",
    "simcse": "supervised temperature head hard_negative_log_weight mlm_weight mlm_probability",
}


@pytest.mark.parametrize("method", sorted(OWN))
def test_the_options_of_train_are_those_that_were_promised(method):
    options = RunConfig.options(method)
    assert {group: [s.name for s in options[group]] for group in SHARED} == {g: n.split() for g, n in SHARED.items()}
    assert [s.name for s in options["settings"]] == OWN[method].split()


def test_help_shows_every_option_with_its_default(likewise, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = " ".join(likewise("train", "simcse", "--help").out.split())
    for group in (*SHARED.values(), OWN["simcse"]):
        for name in group.split():
            assert f"--{name.replace('_', '-')}" in shown
    assert "[default: 0.05]" in shown
