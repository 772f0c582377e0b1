"""The command `mnist`: every script of the platform as a sub-command."""

import importlib
import sys

from utils.errors import UserError, exit_on_user_error

# Sub-command -> the module whose main(argv) does it, and what it does. Imported only when asked for.
COMMANDS = {
    "quickstart": ("trainers.quickstart", "train and judge a network in a minute, to see that all works"),
    "train": ("trainers.train_command", "train a network: mnist train conv, mnist train --model NAME"),
    "display": ("data_inspection.display_digit", "one digit, in the terminal or as a picture: mnist display 7"),
    "predict": ("model_interpretation.predict_digit", "what a network says: mnist predict 7, --image photo.jpg"),
    "draw": ("model_interpretation.interactive_draw", "draw a digit in the browser and watch the network answer"),
    "retrain": ("trainers.retrain_command", "train the newest run's network once more, from another seed"),
    "submit": ("trainers.submit_command", "name the digits of Kaggle's test.csv: writes submission.csv"),
    "tour": ("study.tour", "from the first digit to the first doubt: a lesson that runs"),
    "scratch": ("trainers.scratch_command", "networks from scratch in NumPy: mnist scratch train MODEL, evaluate RUN"),
    "weights": ("trainers.weights_command", "weights of a NumPy project as a run, and back: import FILE, export RUN"),
    "inspect": ("data_inspection.inspect_dataset", "look at a data set: statistics and pictures"),
    "interpret": (
        "model_interpretation.basic_interpret",
        "confusion matrices, metrics and mistakes of a run",
    ),
    "layers": ("model_interpretation.layer_outputs", "what each layer makes of a digit"),
    "features": ("model_interpretation.feature_visualization", "images that excite a layer's channels"),
    "attribution": ("model_interpretation.attribution", "which pixels decide, and whether that can be believed"),
    "representation": (
        "model_interpretation.representation",
        "how the network sees the digits as a whole: map, neighbours, filters, curvature",
    ),
    "explain": ("model_interpretation.explain", "a network looked into in all of these ways, on one page"),
    "sweep": ("study.sweeps.sweep_command", "many recipes as one: grid or search, on this machine or on Ray"),
    "scorecard": ("study.scorecard", "what a network can do beyond the test set: mnist scorecard RUN"),
    "architecture": ("study.architecture", "which property of a network buys what, on clean digits and beyond"),
    "limits": ("study.limits", "the test digits that no network gets, and the ceiling that follows"),
    "report": ("study.report", "is MNIST solved? What all runs and studies say, on one page"),
    "compare": ("study.comparison.compare_runs", "compare runs over seeds: table, page, CSV, LaTeX, significance"),
    "runs": ("study.comparison.list_runs", "list all runs with their figures"),
    "evaluate": ("model_interpretation.evaluate_run", "judge the network of a run: mnist evaluate runs/NAME"),
}


def main() -> None:
    with exit_on_user_error():
        arguments = sys.argv[1:]
        if not arguments or arguments[0] in ("-h", "--help"):
            print(help_text())
            return
        if arguments[0] not in COMMANDS:
            raise UserError(f"unknown command '{arguments[0]}': expected one of {', '.join(COMMANDS)}")
        module = importlib.import_module(COMMANDS[arguments[0]][0])
        module.main(arguments[1:])


def help_text() -> str:
    lines = [f"  {name:14} {purpose}" for name, (_, purpose) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: mnist COMMAND [options]      mnist COMMAND --help explains each option",
            "",
            *lines,
            "",
            "Runs lie in runs/, one folder each; look at them with: tensorboard --logdir runs",
        ]
    )


if __name__ == "__main__":
    main()
