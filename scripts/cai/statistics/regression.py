"""Ridge regression: a linear model fitted by squares with an L2 penalty on its weights.

By scikit-learn. Source: Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal
problems", 1970.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy
from sklearn import linear_model
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cai.files.records import uniform

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
FOLDS = 5


class Ridge(NamedTuple):
    """A fitted model, and the penalty that it was fitted with."""

    model: Pipeline
    penalty: float

    def predict(self, features: numpy.ndarray) -> numpy.ndarray:
        """The predictions for features [n, d]."""
        return numpy.asarray(self.model.predict(features))


def fit_ridge(features: numpy.ndarray, targets: numpy.ndarray, penalty: float) -> Ridge:
    """Minimise squared error + ``penalty`` x squared weights of standardised features.

    Args:
        features: [n, d]; one that never varies gets no weight.
        targets: [n].
        penalty: at least 0; the intercept is free of it.
    """
    return Ridge(_pipeline(penalty).fit(features, targets), penalty)


def cross_validated_ridge(
    features: numpy.ndarray,
    targets: numpy.ndarray,
    groups: Sequence[str],
    penalties: Sequence[float] = PENALTIES,
) -> Ridge:
    """A fit with the penalty whose predictions of left-out groups are best, of five parts.

    Rows of one group (a prompt) are left out together. With a single part there is nothing to
    choose by: the first penalty is taken.
    """
    parts = PredefinedSplit([int(uniform("fold", group) * FOLDS) for group in groups])

    def error(penalty: float) -> float:
        predicted = cross_val_predict(_pipeline(penalty), features, targets, cv=parts)
        return float(((predicted - targets) ** 2).sum())

    best = min(penalties, key=error) if parts.get_n_splits() > 1 else penalties[0]
    return fit_ridge(features, targets, best)


def _pipeline(penalty: float) -> Pipeline:
    return make_pipeline(StandardScaler(), linear_model.Ridge(penalty))
