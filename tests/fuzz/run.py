"""Mutates small files of every kind that omar reads: each is refused in one sentence, or means what it meant.

    python tests/fuzz/run.py --seconds 60
    python tests/fuzz/run.py --seed 7 --only manifest --round 1234   # again what failed

Every round is a function of the seed, the kind and its number. What comes out of a read is an OmarError,
an OSError, or a meaning; other exceptions, warnings, crashes, more memory than 1 GiB or time than 20 s are
faults.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "python")]

import torch  # noqa: E402
from corpus import TARGETS, Target  # noqa: E402
from mutate import mutate, mutate_entries  # noqa: E402

from hostile import little_memory  # noqa: E402
from omar.errors import OmarError  # noqa: E402

MEMORY = 2**30  # bytes that a round may take
SECONDS = 20  # that a round may take


class Fault(Exception):
    """A file was read that should have been refused, or means something else."""


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every file in a folder by its path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def restore(folder: Path, files: dict[str, bytes]) -> None:
    """Makes the folder hold these files alone."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


class Fuzzer:
    """A kind of file: its corpus, and rounds of mutating and reading it."""

    def __init__(self, name: str, target: Target, root: Path, seed: int) -> None:
        self.name, self.target, self.seed = name, target, seed
        self.folder = root / name
        self.folder.mkdir()
        target.make(self.folder)
        self.files = contents(self.folder)
        self.mutated = self._matching(target.files)
        self.sealed = self._matching(target.sealed or target.files) if target.seal else []
        self.meaning = target.read(self.folder)
        restore(self.folder, self.files)
        self.others = [*target.means(self.folder), None]  # None: as if it had never been written

    def _matching(self, pattern: str) -> list[str]:
        return sorted(
            str(path.relative_to(self.folder)) for path in self.folder.glob(pattern) if path.is_file()
        )

    def round(self, number: int) -> str:
        """One round; gives "refused" or "read"."""
        rng = random.Random(f"{self.seed} {self.name} {number}")
        restore(self.folder, self.files)
        seals = bool(self.sealed) and rng.random() < 0.5
        name = rng.choice(self.sealed if seals else self.mutated)
        data = self._reseal(rng, self.files[name]) if seals else mutate(rng, self.files[name])
        (self.folder / name).write_bytes(data)
        try:
            meaning = self.target.read(self.folder)
        except (OmarError, OSError, *self.target.refusals) as error:
            if not str(error) or "\n" in str(error) or "Traceback" in str(error):
                raise Fault(f"{name}: the message is no sentence: {error!r}") from error
            return "refused"
        if self.target.checked and not seals and meaning not in (self.meaning, *self.others):
            raise Fault(f"{name} was changed, and read as if it were whole: {meaning!r:.500}")
        return "read"

    def _reseal(self, rng: random.Random, data: bytes) -> bytes:
        """A JSON file, or one line of a file of lines, with other entries and their checksum."""
        lines = [data] if data.lstrip()[:1] == b"{" and data.count(b"\n{") == 0 else data.splitlines(True)
        which = rng.randrange(len(lines))
        entries = json.loads(lines[which])
        mutate_entries(rng, entries)
        assert self.target.seal is not None
        with suppress(ValueError, TypeError):  # no checksum of what is no JSON
            entries = self.target.seal(entries)
        lines[which] = json.dumps(entries).encode() + b"\n"
        return b"".join(lines)


def too_long(*_: Any) -> None:
    raise Fault(f"the round took more than {SECONDS} seconds")


def attempt(fuzzer: Fuzzer, number: int) -> str:
    """A round within its bounds; a fault says how to see it again, and ends the program."""
    again = f"python tests/fuzz/run.py --seed {fuzzer.seed} --only {fuzzer.name} --round {number}"
    signal.alarm(SECONDS)
    try:
        with little_memory(MEMORY):
            return fuzzer.round(number)
    except BaseException as error:
        signal.alarm(0)
        if isinstance(error, KeyboardInterrupt):
            raise
        traceback.print_exc()
        sys.stdout.write(f"\nFAULT in {fuzzer.name}: {type(error).__name__}. See it again with\n{again}\n")
        raise SystemExit(1) from None
    finally:
        signal.alarm(0)


def fuzz(fuzzers: list[Fuzzer], seconds: float, last_round: Path) -> None:
    """Rounds of every kind in turn until the time is up."""
    ends = time.monotonic() + seconds
    counts = {fuzzer.name: {"read": 0, "refused": 0} for fuzzer in fuzzers}
    number = 0
    while number == 0 or time.monotonic() < ends:
        for fuzzer in fuzzers:
            last_round.write_text(f"--seed {fuzzer.seed} --only {fuzzer.name} --round {number}")
            counts[fuzzer.name][attempt(fuzzer, number)] += 1
        number += 1
    for name, count in counts.items():
        sys.stdout.write(f"{name:13} {count['refused']:6} refused {count['read']:6} read\n")


def main(arguments: list[str] | None = None) -> int:
    """Gives the exit status: 0 where no fault was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--seed", type=int, default=None, help="of the mutations; a new one by default")
    parser.add_argument("--only", choices=sorted(TARGETS), help="one kind of file")
    parser.add_argument("--round", type=int, help="one round of --only")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    names = [options.only] if options.only else list(TARGETS)
    before = signal.signal(signal.SIGALRM, too_long)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        os.environ["OMAR_HOME"] = str(root / "home")
        last_round = Path(tempfile.gettempdir()) / f"omar-fuzz-{os.getpid()}"
        sys.stdout.write(f"seed {seed}; after a crash, {last_round} holds the round\n")
        sys.stdout.flush()
        fuzzers = [Fuzzer(name, TARGETS[name], root, seed) for name in names]
        if options.round is not None:
            for fuzzer in fuzzers:
                sys.stdout.write(f"{fuzzer.name}, round {options.round}: {attempt(fuzzer, options.round)}\n")
        else:
            fuzz(fuzzers, options.seconds, last_round)
        last_round.unlink(missing_ok=True)
    signal.signal(signal.SIGALRM, before)
    return 0


if __name__ == "__main__":
    faulthandler.enable()
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    sys.exit(main())
