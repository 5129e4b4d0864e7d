"""The table of a comparison of methods: printed, and in its folder as a page and as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.table import Table

from kd.files import replace_file
from kd.text import as_json, visible
from tuning.records.findings import mean_deviation
from tuning.records.measured import Measured, Row
from tuning.reports.console import console
from tuning.reports.escapes import markdown, terminal
from tuning.reports.method_words import (
    HEADINGS,
    NOT,
    about,
    both,
    cells,
    epochs,
    handed_out,
    p_of,
    sentences,
)
from tuning.reports.wording import of_images
from tuning.storage.tables import to_parquet
from tuning.study.pairs import FEWEST, LEVEL, Paired

MARKDOWN, JSON, PARQUET = "comparison.md", "comparison.json", "comparison.parquet"


def print_table(measured: Measured) -> None:
    """Print the table, a method in some lines, and the sentences."""
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in (
        "\n",
        "default: val\nand test",
        "tuned: val\nand test",
        "tuned, on test",
        "epochs",
    ):
        shown.add_column(heading)
    for row in measured.rows:
        name, *rest = cells(row)
        spent = [epochs(row.cost), *([] if row.ce_epochs is None else [f"{rest[8]} of ce"])]
        lines = ([name], rest[0:2], rest[2:4], _briefly(row), spent)
        shown.add_row(*(_lines(cell) for cell in lines), end_section=True)
    out = console()
    out.print(shown)
    out.print()
    for sentence in (about(measured), *sentences(measured)):
        out.print(terminal(sentence), soft_wrap=True)


def print_shares(found: Mapping[float, Measured]) -> None:
    """Print each method's test accuracy, tuned, by the share of the images that was trained on."""
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    shown.add_column("tuned, on test")
    for share in found:
        shown.add_column(of_images(share), justify="right")
    methods = dict.fromkeys(row.method for one in found.values() for row in one.rows)
    for method in methods:
        rows = (next((r for r in one.rows if r.method == method), None) for one in found.values())
        said = ("left out" if row is None else mean_deviation(row.tuned.test_acc) for row in rows)
        shown.add_row(method, *said)
    console().print(shown)


def _briefly(row: Row) -> list[str]:
    """What is compared with a method, in short lines; the sentences have the rest of it."""
    found = [(row.on_baseline, f"on {row.baseline}")]
    if not row.is_default:
        found.append((row.on_default, "on its default"))
    lines = []
    for one, which in found:
        if one is not None:
            sure = p_of(one) if one.p <= LEVEL else NOT
            lines += [f"{one.mean:+.2f} {which}", "a screening" if one.n < FEWEST else sure]
    return [*lines, "is its default"] if row.is_default else lines


def _lines(cell: Sequence[str]) -> Any:
    """A cell of several lines, of which each is harmless."""
    from rich.text import Text

    return Text("\n").join(map(terminal, cell))


def as_markdown(measured: Measured) -> str:
    """The whole table, and the sentences, as a page of Markdown."""
    rule = ["---", *["---:"] * 5, *["---"] * 2, *["---:"] * 2, "---"]
    body = [[markdown(cell) for cell in cells(row)] for row in measured.rows]
    lines = ["| " + " | ".join(row) + " |" for row in ([*HEADINGS], rule, *body)]
    said = "\n".join(f"- {markdown(sentence)}" for sentence in sentences(measured))
    title = markdown(f"{measured.comparison.name}: methods tuned alike")
    asked = f"{measured.comparison.asked} --name {measured.comparison.name}"
    asked = f"    python -m tuning.compare {visible(asked)}"
    parts = [f"# {title}", asked, markdown(about(measured)), "\n".join(lines), said]
    return "\n\n".join(parts) + "\n"


def write(measured: Measured, storage: Path) -> Path:
    """Write comparison.parquet, .json and .md into the comparison's folder; the last one's path."""
    folder = measured.comparison.folder(storage)
    replace_file(folder / PARQUET, to_parquet(trainings(measured)), None)
    plain = asdict(measured) | {"about": about(measured), "sentences": sentences(measured)}
    replace_file(folder / JSON, f"{as_json(plain, indent=2)}\n".encode(), None)
    replace_file(folder / MARKDOWN, as_markdown(measured).encode(), None)
    return folder / MARKDOWN


def numbers(measured: Measured) -> list[dict[str, Any]]:
    """A row for each method, in numbers: accuracies in percent, differences in points of test."""
    return [
        {
            "method": row.method,
            **{
                f"{name}_{part}_acc{'' if what is fmean else '_sd'}": what(values)
                for name, one in (("default", row.default), ("tuned", row.tuned))
                for part, values in zip(("val", "test"), both(one), strict=True)
                for what in (fmean, stdev)
            },
            "n": len(measured.seeds),
            "baseline": row.baseline,
            **_numbers("baseline", row.on_baseline),
            **_numbers("default", None if row.is_default else row.on_default),
            "search_epochs": row.cost.search,
            "confirming_epochs": row.cost.confirming,
            "teacher_epochs": row.cost.teacher,
            "ce_epochs": row.ce_epochs,
            "trial": row.tuned.trial,
            "handed_out": handed_out(row),
        }
        for row in measured.rows
    ]


def _numbers(name: str, found: Paired | None) -> dict[str, float | None]:
    parts = ("mean", "low", "high", "p")
    return {f"on_{name}_{part}": None if found is None else getattr(found, part) for part in parts}


def trainings(measured: Measured) -> list[dict[str, Any]]:
    """A row for each training that the table is made of, with its seed and its scores."""
    return [
        {
            "method": row.method,
            "sweep": row.sweep,
            "trial": scores.trial,
            "default": scores.trial == row.default.trial,
            "tuned": scores.trial == row.tuned.trial,
            "seed": seed,
            "val_acc": val,
            **test,
        }
        for row in measured.rows
        for scores in ([row.default] if row.is_default else [row.default, row.tuned])
        for seed, val, test in zip(measured.seeds, scores.val_acc, scores.test, strict=True)
    ]
