"""Two groups of runs, or two runs, digit by digit: in sentences and in pictures."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from model_interpretation.run_data import load_run_split
from study.comparison.groups import Group
from study.comparison.significance import PairedComparison, compare_answers
from utils.answers import Answers, load_answers
from utils.errors import UserError
from utils.figures import answers_figure

NUM_DIGITS_SHOWN = 25


@dataclass(frozen=True)
class Pair:
    """Two groups with what they answered on the same test digits."""

    groups: tuple[Group, Group]
    votes: tuple[Answers, Answers]
    comparison: PairedComparison

    def describe(self) -> list[str]:
        """The comparison in sentences."""
        first, second = (group.label for group in self.groups)
        only_first, only_second = len(self.comparison.only_first_right), len(self.comparison.only_second_right)
        shares = (self.comparison.difference, *self.comparison.difference_interval)
        points, low, high = (100 * share for share in shares)
        return [
            f"{first} minus {second}: {points:+.2f} percentage points of test accuracy, 95 % interval {low:+.2f} to "
            f"{high:+.2f} (paired bootstrap over {self.comparison.num_digits:,} digits)",
            f"only the first is right on {only_first} digits, only the second on {only_second} (groups by vote): "
            f"McNemar's exact test p = {self.comparison.p_value:.3g}",
        ]

    def draw(self) -> dict[str, Figure]:
        """The digits that one names right and the other does not, with what the wrong one says; by title."""
        first, second = (group.label for group in self.groups)
        test_set = load_run_split(self.groups[0].records[0].run, "test")
        sides = (
            (f"only {first} is right; {second} says", self.votes[1], self.comparison.only_first_right),
            (f"only {second} is right; {first} says", self.votes[0], self.comparison.only_second_right),
        )
        return {
            title: answers_figure(wrong, digits[:NUM_DIGITS_SHOWN], test_set, title)
            for title, wrong, digits in sides
            if len(digits)
        }


def pair_to_compare(groups: list[Group]) -> Pair | None:
    """The two groups, or the two runs of the only group; None where they are not two.

    Raises UserError where predictions are missing, damaged or of different digits.
    """
    if len(groups) == 1 and len(groups[0].records) == 2:
        groups = [Group(record.name, [record]) for record in groups[0].records]
    if len(groups) != 2:
        return None
    first, second = ([load_answers(record.run.test_predictions) for record in group.records] for group in groups)
    comparison, votes = compare_answers(first, second)
    return Pair((groups[0], groups[1]), votes, comparison)


def compare_pair(groups: list[Group], were_named: bool) -> tuple[list[str], dict[str, Figure]]:
    """What there is to say and to draw of two groups; nothing where they are not two.

    Raises UserError where the runs were asked for by name and cannot be compared; else that is what there is to say.
    """
    try:
        pair = pair_to_compare(groups)
    except UserError as error:
        if were_named:
            raise
        return [f"not compared digit by digit: {error}"], {}
    return (pair.describe(), pair.draw()) if pair else ([], {})
