"""Adversarial models: phases, priors tied to classes, labels known, few or none."""

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from skorch.callbacks import Freezer, LRScheduler
from torch.optim.lr_scheduler import ExponentialLR

from skvae import (
    AAE,
    AE,
    MLP,
    AAEClassifier,
    AAEClusterer,
    Discriminator,
    DiscriminatorWarning,
    SupervisedAAE,
)
from skvae._engine.plan import Plan
from skvae.inspection import prior_distance
from skvae.model_selection import stacked_training
from skvae.nn import GaussianMixture, Noise, Normal, SwissRoll

QUICK = {"max_iter": 3, "random_state": 0}
LETTERS = np.array(list("abcdefghij"))
NAMES = np.array(["zero", *"abcdefgh", "nine"])


@pytest.fixture(scope="module")
def flat(digits):
    X, y = digits
    return X.reshape(len(X), 64), y


@pytest.fixture(scope="module")
def supervised(flat):
    return SupervisedAAE(max_iter=200, batch_size=32, random_state=0).fit(*flat)


def some_of(y, n_per_class):
    """Hide all labels but the first few of each class."""
    hidden = np.full(len(y), -1)
    for label in np.unique(y):
        known = np.flatnonzero(y == label)[:n_per_class]
        hidden[known] = label
    return hidden


# The engine


@pytest.mark.parametrize(
    ("model", "terms"),
    [
        (AAE, []),
        (SupervisedAAE, []),
        (AAEClusterer, ["class_discriminator_loss", "class_generator_loss"]),
        (
            AAEClassifier,
            [
                "class_discriminator_loss",
                "class_generator_loss",
                "classification_loss",
            ],
        ),
    ],
)
def test_history_holds_the_losses_of_all_phases(model, terms, flat):
    fitted = model(**QUICK).fit(*flat)
    terms = ["reconstruction_loss", "discriminator_loss", "generator_loss", *terms]
    for row in fitted.history_:
        own = {name for name in row if name.endswith("_loss")} - {"train_loss"}
        assert own == set(terms)
        total = sum(row[name] for name in terms)
        assert row["train_loss"] == pytest.approx(total, rel=1e-5)
    # Two sides that know nothing yet have to guess.
    first = fitted.history_[0]
    assert first["discriminator_loss"] == pytest.approx(2 * np.log(2), abs=0.3)


@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_without_adversaries_an_aae_is_an_ae(weight_decay, flat):
    X, _ = flat
    aae = AAE(adversarial_weight=0, weight_decay=weight_decay, **QUICK).fit(X)
    ae = AE(weight_decay=weight_decay, **QUICK).fit(X)
    assert_array_equal(aae.transform(X), ae.transform(X))
    assert_array_equal(aae.score_samples(X), ae.score_samples(X))


def test_every_phase_has_its_learning_rate(flat):
    X, _ = flat

    def rates(**options):
        optimizers = AAE(**options, **QUICK).fit(X)._net.optimizers_
        return [o.param_groups[0]["lr"] for o in optimizers.values()]

    assert rates(adversarial_weight=0.5, learning_rate=0.01) == [0.01, 0.005, 0.005]
    assert rates(discriminator=Discriminator(learning_rate=0.02)) == [
        0.001,
        0.02,
        0.00025,
    ]


def test_changed_learning_rates_hold_when_training_goes_on(flat):
    X, _ = flat
    model = AAE(warm_start=True, **QUICK).fit(X)
    model.set_params(adversarial_weight=1.0).fit(X)
    rates = [o.param_groups[0]["lr"] for o in model._net.optimizers_.values()]
    assert rates == [0.001] * 3


def test_discriminators_can_be_searched(flat):
    X, _ = flat
    model = AAE(discriminator=Discriminator(), **QUICK)
    grid = {
        "discriminator__dropout": [0.0, 0.5],
        "discriminator": [Discriminator((8,))],
    }
    search = GridSearchCV(model, grid, cv=2, refit=False).fit(X)
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    with pytest.raises(ValueError, match=r"as `discriminator` first, .* Discriminator"):
        AAE().set_params(discriminator__dropout=0.5)
    with pytest.raises(ValueError, match="'dropout' parameter of Discriminator must"):
        AAE(discriminator=Discriminator(dropout=1.0)).fit(X)


