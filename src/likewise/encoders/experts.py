"""Experts: several copies of a transformer's MLP, of which each text goes through those that a router names.

Source: Hallee et al. 2025, arXiv 2401.15713 (experts copied from a dense encoder, one for each domain of text, named by
a token that begins the text); Komatsuzaki et al. 2023, "Sparse Upcycling", arXiv 2212.05055 (experts that begin as
copies of a dense model's MLP); Fedus et al. 2022, "Switch Transformers", arXiv 2101.03961 (routers).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from likewise.encoders.depth import layers_of
from likewise.errors import InputError
from likewise.state import read_state, write_state

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["Experts", "ExpertsPlan", "Router", "add_experts", "experts_of", "read_experts", "with_one_expert",
           "write_experts"]  # fmt: skip

FOLDER = "experts"

Router = Literal["enforced", "switch_sentence", "topk_sentence", "topk_token"]
"""How experts are chosen: by the text's domain; the best for the text, unweighted; the best ``k`` for the text,
weighted by their chances; the best ``k`` for each token, weighted by chances that sum to 1."""


@dataclass(frozen=True)
class ExpertsPlan:
    """Which experts a tower has, and who goes through which.

    Args:
        num_experts: How many experts there are, ``N`` >= 1.
        layers: Layers of the transformer whose MLP is replaced, from 0; increasing.
        router: How experts are chosen.
        first_tokens: With the router "enforced", id of the token that begins the texts of each expert's domain.
        top_k: Experts that share a token or text, in ``[1, N]``; used by the routers that say so.
        default: Expert of a text that begins with none of ``first_tokens``; None: such a text is refused.
        modulated: Whether an expert multiplies what is between its two products by a linear map of its input, which
            begins as exactly 1.

    Raises:
        InputError: No expert, or ``top_k`` is out of its range.
        ValueError: The router is "enforced" and not every expert has a token.
    """

    num_experts: int
    layers: tuple[int, ...]
    router: Router = "enforced"
    first_tokens: tuple[int, ...] = ()
    top_k: int = 1
    default: int | None = None
    modulated: bool = False

    def __post_init__(self) -> None:
        if self.num_experts < 1:
            raise InputError(f"there are {self.num_experts} experts; at least one is needed.")
        if not 1 <= self.top_k <= self.num_experts:
            raise InputError(f"top_k is {self.top_k}; there are {self.num_experts} experts, use 1 to as many.")
        if self.router == "enforced" and len(self.first_tokens) != self.num_experts:
            raise ValueError(f"{self.num_experts} experts need a token each, got {len(self.first_tokens)}")


class Routing:
    """What the experts of all layers have to know of the texts that are passing: whose token is which, and its domain.

    Set by a hook before each pass, so that no module in between has to hand it on.
    """

    def __init__(self, plan: ExpertsPlan) -> None:
        self.plan = plan
        self.text: Tensor = torch.zeros(0, dtype=torch.int64)
        """Text of each place, counted over rows and columns of the input, int64 ``[places]``."""
        self.real: Tensor = torch.zeros(0, dtype=torch.bool)
        """Whether a place holds a token rather than padding."""
        self.expert: Tensor = torch.zeros(0, dtype=torch.int64)
        """Expert of each text by its domain, int64 ``[B]``."""
        self.logits: list[Tensor] = []
        """What the router of each layer said of each text ``[B, N]``, so far in this pass."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Routing:
        """Copy what is planned and forget the pass, whose tensors belong to a graph."""
        memo[id(self)] = copied = Routing(self.plan)
        return copied

    def observe(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Take down which place belongs to which text; a forward pre-hook of a tower's first module."""
        inputs: dict[str, Any] = args[0]
        ids: Tensor = inputs["input_ids"]
        starts = inputs.get("cu_seq_lens_q")
        if starts is not None:  # texts end to end
            lengths = starts.diff()
            self.text = torch.repeat_interleave(torch.arange(len(lengths), device=ids.device), lengths)
            self.real = torch.ones_like(self.text, dtype=torch.bool)
            first = ids[0, starts[:-1]]
        else:
            rows, width = ids.shape
            self.text = torch.arange(rows, device=ids.device).repeat_interleave(width)
            self.real = inputs["attention_mask"].bool().flatten()
            first = ids[:, 0]
        self.logits = []
        if self.plan.router == "enforced":
            self.expert = self._experts(first)

    def _experts(self, first: Tensor) -> Tensor:
        known = torch.tensor(self.plan.first_tokens, device=first.device)
        same = first[:, None] == known  # [B, N]
        found = same.any(dim=1)
        if not bool(found.all()) and self.plan.default is None:
            raise InputError(
                "a text begins with no token of a domain, and there is no default expert; encode it for a domain."
            )
        return torch.where(found, same.int().argmax(dim=1), self.plan.default or 0)

    def mean_over_tokens(self, values: Tensor) -> Tensor:
        """Average values of places ``[places, N]`` over the real tokens of each text ``[B, N]``."""
        texts = int(self.text.max()) + 1
        real = self.real.to(values.dtype)
        sums = values.new_zeros(texts, values.shape[1]).index_add(0, self.text, values * real[:, None])
        return sums / values.new_zeros(texts).index_add(0, self.text, real)[:, None]


class Experts(nn.Module):
    """The experts of one layer, in the place of its MLP.

    Args:
        mlp: What every expert begins as a copy of, ``[.., H]`` to ``[.., H]``.
        plan: Which experts.
        routing: Shared by all layers of a tower.
        width: Length of a token's features, ``H``.
    """

    def __init__(self, mlp: nn.Module, plan: ExpertsPlan, routing: Routing, width: int) -> None:
        super().__init__()
        self.plan = plan
        self.routing = routing
        self.experts = nn.ModuleList(copy.deepcopy(mlp) for _ in range(plan.num_experts))
        self.gate = None if plan.router == "enforced" else nn.Linear(width, plan.num_experts, bias=False)
        if self.gate is not None:
            nn.init.normal_(self.gate.weight, std=0.02)

    def forward(self, hidden: Tensor) -> Tensor:
        """Send every token through its experts, ``[.., H]`` to ``[.., H]``."""
        tokens = hidden.reshape(-1, hidden.shape[-1])  # [places, H]
        weights, chosen = self._route(tokens)  # [places, k]
        mixed = torch.zeros_like(tokens)
        for place in range(chosen.shape[1]):
            part = self._through(tokens, chosen[:, place])
            mixed = mixed + (part if weights is None else weights[:, place, None].to(part.dtype) * part)
        return mixed.reshape(hidden.shape)

    def _route(self, tokens: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the weights ``[places, k]``, or None for 1, and the experts of each place."""
        routing, router, k = self.routing, self.plan.router, self.plan.top_k
        if self.gate is None:
            return None, routing.expert[routing.text][:, None]
        logits = self.gate(tokens).float()  # [places, N]
        of_text = routing.mean_over_tokens(logits)  # [B, N]
        routing.logits.append(of_text)
        if router == "topk_token":
            weights, chosen = logits.softmax(dim=-1).topk(k, dim=-1)
            return weights / weights.sum(dim=-1, keepdim=True), chosen
        if router == "switch_sentence":
            return None, of_text.argmax(dim=-1)[routing.text][:, None]
        weights, chosen = of_text.softmax(dim=-1).topk(k, dim=-1)
        return weights[routing.text], chosen[routing.text]

    def _through(self, tokens: Tensor, expert: Tensor) -> Tensor:
        """Send each token through one expert: rows are sorted by expert, and each that is present runs once."""
        order = torch.argsort(expert, stable=True)
        counts = torch.bincount(expert, minlength=len(self.experts)).tolist()
        parts = [mlp(part) for mlp, part in zip(self.experts, tokens[order].split(counts), strict=True) if len(part)]
        return torch.cat(parts)[torch.argsort(order)]


class _MLP(nn.Module):
    """The MLP of a layer whose two products stand in two modules (BERT, RoBERTa, MPNet)."""

    def __init__(self, up: nn.Module, down: nn.Linear, modulated: bool) -> None:
        super().__init__()
        self.up, self.down = up, down
        self.modulation = nn.Linear(down.out_features, down.in_features) if modulated else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.ones_(self.modulation.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        between = self.up(hidden)
        return cast("Tensor", self.down(between if self.modulation is None else between * self.modulation(hidden)))


def add_experts(tower: SentenceTransformer, plan: ExpertsPlan) -> None:
    """Replace the MLP of some layers by experts that are copies of it, in place; the function stays the same.

    Args:
        tower: A tower whose transformer is BERT, RoBERTa, MPNet, ModernBERT or built like one of them.
        plan: Which experts in which layers.

    Raises:
        InputError: There is no such layer, or its MLP is not found.
    """
    _, layers = layers_of(tower[0])
    model: Any = getattr(tower[0], "auto_model")  # noqa: B009 - mypy knows no such attribute
    routing = Routing(plan)
    for number in plan.layers:
        if not 0 <= number < len(layers):
            raise InputError(f"there is no layer {number} for experts; the encoder has {len(layers)}, from 0.")
        layer: Any = layers[number]
        width = int(model.config.hidden_size)
        down = getattr(getattr(layer, "output", None), "dense", None)
        if isinstance(getattr(layer, "intermediate", None), nn.Module) and isinstance(down, nn.Linear):
            # What stands between, dropout, sum and norm of the output, stays where it is: it is shared.
            layer.intermediate = Experts(_MLP(layer.intermediate, down, plan.modulated), plan, routing, width)
            layer.output.dense = nn.Identity()
        elif isinstance(getattr(layer, "mlp", None), nn.Module):
            if plan.modulated:
                raise InputError("modulated experts need an MLP of two plain products, as BERT's; leave modulated out.")
            layer.mlp = Experts(layer.mlp, plan, routing, width)
        else:
            raise InputError("the MLP of this encoder's layers is not found; use BERT, RoBERTa, MPNet or ModernBERT.")
    # Not on the transformer itself, which is run without its hooks.
    tower[0].register_forward_pre_hook(routing.observe)


def experts_of(tower: nn.Module) -> list[tuple[str, Experts]]:
    """Return the experts of each layer by their place in the tower; empty for a dense tower."""
    return [(name, module) for name, module in tower.named_modules() if isinstance(module, Experts)]


def with_one_expert(tower: SentenceTransformer, expert: int) -> SentenceTransformer:
    """Return a dense copy of a tower in which every text goes through one expert; a dense tower is returned itself.

    Raises:
        InputError: The experts are mixed or modulated, so that no dense tower computes the same.
    """
    found = experts_of(tower)
    if not found:
        return tower
    dense: Any = copy.deepcopy(tower)
    for _, layer in _layers_with_experts(dense):
        if isinstance(getattr(layer, "mlp", None), Experts):
            layer.mlp = layer.mlp.experts[expert]
        else:
            mlp = layer.intermediate.experts[expert]
            layer.intermediate, layer.output.dense = mlp.up, mlp.down
    for key, hook in list(dense[0]._forward_pre_hooks.items()):
        if isinstance(getattr(hook, "__self__", None), Routing):
            del dense[0]._forward_pre_hooks[key]
    return cast("SentenceTransformer", dense)


def write_experts(folder: Path, tower: SentenceTransformer) -> None:
    """Write the experts of a tower into a folder beside it; nothing for a dense tower."""
    found = experts_of(tower)
    if found:
        weights = {name: dict(module.state_dict()) for name, module in found}
        write_state(folder, {"plan": asdict(found[0][1].plan), "weights": weights}, FOLDER)


def read_experts(folder: Path, tower: SentenceTransformer) -> None:
    """Put the experts that were written beside a tower back into it, in place."""
    if not (folder / FOLDER).is_dir():
        return
    content = read_state(folder, FOLDER)
    plan: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in content["plan"].items()}
    count = len(layers_of(tower[0])[1])
    plan["layers"] = tuple(number for number in plan["layers"] if number < count)  # a tower may be cut when loaded
    add_experts(tower, ExpertsPlan(**plan))
    for name, module in experts_of(tower):
        module.load_state_dict(content["weights"][name])


def router_logits(tower: SentenceTransformer) -> Tensor | None:
    """Return what the routers said of the texts of the last pass, float32 ``[B, L, N]``; None without routers."""
    found = experts_of(tower)
    logits: Sequence[Tensor] = found[0][1].routing.logits if found else ()
    return torch.stack(list(logits), dim=1) if logits else None


def _layers_with_experts(tower: Any) -> Iterator[tuple[int, Any]]:
    _, layers = layers_of(tower[0])
    for number, layer in enumerate(layers):
        if any(isinstance(module, Experts) for module in layer.children()):
            yield number, layer
