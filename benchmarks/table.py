"""Puts the tables into benchmarks/README.md, from the records that `python -m omar.bench --json FILE` wrote.

The README says where: between `<!-- table FILE -->` and `<!-- end -->` lies what comes from benchmarks/FILE.

    python benchmarks/table.py          # rewrites the README
    python benchmarks/table.py --check  # fails when the README is not what the records say
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from omar.bench import text
from omar.benchmarks.measure import TIME_UNITS, Record

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
BLOCK = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->\n)", re.DOTALL)

# (name, start of the setting) -> what the issues ask for, in the record's unit, on a 2-core Zen 4
TARGETS = {
    ("particle/simple_spread", "16384 worlds"): "≥ 25M on 1 core, ≥ 45M on 2",
    ("particle/simple_spread", "1024 worlds"): "≥ 20M on 1 core",
    ("particle/simple_tag", "16384 worlds"): "≥ 15M on 1 core",
    ("particle/simple_world", "16384 worlds"): "≥ 10M on 1 core",
    ("rollout/simple_spread", ""): "≥ 60% of the bound",
    ("rollout/simple_tag", ""): "≥ 60% of the bound",
    ("rollout/simple_world", ""): "≥ 60% of the bound",
    ("dataset/simple_spread", ""): "≤ 6 on 2 cores",
    ("replay/sample", "1024 of 1000000 rows"): "≥ 9k on 1 core, ≥ 17k on 2",
    ("cem/maximize float32", "particle"): "≤ 3.3 on 1 core",
    ("cem/maximize bf16", "particle"): "≤ 1.8 on 1 core",
    ("cem/maximize float32", "HalfCheetah"): "≤ 16 on 1 core",
    ("cem/maximize bf16", "HalfCheetah"): "≤ 8 on 1 core",
    ("learner/OMAR update per agent", "particle, M 3, B 1024, float32"): "≤ 12 on 1 core",
    ("learner/OMAR update per agent", "particle, M 3, B 1024, bf16"): "≤ 8 on 1 core",
    ("learner/OMAR update per agent", "particle, M 15, B 1024, float32"): "≤ 6.5 on 2 cores",
    ("learner/OMAR update per agent", "HalfCheetah, M 2, B 256, float32"): "≤ 100 on 1 core",
    ("learner/OMAR update per agent", "HalfCheetah, M 2, B 256, bf16"): "≤ 60 on 1 core",
}

# another library's record -> (omar's record of the same work, start of its setting)
SAME_WORK = {
    "replay/torch index_select": ("replay/sample", ""),
    "cem/torch eager": ("cem/maximize float32", ""),
    "peer/VMAS simple_spread": ("particle/simple_spread", "16384 worlds"),
    "peer/JaxMARL simple_spread": ("particle/simple_spread", "16384 worlds"),
    "peer/mpe2 simple_spread": ("particle/simple_spread", "16384 worlds"),
    "peer/cpprb": ("replay/sample", ""),
    "peer/flashbax": ("replay/sample", ""),
}


def read(path: Path) -> tuple[list[Record], dict[str, Any]]:
    """The records of a file, and the circumstances of the first.

    Raises:
        ValueError: Not a file of records.
    """
    names = [f.name for f in fields(Record)]
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [Record(**{name: entry[name] for name in names}) for entry in found], found[0]
    except (ValueError, KeyError, TypeError, IndexError):
        raise ValueError(f"{path} is not what `python -m omar.bench --json` writes") from None


def lines(header: list[str], rows: list[list[str]], left: int) -> str:
    """A Markdown table whose first `left` columns are text, the others numbers."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "".join("| " + " | ".join(row) + " |\n" for row in (header, rule, *rows))


def work(record: Record) -> str:
    """The record's name and setting, and the unit of its figures."""
    setting = record.setting.replace(", cpu", "")
    return f"`{record.name}` {setting} ({record.unit})"


def target(record: Record) -> str:
    """What the issues ask for, or nothing."""
    found = [t for (n, s), t in TARGETS.items() if n == record.name and record.setting.startswith(s)]
    return found[0] if found else ""


def figures(records: list[Record]) -> str:
    """Our own figures: one row for each work, and for each number of threads figure, bound and share."""
    own = [r for r in records if r.name not in SAME_WORK]
    threads = sorted({r.threads for r in own})
    header = ["work", "target"]
    for n in threads:
        header += [f"measured, {n} core{'s' if n > 1 else ''}", "bound", "share"]
    rows = []
    for key in dict.fromkeys((r.name, r.setting) for r in own):
        same = {r.threads: r for r in own if (r.name, r.setting) == key}
        first = next(iter(same.values()))
        row = [work(first), target(first)]
        for n in threads:
            r = same.get(n)
            row.append("" if r is None else text(r.median))
            row.append("" if r is None or r.bound is None else text(r.bound))
            row.append("" if r is None or r.share is None else f"{100 * r.share:.0f}%")
        rows.append(row)
    return lines(header, rows, left=2)


def others(records: list[Record]) -> str:
    """Other libraries at the same work: their figure, ours at the same number of threads, and the ratio."""
    rows = []
    for other in records:
        if other.name not in SAME_WORK:
            continue
        name, start = SAME_WORK[other.name]
        case = other.setting.partition(":")[0] if ":" in other.setting else start
        ours = [
            r for r in records if r.name == name and r.setting.startswith(case) and r.threads == other.threads
        ]
        row = [work(other), str(other.threads), text(other.median), "", "", ""]
        if ours:
            own = ours[0].median
            faster = other.median / own if other.unit in TIME_UNITS else own / other.median
            row[3:] = [ours[0].setting.replace(", cpu", ""), text(own), f"{text(faster)} x"]
        rows.append(row)
    if not rows:
        return ""
    return "\n" + lines(
        ["elsewhere", "cores", "measured", "omar's setting", "omar", "omar is faster by"], rows, left=1
    )


def block(path: Path) -> str:
    """Everything between the marks: where it was measured, our figures, those of others."""
    records, place = read(path)
    machine, versions = place["machine"], place["versions"]
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    where = f"{machine['cpu']}, {machine['cores']} cores ({machine['cpu_level']}){gpu}"
    packages = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "omar")
    head = f"{where}; commit {place['commit']}, {place['date']}; {packages}.\n\n"
    return head + figures(records) + others(records)


def filled(readme: str) -> str:
    """The README with every block made anew."""
    return BLOCK.sub(lambda m: m[1] + "\n" + block(FOLDER / m[2]) + "\n" + m[3], readme)


def main(arguments: list[str]) -> int:
    """Entry point."""
    try:
        now = README.read_text(encoding="utf-8")
        new = filled(now)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if arguments == ["--check"]:
        if new != now:
            sys.stderr.write("benchmarks/README.md is not up to date: run python benchmarks/table.py\n")
        return int(new != now)
    if arguments:
        sys.stderr.write(__doc__ or "")
        return 2
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