def test_of_discriminators_only_the_rate_can_change_when_training_goes_on(flat):
    X, _ = flat
    model = AAE(warm_start=True, **QUICK).fit(X)
    model.set_params(discriminator=Discriminator(learning_rate=0.02)).partial_fit(X)
    rates = [o.param_groups[0]["lr"] for o in model._net.optimizers_.values()]
    assert rates == [0.001, 0.02, 0.00025]
    for other in (Discriminator((8,)), Discriminator(dropout=0.1)):
        with pytest.raises(ValueError, match="`discriminator` was Discriminator"):
            model.set_params(discriminator=other).partial_fit(X)


def test_a_schedule_holds_for_all_phases(flat):
    X, _ = flat
    schedule = LRScheduler(ExponentialLR, gamma=0.5)
    judge = Discriminator(learning_rate=0.01)
    model = AAE(discriminator=judge, callbacks=[schedule], **QUICK).fit(X)
    rates = [o.param_groups[0]["lr"] for o in model._net.optimizers_.values()]
    assert_allclose(rates[0], 1e-3 * 0.5**3)
    assert_allclose(rates[1:], [0.01 * 0.5**2, 0.00025 * 0.5**2])


def test_frozen_parts_stay_as_they_are(flat):
    X, y = flat
    short, long = (
        AAEClassifier(
            callbacks=[Freezer(["*discriminator.*"])], max_iter=n, random_state=0
        ).fit(X, y)
        for n in (1, 3)
    )
    for name in ("discriminator", "class_discriminator"):
        for one, other in zip(
            short.module_.get_submodule(name).parameters(),
            long.module_.get_submodule(name).parameters(),
            strict=True,
        ):
            assert_array_equal(one.detach(), other.detach())
    assert not np.array_equal(short.transform(X), long.transform(X))


def test_discriminators_learn_from_codes_alone(flat):
    X, _ = flat
    judge = Discriminator(learning_rate=1e-12)
    still = AAE(discriminator=judge, **QUICK).fit(X)
    again = AAE(discriminator=judge, warm_start=True, **QUICK).fit(X)
    for one, other in zip(
        still.module_.discriminator.parameters(),
        again.fit(X).module_.discriminator.parameters(),
        strict=True,
    ):
        assert_allclose(one.detach(), other.detach(), atol=1e-8)


def test_a_prior_can_not_change_when_training_goes_on(flat):
    X, _ = flat
    model = AAE(warm_start=True, **QUICK).fit(X)
    with pytest.raises(ValueError, match="`prior` was 'normal' when the networks"):
        model.set_params(prior="uniform").fit(X)


@pytest.mark.parametrize("likelihood", ["gaussian", "squared_error"])
def test_the_scale_of_the_data_does_not_change_the_codes(likelihood, flat):
    X, _ = flat
    options = {"likelihood": likelihood, "max_iter": 10, "random_state": 0}
    codes = AAE(**options).fit_transform(X)
    moved = AAE(**options).fit_transform(1e6 * X - 50)
    assert_allclose(moved, codes, atol=0.05)


@pytest.mark.parametrize("model", [AAE, SupervisedAAE, AAEClassifier, AAEClusterer])
def test_the_encoder_gets_standardized_data_with_every_likelihood(model, flat):
    X, y = flat
    X = X / X.max()
    fitted = model(likelihood="bernoulli", **QUICK).fit(X, y)
    module = fitted.module_
    assert_allclose(module.shift, X.mean(axis=0), atol=1e-6)
    assert float(module.spread) == pytest.approx(np.sqrt(X.var(axis=0).mean()))
    scaled = torch.tensor((X - X.mean(axis=0)) / float(module.spread)).float()
    expected = module.mu(module.encoder(scaled))
    assert_allclose(fitted.transform(X), expected.detach(), atol=1e-5)
    decoded = fitted.sample(50)
    assert decoded.min() >= 0
    assert decoded.max() <= 1


def test_corruption_is_in_units_of_the_spread(flat):
    X, _ = flat
    X = X / X.max()
    module = AAE(likelihood="bernoulli", corruption=0.5, **QUICK).fit(X).module_
    zeros = torch.zeros(2000, 64)
    noisy = module.train()._corrupted(zeros, Noise(torch.Generator().manual_seed(0)))
    assert float(noisy.std() / module.spread) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(
    ("model", "momentum"), [(AAE, 0.9), (SupervisedAAE, 0.5), (AAEClassifier, 0.5)]
)
def test_adversaries_of_models_with_classes_forget_sooner(model, momentum, flat):
    optimizers = model(**QUICK).fit(*flat)._net.optimizers_
    for phase, optimizer in optimizers.items():
        is_adversary = phase in ("discriminator", "generator")
        expected = (momentum if is_adversary else 0.9, 0.999)
        assert optimizer.param_groups[0]["betas"] == expected


