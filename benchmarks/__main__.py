"""``python -m benchmarks NAME``."""

from __future__ import annotations

import importlib

import typer

NAMES = {
    "quickstart": "the reverse dictionary before and after training, on held-out words",
    "picture": "the README's picture, drawn from the stored result of the quickstart",
    "losses": "time of contrastive losses against whole matrices, open_clip, pytorch-metric-learning and lightly",
    "memory": "peak memory of the symmetric loss against the number of rows",
    "neighbours": "exact nearest neighbours against faiss",
    "training": "training pairs against the trainer of sentence-transformers, in speed and in what is learned",
    "micro_batch": "a pass in parts against the whole pass and against the Cached loss of sentence-transformers",
    "encode": "encoding texts against sentence-transformers",
    "loader": "starting on a million rows, and waiting for batches",
    "kernels": "attention over short texts and dropout, as towers run them, against PyTorch's own",
    "geometry": "time and memory of describing a space, on a sample of its rows and on all pairs, and of a look",
    "plots": "time and memory against the number of rows, drawn from the stored results",
    "spaces": "the geometry of healthy spaces on definitions and words of WordNet, as a scale for others",
    "temperature": "simcse and pairs over temperatures and batch sizes: uniformity, tolerance and quality",
    "defsent_plus": "tables of dictionary entries made of definitions or of word pieces, rounds and ICA (DefSent+)",
    "second_tries": "second tries at what did not show: WhitenedCSE warmer and longer, DebCSE with harder negatives",
    "sentences": "all methods for sentence embeddings on one file of definitions, kinds, siblings and words",
    "ccp": "languages without translations: banks of each language, and calibration, on translated handbooks",
    "esimcse": "what repetition and the queue of ESimCSE each add to SimCSE, and how much length biases the space",
    "multicsr": "what MultiCSR's curation and mask bring on triples four of ten of which were made wrong",
    "whitenedcse": "whitening of views in shuffled groups against SimCSE, more views, and whitening without training",
    "debcse": "pairs drawn by inverse propensity against SimCSE's copies: quality, and the bias of shared words",
    "dse": "a distilled student against its teacher and against few labels: quality, passes and pairs a second",
    "dialog2flow": "soft against hard targets over actions of dialogs: F1, arrangement by meaning, flow graphs",
    "mse2d": "2DMSE against the last layer alone and against nested widths, at every depth and width; and its speed",
    "moe_cocitation": "experts against one dense encoder and two specialists, on domains that ask for opposite things",
    "isogclr": "temperatures of long-tailed digits against SimCLR and SogCLR, and the gradient of small batches",
    "contrastive_behaviour": "temperatures, no softmax, and hard negatives alone: what they do to a space of digits",
    "mochi": "mixtures of the hardest keys of a queue against the queue alone, on digits (MoCo, MoCHi)",
    "bacon": "known and new digits, long-tailed and partly labelled: two branches against the contrastive one (BaCon)",
    "beclr": "neighbours from a clustered memory, how pure its clusters are, and alignment with few examples (BECLR)",
    "sepclr": "what only targets have and what the background shares, by SepCLR's codes, on digits over patterns",
    "simclr": "views alone, and views with labels, on small pictures of digits (SimCLR, SupCon)",
    "pictures": "methods for pictures side by side, on MNIST, by a small network with convolutions",
    "cacr": "the weights of attraction and of repulsion, each alone and neither, against InfoNCE (CACR)",
    "hydra": "any two classes as positives under a gate, against pairs of one class and no gate, on digits (Hydra)",
    "projection_head": "what is known before a projection head and behind it, with several heads, on digits",
    "simcse": "SimCSE against the untrained encoder and against no dropout, on sentence similarity",
}

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Run a benchmark and store its result.")
for name, about in NAMES.items():
    app.command(name.replace("_", "-"), help=about)(importlib.import_module(f"benchmarks.{name}").run)

if __name__ == "__main__":
    app()
