"""Pictures: bodies lie where they should, and files of pictures hold what they were given."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

import opengl_case
from omar import OmarError
from omar.envs import HalfCheetahEnv, ParticleEnv
from omar.envs.cheetah_model import model_xml
from omar.envs.film import Film
from omar.pictures import (
    Canvas,
    CheetahCamera,
    Scene,
    check_clip,
    check_sheet,
    draw_scene,
    open_context,
    opengl,
    sheet,
    side_by_side,
    write_clip,
    write_picture,
)
from opengl_case import needs_opengl


def color_at(image, extent, x, y):
    side = image.shape[0]
    return image[int((extent - y) * side / (2 * extent)), int((x + extent) * side / (2 * extent))]


def test_discs_lie_where_they_should():
    canvas = Canvas(200, 2.0)
    canvas.disc(1.0, 0.5, 0.25, (255, 0, 0))
    image = canvas.image
    assert color_at(image, 2.0, 1.0, 0.5).tolist() == [255, 0, 0]
    assert color_at(image, 2.0, 1.0, -0.5).tolist() == [255, 255, 255]
    red = (255.0 - image[..., 1]).sum() / 255.0
    assert red == pytest.approx(np.pi * (0.25 * 50) ** 2, rel=0.01)  # smooth edges: the area is right


def test_shapes_outside_of_the_picture_are_left_out():
    canvas = Canvas(50, 1.0)
    canvas.disc(5.0, 5.0, 0.5, (0, 0, 0))
    canvas.ring(-9.0, 0.0, 1.0, (0, 0, 0))
    canvas.line((3.0, 3.0), (4.0, 4.0), (0, 0, 0))
    canvas.text(500, 500, "far away", (0, 0, 0))
    assert (canvas.image == 255).all()
    canvas.disc(1.0, 1.0, 0.5, (0, 0, 0))  # half outside
    assert (canvas.image[0, -1] == 0).all()


def test_lines_and_rings_have_their_width():
    canvas = Canvas(100, 1.0)
    canvas.line((-0.5, 0.0), (0.5, 0.0), (0, 0, 0), width=4.0)
    ink = (255.0 - canvas.image[..., 0]).sum() / 255.0
    assert ink == pytest.approx(50 * 4 + np.pi * 2**2, rel=0.02)
    canvas = Canvas(100, 1.0)
    canvas.ring(0.0, 0.0, 0.5, (0, 0, 0), width=3.0)
    ink = (255.0 - canvas.image[..., 0]).sum() / 255.0
    assert ink == pytest.approx(np.pi * (25**2 - 22**2), rel=0.02)


def test_text_is_as_high_as_asked_and_the_same_every_time():
    pictures = []
    for _ in range(2):
        canvas = Canvas(120, 1.0)
        canvas.text(10, 10, "return 12.5", (0, 0, 0), size=16)
        pictures.append(canvas.image)
    rows, columns = np.nonzero(pictures[0][..., 0] < 128)
    assert rows.min() >= 10 and rows.max() < 10 + 24
    assert 9 <= columns.min() < 14 and columns.max() < 110
    np.testing.assert_array_equal(*pictures)


def test_a_scene_shows_every_body():
    env = ParticleEnv("simple_world", seed=0)
    bodies = env.bodies
    assert bodies.agents == [0.075, 0.075, 0.075, 0.045]
    assert bodies.landmarks == [0.2, 0.03, 0.03, 0.3, 0.3]
    assert bodies.obstacles == 1
    agents = np.array([[-1.0, -1.0], [0.0, -1.0], [1.0, -1.0], [0.0, 1.0]], np.float32)
    landmarks = np.array([[-1.0, 0.0], [-0.5, 0.0], [0.0, 0.0], [0.5, 0.0], [1.2, 0.0]], np.float32)
    scene = Scene(agents[None], landmarks, bodies.agents, bodies.landmarks, bodies.obstacles, 3)
    image = draw_scene(scene, pixels=300, extent=1.5)
    seen = [color_at(image, 1.5, x, y).tolist() for x, y in (*agents, *landmarks)]
    assert [255, 255, 255] not in seen
    assert len({tuple(c) for c in seen}) == 7  # three predators, prey, obstacle, food, forest
    assert seen[0] != seen[3]


def test_a_clip_keeps_bodies_in_sight():
    trail = np.zeros((3, 1, 2), np.float32)
    trail[1] = 4.0  # it was far away once
    scene = Scene(trail, np.zeros((0, 2), np.float32), [0.15], [], 0, 1)
    assert scene.extent == pytest.approx(4.6)


def test_a_caption_stands_above_the_world():
    trail = np.array([[[0.0, 0.0], [1.2, 1.2]]], np.float32)
    scenes = [
        Scene(trail, np.zeros((0, 2), np.float32), [0.1, 0.1], [], 0, 2, text) for text in ((), ("a", "b"))
    ]
    plain, titled = (draw_scene(scene, pixels=400, extent=1.35) for scene in scenes)
    assert (plain[200, 200] == titled[221, 200]).all()  # the middle has moved down by half of the caption
    assert (titled[:42, :30] < 128).any()
    assert (titled[43:60, :30] == 255).all()


def test_targets_are_crosses_on_top_of_agents():
    trail, place = np.zeros((1, 1, 2), np.float32), np.zeros((1, 2), np.float32)
    spread = Scene(trail, place, [0.15], [0.05], 0, 1)
    assert spread.targets == [True]
    assert color_at(draw_scene(spread, pixels=300, extent=1.5), 1.5, 0.0, 0.0).max() < 60
    two = np.array([[[0.0, 0.0], [1.0, 1.0]]], np.float32)
    world = Scene(two, place, [0.075, 0.045], [0.03], 0, 1)
    assert world.targets == [False]  # food of a prey


def test_an_image_can_be_drawn_onto():
    image = np.full((40, 60, 3), 200, np.uint8)
    canvas = Canvas.over(image)
    canvas.disc(1.0, 0.0, 0.25, (255, 0, 0))
    assert canvas.image.shape == (40, 60, 3)
    assert canvas.image[20, 50].tolist() == [255, 0, 0]
    assert (image == 200).all()


def test_a_film_draws_bodies_where_they_are():
    env = ParticleEnv("simple_spread", num_envs=2, seed=1)
    env.reset()
    places = torch.tensor([[[-0.5, -0.5], [0.5, -0.5], [0.0, 0.5]]]).repeat(2, 1, 1)
    env.set_state(places, torch.zeros(2, 3, 2), torch.full((2, 3, 2), 0.9))
    film = Film(400)
    film.begin(env)
    film.go_on(env.step(torch.zeros(2, 3, 2)))
    assert len(film) == 2
    image = film.draw(0, world=1)
    for x, y in places[1].tolist():
        row, column = 221 - y * 358 / 2.7, 200 + x * 358 / 2.7  # 42 pixels are the caption's
        assert image[int(row), int(column)].min() < 200
        assert (image[int(row - 0.2 * 358 / 2.7), int(column)] == 255).all()


@pytest.mark.parametrize("task", ["simple_spread", "simple_world"])
def test_a_film_ends_where_the_episode_does(task):
    env = ParticleEnv(task, seed=3)
    env.reset()
    film = Film(160)
    film.begin(env)
    total = 0.0
    for _ in range(env.episode_length):
        step = env.step(torch.full((1, env.num_agents, 2), 0.5))
        total += float(step.rewards[0, : env.num_learners].mean())
        film.go_on(step)
    assert len(film) == 26
    assert film.returns.tolist() == pytest.approx([total], rel=1e-5)
    last, before, fresh = film._places[-1], film._places[-2], env.state().positions.numpy()
    assert np.abs(last - before).max() < 0.5 < np.abs(last - fresh).max()


def test_a_film_of_half_cheetah_ends_where_the_episode_does():
    rest = torch.zeros(2, 1, 9).double()
    env, longer = HalfCheetahEnv(seed=0), HalfCheetahEnv(seed=0)
    env.set_state(*rest, torch.tensor([998]))
    longer.set_state(*rest, torch.tensor([0]))
    film = Film(160)
    film.begin(env)
    for _ in range(2):
        step = env.step(torch.ones(1, 2, 3))
        film.go_on(step)
        longer.step(torch.ones(1, 2, 3))
    assert step.truncated.all()
    assert (env.final_qpos != env.state().qpos).any()
    np.testing.assert_array_equal(env.final_qpos.numpy(), longer.state().qpos.numpy())
    np.testing.assert_array_equal(film._places[-1], env.final_qpos.numpy())


@needs_opengl
def test_a_cheetah_moves_over_the_floor_and_stays_in_sight():
    camera = CheetahCamera(model_xml(), 200)
    qpos = np.zeros(9)
    pictures = []
    for x in (0.0, 0.3, 1.0, 251.0):
        qpos[0] = x
        pictures.append(camera.draw(qpos))
    camera.close()
    here, moved, *again = (picture.astype(int) for picture in pictures)
    assert here.shape == (200, 300, 3)
    for picture in again:  # the floor looks the same a metre on, and far away
        np.testing.assert_array_equal(picture, here)
    assert abs(moved - here)[120:].max() > 10  # the floor has moved
    middles = []
    for picture in (here, moved):
        blue = picture[..., 2] - picture[..., 0] > 60
        orange = picture[..., 0] - picture[..., 2] > 80
        for leg in (blue, orange):
            rows, columns = np.nonzero(leg)
            assert len(rows) > 200
            assert rows.min() > 20 and rows.max() < 180
            assert columns.min() > 20 and columns.max() < 280
        middles += [np.nonzero(blue)[1].mean(), np.nonzero(orange)[1].mean()]
    assert middles[0] < 150 < middles[1]  # it looks to the right
    assert middles[2:] == pytest.approx(middles[:2], abs=2)  # and the camera follows


def some_pictures(count=7, height=64, width=96):
    for number in range(count):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[:, : 10 * number] = (255, 0, 0)
        yield picture


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio-ffmpeg's pipes
def test_an_mp4_has_the_pictures_it_was_given(tmp_path):
    write_clip(tmp_path / "clip.mp4", some_pictures(), fps=25)
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "clip.mp4"))
    facts = next(reader)
    assert (facts["size"], facts["fps"], facts["codec"]) == ((96, 64), 25.0, "h264")
    found = [np.frombuffer(data, np.uint8).reshape(64, 96, 3) for data in reader]
    assert len(found) == 7
    assert found[6][:, :50, 0].mean() > 230 and found[6][:, 70:].mean() < 10
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_gif_has_the_pictures_it_was_given(tmp_path):
    write_clip(tmp_path / "clip.gif", some_pictures(), fps=10)
    with Image.open(tmp_path / "clip.gif") as clip:
        assert (clip.n_frames, clip.size, clip.info["duration"], clip.info["loop"]) == (7, (96, 64), 100, 0)
        clip.seek(6)
        np.testing.assert_array_equal(np.array(clip.convert("RGB")), list(some_pictures())[6])


def test_a_sheet_has_rows_and_columns(tmp_path):
    pictures = list(some_pictures(6))
    write_picture(tmp_path / "sheet.png", sheet([pictures[:3], pictures[3:]]))
    with Image.open(tmp_path / "sheet.png") as found:
        image = np.array(found)
    np.testing.assert_array_equal(image, sheet([pictures[:3], pictures[3:]]))
    assert image.shape == (2 * 64 + 6, 3 * 96 + 12, 3)
    np.testing.assert_array_equal(image[70:, 204:], pictures[5])
    assert (image[64:70] == 224).all() and (image[:, 96:102] == 224).all()
    wide = np.zeros((64, 200, 3), np.uint8)
    assert side_by_side([pictures[0], wide]).shape == (64, 302, 3)


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_a_clip_that_fails_leaves_the_old_file(tmp_path, kind):
    path = tmp_path / f"clip.{kind}"
    path.write_bytes(b"old")

    def broken():
        yield from some_pictures(3)
        raise RuntimeError("no more")

    with pytest.raises((RuntimeError, OmarError)):
        write_clip(path, broken(), fps=10)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_ffmpeg_that_fails_is_said(tmp_path, monkeypatch):
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\necho warning >&2\necho 'no space left' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))
    many = (np.zeros((400, 400, 3), np.uint8) for _ in range(10))  # more than a pipe holds
    with pytest.raises(OmarError, match=r"^ffmpeg could not write the video: no space left$"):
        write_clip(tmp_path / "clip.mp4", many, fps=10)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/true")
    with pytest.raises(OmarError, match=r"^ffmpeg could not write the video: it says no reason$"):
        write_clip(tmp_path / "clip.mp4", some_pictures(), fps=10)
    assert list(tmp_path.iterdir()) == [script]


def test_a_machine_without_ffmpeg_is_told(tmp_path, monkeypatch):
    def none():
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(OmarError, match=r"^an MP4 needs ffmpeg, .* has none for this machine: set IM"):
        check_clip(tmp_path / "clip.mp4", pictures=1, fps=10)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clip.avi", {}, r"^the file must end in .mp4, .gif or .png, got .*clip.avi$"),
        ("clip", {}, r"^the file must end in .mp4, .gif or .png"),
        ("clip.gif", {"fps": 60}, "^a GIF shows at most 50 pictures a second, got 60: write an .mp4$"),
        (
            "clip.gif",
            {"pictures": 1501},
            "^a GIF of 1501 pictures is too long, 1500 is the most: write an .mp4$",
        ),
    ],
)
def test_a_clip_that_cannot_be_is_refused(tmp_path, name, options, message):
    with pytest.raises(OmarError, match=message):
        check_clip(tmp_path / name, **{"pictures": 1, "fps": 10} | options)


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        check_clip(tmp_path / "nowhere" / "clip.gif", pictures=1, fps=10)


def test_a_sheet_that_is_too_large_is_refused():
    check_sheet(10, 5, 480, 480)
    with pytest.raises(OmarError, match=r"^a PNG of 1000 by 5 pictures of 480 x 480 pixels is too large: "):
        check_sheet(1000, 5, 480, 480)


def test_a_missing_ffmpeg_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("omar.pictures.clips.find_spec", lambda name: None)
    with pytest.raises(
        OmarError, match=r'^an MP4 needs imageio-ffmpeg: pip install "omar\[video\]", or write a'
    ):
        check_clip(tmp_path / "clip.mp4", pictures=1, fps=10)
    check_clip(tmp_path / "clip.gif", pictures=1, fps=10)


def test_a_missing_pyopengl_is_named(monkeypatch):
    monkeypatch.setattr(opengl, "find_spec", lambda name: None)
    with pytest.raises(
        OmarError, match=r'^pictures of half_cheetah need PyOpenGL: pip install "omar\[video\]"$'
    ):
        open_context(8, 8)


@pytest.mark.parametrize(
    ("platform", "library", "required", "skipped"),
    [
        ("linux", None, "", True),
        ("linux", None, "1", False),
        ("linux", "OSMesa", "", False),
        ("darwin", None, "", False),
    ],
)
def test_pictures_are_skipped_only_where_opengl_is_not_installed(
    monkeypatch, platform, library, required, skipped
):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: name if name == library else None)
    monkeypatch.setenv(opengl_case.REQUIRED, required)
    assert opengl_case.is_skipped() is skipped


def test_the_main_job_skips_no_pictures():
    script = Path(__file__).parents[2] / ".ci" / "run"
    assert f"export {opengl_case.REQUIRED}=1" in script.read_text(encoding="utf-8")


class NoContext:
    def __init__(self, width, height):
        raise ImportError("Cannot initialize a EGL device display.\nSecond line")


def test_a_machine_without_opengl_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(opengl, "_context_class", lambda: NoContext)
    with pytest.raises(
        OmarError,
        match=r"need OpenGL without a display, but neither EGL nor OSMesa works here \(Cannot initialize a "
        r"EGL device display. Second line\): apt install libegl1 libgl1 libgl1-mesa-dri$",
    ):
        CheetahCamera(model_xml(), 160)


@pytest.mark.parametrize(
    ("chosen", "osmesa", "works", "kind"),
    [
        ("", True, True, "egl"),
        ("", True, False, "osmesa"),
        ("", False, False, "egl"),  # which then says what is missing
        ("osmesa", True, True, "osmesa"),
        ("osmesa", False, True, "osmesa"),
        ("egl", True, False, "egl"),
    ],
)
def test_osmesa_serves_where_egl_does_not(monkeypatch, chosen, osmesa, works, kind):
    for name in ("egl", "osmesa"):
        module = types.ModuleType(f"mujoco.{name}")
        module.GLContext = name
        monkeypatch.setitem(sys.modules, f"mujoco.{name}", module)
    monkeypatch.setenv("MUJOCO_GL", chosen)
    monkeypatch.setattr(opengl.ctypes.util, "find_library", lambda name: "libOSMesa.so.8" if osmesa else None)
    monkeypatch.setattr(opengl, "_egl_works", lambda: works)
    assert opengl._context_class.__wrapped__() == kind


@needs_opengl
def test_pictures_need_no_display(tmp_path):
    program = (
        "import os\nfor name in ('DISPLAY', 'WAYLAND_DISPLAY', 'MUJOCO_GL'): os.environ.pop(name, None)\n"
        "from omar.pictures import CheetahCamera\nfrom omar.envs.cheetah_model import model_xml\n"
        "import numpy as np\nprint(CheetahCamera(model_xml(), 160).draw(np.zeros(9)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("(160, 240, 3)\n", "", 0)
