"""Minibatches against the datasets that they are drawn from: next actions, their mask, and refusals."""

import numpy as np
import pytest
import torch

from data_cases import LENGTH, make_columns, make_dataset, make_spec
from omar.algorithms import ALGORITHMS
from omar.data import Dataset, replay_buffer
from omar.data.writer import write_dataset
from omar.errors import DatasetError
from omar.offline.minibatches import Minibatches

N, BATCH = 3, 48
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Two sets of unequal length; in the second, episodes of unequal length, one of which terminates."""
    folder = tmp_path_factory.mktemp("sets")
    columns = make_columns(episodes=6, seed=1)
    columns["truncated"][10] = True
    columns["terminated"][2 * LENGTH - 1] = True
    columns["truncated"][2 * LENGTH - 1] = False
    return [
        make_dataset(folder / "first", episodes=4),
        write_dataset(folder / "second", make_spec(episodes=6), columns),
    ]


def row_of(dataset, agent, observation):
    """The only row of a dataset whose observation of an agent is that one."""
    (rows,) = np.nonzero((dataset.column("observations")[:, agent] == observation).all(axis=1))
    assert len(rows) == 1
    return int(rows[0])


def what_follows(dataset, row, agent):
    """The next action of an agent after a row, and 1; zeros and 0 where the episode ends with the row."""
    if row + 1 == len(dataset) or dataset.column("terminated")[row] or dataset.column("truncated")[row]:
        return np.zeros(dataset.column("actions").shape[2], np.float32), 0.0
    assert (dataset.column("observations")[row + 1] == dataset.column("next_observations")[row]).all()
    return dataset.column("actions")[row + 1, agent], 1.0


@pytest.mark.parametrize("joint", [False, True])
def test_next_actions_are_those_of_the_next_row_of_the_same_episode(datasets, joint):
    batches = Minibatches(datasets, CPU, joint=joint, next_actions=True)
    masks = []
    for step in range(3):
        batch = batches.sample(BATCH, seed=5, step=step)
        for m in range(len(datasets) * N):
            seed, agent = divmod(m, N)
            for b in range(BATCH):
                row = row_of(datasets[seed], agent, batch.observations[m, b].numpy())
                action, mask = what_follows(datasets[seed], row, agent)
                assert batch.next_mask[m, b] == mask
                np.testing.assert_array_equal(batch.next_actions[m, b], action)
                np.testing.assert_array_equal(
                    batch.actions[m, b], datasets[seed].column("actions")[row, agent]
                )
        masks.append(batch.next_mask)
    assert {0.0, 1.0} == set(torch.cat(masks).flatten().tolist())


def test_a_dataset_that_all_seeds_share_is_stored_once(datasets):
    batches = Minibatches([datasets[0]] * 3, CPU, next_actions=True)
    assert batches._buffer.size == len(datasets[0])
    batch = batches.sample(BATCH, seed=0, step=0)
    assert batch.next_actions.shape == (3 * N, BATCH, 2)
    assert batch.next_mask.shape == (3 * N, BATCH)


def test_next_actions_come_where_they_are_asked_for(datasets):
    batch = Minibatches(datasets, CPU).sample(BATCH, seed=5, step=0)
    assert batch.next_actions is None
    assert batch.next_mask is None
    with_them = Minibatches(datasets, CPU, next_actions=True).sample(BATCH, seed=5, step=0)
    assert torch.equal(with_them.observations, batch.observations)
    assert [name for name, kind in ALGORITHMS.items() if kind.needs_next_actions] == ["icq"]


def test_next_actions_take_one_more_column_and_its_mask(datasets):
    plain, longer = (replay_buffer(datasets, next_actions=wanted) for wanted in (False, True))
    assert set(longer.fields) - set(plain.fields) == {"next_actions", "next_mask"}
    assert longer.capacity == plain.capacity


def test_rows_out_of_order_are_refused_where_the_next_one_matters(datasets, tmp_path):
    columns = make_columns(episodes=4)
    swapped = np.arange(4 * LENGTH)
    swapped[[3, 4]] = swapped[[4, 3]]
    shuffled = {name: column[swapped] for name, column in columns.items()}
    dataset = write_dataset(tmp_path / "shuffled", make_spec(episodes=4), shuffled)
    assert isinstance(dataset, Dataset)
    Minibatches([dataset], CPU)
    with pytest.raises(
        DatasetError, match="shuffled is damaged: the transitions are not in order: row 3 does"
    ):
        Minibatches([datasets[0], dataset], CPU, next_actions=True)
