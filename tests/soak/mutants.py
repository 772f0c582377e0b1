"""Small errors in the code that decides results, one at a time. The tests nearest to each must notice it.

python -m tests.soak.mutants              all, which is make mutants
python -m tests.soak.mutants 10           ten of them, evenly spread
python -m tests.soak.mutants SPLIT_SEED   those whose file or text contains this, or one of several words

The files are copied to a scratch folder. Its tests must pass before they are run on mutants. A mutant is killed if a
test fails, or if the tests need ten times their processor time. Linux and macOS only: each run is a forked process.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]
MIN_KILLED = 0.95
MIN_SECONDS = 60  # of processor time until a mutant counts as an endless loop
# Packages that the tests import. A forked process has them at once.
PRELOADED = ("torch", "torchvision", "pandas", "scipy.stats", "scipy.optimize", "sklearn.metrics", "sklearn.datasets",
             "seaborn", "hypothesis", "jaxtyping", "beartype", "pytest", "tensorboard.summary.writer")  # fmt: skip


class Mutant(NamedTuple):
    file: str
    old: str
    """Text that occurs once in the file."""
    new: str
    tests: tuple[str, ...]
    """Files of tests, or single tests."""

    def __str__(self) -> str:
        return f"{self.file}: {self.old} -> {self.new}"


def mutants_of(file: str, tests: str, *changes: tuple[str, str]) -> list[Mutant]:
    """`tests`: paths below tests/, separated by spaces."""
    return [Mutant(file, old, new, tuple(f"tests/{path}" for path in tests.split())) for old, new in changes]


MUTANTS = [
    # Splits.
    *mutants_of(
        "utils/data/splits.py",
        "utils/data/test_splits.py utils/data/test_writers.py",
        ("SPLIT_SEED = 0", "SPLIT_SEED = 1"),
        ("stratify=labels", "stratify=None"),
        ("random_state=seed", "random_state=0"),
        ("if held_out < 1 else", "if held_out <= 1 else"),
        ("if size <= 1 else", "if size < 1 else"),
        ("torch.from_numpy(np.sort(indices))", "torch.from_numpy(indices)"),
        ("for mask in (~held, held)", "for mask in (held, ~held)"),
        ("self.writers[indices.cpu()]", "self.writers[: len(indices)]"),
        ("labels.max() < self.num_classes", "labels.max() <= self.num_classes"),
    ),
    *mutants_of(
        "utils/data/writers.py",
        "utils/data/test_writers.py study/scorecard/test_writers.py",
        ("FIRST_STUDENT = 2100", "FIRST_STUDENT = 2300"),
        ("default_rng(seed)", "default_rng(0)"),
        ("key=lambda candidate: candidate[:2]", "key=lambda candidate: candidate[1:2]"),
    ),
    *mutants_of(
        "utils/data/datasets.py",
        "utils/data/test_datasets.py",
        ('whole = load_dataset(name, "train")', 'whole = load_dataset(name, "test")'),
        ("return stratified_sample(train_set, train_size), validation_set", "return train_set, validation_set"),
        ('if validation == "writers" and', 'if validation == "random" and'),
    ),
    # Loss, training and selection.
    *mutants_of(
        "trainers/train.py",
        "trainers/test_train.py",
        (
            'return DataSplits(train_set, validation_set, load_dataset(recipe.dataset, "test"))',
            'return DataSplits(train_set, test := load_dataset(recipe.dataset, "test"), test)',
        ),
        ("(splits.test_set, splits.validation_set)", "(splits.test_set, splits.test_set)"),
        ('**_score_of(validation).values("val")', '**_score_of(test).values("val")'),
        ('random_seed(recipe.seed, 0, "initialisation")', 'random_seed(0, 0, "initialisation")'),
    ),
    *mutants_of(
        "trainers/generic_trainers/basic_trainer.py",
        "trainers/test_basic_trainer.py",
        ("if selected_epoch(self.metrics, self.recipe.checkpoint) is metrics:", "if True:"),
        ("self.optimizer.zero_grad()", "pass"),
        ('random_seed(seed, epoch, "order")', 'random_seed(seed, 1, "order")'),
        ("return self.model if self.average is None else self.average.module", "return self.model"),
        ("step=plan.epoch * self.steps_per_epoch", "step=plan.epoch"),
        ("len(values) - 1 - values.index", "len(values) - values.index"),
        ('sign = 1 if self.recipe.early_stopping.endswith("loss") else -1', "sign = 1"),
    ),
    *mutants_of(
        "utils/run.py",
        "utils/test_run.py trainers/test_basic_trainer.py",
        ("(-row.val_accuracy, row.val_loss, row.epoch)", "(-row.val_accuracy, -row.val_loss, row.epoch)"),
    ),
    *mutants_of(
        "trainers/generic_trainers/optimization.py",
        "trainers/test_optimization.py trainers/test_basic_trainer.py",
        ("label_smoothing=recipe.label_smoothing", "label_smoothing=0.0"),
        ("ONE_CYCLE_START = 1 / 25", "ONE_CYCLE_START = 1 / 20"),
        ("matrix_dimensions = 3 if is_stacked else 2", "matrix_dimensions = 1"),
        ("((epoch.number - 1) // recipe.step_epochs)", "(epoch.number // recipe.step_epochs)"),
        ("0.0, i / num_steps)", "0.0, (i + 1) / num_steps)"),
        ("patience=recipe.plateau_patience", "patience=recipe.plateau_patience + 1"),
        ("+ 1e-6)).clamp(max=1)", "+ 1e-6))"),
        ("get_ema_multi_avg_fn(decay)", "get_ema_multi_avg_fn(1 - decay)"),
    ),
    *mutants_of(
        "trainers/generic_trainers/robust_training.py",
        "trainers/test_robust_training.py",
        ("points.detach() + step", "points.detach() - step"),
        ("self.kept * loss + (1 - self.kept) *", "(1 - self.kept) * loss + self.kept *"),
        ("other_logits.log_softmax(1), logits.log_softmax(1)", "logits.log_softmax(1), other_logits.log_softmax(1)"),
        ("-logits.logsumexp(1) - DIGIT_ENERGY", "-logits.logsumexp(1) + DIGIT_ENERGY"),
        ("round(recipe.adversarial_fraction * len(images)) if", "len(images) if"),
    ),
    # Pixels, predictions and random numbers.
    *mutants_of(
        "models/layers.py",
        "models/test_layers.py models/specific_models/test_specific_models.py",
        ("MNIST_MEAN = 0.1307", "MNIST_MEAN = 0.1370"),
        ("MNIST_STD = 0.3081", "MNIST_STD = 0.3018"),
        ("mul_(256 / (256 - num_dropped))", "mul_(1)"),
    ),
    *mutants_of("utils/data/batches.py", "utils/data/test_batches.py", ("div_(255)", "div_(256)")),
    *mutants_of(
        "utils/evaluation.py",
        "utils/test_evaluation.py",
        ("    model.eval()", "    model.train()"),
        ("math.log(len(shifted))", "math.log(len(places))"),
    ),
    *mutants_of("utils/runtime.py", "utils/test_runtime.py", ("[seed, epoch, *purpose.encode()]", "[seed, epoch]")),
    *mutants_of(
        "trainers/generic_trainers/tensorboard_log.py",
        "study/tensorboard/test_tensorboard.py",
        ("purge_step=epochs_so_far[-1].epoch if", "purge_step=epochs_so_far[-1].epoch + 1 if"),
    ),
    # Statistics.
    *mutants_of(
        "utils/statistics.py",
        "utils/test_statistics.py",
        ("TAILS = (0.025, 0.975)", "TAILS = (0.05, 0.95)"),
        ("stdtrit(count - 1, 0.975)", "stdtrit(count, 0.975)"),
        ("(values - means) ** 2, 0).sum(0) / (count - 1)", "(values - means) ** 2, 0).sum(0) / count"),
        ('method="wilson"', 'method="exact"'),
        ("equal_var=False).confidence_interval", "equal_var=True).confidence_interval"),
        ("equal_var=False).pvalue", "equal_var=True).pvalue"),
        ("next(adjusted) <= 0.05", "next(adjusted) <= 0.1"),
        ("(1 - LEVEL) * sum(significant) /", "(1 - LEVEL) /"),
        ("(second_correct & ~first_correct)", "(~second_correct & ~first_correct)"),
        ("MIN_SEEDS = 5", "MIN_SEEDS = 4"),
        ("np.nan) * len(sizes) / (len(sizes) - 1)", "np.nan)"),
        ("max(0.0, seed_variance - churn)", "seed_variance"),
        ("MIN_CLUSTER_DF = 8.0", "MIN_CLUSTER_DF = 80.0"),
        ("MAX_DESIGN_EFFECT = 3.0", "MAX_DESIGN_EFFECT = 1.0"),
        ("t.isf((1 - level) / 2, df)", "t.isf(1 - level, df)"),
        ("deviance(best) + 3.841459", "deviance(best) + 2.705543"),
        ("return first - sum(others)", "return first + sum(others)"),
        ("sums.T / (counts @ sizes)[:, None]", "sums.T / sizes.sum()"),
    ),
    # Checkpoints.
    *mutants_of(
        "utils/checkpoints.py",
        "utils/test_checkpoints.py",
        ("weights_only=True)", "weights_only=False)"),
        ("damaged_part = archive.testzip()", "damaged_part = None"),
        ("set(values) != keys", "not keys <= set(values)"),
        ("if not values.isfinite().all()", "if values.isnan().all()"),
        ("values.clone() if values.untyped_storage().nbytes() > values.nbytes else values", "values"),
    ),
    # Metrics and calibration.
    *mutants_of(
        "model_interpretation/metrics.py",
        "model_interpretation/test_interpretation.py study/scorecard/test_calibration.py",
        ("NUM_BINS = 15", "NUM_BINS = 10"),
        ("np.abs(confidence - accuracy)", "(confidence - accuracy)"),
        ('kind="stable")[:, -2:]', 'kind="stable")[:, -3:]'),
    ),
    *mutants_of(
        "study/scorecard/calibration.py",
        "study/scorecard/test_calibration.py study/scorecard/test_metrics.py",
        ("(gap**2 - noise)", "(gap**2)"),
        ("1.96 / math.sqrt", "1.64 / math.sqrt"),
        ('evaluator.run_split("validation")', 'evaluator.run_split("test")'),
        ("np.quantile(draws - draws.mean(), TAILS[::-1])", "np.quantile(draws - draws.mean(), TAILS)"),
        ("- one_hot) ** 2).sum(axis=1)", "- one_hot) ** 2).mean(axis=1)"),
    ),
    *mutants_of(
        "study/scorecard/test_set.py",
        "study/scorecard/test_metrics.py",
        ("np.argsort(-predictions.confidence", "np.argsort(predictions.confidence"),
    ),
    *mutants_of(
        "study/scorecard/spatial.py",
        "study/scorecard/test_metrics.py",
        ("ENOUGH = 0.95", "ENOUGH = 0.9"),
    ),
    # Corruptions.
    *mutants_of(
        "utils/data/mnist_c.py",
        "utils/data/test_mnist_c.py",
        ("PHOTONS = 3", "PHOTONS = 4"),
        ("NOISY_FRACTION = 0.17", "NOISY_FRACTION = 0.2"),
        ("MOTION_SIGMA = 3.0", "MOTION_SIGMA = 2.0"),
        ("ROTATION = 0.4", "ROTATION = 0.5"),
        ("TRANSLATION = 3", "TRANSLATION = 2"),
        ("0.5 * 255", "0.4 * 255"),
        ("FOG = 3.0", "FOG = 2.0"),
        ("LINE_WIDTH = 2.3", "LINE_WIDTH = 1.8"),
        ("_generator(seed, name, number)", "_generator(seed, name, 0)"),
    ),
    *mutants_of(
        "study/scorecard/corruptions.py",
        "study/scorecard/test_corruptions.py",
        ("rankdata(-accuracies, axis=0)", "rankdata(accuracies, axis=0)"),
        ("layer.running_mean = layer.running_var = None", "pass"),
    ),
    # Out-of-distribution scores.
    *mutants_of(
        "utils/ood_scores.py",
        "study/scorecard/test_ood.py",
        ("0.05 + 1e-12", "0.10 + 1e-12"),
        ("others_below - others / 2", "others_below"),
        ("values[:, -1]", "values[:, 0]"),
        ("centred.T @ centred / len(centred)", "centred.T @ centred"),
        ("3 / self.num_clusters", "1 / self.num_clusters"),
        ("return logits.logsumexp(-1)", "return -logits.logsumexp(-1)"),
    ),
    *mutants_of(
        "study/scorecard/ood.py",
        "study/scorecard/test_ood.py",
        ("(writers[first] == writers[second]) & ", ""),
        ("NO_MIRROR_DIGIT = (3, 4, 6, 7, 9)", "NO_MIRROR_DIGIT = (3, 4, 5, 6, 7, 9)"),
    ),
]


def main(arguments: Sequence[str]) -> int:
    chosen = choose(arguments) if arguments else MUTANTS
    for name in PRELOADED:
        import_module(name)
    started, survivors = time.monotonic(), []
    with scratch_copy() as folder:
        seconds = {}
        for tests in dict.fromkeys(mutant.tests for mutant in chosen):
            code, seconds[tests], output = run_tests(folder, tests)
            if code:
                print(f"{' '.join(tests)} fails without a mutant:\n{output[-3000:]}")
                return 2
        print(f"{len(seconds)} groups of tests pass without mutants in {sum(seconds.values()):.0f} s", flush=True)
        for number, mutant in enumerate(chosen, 1):
            code, used, output = run_mutant(folder, mutant, max(MIN_SECONDS, 10 * seconds[mutant.tests]))
            if code in (3, 4, 5):  # an internal error, wrong usage, no tests
                raise RuntimeError(output)
            survivors += [] if code else [mutant]
            print(f"{number:3} {'killed  ' if code else 'SURVIVED'} {used:4.0f} s  {mutant}", flush=True)
    num_killed = len(chosen) - len(survivors)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{num_killed} of {len(chosen)} mutants killed; {used.ru_utime + used.ru_stime:.0f} s of processor time, "
        f"{time.monotonic() - started:.0f} s"
    )
    return int(num_killed < MIN_KILLED * len(chosen))


def choose(arguments: Sequence[str]) -> list[Mutant]:
    """So many mutants, evenly spread, or those with one of these texts."""
    if arguments[0].isdigit():
        count = min(int(arguments[0]), len(MUTANTS))
        return [MUTANTS[place * len(MUTANTS) // count] for place in range(count)]
    return [mutant for mutant in MUTANTS if any(text in str(mutant) for text in arguments)]


@contextmanager
def scratch_copy() -> Iterator[Path]:
    """A folder with the project's files. Times of files are kept, so that a mutant is newer than its bytecode."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name).resolve() / "project"
        for path in filter(None, os.fsdecode(listed.stdout).split("\0")):
            if (PROJECT / path).is_file():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / path, folder / path)
        yield folder


