"""Runs of offline training: begin one, go on with one, and what it came to.

This is the library behind `python -m omar.train`: it prints nothing and touches no signal. What happens is
told to a `runs.reporting.Reporter`; `stop` is asked between two updates.

```python
result = omar.train(omar.TrainConfig(dataset="medium", seeds=5))
result.scores, result.policies[0](observations)
```
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..behaviors.find import check_prey, choose_prey
from ..behaviors.policy_file import POLICY, load_policies
from ..data import resolve_datasets
from ..errors import OmarError
from ..evaluation.clips import check_video, write_video
from ..runs.decode import decode
from ..runs.folder import CONFIG, VIDEO, RunFolder, make_folder, refuse_used
from ..runs.reporting import Silent
from ..tasks import QUALITIES, get_task
from .config import RunConfig, device, resolve
from .memory import check_memory
from .result import Result
from .training import Training, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..behaviors.policy import Policy
    from ..data import Dataset
    from ..runs.reporting import Reporter
    from .config import TrainConfig

KIND = "offline"
ROOT = Path("runs")  # where runs go whose folder is not given


@dataclass(frozen=True, slots=True)
class Identity:
    """A dataset that a run was trained on: where it was, and what it must still be."""

    path: str
    sha256: str
    quality: str


def train(
    config: TrainConfig,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] | None = None,
) -> Result:
    """Trains all seeds of an algorithm on a dataset, into a folder of its own.

    Args:
        config: What to train, on what, for how long; datasets are made on first use.
        reporter: Is told of the progress; without one, making and checking datasets show none either.
        stop: Asked between two updates; True ends the training early, with a checkpoint to go on from.

    Returns:
        The scores and the policies of all seeds, and where everything was written.

    Raises:
        OmarError: A setting, dataset or folder that cannot be used, or a training that diverged.
        OSError: The disk refused.
    """
    tells = reporter or Silent()
    task = get_task(config.task)
    if config.video:
        check_video(task)
    if config.out is not None:
        refuse_used(config.out)
    if config.datasets[0] in QUALITIES:  # settings are refused before a dataset is made
        check_memory(resolve(config, config.datasets[0]), task, device(config.device))
    prey = choose_prey(task, config.prey)
    datasets = find_datasets(config, prey, progress=reporter is not None)
    resolved = resolve(config, datasets[0].quality)
    check_memory(resolved, task, device(config.device))
    smallest = min(len(dataset) for dataset in datasets)
    if resolved.backbone.batch_size > smallest:
        raise OmarError(
            f"--batch-size {resolved.backbone.batch_size} is more than the dataset's {smallest} transitions"
        )
    training = _build(resolved, datasets, prey, tells)
    if config.init_from is not None:
        training.start_from(RunFolder(config.init_from, KIND))
    name = f"{config.task}-{config.dataset_name}-{config.algorithm}"
    with RunFolder(make_folder(config.out, name, ROOT), KIND) as folder:
        folder.create(_entries(resolved, datasets))
        return _run(training, folder, tells, stop)


def resume(
    path: Path | str,
    *,
    dataset: str | Sequence[str] | None = None,
    updates: int | None = None,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] | None = None,
) -> Result:
    """Goes on with a run, with the settings it was begun with.

    Args:
        path: The run's folder, which may have been moved.
        dataset: Where its datasets are now, if they were moved; their checksums must be the same.
        updates: Extends the run to so many updates.
        reporter: As in `train`.
        stop: As in `train`.

    Raises:
        OmarError: No run there, a damaged one, one that another process works on, or other data.
        OSError: The disk refused.
    """
    tells, path = reporter or Silent(), Path(path)
    if not (path / CONFIG).is_file():
        raise OmarError(f"{path} is not the folder of a run: it has no {CONFIG}")
    with RunFolder(path, KIND) as folder:
        entries = folder.config()
        config = RunConfig.from_dict(entries, path)
        identities = _identities_of(entries, path)
        options = config.options
        if options.video:
            check_video(get_task(options.task))
        if updates is not None and updates < config.updates:
            raise OmarError(f"--updates {updates} is less than the {config.updates} updates of {path}")
        if dataset is not None:
            options = replace(options, dataset=dataset if isinstance(dataset, str) else tuple(dataset))
        config = replace(config, options=replace(options, updates=updates or config.updates))
        prey = _own_prey(path, config)
        datasets = find_datasets(config.options, prey, progress=reporter is not None)
        if [found.manifest.sha256 for found in datasets] != [known.sha256 for known in identities]:
            raise OmarError(f"the dataset of {path} is not the one the run began with: its checksum differs")
        training = _build(config, datasets, prey, tells)
        if training.restore(folder, tells):
            training.save_policies(folder)  # a kill, or a damaged checkpoint, may have left others
        else:
            if folder.lines():
                raise OmarError(
                    f"{path} has no checkpoint to go on from: {folder.checkpoints} is empty or missing"
                )
            if options.init_from is not None:
                training.start_from(RunFolder(options.init_from, KIND))
        if updates is not None or dataset is not None:
            folder.write_config(_entries(config, datasets))
        return _run(training, folder, tells, stop)


def find_datasets(config: TrainConfig, prey: Policy | None, *, progress: bool) -> list[Dataset]:
    """The verified dataset of each seed."""
    shared = config.data_seed
    seeds = list(range(config.seeds)) if shared is None else [shared] * config.seeds
    return resolve_datasets(config.task, config.dataset, seeds, prey=prey, progress=progress)


def _build(
    config: RunConfig, datasets: Sequence[Dataset], prey: Policy | None, reporter: Reporter
) -> Training:
    warnings = [check_prey(dataset.manifest.recipe, prey, dataset.path) for dataset in datasets]
    for warning in list(filter(None, warnings))[:1]:  # one line is enough for sets that are alike
        reporter.note(f"warning: {warning}")
    return Training.build(config, datasets, prey)


def _own_prey(path: Path, config: RunConfig) -> Policy | None:
    """The prey that a run's policies hold; before its first checkpoint, the one that it was given."""
    task, file = get_task(config.options.task), path / POLICY
    if task.has_prey and file.is_file():
        return load_policies(file)[0].prey
    return choose_prey(task, config.options.prey)


