"""The options people may have in scripts; one that goes or changes its name has to be said in the changelog."""

import pytest
import typer

from likewise.cli.methods import shown_default
from likewise.encoders import ImageEncoderConfig
from likewise.evaluation import TASKS, get_task
from likewise.methods import get_method
from likewise.products import EVERY_MODEL, EVERY_TEXT_MODEL, load_product
from likewise.run_config import RunConfig
from likewise.settings import settings_of

SHARED = {
    "data": "data columns bad_rows encoding streaming eval_data eval_task",
    "encoder": (
        "encoder pooling max_tokens encoder_layers dropout prompt query_prompt document_prompt soft_prompt freeze "
        "trust_remote_code"
    ),
    "training": (
        "steps epochs batch_size micro_batch lr weight_decay schedule warmup clip_norm precision seed workers "
        "checkpoint_every keep_checkpoints eval_every geometry_every geometry_rows log_every tensorboard"
    ),
}  # fmt: skip
IMAGE_ENCODER = "encoder image_size channels pretrained freeze"
OWN = {
    "defsent-plus": (
        "table entry_pooling rounds ica_round ica_scale ica_max_iterations max_definitions pooler served_pooling"
    ),
    "2dmse": (
        "objective variant temperature dims layers layer_weight kl_weight kl_temperature layer_weighting detach_teacher"
    ),
    "debcse": (
        "temperature head hard_negatives mask copies weighting positive_threshold negative_threshold "
        "positive_temperature negative_temperature epsilon max_weight surface_measure nearest_candidates "
        "random_candidates surface_candidates exact_up_to scorer refresh"
    ),
    "cross-encoder": "task classes head_dropout",
    "dse": (
        "task classes alpha teacher teacher_scores top_layers join_layers reduce_tokens use_cls embedding_size head "
        "head_dims random_pairs nearest_pairs listwise_weight listwise_temperature"
    ),
    "ccp": "temperature window bank bank_size in_batch_negatives batch_norm projection language_exponent",
    "dialog2flow": (
        "mode targets temperature label_temperature label_encoder balance min_utterances normalise head_size "
        "head_lr_factor pair_seed"
    ),
    "esimcse": (
        "temperature head repetition_rate repetition_unit repetition_cap repetition_floor protect_special queue_size "
        "momentum"
    ),
    "mochi": (
        "augment hidden head_size temperature queue_size momentum batch_norm hardest pairs with_query query_share "
        "plain_epochs left_out"
    ),
    "moco": "augment hidden head_size temperature queue_size momentum batch_norm",
    "multicsr": (
        "generator endpoint_url contrast plausibility generator_tokens generator_batch token_limit price_in price_out "
        "curate scorer alpha beta gap rule mask frozen phi objective temperature head"
    ),
    "moe-cocitation": (
        "domains pairs held_out experts domain_token expert_layers router top_k num_experts modulated auxiliary "
        "auxiliary_weight head loss official_targets temperature learn_temperature normalise default_domain"
    ),
    "pairs": "temperature learn_temperature symmetric",
    "hydra": (
        "augment objective pairs gate gate_norm temperature hidden head_size gate_embedding gate_hidden momentum beta "
        "classes"
    ),
    "projection-head": "augment loss head kappa hidden head_size temperature keep drop classes",
    "isogclr": (
        "augment temperature individual_temperatures gamma rho temperature_rate gradient_weight min_temperature "
        "max_temperature gradient_clip hidden head_size"
    ),
    "bacon": (
        "augment num_classes classes label_weight temperature view_temperature class_temperature teacher_temperature "
        "prior_weight prior_power debias labelled_rate_power rate_power warmup_epochs estimate_every hidden head_size"
    ),
    "beclr": (
        "augment positives neighbours prototypes memory_scale memory_start cluster_every prototype_momentum epsilon "
        "temperature negatives negative_weight momentum momentum_epochs mask_ratio mask_spread mask_patch hidden "
        "head_size predictor_hidden"
    ),
    "contrastive-behaviour": (
        "augment hidden head_size loss temperature keep_top_k keep_fraction negative_weight positive bank_momentum "
        "last_norm"
    ),
    "cacr": (
        "augment hidden head_size form positives temperature sharpness alpha beta weighted hold_weights cost "
        "kernel_width queue_size momentum all_keys last_norm"
    ),
    "sepclr": (
        "augment background common_size salient_size hidden temperature salient_weight background_weight "
        "leakage_weight attributes num_attributes"
    ),
    "simclr": "augment hidden head_size temperature num_views",
    "supcon": "augment hidden head_size temperature batch_norm",
    "simcse": "supervised temperature head hard_negative_log_weight mlm_weight mlm_probability",
    "whitenedcse": ("temperature head num_views whitening groups shuffle detach_whitening whitening_eps statistics"),
}


