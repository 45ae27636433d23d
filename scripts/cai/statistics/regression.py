"""Ridge regression: a linear model fitted by squares with an L2 penalty on its weights.

Source: Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems", 1970.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from cai.files.records import uniform

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
FOLDS = 5


@dataclass(frozen=True)
class Ridge:
    """A fitted model.

    Attributes:
        intercept: the prediction for mean features.
        weights: of the features in standard deviations; [d].
        centre: mean of each feature; [d].
        spread: standard deviation of each feature, infinite for one that never varies; [d].
        penalty: what it was fitted with.
    """

    intercept: float
    weights: numpy.ndarray
    centre: numpy.ndarray
    spread: numpy.ndarray
    penalty: float

    def predict(self, features: numpy.ndarray) -> numpy.ndarray:
        """The predictions for features [n, d]."""
        return self.intercept + (features - self.centre) / self.spread @ self.weights

    @property
    def slopes(self) -> numpy.ndarray:
        """The weights of the features in their own units; [d]."""
        return self.weights / self.spread


def fit_ridge(features: numpy.ndarray, targets: numpy.ndarray, penalty: float) -> Ridge:
    """Minimise squared error + ``penalty`` x squared weights of standardised features.

    Args:
        features: [n, d]; one that never varies gets no weight.
        targets: [n].
        penalty: at least 0; the intercept is free of it.
    """
    varies = features.max(0) > features.min(0)
    centre, spread = features.mean(0), numpy.where(varies, features.std(0), numpy.inf)
    scaled = (features - centre) / spread
    mean = targets.mean()
    system = scaled.T @ scaled + penalty * numpy.eye(features.shape[1])
    weights = numpy.linalg.lstsq(system, scaled.T @ (targets - mean), rcond=None)[0]
    return Ridge(float(mean), weights, centre, spread, penalty)


def cross_validated_ridge(
    features: numpy.ndarray,
    targets: numpy.ndarray,
    groups: Sequence[str],
    penalties: Sequence[float] = PENALTIES,
) -> Ridge:
    """A fit with the penalty whose predictions of left-out groups are best, of five parts.

    Rows of one group (a prompt) are left out together.
    """
    parts = numpy.array([int(uniform("fold", group) * FOLDS) for group in groups])
    errors = {penalty: _left_out_error(features, targets, parts, penalty) for penalty in penalties}
    return fit_ridge(features, targets, min(errors, key=errors.get))


def _left_out_error(
    features: numpy.ndarray, targets: numpy.ndarray, parts: numpy.ndarray, penalty: float
) -> float:
    total = 0.0
    for part in numpy.unique(parts):
        out = parts == part
        if not out.all():
            model = fit_ridge(features[~out], targets[~out], penalty)
            total += float(((model.predict(features[out]) - targets[out]) ** 2).sum())
    return total


def explained(predicted: numpy.ndarray, targets: numpy.ndarray) -> float:
    """R squared: the share of the targets' variance that predictions explain; below 0, none."""
    around = ((targets - targets.mean()) ** 2).sum()
    return 1 - float(((predicted - targets) ** 2).sum() / around) if around else 0.0
