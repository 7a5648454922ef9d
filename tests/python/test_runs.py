"""Run folders: files that are whole or not there, seals, checkpoints, metrics and the lock."""

from __future__ import annotations

import json
import multiprocessing
import os
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from omar.errors import OmarError
from omar.runs import checkpoint, files, metrics
from omar.runs.folder import RunFolder, make_folder, refuse_used
from omar.runs.lock import owned
from omar.runs.metrics import Evaluation


def evaluation(update=5, **changes):
    values = {"seconds": 1.5, "returns": [1.0, 3.0], "scores": [10.0, 30.0], "losses": {"critic/td": 0.5}}
    return Evaluation(update, **(values | changes))


def changed(data, position):
    """The bytes with one of them changed."""
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


class TestFiles:
    def test_a_failed_write_keeps_the_old_contents_and_leaves_nothing(self, tmp_path, monkeypatch):
        path = tmp_path / "a.json"
        files.write_atomically(path, b"old")

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            files.write_atomically(path, b"new")
        assert path.read_bytes() == b"old"
        assert [file.name for file in tmp_path.iterdir()] == ["a.json"]

    def test_what_a_killed_write_left_is_swept(self, tmp_path):
        (tmp_path / ".a.json.partial-1-0").write_bytes(b"half")
        (tmp_path / "a.json").write_bytes(b"{}")
        files.sweep_partial(tmp_path)
        assert [file.name for file in tmp_path.iterdir()] == ["a.json"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (b"{", "is not JSON"),
            (b"[1]", "no JSON object"),
            (b'{"a": NaN}', "is not JSON"),
            (b"\xff", "is not JSON"),
            (b"[" * 100_000, "is not JSON"),
        ],
    )
    def test_what_is_no_json_object_is_one_sentence_that_names_the_file(self, tmp_path, text, message):
        path = tmp_path / "a.json"
        path.write_bytes(text)
        with pytest.raises(OmarError, match=f"{re.escape(str(path))} is damaged: it .*{message}|{message}"):
            files.read_json(path)

    @given(st.data())
    @settings(max_examples=200, deadline=None)
    def test_any_changed_byte_of_a_sealed_file_is_refused_or_says_the_same(self, data):
        entries = {"update": 7, "losses": {"td": 0.25}, "name": "ü", "seeds": [1, 2]}
        text = files.to_json(files.seal(entries))
        position = data.draw(st.integers(0, len(text) - 1))
        try:
            found = files.unseal(files.parse_json(changed(text, position), "the file"), "the file")
        except OmarError as error:
            assert "the file is damaged" in str(error)
        else:
            assert found == entries

    def test_an_unsealed_file_is_refused(self):
        with pytest.raises(OmarError, match="was edited: its checksum does not match"):
            files.unseal({"update": 1}, "config.json")


class TestLock:
    def test_the_second_owner_is_told(self, tmp_path):
        message = f"another process is working on {re.escape(str(tmp_path))}"
        with owned(tmp_path), pytest.raises(OmarError, match=message), owned(tmp_path):
            pass
        with owned(tmp_path):  # given back
            pass

    def test_a_dead_owner_owns_nothing(self, tmp_path):
        def die(path):
            owned(path).__enter__()
            os._exit(1)

        process = multiprocessing.get_context("fork").Process(target=die, args=(tmp_path,))
        process.start()
        process.join()
        with owned(tmp_path):
            pass


def parts(value):
    return {f"seed-{s}": {"w": torch.full((2, 3), float(value + s))} for s in range(2)}


class TestCheckpoint:
    def test_round_trip(self, tmp_path):
        checkpoint.save(tmp_path, 5, parts(1), {"seconds": 2.0})
        found, problems = checkpoint.load(tmp_path)
        assert (found.update, found.state, problems) == (5, {"seconds": 2.0}, [])
        assert torch.equal(found.parts["seed-1"]["w"], torch.full((2, 3), 2.0))

    def test_the_two_newest_are_kept(self, tmp_path):
        for update in range(4):
            checkpoint.save(tmp_path, update, parts(update), {})
        assert {file.name.split(".")[0] for file in tmp_path.iterdir()} == {
            "update-00000002",
            "update-00000003",
        }

    def test_none_was_written(self, tmp_path):
        assert checkpoint.load(tmp_path) is None
        (tmp_path / "update-00000001.seed-0.safetensors").write_bytes(b"a kill came before the JSON")
        assert checkpoint.load(tmp_path) is None

    @pytest.mark.parametrize("file", ["update-00000002.json", "update-00000002.seed-1.safetensors"])
    def test_any_changed_byte_falls_back_to_the_one_before(self, tmp_path, file):
        checkpoint.save(tmp_path, 1, parts(1), {"seconds": 1.0})
        checkpoint.save(tmp_path, 2, parts(2), {"seconds": 2.0})
        whole = (tmp_path / file).read_bytes()
        for position in range(len(whole)):
            (tmp_path / file).write_bytes(changed(whole, position))
            found, problems = checkpoint.load(tmp_path)
            if found.update == 2:  # a byte that says the same, such as another blank
                assert found.state == {"seconds": 2.0}
                continue
            assert found.update == 1
            assert "the checkpoint of update 2:" in problems[0]

    def test_a_missing_part_falls_back(self, tmp_path):
        checkpoint.save(tmp_path, 1, parts(1), {})
        checkpoint.save(tmp_path, 2, parts(2), {})
        (tmp_path / "update-00000002.seed-0.safetensors").unlink()
        found, problems = checkpoint.load(tmp_path)
        assert found.update == 1
        assert len(problems) == 1

    def test_what_lies_beside_it_can_make_it_useless(self, tmp_path):
        checkpoint.save(tmp_path, 1, parts(1), {})
        checkpoint.save(tmp_path, 2, parts(2), {})

        def usable(found):
            if found.update == 2:
                raise OmarError("its replay buffer is damaged")

        found, problems = checkpoint.load(tmp_path, usable)
        assert found.update == 1
        assert problems == ["the checkpoint of update 2: its replay buffer is damaged"]

    def test_all_damaged(self, tmp_path):
        checkpoint.save(tmp_path, 0, parts(1), {})
        (tmp_path / "update-00000000.json").write_bytes(b"{}")
        with pytest.raises(OmarError, match=r"no checkpoint in .* is whole: the checkpoint of update 0: "):
            checkpoint.load(tmp_path)

    def test_a_renamed_checkpoint_is_not_another_update(self, tmp_path):
        checkpoint.save(tmp_path, 5, parts(1), {})
        for file in list(tmp_path.iterdir()):
            file.rename(tmp_path / file.name.replace("05", "95"))
        with pytest.raises(OmarError, match="does not describe this checkpoint"):
            checkpoint.load(tmp_path)


