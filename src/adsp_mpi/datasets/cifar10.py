"""CIFAR-10: 60,000 colour images, 32 x 32, ten classes, in the binary layout of its authors.

Source: https://www.cs.toronto.edu/~kriz/cifar.html. Files are mapped into memory, so a node's ranks share them, and
images become floats batch by batch: cropped, mirrored or not, then standardised, as in TensorFlow's CIFAR-10 tutorial.
Its random brightness and contrast are left out: standardisation takes the first back and most of the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from adsp_kernels.images import RECORD, centre_crops, random_crops
from adsp_mpi.datasets.base import CHUNK, Dataset, Draw, Floats, Indices, Labels
from adsp_mpi.datasets.options import DataOptions
from adsp_mpi.datasets.splits import two_parts
from adsp_mpi.errors import must

FOLDER = "cifar-10-batches-bin"
TRAINING_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
N_CLASSES = 10
VALIDATION_LIMIT = 2000
"""Unless configured. The accuracy's standard error is then at most 1.1 %."""
RECORDS_READ = 1000

Files = tuple[NDArray[np.uint8], ...]


def load(options: DataOptions, dtype: DTypeLike) -> Dataset:
    """Return the images; the global loss is computed on some of the training images, the same whatever the seed.

    Raises
    ------
    ConfigError
        if a file is not there or not as it should be
    """
    folder = _folder(Path(options.dir))
    files, y = _read([folder / name for name in TRAINING_FILES])
    test_files, test_y = _read([folder / TEST_FILE])
    train, validation = two_parts(y, replace(options, validation_limit=options.validation_limit or VALIDATION_LIMIT))

    def split(files: Files, images: Indices, labels: Labels) -> ImageSplit:
        return ImageSplit(files, images, labels, options.crop, np.dtype(dtype))

    return Dataset(
        name="cifar10",
        train=split(files, train, y[train]),
        validation=split(files, validation, y[validation]),
        test=split(test_files, np.arange(len(test_y)), test_y),
        n_classes=N_CLASSES,
    )


@dataclass(frozen=True)
class ImageSplit:
    """Images in mapped files, of which `images` are the numbers; a random part is trained on, the middle judged."""

    files: Files
    images: Indices
    y: Labels
    crop: int
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.crop, self.crop, 3

    def fill(self, draw: Draw, x: Floats, y: Labels) -> None:
        """Store the drawn images, cropped and mirrored at random, and their labels."""
        key = draw.seed, draw.worker, draw.step
        random_crops(self.files, self.images, self.y, draw.shard, draw.chosen, key, x, y)

    def chunks(self) -> Iterator[tuple[Floats, Labels]]:
        """Yield the middles of all images, some at a time."""
        x = np.empty((min(CHUNK, len(self)), *self.sample_shape), self.dtype)
        for start in range(0, len(self), CHUNK):
            images = self.images[start : start + CHUNK]
            centre_crops(self.files, images, x[: len(images)])
            yield x[: len(images)], self.y[start : start + CHUNK]


def _folder(folder: Path) -> Path:
    """Return the folder of the files: `folder`, or the one in it that the archive holds."""
    found = next((place for place in (folder / FOLDER, folder) if (place / TRAINING_FILES[0]).is_file()), None)
    if found is None:
        rule = f"a folder with {FOLDER}/{TRAINING_FILES[0]} (python -m adsp_mpi fetch cifar10 gets it)"
        raise must("data.dir", rule, str(folder))
    return found


def _read(paths: list[Path]) -> tuple[Files, Labels]:
    """Map the files; return them and the labels of all images."""
    files = tuple(_map(path) for path in paths)
    for path, file in zip(paths, files, strict=True):
        if len(file) != len(files[0]):
            raise must(str(path), f"as many records as {paths[0].name}, {len(files[0])}", len(file))
    return files, np.concatenate([_labels(path) for path in paths])


def _map(path: Path) -> NDArray[np.uint8]:
    try:
        size = path.stat().st_size
        if size == 0 or size % RECORD:
            raise must(str(path), f"whole records of {RECORD} bytes", f"{size} bytes")
        return np.asarray(np.memmap(path, np.uint8, "r")).reshape(-1, RECORD)
    except OSError as exc:
        raise must(str(path), "a readable file", exc.strerror) from exc


def _labels(path: Path) -> Labels:
    """Return the labels of a file; read, not mapped, so that the pixels do not become resident."""
    labels = []
    with path.open("rb") as file:
        while (records := np.fromfile(file, np.uint8, RECORDS_READ * RECORD)).size:
            labels.append(records[::RECORD].astype(np.int64))
    y = np.concatenate(labels)
    if y.max() >= N_CLASSES:
        record = int(np.argmax(y >= N_CLASSES))
        raise must(f"{path}: label of record {record}", f"0 to {N_CLASSES - 1}", int(y[record]))
    return y
