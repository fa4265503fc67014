"""Numbers and pictures of fitted models."""

import numpy as np
import pytest
from scipy.stats import energy_distance

from skvae import AAE, AE, VAE, AAEClassifier
from skvae.inspection import prior_distance
from skvae.nn import Normal
from skvae.plot import LossCurveDisplay

QUICK = {"max_iter": 3, "random_state": 0}


def test_prior_distance_agrees_with_scipy(digits):
    X, _ = digits
    model = AAE(1, prior=Normal(scale=3.0), **QUICK).fit(X)
    codes = model.transform(X)[:, 0].astype(float)
    rng = np.random.RandomState(0)
    draws = model.sample_codes(len(X), random_state=rng)[:, 0].astype(float)
    energy = energy_distance(codes, draws) ** 2
    between = 2 * np.abs(codes[:, None] - draws).mean()
    assert prior_distance(model, X) == pytest.approx(energy / between, rel=1e-4)


def test_prior_distance_is_small_where_codes_follow_the_prior(digits):
    X, _ = digits
    held, free = (VAE(beta=beta, random_state=0).fit(X) for beta in (1, 1e-3))
    assert prior_distance(held, X) < 0.05 < prior_distance(free, X)


def test_prior_distance_repeats_on_a_sample(digits):
    X, _ = digits
    model = AE(**QUICK).fit(X)
    some = [prior_distance(model, X, max_samples=50) for _ in range(2)]
    assert some[0] == some[1] != prior_distance(model, X)
    other = prior_distance(model, X, max_samples=50, random_state=1)
    assert other != some[0]


def test_prior_distance_needs_two_samples(digits):
    X, _ = digits
    model = AE(**QUICK).fit(X)
    with pytest.raises(ValueError, match="`X` must hold 2 samples at least"):
        prior_distance(model, X[:1])
    with pytest.raises(ValueError, match="`max_samples` must be an int >= 2, got 0"):
        prior_distance(model, X, max_samples=0)


def test_loss_curves_show_every_term(digits):
    X, y = digits
    model = AAEClassifier(**QUICK).fit(X, y)
    display = LossCurveDisplay.from_estimator(model)
    terms = {name for name in model.history_[0] if name.endswith("_loss")}
    assert set(display.lines_) == terms - {"train_loss"}
    for name, line in display.lines_.items():
        assert line.get_xdata().tolist() == [1, 2, 3]
        assert line.get_ydata().tolist() == [row[name] for row in model.history_]
        on_the_right = line.axes is display.adversary_ax_
        assert on_the_right == name.endswith(("discriminator_loss", "generator_loss"))
    assert display.ax_.get_title() == "AAEClassifier"
    assert display.figure_ is display.ax_.figure


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_the_legend_of_loss_curves_is_whole_and_below_where_it_can_be(layout, digits):
    from matplotlib.figure import Figure

    X, y = digits
    model = AAEClassifier(**QUICK).fit(X, y)
    figure = Figure(layout=layout)
    display = LossCurveDisplay.from_estimator(model, ax=figure.subplots())
    figure.draw_without_rendering()
    legend = display.ax_.get_legend().get_window_extent()
    assert figure.bbox.contains(legend.x0, legend.y0)
    assert figure.bbox.contains(legend.x1, legend.y1)
    if layout:
        assert legend.y1 < display.ax_.get_window_extent().y0


def test_loss_curves_in_a_given_axes(digits):
    from matplotlib.figure import Figure

    X, _ = digits
    ax = Figure().subplots()
    vae = VAE(max_iter=3, random_state=0).fit(X[:200], X_val=X[200:])
    display = LossCurveDisplay.from_estimator(vae, ax=ax)
    assert display.ax_ is ax
    assert display.adversary_ax_ is None
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["reconstruction", "kl divergence", "valid"]
