"""An epoch by this platform's trainer as it stands, for the same networks, batches and optimizer as its peers."""

from benchmarks.peers.measure import BATCH_SIZES, Stopwatch, main
from benchmarks.results import runs_to_throw_away
from trainers.generic_trainers.training_run import train as train_run
from trainers.recipe import Recipe, TrainConfig

MODELS = {"fc": "standard_fc", "conv": "two_conv"}
NUM_DIGITS, NUM_TRAINED = 60_000, 55_000


def train(network: str, num_epochs: int, stopwatch: Stopwatch) -> None:
    """Its epoch has 55,000 digits, as 5,000 are held out: its seconds are scaled to the 60,000 of the others."""
    config = TrainConfig(batch_size=BATCH_SIZES[network], num_epochs=num_epochs, device="cpu")
    with runs_to_throw_away():
        run, _ = train_run(Recipe(MODELS[network], config))
        stopwatch.seconds += [row.epoch_seconds * NUM_DIGITS / NUM_TRAINED for row in run.rows()]


if __name__ == "__main__":
    main(train)