PRODUCTS = {
    "classify": "examples data truth columns domain space nearest align out show batch_size",
    "sizes": "data task columns layers dims timed_texts rounds batch_size precision",
    "truncate": "layers dims out",
    "whiten": "data out columns eps batch_size",
}


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_options_of_a_product_of_every_model_are_those_that_were_promised(product):
    settings = settings_of(load_product({**EVERY_MODEL, **EVERY_TEXT_MODEL}[product]))
    assert [setting.name for setting in settings] == PRODUCTS[product].split()


def shared(method: str) -> dict[str, str]:
    reads_images = get_method(method).encoder_config_type is ImageEncoderConfig
    return {**SHARED, "encoder": IMAGE_ENCODER} if reads_images else SHARED


@pytest.mark.parametrize("method", sorted(OWN))
def test_the_options_of_train_are_those_that_were_promised(method):
    options = RunConfig.options(method)
    promised = shared(method)
    assert {group: [s.name for s in options[group]] for group in promised} == {
        g: n.split() for g, n in promised.items()
    }
    assert [s.name for s in options["settings"]] == OWN[method].split()


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("method", sorted(OWN))
def test_help_shows_every_option_whole_with_its_default(likewise, monkeypatch, method, width):
    monkeypatch.setenv("COLUMNS", str(width))
    out = likewise("train", method, "--help").out
    words = out.split()
    for group in (*shared(method).values(), OWN[method]):
        for name in group.split():
            assert f"--{name.replace('_', '-')}" in words
    rate = next(setting.default for setting in RunConfig.options(method)["training"] if setting.name == "lr")
    assert f"[default: {shown_default(rate)}]" in " ".join(words)
    assert max(map(len, out.splitlines())) <= max(width, 80)
    headings = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Options:", "Data:", "Encoder:", "Method:", "Training:"]


@pytest.mark.parametrize(
    "verb",
    [
        "quickstart",
        "methods",
        "train",
        "encode",
        "evaluate",
        "geometry",
        "mine",
        "split",
        "study",
        "index",
        "search",
        "use",
    ],
)
def test_help_cuts_nothing_off_at_80_columns(likewise, monkeypatch, verb):
    from likewise.cli.app import _build

    monkeypatch.setenv("COLUMNS", "80")
    shown = likewise(verb, "--help")
    assert shown.code == 0
    command = typer.main.get_command(_build([verb])).commands[verb]
    words = shown.out.replace(",", " ").split()
    names = [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
    assert [name for name in names if name.startswith("-") and name not in words] == []
    assert "…" not in shown.out
    summary = " ".join(likewise("--help").out.split())
    assert f"{verb} {command.help}" in summary


SPLIT = "train test_share split_seed"
OF_EVALUATE = (
    "model task data columns bad_rows bootstrap seed batch_size precision layers dims domain prompt pooling space json"
)
OF_TASKS = {
    "retrieval": ("split", "metric ignore_same_id"),
    "similarity": ("", ""),
    "probe": (SPLIT, "max_iterations standardise"),
    "regression": (SPLIT, "bin_width many_above few_below"),
    "knn": (SPLIT, "k vote temperature"),
    "zero_shot": ("classes", "template"),
    "clustering": ("", ""),
    "pair_classification": ("", ""),
    "few_shot": ("", "ways shots queries episodes nearest align"),
    "ranking": ("", "metric exclude_seen"),
    "bitext": ("", "scoring k source_domain target_domain"),
    "mteb:STSBenchmark": ("", ""),
}


def flags_of(task):
    from likewise.cli.app import _build

    command = typer.main.get_command(_build(["evaluate", "--task", task])).commands["evaluate"]
    return [parameter.opts[0].removeprefix("--").replace("-", "_") for parameter in command.params]


def test_the_options_of_every_task_are_held_here():
    assert {name for name in OF_TASKS if ":" not in name} == set(TASKS)


@pytest.mark.parametrize("task", OF_TASKS)
def test_the_options_of_evaluate_are_those_that_were_promised(task):
    opening, settings = (names.split() for names in OF_TASKS[task])
    without = [] if get_task(task).reads_data else ["data", "columns", "bad_rows", "bootstrap", "seed"]
    shared = [name for name in OF_EVALUATE.split() if name not in without]
    assert flags_of(task) == [*shared, *opening, *settings]


@pytest.mark.parametrize("task", OF_TASKS)
def test_help_of_a_task_shows_its_options_its_columns_and_the_figure_to_quote(likewise, monkeypatch, task):
    monkeypatch.setenv("COLUMNS", "80")
    shown = likewise("evaluate", "--task", task, "--help")
    assert shown.code == 0
    words = shown.out.replace(",", " ").replace("/", " ").split()
    for name in flags_of(task)[1:]:
        assert f"--{name.replace('_', '-')}" in words
    text = " ".join(shown.out.split())
    assert f"Quote {get_task(task).main_metric}." in text
    for column in get_task(task).columns:
        assert not column.required or f"{column.name} ({column.help})" in text


def test_help_without_a_task_lists_the_tasks_and_loads_none(likewise):
    text = " ".join(likewise("evaluate", "--help").out.split())
    for task in TASKS.values():
        assert f"{task.name} {task.summary}." in text
    assert "mteb:NAME" in text