def test_corruption_is_for_training(flat):
    X, _ = flat
    clean, noisy = (
        AAE(corruption=noise, max_iter=60, random_state=0).fit(X[:200])
        for noise in (0.0, 1.0)
    )
    assert_array_equal(noisy.transform(X), noisy.transform(X))
    spread = X.std()
    disturbed = X + np.random.default_rng(0).normal(scale=spread, size=X.shape)
    errors = [np.square(m.reconstruct(disturbed) - X).mean() for m in (clean, noisy)]
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("model", [AAEClassifier, AAEClusterer])
@pytest.mark.filterwarnings("ignore::skvae.DiscriminatorWarning")
def test_noise_on_the_classes_blinds_their_discriminator(model, flat):
    X, y = flat
    judge = Discriminator(learning_rate=5e-3)
    options = {"adversarial_weight": 0.01, "discriminator": judge}
    clear, blind = (
        model(class_noise=noise, max_iter=20, random_state=0, **options)
        .fit(X, some_of(y, 2))
        .history_[-1]["class_discriminator_loss"]
        for noise in (0.0, 20.0)
    )
    assert clear < 1.2
    assert blind > 1.3


def test_early_stopping_looks_at_the_reconstruction(flat):
    X, _ = flat
    model = AAE(early_stopping=True, max_iter=5, random_state=0)
    model.fit(X[:200], X_val=X[200:])
    best = min(row["valid_loss"] for row in model.history_)
    assert -model.score(X[200:]) == pytest.approx(best, rel=1e-4)


# Codes and their prior


@pytest.mark.parametrize(
    "prior",
    [
        *("normal", "uniform", "gaussian_mixture", "swiss_roll"),
        Normal(scale=5.0),
        lambda n, rng: rng.exponential(size=(n, 2)),
    ],
    ids=["normal", "uniform", "mixture", "roll", "wide", "sampler"],
)
def test_codes_follow_the_prior(prior, flat):
    X, _ = flat
    options = {"prior": prior, "n_components": 2, "random_state": 0}
    free = AAE(adversarial_weight=0, max_iter=1, **options).fit(X)
    settling = LRScheduler("CosineAnnealingLR", T_max=150)
    options |= {"max_iter": 150, "learning_rate": 2e-3, "callbacks": [settling]}
    held = AAE(adversarial_weight=1.0, **options).fit(X)
    assert prior_distance(held, X) < 0.05 < prior_distance(free, X)


