"""Rows: readers of many formats to one table of checked rows, and the demo corpora."""

from likewise.data.cache import cache_folder
from likewise.data.classes import class_names
from likewise.data.columns import Column, Image, Kind, Label, Number, Row, Text, Vector
from likewise.data.curation import (
    CURATION_RULES,
    CuratedTriple,
    Curation,
    CurationReport,
    CurationRule,
    Triple,
    self_curate,
)
from likewise.data.dialogs import Dialog, Turn, open_dialogs
from likewise.data.dictionary import DICTIONARY_COLUMNS, Dictionary
from likewise.data.images import StoredImage, as_rgb
from likewise.data.interactions import INTERACTION_COLUMNS, InteractionData, open_interactions
from likewise.data.opening import open_table
from likewise.data.retrieval_data import RetrievalData, open_retrieval, read_beir, retrieval_from_pairs
from likewise.data.sources import DataFile, find_files
from likewise.data.split_data import LABELLED_COLUMNS, VALUED_COLUMNS, SplitData, open_split
from likewise.data.splits import LabelledSplit, SplitPlan, few_labels, hold_out, long_tailed, open_world, split
from likewise.data.stages import Stages
from likewise.data.table import StreamedTable, Table

__all__ = [
    "CURATION_RULES",
    "DICTIONARY_COLUMNS",
    "INTERACTION_COLUMNS",
    "LABELLED_COLUMNS",
    "VALUED_COLUMNS",
    "Column",
    "CuratedTriple",
    "Curation",
    "CurationReport",
    "CurationRule",
    "DataFile",
    "Dialog",
    "Dictionary",
    "Image",
    "InteractionData",
    "Kind",
    "Label",
    "LabelledSplit",
    "Number",
    "RetrievalData",
    "Row",
    "SplitData",
    "SplitPlan",
    "Stages",
    "StoredImage",
    "StreamedTable",
    "Table",
    "Text",
    "Triple",
    "Turn",
    "Vector",
    "as_rgb",
    "cache_folder",
    "class_names",
    "few_labels",
    "find_files",
    "hold_out",
    "long_tailed",
    "open_dialogs",
    "open_interactions",
    "open_retrieval",
    "open_split",
    "open_table",
    "open_world",
    "read_beir",
    "retrieval_from_pairs",
    "self_curate",
    "split",
]
