"""Whether a picture is like the digits that a network was trained on: the similarity of its embedding to theirs.

The score is fixed in advance (benchmarks/ROBUSTNESS_LOG.md): the cosine similarity to the 10th nearest of 10,000
training embeddings, as in the scorecard. The threshold is the 5 % quantile of the scores of the run's validation
digits. The choice was between 1 % and 5 %, on validation digits and the non-digits of the search, with five
convolutional networks: at 1 % four of ten non-digits and two of three mistakes get no warning, at 5 % one of ten and
one of five. A warning hides no prediction, so a false alarm costs less than a letter that passes for a digit.

The embeddings are computed once per network and stored in the run's folder, at most 16 MiB.
"""

import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16, UInt8
from torch import Tensor, nn

from model_interpretation.activations import penultimate_vectors
from model_interpretation.predict import load_run_split
from utils.data.splits import stratified_sample
from utils.errors import UserError
from utils.evaluation import BATCH_SIZE
from utils.files import replace_file, shown
from utils.ood_scores import NUM_NEIGHBOURS, NearestNeighbourScore
from utils.outside import DamagedFile, read_arrays
from utils.run import Run
from utils.track import track

NUM_TRAINING_DIGITS = 10_000  # as many as the scorecard compares with
MAX_VALUES = 2**23  # of all stored embeddings; wider embeddings are of fewer digits
MIN_TRAINING_DIGITS = 500
MAX_FALSE_ALARMS = 0.05  # fraction of the validation digits below the threshold
FILE = "training_embeddings.npz"  # in the run's folder
ARRAYS = ("directions", "threshold", "network")
MAX_FILE_BYTES = 2**25
MAX_SIMILARITY = 1.001  # 1 up to rounding
VERSION = 1  # of the file and of what it is computed from


class Stopped(Exception):
    """`compute_check` was stopped before it was done."""


@dataclass(frozen=True)
class Similarity:
    """How similar a picture is to the training digits."""

    value: float
    """Cosine similarity to the 10th nearest training embedding, -1 to 1."""
    threshold: float
    """95 % of the validation digits are above."""

    @property
    def is_out_of_distribution(self) -> bool:
        return self.value < self.threshold


class OodCheck:
    """Compares embeddings with those of training digits."""

    def __init__(self, directions: Float16[np.ndarray, "n width"], threshold: float) -> None:
        """`directions` are training embeddings of length 1."""
        self.score = NearestNeighbourScore(torch.from_numpy(directions).float())
        self.threshold = threshold

    def __call__(self, embeddings: Float[Tensor, "m width"]) -> list[Similarity]:
        return [Similarity(value, self.threshold) for value in self.score(embeddings).tolist()]


def stored_check(run: Run) -> OodCheck | None:
    """The check in the run's folder; None if there is none. A damaged file, and one of another network, is refused with
    a line on stderr. Raises UserError if the run's weights cannot be read."""
    file, network = run.path / FILE, _network_hash(run)
    try:
        arrays = read_arrays(file, ARRAYS, MAX_FILE_BYTES)
        return _check_of(arrays, network)
    except FileNotFoundError:
        return None
    except (OSError, DamagedFile) as error:
        reason = getattr(error, "strerror", None) or error
        print(f"{shown(file)} is not used and computed again: {reason}", file=sys.stderr)
        return None


def compute_check(run: Run, model: nn.Module, is_stopped: Callable[[], bool] = lambda: False) -> OodCheck:
    """The check of the run's network, also stored in the run's folder if that can be written.

    Raises UserError if the run's digits are not available or the network has no embeddings, and Stopped as soon as
    `is_stopped()`.
    """

    def embeddings_of(images: UInt8[Tensor, "n 28 28"]) -> Iterator[Float[Tensor, "m width"]]:
        for batch in images.split(BATCH_SIZE):
            if is_stopped():
                raise Stopped
            yield penultimate_vectors(model, batch, progress=None)
            progress.update(len(batch))

    network = _network_hash(run)
    digits, validation = load_run_split(run, "train"), load_run_split(run, "validation")
    width = penultimate_vectors(model, digits.images[:1], progress=None).shape[1]
    count = min(NUM_TRAINING_DIGITS, MAX_VALUES // width)
    if count < MIN_TRAINING_DIGITS:
        raise UserError(f"the embeddings have {width:,} values: expected at most {MAX_VALUES // MIN_TRAINING_DIGITS:,}")
    if len(digits) >= count + len(digits.class_names):  # at least one of each class is left over
        digits = stratified_sample(digits, count)
    with track(total=len(digits) + len(validation), desc="embeddings of digits, once per run") as progress:
        directions = torch.cat([F.normalize(part).half() for part in embeddings_of(digits.images)])
        score = NearestNeighbourScore(directions.float())
        scores = torch.cat([score(part) for part in embeddings_of(validation.images)]).double()
    arrays: dict[str, np.ndarray] = {
        "directions": directions.numpy(),
        "threshold": np.asarray(np.quantile(scores.numpy(), MAX_FALSE_ALARMS, method="lower")),
        "network": np.frombuffer(network, np.uint8),
    }
    try:
        check = _check_of(arrays, network)
    except DamagedFile:
        raise UserError(f"the embeddings of {run.name} have NaN or infinite values") from None
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    try:
        replace_file(run.path / FILE, content.getvalue())
    except (OSError, UserError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
        print(f"{shown(run.path / FILE)} is not stored: {reason}", file=sys.stderr)
    return check


def ood_check(run: Run, model: nn.Module) -> OodCheck:
    """The stored check of the run, else a computed one. Raises UserError as these."""
    return stored_check(run) or compute_check(run, model)


def _check_of(arrays: Mapping[str, np.ndarray], network: bytes) -> OodCheck:
    """The check in these arrays of the file. Raises DamagedFile if they are not as expected, or of another network."""
    try:
        directions, threshold, found = (arrays[name] for name in ARRAYS)
    except KeyError as error:
        raise DamagedFile(f"it has no {error.args[0]}") from None
    if found.tobytes() != network:
        raise DamagedFile("it is of another network")
    if directions.ndim != 2 or directions.dtype != np.float16 or not directions.size or threshold.shape != ():
        raise DamagedFile("its arrays are of other shapes or types")
    if not (np.isfinite(directions).all() and abs(threshold) <= MAX_SIMILARITY):
        raise DamagedFile("it has NaN or infinite values")
    return OodCheck(directions, float(threshold))


def _network_hash(run: Run) -> bytes:
    """A hash of everything that decides the embeddings and the threshold."""
    recipe = run.recipe
    parts = [recipe.model, recipe.dataset, recipe.validation_size, recipe.train_size, recipe.validation]
    text = json.dumps([VERSION, NUM_TRAINING_DIGITS, NUM_NEIGHBOURS, MAX_FALSE_ALARMS, *parts])
    try:
        weights = run.best_checkpoint.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {shown(run.best_checkpoint)}: {error.strerror}") from None
    return hashlib.sha256(weights + text.encode()).digest()