def test_priors_can_be_searched(flat):
    X, y = flat
    model = make_pipeline(
        AAE(4, prior=Normal(), max_iter=20, batch_size=32, random_state=0),
        LogisticRegression(max_iter=5000),
    )
    grid = {"aae__prior__scale": [1.0, 8.0]}
    search = GridSearchCV(model, grid, cv=2, refit=False).fit(X, y)
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    grid = {"aae__prior": ["uniform", SwissRoll()]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()


def test_posterior_may_be_gaussian(flat):
    X, _ = flat
    model = AAE(posterior="gaussian", max_iter=30, random_state=0).fit(X)
    layers = model.extract(X, ["mu", "logvar", "z"])
    noise = (layers["z"] - layers["mu"]) / np.exp(0.5 * layers["logvar"])
    assert noise.mean() == pytest.approx(0, abs=0.1)
    assert noise.std() == pytest.approx(1, abs=0.1)
    assert "logvar" not in AAE(**QUICK).fit(X).layer_names_


def test_no_seed_diverges_or_collapses_on_defaults(flat):
    X, _ = flat
    pca = PCA(10).fit(X)
    of_pca = np.square(pca.inverse_transform(pca.transform(X)) - X).mean()
    with stacked_training():
        models = Parallel()(delayed(AAE(random_state=i).fit)(X) for i in range(10))
    for model in models:
        assert prior_distance(model, X) < 0.15
        assert np.square(model.reconstruct(X) - X).mean() < of_pca
        assert 0.3 < model.history_[-1]["discriminator_loss"] < 1.6


def test_a_discriminator_that_wins_is_reported(flat):
    X, _ = flat
    judge = Discriminator(learning_rate=2e-3)
    model = AAE(adversarial_weight=1e-3, discriminator=judge, random_state=0)
    with pytest.warns(
        DiscriminatorWarning, match="a Discriminator of lower `learning_rate`"
    ):
        model.fit(X)
    losses = [row["discriminator_loss"] for row in model.history_[-25:]]
    assert max(losses) < 0.1


@pytest.mark.parametrize("prior", [GaussianMixture(by_class=True), SwissRoll(True)])
def test_classes_find_their_place_from_few_labels(prior, digits):
    X, y = digits[0].reshape(300, 64), digits[1]
    three = y < 3
    X, y = X[three], y[three]
    model = AAE(2, prior=prior, adversarial_weight=1.0, max_iter=400, random_state=0)
    codes = model.fit(X, some_of(y, 15)).transform(X)
    assert_array_equal(model.classes_, [0, 1, 2])
    places = [model.sample_codes(500, y=label) for label in range(3)]
    read = SVC().fit(np.vstack(places), np.repeat(range(3), 500)).predict(codes)
    unlabelled = some_of(y, 15) == -1
    assert (read == y)[unlabelled].mean() > 0.8


def test_a_prior_tied_to_classes_needs_labels(flat):
    X, y = flat
    model = AAE(prior=GaussianMixture(by_class=True), **QUICK)
    with pytest.raises(ValueError, match="pass the labels `y` to fit"):
        model.fit(X)
    with pytest.raises(ValueError, match=r"2 labels \(int\) that are none of the 10"):
        model.fit(X, y).sample(2, y=77)
    free = AAE(**QUICK).fit(X, y)
    assert not hasattr(free, "classes_")
    with pytest.raises(ValueError, match="`y` needs a prior with by_class=True"):
        free.sample(2, y=1)
    with pytest.raises(ValueError, match="but `y` holds no label"):
        model.fit(X, np.full(len(X), -1))


@pytest.mark.parametrize("model", [AAE, AAEClassifier])
def test_codes_are_drawn_by_the_shares_of_the_classes(model, flat):
    X, y = flat
    rare = np.flatnonzero(y == 1)[:6]
    keep = np.r_[np.flatnonzero(y == 0), rare]
    fitted = model(2, prior=GaussianMixture(by_class=True), **QUICK)
    fitted.fit(X[keep], y[keep])
    share = len(rare) / len(keep)
    assert_allclose(fitted.class_prior_, [1 - share, share])
    codes = fitted.sample_codes(4000)
    assert (codes[:, 0] < 0).mean() == pytest.approx(share, abs=0.03)
    assert (fitted.sample_codes(50, y=1)[:, 0] < 0).all()


# Labels all known: SupervisedAAE


def test_samples_are_of_the_class_that_was_asked(supervised, flat):
    X, y = flat
    reader = SVC().fit(X, y)
    asked = np.arange(200) % 10
    assert (reader.predict(supervised.sample(200, y=asked)) == asked).mean() > 0.8
    assert (reader.predict(supervised.sample(50, y=7)) == 7).mean() > 0.8


def test_codes_say_little_about_the_class(supervised, flat):
    X, y = flat

    def readable(model):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
        return (cross_val_predict(probe, model.transform(X), y) == y).mean()

    told = AAE(max_iter=100, random_state=0).fit(X)
    assert readable(supervised) < 0.5 < 0.8 < readable(told)


def test_style_is_transferred_by_another_class(supervised, flat):
    X, y = flat
    other = (y + 1) % 10
    turned = supervised.inverse_transform(supervised.transform(X), y=other)
    assert (SVC().fit(X, y).predict(turned) == other).mean() > 0.8
    error = np.square(supervised.reconstruct(X, y) - X).mean()
    assert error < 0.7 * np.square(turned - X).mean()


def test_without_a_class_decoding_averages_over_all(supervised, flat):
    X, _ = flat
    codes = supervised.transform(X)
    each = [supervised.inverse_transform(codes, y=label) for label in range(10)]
    expected = np.average(each, axis=0, weights=supervised.class_prior_)
    assert_allclose(supervised.inverse_transform(codes), expected, atol=1e-5)
    assert_allclose(supervised.reconstruct(X), expected, atol=1e-5)
    each = [supervised.score_samples(X, y=label) for label in range(10)]
    expected = logsumexp(each, axis=0, b=supervised.class_prior_[:, None])
    assert_allclose(supervised.score_samples(X), expected, rtol=1e-5)


def test_score_uses_the_labels(supervised, flat):
    X, y = flat
    assert supervised.score(X, y) == pytest.approx(
        supervised.score_samples(X, y).mean(), rel=1e-5
    )
    assert supervised.score(X, y) > supervised.score(X, (y + 1) % 10)


def test_classes_are_drawn_by_their_frequency(flat):
    X, y = flat
    keep = (y < 2) & ~((y == 1) & (np.arange(len(y)) % 3 > 0))
    model = SupervisedAAE(**QUICK).fit(X[keep], y[keep])
    share = (y[keep] == 0).mean()
    assert_allclose(model.class_prior_, [share, 1 - share])
    drawn = []
    model._beside = lambda codes, numbers: (
        drawn.extend(numbers)
        or np.hstack([codes, np.eye(2, dtype=np.float32)[numbers]])
    )
    model.sample(2000)
    assert np.mean(np.array(drawn) == 0) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(
    "labels",
    [NAMES, NAMES.astype(object), np.arange(10) * 2.0, np.arange(10) > 4],
    ids=["str", "object", "float", "bool"],
)
def test_labels_may_be_of_any_type_that_sorts(labels, flat):
    X, y = flat
    model = SupervisedAAE(**QUICK).fit(X, labels[y])
    assert_array_equal(model.classes_, np.unique(labels))
    assert model.sample(3, y=labels[3]).shape == (3, 64)
    assert_array_equal(
        model.reconstruct(X[:5], labels[y[:5]]),
        model.reconstruct(pd.DataFrame(X[:5]), pd.Series(labels[y[:5]])),
    )


def test_supervised_errors_name_the_labels(flat):
    X, y = flat
    model = SupervisedAAE(**QUICK)
    with pytest.raises(ValueError, match="requires y to be passed, but the target y"):
        model.fit(X, None)
    with pytest.raises(ValueError, match="target y_val is None"):
        model.fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="`y_val` was given without `X_val`"):
        model.fit(X, y, y_val=y)
    pair = torch.nn.Linear(64, 8), torch.nn.Linear(10, 64)
    with pytest.raises(ValueError, match=r"inputs of shape \(20,\), the code and the"):
        SupervisedAAE(architecture=pair, **QUICK).fit(X, y)
    with pytest.raises(ValueError, match="`hidden_layer_sizes` must hold ints >= 1"):
        SupervisedAAE(discriminator=Discriminator((0,)), **QUICK).fit(X, y)
    with pytest.raises(ValueError, match="`y` lacks 1 labels; SupervisedAAE needs"):
        model.fit(X, [None, *NAMES[y[1:]]])
    with pytest.raises(TypeError, match=r"`y` mixes strings with other labels"):
        model.fit(X, np.array([3, *NAMES[y[1:]]], dtype=object))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        model.fit(X, X[:, 10] + 0.1)
    assert not hasattr(model, "classes_")
    model.fit(X, y)
    with pytest.raises(ValueError, match=r"`y` holds 2 labels \(int\) that are none"):
        model.inverse_transform(model.transform(X[:2]), y=12)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.sample(3, y=[1, 2])


