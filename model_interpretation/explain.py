"""Everything that the other commands show of one network, on one overview page."""

from pathlib import Path

from model_interpretation.activations import show_activations
from model_interpretation.attribution import attribute
from model_interpretation.basic_interpret import interpret_run
from model_interpretation.embeddings import show_embeddings
from model_interpretation.feature_visualization import visualize_features
from model_interpretation.predict import chosen_digit
from models.registry import load_trained
from utils.errors import UserError
from utils.files import shown
from utils.navigation import OVERVIEW
from utils.run import Run
from utils.runtime import choose_device


def explain(
    run: Run, output: Path, index: int | None = None, picture: Path | None = None, device: str = "auto"
) -> None:
    """Writes metrics, mistakes, learned features, activations, attributions and embeddings of a run's network into
    `output/RUN`, with the overview page.

    Activations and attributions are for one digit: the test digit at `index`, the digit in a picture file, or by
    default the most confident mistake on the test set. Raises UserError for an unfinished or damaged run.
    """
    if run.problem:
        raise UserError(f"run {run.name} is {run.problem}: expected a finished run, 'mnist runs' lists them")
    if index is None and picture is None:
        mistakes = run.predictions("test").worst_mistakes(1)
        index = int(mistakes[0]) if len(mistakes) else 0
    digit = chosen_digit(run, "test", index, picture)
    model = load_trained(run, choose_device(device))
    show_activations(run, model, digit, output)
    attribute(run, model, digit, output, means=True)
    visualize_features(run, model, output, digit)
    visualize_features(run, model, output)
    show_embeddings(run, model, output)
    interpret_run(run, model, output)
    print(f"overview page: {shown(output / run.name / OVERVIEW)}")