class TestMetrics:
    def test_round_trip(self, tmp_path):
        path = tmp_path / "metrics.jsonl"
        written = [evaluation(0, losses={}), evaluation(5, transitions=100)]
        metrics.write(path, written[:1])
        metrics.append(path, written[1])
        assert metrics.read(path) == written
        line = json.loads(path.read_text().splitlines()[1])
        assert (line["mean"], line["std"]) == (20.0, 10.0)

    def test_a_number_that_is_not_finite_is_no_line(self):
        with pytest.raises(ValueError, match="Out of range float values"):
            evaluation(losses={"critic/td": float("nan")}).line()

    @pytest.mark.parametrize("left", [0, 1, 20])
    def test_a_torn_last_line_is_left_out(self, tmp_path, left):
        path = tmp_path / "metrics.jsonl"
        metrics.write(path, [evaluation(0), evaluation(5)])
        first, second = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(first + second[:left])
        assert [e.update for e in metrics.read(path)] == [0]

    def test_any_changed_byte_of_another_line_is_refused_or_says_the_same(self, tmp_path):
        path = tmp_path / "metrics.jsonl"
        written = [evaluation(0), evaluation(5)]
        metrics.write(path, written)
        whole = path.read_bytes()
        for position in range(whole.index(b"\n")):
            path.write_bytes(changed(whole, position))
            try:
                found = metrics.read(path)
            except OmarError as error:
                assert f"{path}, line 1, is damaged" in str(error)
            else:
                assert found == written


class TestFolder:
    def test_lines_after_the_checkpoint_are_dropped_and_events_hold_the_rest_once(self, tmp_path):
        for _ in range(2):
            with RunFolder(tmp_path, "offline") as folder:
                folder.begin(5)
                for update in (0, 5, 10):
                    if not folder.has_evaluation(update):
                        folder.append(evaluation(update))
        events = EventAccumulator(str(tmp_path / "tensorboard"))
        events.Reload()
        assert [e.step for e in events.Scalars("score/mean")] == [0, 5, 10]
        assert [e.value for e in events.Scalars("loss/critic/td")] == [0.5] * 3

    def test_config_round_trip_and_kind(self, tmp_path):
        with RunFolder(tmp_path, "offline") as folder:
            folder.create({"options": {"seeds": 2}})
            assert folder.config()["options"] == {"seeds": 2}
        with pytest.raises(OmarError, match="is not the folder of an online training"):
            RunFolder(tmp_path, "online").config()

    def test_an_edited_config_is_refused(self, tmp_path):
        with RunFolder(tmp_path, "offline") as folder:
            folder.create({"tau": 1.0})
        path = tmp_path / "config.json"
        path.write_text(path.read_text().replace("1.0", "0.0"))
        with pytest.raises(OmarError, match=r"config\.json is damaged or was edited"):
            RunFolder(tmp_path, "offline").config()

    def test_a_used_folder_is_refused(self, tmp_path):
        with RunFolder(tmp_path, "offline") as folder:
            folder.create({})
        with pytest.raises(OmarError, match=r"holds a run already: continue it with --resume"):
            refuse_used(tmp_path)
        other = tmp_path / "other folder"
        other.mkdir()
        (other / "notes.txt").touch()
        with pytest.raises(OmarError, match="is not an empty folder"):
            make_folder(other, "run", tmp_path)

    def test_runs_of_the_same_second_get_folders_of_their_own(self, tmp_path):
        paths = {make_folder(None, "run", tmp_path) for _ in range(5)}
        assert len(paths) == 5

    def test_a_folder_is_given_back_where_its_events_cannot_be_closed(self, tmp_path, monkeypatch):
        def full(self):
            self._file.close()
            raise OSError("the disk is full")

        monkeypatch.setattr("omar.runs.events.EventFile.close", full)
        with pytest.raises(OSError, match="the disk is full"), RunFolder(tmp_path, "offline") as folder:
            folder.begin(0)
        with owned(tmp_path):
            pass

    def test_no_run(self, tmp_path):
        with pytest.raises(OmarError, match=r"is not the folder of a run: it has no config\.json"):
            RunFolder(tmp_path, "offline").config()