def test_errors_tell_no_labels(flat):
    X, y = flat
    known, other = np.array(["Smith", "Jones"])[y % 2], np.repeat("Brown", len(y))
    fitted = AAEClassifier(**QUICK).fit(X, known)
    supervised = SupervisedAAE(**QUICK).fit(X, known)
    calls = [
        lambda: fitted.partial_fit(X, other),
        lambda: fitted.partial_fit(X, known, classes=["Brown", "Smith"]),
        lambda: fitted.sample(2, y="Brown"),
        lambda: supervised.score_samples(X, other),
        lambda: supervised.fit(X, known, X_val=X, y_val=other),
        lambda: AAEClassifier(**QUICK).fit(X, other),
        lambda: AAEClassifier(class_prior=[0.5, 0.2], **QUICK).fit(X, known),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="class") as error:
            call()
        told = [name for name in ("Smith", "Jones", "Brown") if name in str(error)]
        assert told == []


@pytest.mark.parametrize("model", [SupervisedAAE, AAEClassifier])
def test_labels_in_portions(model, flat):
    X, y = flat
    order = np.argsort(y, kind="stable")
    X, y = X[order], y[order]
    fitted = model(random_state=0)
    fitted.partial_fit(X[:150], y[:150], classes=range(10)).partial_fit(
        X[150:], y[150:]
    )
    assert_array_equal(fitted.classes_, np.arange(10))
    with pytest.raises(
        ValueError, match=r"`classes` holds 9 classes \(int\), .* the 10 .* first call"
    ):
        fitted.partial_fit(X, y, classes=range(9))
    assert_allclose(fitted.class_prior_.min(), 1 / (150 + 5), rtol=0.1)
    narrow = model(random_state=0).partial_fit(X[:150], y[:150])
    with pytest.raises(ValueError, match="that are none of the"):
        narrow.partial_fit(X, y)


