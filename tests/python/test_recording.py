"""Recordings of online trainings: their file, their shares, and which policies they hold."""

from __future__ import annotations

import json
import struct

import pytest
import torch

from data_cases import some_policy, some_prey
from omar.behaviors.recording import Recording, load_recording, record, save_recording
from omar.errors import OmarError
from omar.online.recording import LARGEST, MOST, PARTICLE_SHARES, Shares, choose_recording, spaced, weigh
from omar.tasks import get_task

LAST = PARTICLE_SHARES.last


def some_recording(count=3, task="simple_tag"):
    policies = [some_policy(task, seed=seed) for seed in range(count)]
    return record(policies, list(range(10, 10 * count + 1, 10)), [0.4, *[0.6 / count] * count])


def test_a_recording_comes_back_from_its_file(tmp_path):
    path, there = tmp_path / "replay.safetensors", some_recording()
    save_recording(path, there)
    back = load_recording(path, some_prey())
    assert (back.updates, back.shares, back.sha256) == (there.updates, there.shares, there.sha256)
    for one, other in zip(back.policies, there.policies, strict=True):
        for a, b in zip((*one.weights, *one.biases), (*other.weights, *other.biases), strict=True):
            assert torch.equal(a, b)
        assert one.prey.sha256 == some_prey().sha256
    data = path.read_bytes()
    save_recording(path, back)
    assert path.read_bytes() == data


def test_weights_are_what_the_file_holds():
    policy = some_policy()
    found = record([policy], [0], [0.5, 0.5]).policies[0]
    assert torch.equal(found.weights[0], policy.weights[0].half().float())
    assert not torch.equal(found.weights[0], policy.weights[0])


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "replay.safetensors"
    save_recording(path, some_recording())
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(OmarError, match=r"replay.safetensors is not a whole recording"):
        load_recording(path, some_prey())
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(OmarError, match="its checksum does not belong to its contents"):
        load_recording(path, some_prey())
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    del header["__metadata__"]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with pytest.raises(OmarError, match="is not a whole recording: '__metadata__'"):
        load_recording(path, some_prey())


@pytest.mark.parametrize(
    ("updates", "shares", "message"),
    [
        ((0,), (1.0,), "needs an update for each policy, and a share more"),
        ((), (0.5, 0.5), "needs an update for each policy, and a share more"),
        ((0,), (0.5, 0.4), "the shares of a recording must sum to 1"),
        ((0,), (1.5, -0.5), "none may be negative"),
    ],
)
def test_entries_that_do_not_belong_together(updates, shares, message):
    with pytest.raises(OmarError, match=message):
        Recording((some_policy(),), updates, shares)


def test_every_episode_has_an_actor_in_order():
    recording = some_recording()
    actors = (None, *recording.policies)
    assert [(actors.index(actor), count) for actor, count in recording.parts(10)] == [
        (0, 4),
        (1, 2),
        (2, 2),
        (3, 2),
    ]
    assert recording.parts(1) == [(recording.policies[0], 1)]


def test_policies_are_evenly_spaced_up_to_the_last():
    assert spaced(range(0, 1000, 10), 16_000) == [round(99 * i / MOST) for i in range(1, MOST + 1)]
    assert spaced(range(3), 16_000) == [1, 2]
    assert spaced([0], 16_000) == [0]
    assert len(spaced(range(1000), LARGEST // 2 // 5)) == 5


@pytest.mark.parametrize("aim", [0.0, 2.0, 4.0])
def test_shares_have_the_wanted_mean_and_a_last_tenth(aim):
    returns = [0.0, -2.0, -1.0, 1.0, 3.0, 5.0, 9.0, *[10.0] * LAST]
    shares = weigh(returns, aim)
    assert sum(shares) == pytest.approx(1.0)
    assert min(shares) > 0
    assert shares[-LAST:] == pytest.approx([0.1 / LAST] * LAST)
    mean = sum(s * r for s, r in zip(shares, returns, strict=True))
    assert mean == pytest.approx(max(aim, 0.4), abs=0.5)


def test_shares_that_cannot_have_the_wanted_mean_come_near():
    shares = weigh([0.0, 1.0, 2.0, *[3.0] * LAST], 100.0)
    assert shares[2] > 10 * shares[0]
    assert weigh([0.0, 5.0], 2.0) == pytest.approx([0.9, 0.1])


def test_without_a_last_part_all_policies_are_weighed():
    even = weigh([0.0, 2.0, 2.0], 1.8, Shares(0.1))
    assert even == pytest.approx([0.1, 0.45, 0.45])
    returns = [0.0, 1.0, 4.0, 9.0]
    shares = weigh(returns, 3.0, Shares(0.1))
    assert sum(s * r for s, r in zip(shares, returns, strict=True)) == pytest.approx(3.0, abs=1e-6)
    assert "the last" not in Shares(0.1).described()


def test_a_recording_is_measured_as_it_will_act():
    policies = [some_policy("simple_tag", seed=seed) for seed in range(9)]
    recording, entry = choose_recording(
        policies, list(range(9)), get_task("simple_tag"), noise=0.1, episodes=40
    )
    assert recording.updates == tuple(range(1, 9))
    assert [row["actor"] for row in entry["actors"]] == ["uniform", *(f"update {u}" for u in range(1, 9))]
    mean = sum(row["share"] * row["return"] for row in entry["actors"])
    assert entry["return"] == pytest.approx(mean)
    assert entry["sha256"] == recording.sha256