def _run(
    training: Training, folder: RunFolder, reporter: Reporter, stop: Callable[[], bool] | None
) -> Result:
    config = training.config
    options = config.options
    folder.begin(training.update)
    title = f"{options.algorithm} on {options.task} {options.dataset_name}, {options.seeds} seeds"
    title = f"{title}, preset {options.preset}"
    reporter.started(title, training.update, config.updates)
    finished = run(training, folder, reporter, stop or (lambda: False))
    result = Result(
        path=folder.path,
        config=config,
        quality=training.datasets[0].quality,
        finished=finished,
        update=training.update,
        evaluations=tuple(folder.evaluations),
        policies=training.policies(),
    )
    if finished:
        last = result.last
        names = {name: getattr(options, name) for name in ("task", "dataset", "algorithm", "preset")}
        folder.finish(
            {
                **names,
                "returns": last.returns,
                "scores": last.scores,
                "mean": last.mean,
                "std": last.std,
                "episodes": training.config.eval_episodes,
                "updates": last.update,
                "seconds": last.seconds,
                "datasets": _identities(training.datasets),
            }
        )
        if options.video:
            reporter.note(f"drawing {VIDEO}")
            write_video(folder.path / VIDEO, result.policies[0])
    return result


def _entries(config: RunConfig, datasets: Sequence[Dataset]) -> dict[str, Any]:
    return {**config.to_dict(), "datasets": _identities(datasets)}


def _identities(datasets: Sequence[Dataset]) -> list[dict[str, str]]:
    return [
        {"path": str(dataset.path), "sha256": dataset.manifest.sha256, "quality": dataset.quality}
        for dataset in datasets
    ]


def _identities_of(entries: dict[str, Any], path: Path) -> list[Identity]:
    found = entries.get("datasets")
    if not isinstance(found, list):
        raise OmarError(f"{path / CONFIG} does not describe a run: `datasets` must be a list")
    return [decode(Identity, entry, str(path / CONFIG)) for entry in found]