@pytest.mark.parametrize("model", [SupervisedAAE, AAEClassifier])
def test_the_cache_knows_how_many_classes_there_are(model, flat, tmp_path):
    X, y = flat
    two = np.minimum(y, 1)
    for classes in ([0, 1], [0, 1, 2]):
        fitted = model(memory=tmp_path, random_state=0)
        fitted.partial_fit(X, two, classes=classes)
        assert fitted.sample(2, y=classes[-1]).shape == (2, 64)
    again = model(memory=tmp_path, random_state=0).partial_fit(X, two, classes=classes)
    assert_array_equal(again.transform(X), fitted.transform(X))


@pytest.mark.parametrize("model", [SupervisedAAE, AAEClassifier])
def test_held_out_labels_are_routed(model, flat):
    X, y = flat
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(model(**QUICK), {"n_components": [2]}, cv=2)
        search.fit(X, y, X_val=X[:50], y_val=y[:50])
    assert "valid_loss" in search.best_estimator_.history_[0]


@pytest.mark.parametrize("model", [SupervisedAAE, AAEClassifier, AAEClusterer])
def test_classes_are_routed_to_the_decoder(model, flat):
    X, y = flat
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(StandardScaler(), model(**QUICK)).fit(X, y)
        Z = pipeline.transform(X[:10])
        y = np.arange(10) % 8
        expected = pipeline[0].inverse_transform(pipeline[1].inverse_transform(Z, y=y))
        back = pipeline.inverse_transform(Z, y=y)
        assert_allclose(back, expected, atol=1e-5)
        assert not np.allclose(back, pipeline.inverse_transform(Z), atol=1e-3)


# Few labels: AAEClassifier


def test_samples_without_labels_help(digits):
    X, y = digits[0].reshape(300, 64), digits[1]
    some = some_of(y, 3)
    known = some >= 0
    plain = LogisticRegression(max_iter=5000).fit(X[known], y[known])
    model = AAEClassifier(max_iter=100, batch_size=32, random_state=0).fit(X, some)
    hidden = ~known
    assert model.score(X[hidden], y[hidden]) > plain.score(X[hidden], y[hidden]) + 0.03


@pytest.mark.parametrize(
    ("hide", "unlabelled"),
    [
        (lambda y: y, "auto"),
        (lambda y: np.where(y < 0, np.nan, y), "auto"),
        (lambda y: np.where(y < 0, None, y), "auto"),
        (lambda y: pd.Series(np.where(y < 0, pd.NA, LETTERS[y])), "auto"),
        (lambda y: pd.Series(y).astype("Int64").mask(y < 0), "auto"),
        (lambda y: [None if v < 0 else v for v in y.tolist()], "auto"),
        (lambda y: [-1 if v < 0 else LETTERS[v] for v in y.tolist()], "auto"),
        (lambda y: [np.nan if v < 0 else LETTERS[v] for v in y.tolist()], "auto"),
        (lambda y: np.where(y < 0, "?", LETTERS[y]), "?"),
        (lambda y: np.where(y < 0, 99, y), 99),
    ],
    ids=[
        *("-1", "nan", "none", "na", "masked", "list", "mixed", "nan in list"),
        *("string", "number"),
    ],
)
def test_ways_to_say_that_a_label_is_not_known(hide, unlabelled, flat):
    X, y = flat
    some = some_of(y, 5)
    expected = AAEClassifier(**QUICK).fit(X, some)
    model = AAEClassifier(unlabelled=unlabelled, **QUICK).fit(X, hide(some))
    assert len(model.classes_) == 10
    assert_array_equal(model.predict_proba(X), expected.predict_proba(X))


def test_two_classes_coded_by_sign(flat):
    X, y = flat
    sign = np.where(y < 5, -1, 1)
    with pytest.warns(UserWarning, match="holds -1 and 1 only, which is read as two"):
        model = AAEClassifier(**QUICK).fit(X, sign)
    assert_array_equal(model.classes_, [-1, 1])
    model.partial_fit(X, sign)
    confirmed = AAEClassifier(unlabelled=None, **QUICK).fit(X, sign)
    assert_array_equal(confirmed.classes_, [-1, 1])
    with pytest.raises(ValueError, match="at least two classes, got one class"):
        AAEClassifier(unlabelled=-1, **QUICK).fit(X, sign)


