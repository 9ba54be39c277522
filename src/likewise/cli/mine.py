"""``likewise mine``: hard negatives for pairs, found with a model you have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from likewise.cli.options import BatchSize, Columns, Data, ModelArgument, check_new_file
from likewise.cli.output import Json, show_mapping, write_json


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("mine", help="Find hard negatives for pairs; the result trains with `likewise train pairs`.")(mine)


def mine(
    model: ModelArgument,
    data: Data,
    out: Annotated[Path, typer.Option(help="A new .jsonl file with query, positive, negative (a list).")],
    columns: Columns = None,
    num_negatives: Annotated[int, typer.Option(help="Hard negatives a query, at most.", min=1)] = 5,
    skip_top: Annotated[int, typer.Option(help="Nearest candidates to leave out, >= 0.", min=0)] = 0,
    share_of_positive: Annotated[
        float, typer.Option(help="Most that a negative may have of the positive's score, in (0, 1].")
    ] = 0.95,
    batch_size: BatchSize = 256,
    json: Json = False,
) -> None:
    """Find, for every query, the nearest texts that answer other queries."""
    import json as json_module

    import likewise
    from likewise.data import Column, Text, open_table, retrieval_from_pairs
    from likewise.data.renaming import parse_renaming
    from likewise.sampling import mine as nearest_wrong

    check_new_file(out, (".jsonl",))
    table = open_table(data, columns=(Column("query", Text), Column("positive", Text)), rename=parse_renaming(columns))
    pairs = retrieval_from_pairs(table)
    documents = list(pairs.corpus.values())
    place = {document: number for number, document in enumerate(pairs.corpus)}
    embedder = likewise.load(model)
    numbers = nearest_wrong(
        embedder.encode(list(pairs.queries.values()), role="query", batch_size=batch_size, progress=True),
        embedder.encode(documents, role="document", batch_size=batch_size, progress=True),
        [[place[document] for document in pairs.relevant[query]] for query in pairs.queries],
        num_negatives=num_negatives,
        skip_top=skip_top,
        share_of_positive=share_of_positive,
    )
    found_for = {
        text: [documents[number] for number in row if number >= 0]
        for text, row in zip(pairs.queries.values(), numbers.tolist(), strict=True)
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.writing")
    found = without = 0
    with temporary.open("w", encoding="utf-8") as file:
        for row in table.stream():
            negatives = found_for[row["query"]]
            found += len(negatives)
            without += not negatives
            content = {"query": row["query"], "positive": row["positive"]}
            if negatives:
                content["negative"] = negatives
            file.write(json_module.dumps(content, ensure_ascii=False) + "\n")
    temporary.replace(out)
    result = {"out": str(out), "rows": len(table), "negatives": found, "rows_without": without}
    write_json(result) if json else show_mapping(result)
