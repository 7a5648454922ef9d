"""Looks at an installed CUDA build of omar, on a machine with or without a GPU; run by run.sh."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch

import omar
from omar import _build


def say(*words: object) -> None:
    """A line of the report."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def linked(library: Path) -> str:
    """What the dynamic linker will look for."""
    run = subprocess.run(["readelf", "-d", str(library)], capture_output=True, text=True, check=True)
    return run.stdout


def requirement() -> str:
    """The wheel's requirement on torch."""
    return next(r for r in metadata.requires("omar") or [] if r.startswith("torch"))


def refusal(device: str) -> dict[str, str]:
    """What each part says to a device that is not there."""
    said = {}
    for name, make in {
        "ParticleEnv": lambda: omar.envs.ParticleEnv("simple_spread", 4, device=device),
        "ReplayBuffer": lambda: omar.ReplayBuffer(8, {"x": (2,)}, device=device),
    }.items():
        try:
            make()
        except ValueError as error:
            said[name] = str(error)
    return said


def main() -> None:
    """Prints what it finds; fails where it is not a working CUDA build."""
    architectures = sys.argv[1].split(";")
    (library,) = (Path(omar.__file__).parent / "lib").glob("libomar.so*")
    minor = ".".join(torch.__version__.split(".")[:2])
    build = f"{_build.TORCH_MINOR}, CUDA {_build.TORCH_CUDA}"
    say(f"torch {torch.__version__}, omar {omar.__version__} built against {build}")
    assert torch.version.cuda == _build.TORCH_CUDA
    assert requirement() == f"torch=={minor}.*", requirement()
    say("the wheel requires", requirement())
    assert "libc10_cuda.so" in linked(library), "libomar.so does not link CUDA"
    image = library.read_bytes()
    for number in architectures:
        assert f"sm_{number}".encode() in image, f"no code for sm_{number}"
    say("libomar.so links libc10_cuda.so and holds code for", ", ".join(f"sm_{n}" for n in architectures))
    actions = torch.zeros(4, 3, 2)
    assert bool(omar.envs.ParticleEnv("simple_spread", 4).step(actions).rewards.isfinite().all())
    if torch.cuda.is_available():
        step = omar.envs.ParticleEnv("simple_spread", 4, device="cuda").step(actions.cuda())
        say("a step on", torch.cuda.get_device_name(), "gives", step.rewards.sum().item())
        return
    said = refusal("cuda")
    assert set(said) == {"ParticleEnv", "ReplayBuffer"}, said
    for sentence in said.values():
        assert "is not available" in sentence and "\n" not in sentence, sentence
        say(sentence)


main()