@pytest.mark.filterwarnings("ignore::skvae.ClassPriorWarning")  # odd digits lack labels
def test_a_mark_that_became_a_string_is_no_class(flat):
    X, y = flat
    spoilt = np.where(np.arange(len(y)) % 2, "-1", LETTERS[y])
    with pytest.raises(ValueError, match="holds the string '-1'"):
        AAEClassifier(**QUICK).fit(X, spoilt)
    fitted = AAEClassifier(unlabelled="-1", **QUICK).fit(X, spoilt)
    assert_array_equal(fitted.classes_, LETTERS)


def test_marks_among_the_classes_are_no_classes(flat):
    X, y = flat
    some = some_of(y, 5)
    for classes in (np.unique(some), [*range(10), np.nan], [*range(10), None]):
        model = AAEClassifier(random_state=0).partial_fit(X, some, classes=classes)
        assert_array_equal(model.classes_, np.arange(10))


def test_without_any_label_there_is_the_clusterer(flat):
    X, y = flat
    model = AAEClassifier(**QUICK).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="AAEClusterer works without labels"):
        model.fit(X, np.full(len(X), -1))
    assert_array_equal(model.predict_proba(X), before)


def test_discriminator_is_told_the_class_or_that_it_is_not_known(flat):
    X, y = flat
    model = AAE(2, prior=GaussianMixture(by_class=True), **QUICK).fit(X, y)
    module, seen = model.module_, []
    module.discriminator.register_forward_hook(lambda *call: seen.append(call[1][0]))
    module.losses("generator", torch.from_numpy(X[:3]), torch.tensor([1, 0, -1]))
    marks = np.eye(len(model.classes_) + 1)[[1, 0, -1]]
    assert_array_equal(seen[0][:, 2:].detach(), marks)


def test_classification_loss_is_that_of_smoothed_labels_and_adjusted_logits(flat):
    X, y = flat
    n_classes, smoothing = len(set(y)), 0.2
    shares = np.arange(1, n_classes + 1) / np.arange(1, n_classes + 1).sum()
    options = {"class_prior": shares, "label_smoothing": smoothing, "corruption": 0.0}
    model = AAEClassifier(**options, **QUICK).fit(X, y)
    found = model.module_.losses(
        "classification", torch.from_numpy(X), torch.from_numpy(y.astype(int))
    )
    proba = model.extract(X, "proba.1")["proba.1"]  # the smoothing still in them
    logits = np.log(proba) + np.log(model.label_prior_ / shares)
    log_proba = logits - logsumexp(logits, axis=1, keepdims=True)
    targets = (1 - smoothing) * np.eye(n_classes)[y] + smoothing / n_classes
    entropy = -(targets[0] * np.log(targets[0])).sum()
    expected = -(targets * log_proba).sum(axis=1).mean() - entropy
    assert found["classification_loss"].item() == pytest.approx(expected, rel=1e-4)


def test_labelled_samples_are_taken_over_and_over(flat):
    X, y = flat
    some = some_of(y, 1)
    model = AAEClassifier(max_iter=60, batch_size=32, random_state=0).fit(X, some)
    assert model.history_[-1]["classification_loss"] < 0.1
    assert model.score(X[some >= 0], y[some >= 0]) == 1


def test_shares_of_the_classes_can_be_given(flat):
    X, y = flat
    two = y < 2
    X, y = X[two], some_of(y[two], 4)
    assert_allclose(AAEClassifier(**QUICK).fit(X, y).class_prior_, [0.5, 0.5])
    model = AAEClassifier(class_prior=[0.9, 0.1], max_iter=5, random_state=0).fit(X, y)
    assert_allclose(model.class_prior_, [0.9, 0.1])
    assert_allclose(model.module_.class_prior, [0.9, 0.1])
    rounded = AAEClassifier(class_prior=np.array([1, 2], "f4") / 3, **QUICK).fit(X, y)
    assert rounded.sample(2).shape == (2, 64)
    with pytest.raises(ValueError, match=r"`class_prior` was .* when the networks"):
        model.set_params(class_prior=[0.5, 0.5], warm_start=True).fit(X, y)
    for wrong in ([1.0], [0.9, 0.2], [1.5, -0.5], {0: 0.5, 1: 0.5}):
        with pytest.raises(ValueError, match="`class_prior` must hold 2 numbers >= 0"):
            AAEClassifier(class_prior=wrong, **QUICK).fit(X, y)


