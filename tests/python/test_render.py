"""`python -m omar.render`: what it writes, and what it refuses."""

from __future__ import annotations

import sys

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

import omar
import omar.train
from data_cases import make_dataset, some_policy
from omar import OmarError, render
from omar.behaviors.policy_file import save_policies
from omar.evaluation.clips import Clip, check_video, write_video
from omar.evaluation.clips import render as render_clip
from omar.tasks import get_task
from opengl_case import CHEETAH, needs_opengl

train_main = sys.modules["omar.train"].main

SMALL = ["--batch-size", 8, "--hidden", 2, "--eval-episodes", 1, "--seeds", 2, "--checkpoint-every", 1]


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "policy.safetensors"
    save_policies(path, [some_policy(hidden=4), some_policy(hidden=4)])
    return path


def run(*arguments):
    return render.main([str(a) for a in arguments])


def fails(capsys, *arguments):
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said.removeprefix("error: ").strip()


def frames_of(path):
    return imageio_ffmpeg.count_frames_and_secs(str(path))[0]


def test_every_step_of_every_episode_is_in_a_clip(policy, tmp_path, capsys):
    out = tmp_path / "clip.mp4"
    assert run("--policy", policy, "--out", out, "--episodes", 2, "--size", 160, "--fps", 20) == 0
    assert f"{out}: 52 pictures of simple_spread, " in capsys.readouterr().out
    assert frames_of(out) == 52
    assert list(tmp_path.iterdir()) == [out]
    out = tmp_path / "clip.gif"
    assert run("--policy", policy, "--out", out, "--steps", 3, "--size", 200) == 0
    with Image.open(out) as clip:
        assert (clip.n_frames, clip.size, clip.info["duration"]) == (4, (200, 200), 100)


@needs_opengl
def test_half_cheetah_is_rendered(tmp_path):
    save_policies(tmp_path / "policy.safetensors", [some_policy(task="half_cheetah", hidden=4)])
    out = tmp_path / "clip.mp4"
    arguments = ["--policy", tmp_path / "policy.safetensors", "--size", 200]
    assert run(*arguments, "--out", out, "--steps", 5) == 0
    reader = imageio_ffmpeg.read_frames(str(out))
    facts = next(reader)
    reader.close()
    assert (facts["size"], facts["fps"]) == ((300, 200), 20.0)
    assert frames_of(out) == 6
    assert run(*arguments, "--out", tmp_path / "sheet.png", "--columns", 2) == 0  # all 1,000 steps
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == (606, 200)
        first, last = (np.array(image)[:, columns].astype(int) for columns in (slice(300), slice(306, 606)))
    assert abs(first - last).max() > 100


def test_a_sheet_has_a_row_of_moments_for_each_episode(policy, tmp_path):
    out = tmp_path / "sheet.png"
    wanted = ["--size", 160, "--columns", 4, "--episodes", 2]
    assert run("--policy", policy, "--out", out, *wanted) == 0
    with Image.open(out) as image:
        assert image.size == (4 * 160 + 3 * 6, 2 * 160 + 6)
        first = np.array(image)
    assert run("--policy", policy, "--out", out, *wanted) == 0
    with Image.open(out) as image:
        np.testing.assert_array_equal(np.array(image), first)  # the same options, the same picture
    assert run("--policy", policy, "--out", out, *wanted, "--seed", 1) == 0
    with Image.open(out) as image:
        assert (np.array(image) != first).any()
    assert run("--policy", policy, "--out", out, "--size", 160, "--columns", 1, "--steps", 2) == 0
    with Image.open(out) as image:
        assert image.size == (160, 160)
    assert run("--policy", policy, "--out", out, "--size", 160, "--columns", 5, "--steps", 2) == 0
    with Image.open(out) as image:
        assert image.size == (3 * 160 + 12, 160)  # there are no more moments


@pytest.mark.parametrize("task", ["simple_spread", "simple_tag", "simple_world", CHEETAH])
def test_an_episode_is_that_of_an_evaluation(task, tmp_path, monkeypatch):
    """The policy, its prey and the start states are those of `omar.evaluate`."""
    films = []
    draw = render_clip.__globals__["Film"].draw

    def watched(film, *arguments):
        films.append(film.returns)
        return draw(film, *arguments)

    monkeypatch.setattr("omar.envs.film.Film.draw", watched)
    policy = omar.behaviors.shipped.load(task, "expert")
    expected = omar.evaluation.evaluate([policy], episodes=3, seed=7).returns
    clip = Clip(episodes=3, seed=7, size=160, columns=1)
    render_clip(policy, tmp_path / "sheet.png", clip, progress=False)
    assert films[0].tolist() == pytest.approx(expected[0].tolist(), rel=1e-5)


