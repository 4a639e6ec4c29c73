#!/usr/bin/env python3
"""Measures the figures of README's table "What int8 costs" anew and says which have moved.

    scripts/readme_figures.py                               # builds the program first
    TINYTORCH=/usr/local/bin/tinytorch scripts/readme_figures.py

Rows that need data which the repository does not hold are listed and left alone. A figure has moved if it prints
otherwise at the precision that README gives; a time, which another machine or a busy one changes, if it is more than a
fifth away. The exit code is 1 if anything but a time has moved. Only Python's standard library is needed.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STORIES = "crates/tinytorch/tests/data/stories260K"
SECTION = "## What int8 costs"
COLUMNS = ["float", "int8", "error", "weights", "time"]
TIME_ROOM = 0.2


def program():
    """The path of the command-line program, built if need be."""
    named = os.environ.get("TINYTORCH")
    if named:
        return named
    subprocess.run(["cargo", "build", "--release", "-p", "tinytorch-cli"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str(target / "release" / "tinytorch")


def table(readme):
    """README's rows: name to cells by column."""
    section = readme.split(SECTION, 1)[1]
    rows = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 7 and cells[0] not in ("model", "---"):
            name = re.sub(r"`|, published weights.*| \(\d\)", "", cells[0])
            rows[name] = dict(zip(COLUMNS, cells[1:6]))
        elif rows and not line.startswith("|"):
            break
    return rows


def audited(tinytorch, arguments, folder):
    """The models of a report. An audit that fails a gate has measured, too."""
    out = Path(folder) / "report"
    command = [tinytorch, "audit", *arguments, "--out", str(out)]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    if ended.returncode > 1:
        sys.exit(f"{' '.join(command)} ended with {ended.returncode}")
    return json.loads((out / "report.json").read_text())["models"]


def measured(model):
    """The table's figures of a model: column to number."""
    gates = {gate["id"]: gate for gate in model["gates"]}
    ratio = lambda pair: sorted(b / a for a, b in zip(pair["float_us"], pair["int8_us"]))
    times = [ratio(pair) for pair in model["latency"] if pair["batch"] == 32]
    figures = {
        "float": model["float_quality"],
        "int8": model["int8_quality"],
        "error": gates["output_error"]["value"],
        "weights": gates["weight_bytes"]["value"],
        "time": times[0][len(times[0]) // 2] if times else None,
        "agreement": gates["agreement"],
        "accuracy": gates["accuracy"]["value"],
    }
    return figures


def stories(tinytorch, folder):
    int8 = str(Path(folder) / "stories.int8")
    quantize = [tinytorch, "quantize", STORIES, "--out", int8]
    subprocess.run(quantize, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    arguments = [STORIES, int8, "--data", f"{STORIES}/stories.txt", "--max-error", "2%"]
    figures = measured(audited(tinytorch, arguments, folder)[0])
    # This row tells the ratio of the perplexities, and no time.
    return {**figures, "float": None, "int8": figures["accuracy"], "time": None}


def compare(name, column, cell, value):
    """A line for a figure, and whether it has moved beyond what its kind allows."""
    told = re.search(r"\d+(?:\.(\d+))?", cell)
    if told is None or value is None:
        return None, False
    digits = len(told.group(1) or "")
    if column == "time":
        has_moved = abs(value / float(told.group()) - 1.0) > TIME_ROOM
    else:
        has_moved = f"{value:.{digits}f}" != told.group()
    word = "moved" if has_moved else "same"
    line = f"{word:6} {name}, {column}: README {told.group()}, now {value:.{digits + 1}f}"
    return line, has_moved and column != "time"


def agreement_of_stories(readme, gate):
    """The footnote's share of the same tokens and its interval."""
    note = re.search(r"int8 gives the same likeliest token at\s+([\d.]+) %.*?interval ([\d.]+) to ([\d.]+) %", readme, re.S)
    if note is None:
        return "moved  stories260K, agreement: README no longer tells it", True
    told = list(note.groups())
    interval = gate["interval"]
    now = [f"{value:.1f}" for value in (gate["value"], interval["low"], interval["high"])]
    word = "same" if told == now else "moved"
    return f"{word:6} stories260K, same tokens: README {told}, now {now}", told != now


def main():
    readme = (ROOT / "README.md").read_text()
    rows = table(readme)
    tinytorch = program()
    has_moved = False
    with tempfile.TemporaryDirectory() as folder:
        found = {model["name"]: measured(model) for model in audited(tinytorch, [], folder)}
        found["stories260K"] = stories(tinytorch, folder)
    for name, figures in found.items():
        if name not in rows:
            print(f"moved  {name}: README has no row of it")
            has_moved = True
            continue
        for column in COLUMNS:
            line, moved = compare(name, column, rows[name][column], figures[column])
            has_moved |= moved
            if line:
                print(line)
    line, moved = agreement_of_stories(readme, found["stories260K"]["agreement"])
    print(line)
    has_moved |= moved
    for name in rows.keys() - found.keys():
        print(f"not measured here, for want of its data: {name}")
    return int(has_moved)


if __name__ == "__main__":
    sys.exit(main())