def test_layers_of_the_classifier(flat):
    X, y = flat
    model = AAEClassifier(4, layer=["mu", "proba"], **QUICK).fit(X, y)
    out = model.transform(X)
    assert out.shape == (300, 14)
    assert_array_equal(out[:, 4:], model.predict_proba(X))
    assert_allclose(out[:, 4:].sum(axis=1), 1, rtol=1e-5)
    assert list(model.get_feature_names_out()[[0, 4]]) == ["mu_0", "proba_0"]
    assert_array_equal(model.predict(X), model.classes_[out[:, 4:].argmax(axis=1)])
    with pytest.raises(AttributeError, match="has no attribute 'inverse_transform'"):
        _ = model.inverse_transform
    assert not np.allclose(model.reconstruct(X), model.reconstruct(X, y), atol=1e-3)


def test_works_inside_of_other_classifiers(flat):
    X, y = flat
    base = AAEClassifier(max_iter=30, batch_size=32, random_state=0)
    labels = NAMES[y]
    calibrated = CalibratedClassifierCV(clone(base), cv=2)
    stack = StackingClassifier(
        [("aae", clone(base)), ("svc", SVC())], LogisticRegression(max_iter=5000), cv=2
    )
    for model in (calibrated, stack):
        assert model.fit(X, labels).score(X, labels) > 0.8
    proba = cross_val_predict(base, X, labels, cv=2, method="predict_proba")
    assert proba.shape == (300, 10)
    assert (np.unique(labels)[proba.argmax(axis=1)] == labels).mean() > 0.7


def test_early_stopping_of_the_classifier_looks_at_labels_too(flat):
    X, y = flat
    options = {"early_stopping": True, "label_smoothing": 0.0}
    model = AAEClassifier(max_iter=5, random_state=0, **options)
    model.fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    both = min(row["valid_loss"] for row in model.history_)
    proba = model.predict_proba(X[200:])[np.arange(100), y[200:]]
    expected = -model.score_samples(X[200:]).mean() - np.log(proba).mean()
    assert both == pytest.approx(expected, rel=1e-4)
    half = np.where(np.arange(100) % 2, y[200:], -1)
    model.fit(X[:200], y[:200], X_val=X[200:], y_val=half)
    with pytest.raises(ValueError, match="`y_val` holds 100 labels"):
        model.fit(X[:200], y[:200], X_val=X[200:], y_val=np.full(100, 55))


@pytest.mark.parametrize("model", [SupervisedAAE, AAEClassifier])
def test_early_stopping_leaves_samples_of_each_class_to_train_on(
    model, flat, monkeypatch
):
    X, y = flat
    keep = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:1]]
    X, y = X[keep], y[keep]
    taken = []
    hold_out = Plan.hold_out

    def spy(plan):
        index, held_out = hold_out(plan)
        assert len(index) + len(held_out[0]) == len(X)
        taken.append(plan.numbers[index])
        return index, held_out

    monkeypatch.setattr(Plan, "hold_out", spy)
    for seed in range(10):
        estimator = model(
            early_stopping=True, validation_fraction=0.7, max_iter=1, random_state=seed
        )
        estimator.fit(X, y)
    assert all(set(labels) == {0, 1} for labels in taken)
    estimator.set_params(random_state=0)
    with pytest.raises(ValueError, match="would hold out all samples of a class"):
        estimator.fit(X, y, groups=range(len(X)))


# No labels: AAEClusterer


def test_clusters_are_found():
    X, y = make_blobs(300, n_features=5, centers=4, random_state=0)
    model = AAEClusterer(
        n_clusters=4,
        architecture=MLP((64,)),
        max_iter=60,
        batch_size=32,
        random_state=0,
    )
    labels = model.fit_predict(X)
    assert adjusted_rand_score(y, labels) > 0.6
    assert_array_equal(labels, model.labels_)
    assert_array_equal(labels, model.predict(X))
    assert labels.dtype == np.int64
    assert model.predict_proba(X).shape == (300, 4)
    assert model.sample(6, y=2).shape == (6, 5)


def test_clusterer_takes_no_prior_tied_to_classes(flat):
    X, y = flat
    with pytest.raises(ValueError, match="AAEClusterer knows of none"):
        AAEClusterer(prior=SwissRoll(by_class=True), **QUICK).fit(X, y)