def test_a_run_is_rendered_and_keeps_a_video(tmp_path, monkeypatch, capsys):
    data = make_dataset(tmp_path / "set", episodes=1)
    out = tmp_path / "run"
    arguments = [str(a) for a in ("--dataset", data.path, "--out", out, *SMALL, "--updates", 2, "--video")]
    assert train_main(arguments) == 0
    assert frames_of(out / "video.mp4") == 4 * 26
    assert run("--run", out, "--out", tmp_path / "clip.gif", "--size", 160, "--training-seed", 1) == 0
    (out / "video.mp4").unlink()
    assert train_main(["--resume", str(out), "--updates", "3"]) == 0  # the run knows that it has a video
    assert frames_of(out / "video.mp4") == 4 * 26
    capsys.readouterr()
    monkeypatch.setattr("omar.pictures.clips.find_spec", lambda name: None)
    for again in (
        ["--resume", str(out), "--updates", "4"],
        [*arguments[:3], str(tmp_path / "b"), *arguments[4:]],
    ):
        assert train_main(again) == 2
        assert capsys.readouterr().err.startswith("error: an MP4 needs imageio-ffmpeg: pip install")
    assert not (tmp_path / "b").exists()
    assert '"update": 4' not in (out / "metrics.jsonl").read_text()  # refused before the training


def test_a_run_without_video_has_none(tmp_path):
    data = make_dataset(tmp_path / "set", episodes=1)
    out = tmp_path / "run"
    assert train_main([str(a) for a in ("--dataset", data.path, "--out", out, *SMALL, "--updates", 0)]) == 0
    assert not (out / "video.mp4").exists()


def test_a_video_of_a_long_episode_is_short(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("omar.evaluation.clips.render", lambda p, path, clip, progress: seen.append(clip))
    for name, clip in (("simple_tag", Clip(4, steps=25)), ("half_cheetah", Clip(1, steps=200))):
        write_video(tmp_path / "video.mp4", omar.Policy(*layers_of(name), name, prey=prey_of(name)))
        assert seen.pop() == clip


def layers_of(name):
    task = get_task(name)
    return (torch.zeros(task.num_learners, task.obs_size, task.action_size),), (
        torch.zeros(task.num_learners, task.action_size),
    )


def prey_of(name):
    return omar.load_prey(name) if get_task(name).has_prey else None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--out", "clip.webm"], "the file must end in .mp4, .gif or .png, got clip.webm"),
        (["--steps", 26], "--steps must be at most 25 in simple_spread, got 26"),
        (["--steps", 0], "--steps must be at least 1, got 0"),
        (["--episodes", 0], "--episodes must be in [1, 1000], got 0"),
        (["--size", 161], "--size must be a multiple of 4, got 161"),
        (["--size", 4], "--size must be in [160, 2160], got 4"),
        (["--fps", 121], "--fps must be in [1, 120], got 121"),
        (["--columns", 0], "--columns must be in [1, 100], got 0"),
        (["--seed", -1], "--seed must be in [0, 18446744073709551615], got -1"),
        (["--training-seed", 2], "holds the training seeds 0 to 1, got 2"),
        (["--run", "somewhere"], "give either --run DIR or --policy FILE"),
        (["--out", "nowhere/clip.gif"], "nowhere/clip.gif: No such file or directory"),
        (["--fps", 51], "a GIF shows at most 50 pictures a second, got 51: write an .mp4"),
        (["--episodes", 100], "a GIF of 2600 pictures is too long, 1500 is the most: write an .mp4"),
    ],
)
def test_what_cannot_be_is_said(policy, tmp_path, monkeypatch, capsys, change, message):
    monkeypatch.chdir(tmp_path)
    said = fails(capsys, "--policy", policy, "--out", "clip.gif", *change)
    assert said.endswith(message)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_policy_is_said(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    said = fails(capsys, "--run", tmp_path, "--out", tmp_path / "clip.gif")
    assert "has no policy yet: policy.safetensors comes with the run's first checkpoint" in said
    assert "give either --run DIR or --policy FILE" in fails(capsys, "--out", tmp_path / "clip.gif")


def test_a_policy_whose_actions_are_not_finite_is_said(tmp_path, capsys):
    weight = torch.full((3, 18, 4), 3e38)
    policy = omar.Policy(
        (weight, -torch.full((3, 4, 2), 3e38)), (torch.zeros(3, 4), torch.zeros(3, 2)), "simple_spread"
    )
    with torch.no_grad():
        policy.weights[1][:, ::2] *= -1  # inf - inf
    save_policies(tmp_path / "policy.safetensors", [policy])
    said = fails(capsys, "--policy", tmp_path / "policy.safetensors", "--out", tmp_path / "clip.gif")
    assert "gives actions that are not finite: its training diverged" in said


def test_a_video_of_half_cheetah_needs_opengl_before_the_training(monkeypatch):
    def nothing(width, height):
        raise OmarError("no OpenGL")

    monkeypatch.setattr("omar.evaluation.clips.open_context", nothing)
    check_video(get_task("simple_tag"))
    with pytest.raises(OmarError, match=r"^no OpenGL$"):
        check_video(get_task("half_cheetah"))