def run_mutant(folder: Path, mutant: Mutant, limit: float) -> tuple[int, float, str]:
    """The result of `run_tests` on the mutant."""
    path, original = folder / mutant.file, folder.with_name("original")
    shutil.copy2(path, original)
    path.write_text(mutated(mutant, folder), encoding="utf-8")
    result = run_tests(folder, mutant.tests, limit)
    shutil.copy2(original, path)
    return result


def mutated(mutant: Mutant, folder: Path = PROJECT) -> str:
    """The text of the mutant's file. Raises ValueError unless the old text occurs once."""
    text = (folder / mutant.file).read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.file} has {text.count(mutant.old)} times '{mutant.old}': expected once")
    return text.replace(mutant.old, mutant.new)


def run_tests(folder: Path, tests: Sequence[str], limit: float | None = None) -> tuple[int, float, str]:
    """Runs the tests in a forked process up to the first failure. Returns pytest's exit code (negative: a signal), the
    processor time in seconds, and the output. With a limit, which is in seconds, no bytecode is written."""
    log = folder.with_name("log")
    child = os.fork()
    if child == 0:
        code = 3
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            code = _run_pytest(folder, tests, limit)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, log.read_text(errors="replace")


def _run_pytest(folder: Path, tests: Sequence[str], limit: float | None) -> int:
    import pytest

    os.chdir(folder)
    sys.path[:] = [str(folder), *(path for path in sys.path if Path(path or PROJECT).resolve() != PROJECT)]
    os.environ["PYTHONPATH"] = str(folder)
    if (PROJECT / "data" / "mnist").exists():
        os.environ.setdefault("MNIST_STUDY_MIRROR", str(PROJECT / "data"))
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]
    if limit is not None:
        sys.dont_write_bytecode = True
        resource.setrlimit(resource.RLIMIT_CPU, (round(limit), round(limit)))
    code = int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests]))
    if not sys.modules["utils"].__file__.startswith(str(folder)):
        raise RuntimeError(f"the tests imported {sys.modules['utils'].__file__}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
