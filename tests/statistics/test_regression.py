"""Ridge regression on data whose coefficients are known."""

import numpy
import pytest
from sklearn.metrics import r2_score

from cai.statistics.regression import cross_validated_ridge, fit_ridge

SLOPES = numpy.array([2.0, -1.0, 0.0, 0.5])


def data(n, noise, seed=0):
    rng = numpy.random.default_rng(seed)
    features = rng.normal(3.0, [1, 2, 3, 4], size=(n, 4))
    return features, features @ SLOPES + 1.5 + rng.normal(0, noise, n)


def slopes(fitted):
    """The weights of the features in their own units."""
    return fitted.model[-1].coef_ / fitted.model[0].scale_


def test_coefficients_are_recovered_without_a_penalty():
    features, targets = data(50, noise=0)
    model = fit_ridge(features, targets, 0)
    assert slopes(model) == pytest.approx(SLOPES, abs=1e-9)
    assert model.predict(features) == pytest.approx(targets)


def test_weights_are_those_of_the_closed_form_with_one_feature():
    """With one standardised feature the weight is the least squares' times n / (n + penalty)."""
    features, targets = data(40, noise=1)
    one = features[:, :1]
    free, held = (fit_ridge(one, targets, penalty) for penalty in (0, 40))
    assert slopes(held) == pytest.approx(slopes(free) / 2)


def test_noise_is_met_by_a_penalty_and_new_rows_are_predicted_better():
    def with_noise(n, seed):
        features, targets = data(n, noise=3, seed=seed)
        rng = numpy.random.default_rng(seed + 100)
        return numpy.hstack([features, rng.normal(size=(n, 100))]), targets

    features, targets = with_noise(200, seed=0)
    chosen = cross_validated_ridge(features, targets, [str(i) for i in range(200)])
    fresh, truth = with_noise(500, seed=1)
    without = r2_score(truth, fit_ridge(features, targets, 0).predict(fresh))
    assert chosen.penalty > 1
    assert r2_score(truth, chosen.predict(fresh)) > without + 0.05


def test_a_feature_that_never_varies_has_no_weight():
    features, targets = data(30, noise=0)
    features[:, 2] = 7.0
    assert slopes(fit_ridge(features, targets, 1.0))[2] == 0


def test_rows_of_a_group_are_left_out_together():
    """Targets that are noise by group cannot be predicted, though each row has its twin."""
    rng = numpy.random.default_rng(5)
    features = numpy.repeat(rng.normal(size=(40, 30)), 2, axis=0)
    targets = numpy.repeat(rng.normal(size=40), 2)
    groups = [str(i // 2) for i in range(80)]
    assert cross_validated_ridge(features, targets, groups).penalty >= 1000


def test_ratings_of_one_prompt_alone_leave_nothing_to_choose_by():
    features, targets = data(20, noise=1)
    assert cross_validated_ridge(features, targets, ["one"] * 20).penalty == 0.1
