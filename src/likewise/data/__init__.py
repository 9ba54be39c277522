"""Rows: readers of many formats to one table of checked rows, and the demo corpora."""

from likewise.data.cache import cache_folder
from likewise.data.columns import Column, Kind, Label, Number, Row, Text
from likewise.data.opening import open_table
from likewise.data.retrieval_data import RetrievalData, open_retrieval, read_beir, retrieval_from_pairs
from likewise.data.sources import DataFile, find_files
from likewise.data.table import StreamedTable, Table

__all__ = [
    "Column",
    "DataFile",
    "Kind",
    "Label",
    "Number",
    "RetrievalData",
    "Row",
    "StreamedTable",
    "Table",
    "Text",
    "cache_folder",
    "find_files",
    "open_retrieval",
    "open_table",
    "read_beir",
    "retrieval_from_pairs",
]
