"""Real models on the digits data set that scikit-learn ships, and the driver that serves them."""

import pickle
from dataclasses import dataclass

DRIVER = """\
import pickle


def init():
    global model
    with open("digits.pkl", "rb") as file:
        model = pickle.load(file)


def run(body):
    return model.predict(body["rows"]).tolist()
"""


@dataclass(frozen=True)
class Trained:
    """A model and what it makes of the held-out rows, on this machine."""

    content: bytes
    rows: list[list[float]]
    truth: list[int]
    predictions: list[int]

    @property
    def accuracy(self) -> float:
        """The share of held-out rows it gets right."""
        return accuracy(self.predictions, self.truth)


def accuracy(predictions: list[int], truth: list[int]) -> float:
    """The share of predictions that are true."""
    return sum(one == other for one, other in zip(predictions, truth, strict=True)) / len(truth)


def train(trees: int) -> Trained:
    """A random forest of that many trees, on the digits data set that scikit-learn ships."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  # a second of import, and only the demo needs it
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    data = load_digits()
    seen, held_out, labels, truth = train_test_split(data.data, data.target, test_size=0.25, random_state=7)
    forest = RandomForestClassifier(trees, max_depth=4, random_state=7).fit(seen, labels)
    return Trained(pickle.dumps(forest), held_out.tolist(), truth.tolist(), forest.predict(held_out).tolist())
