import numpy as np
import pytest
import torch
from cases import MODELS, parametrize
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from skvae import AE, MLP, VAE, Conv
from skvae.impute import AutoencoderImputer
from skvae.model_selection import StackedGridSearchCV
from skvae.nn import Gaussian, Laplace, Likelihood, Masking, Noise
from skvae.outlier import ReconstructionOutlierDetector

FIT = {"max_iter": 3, "random_state": 0, "missing_values": "mask"}


def with_gaps(X, share=0.3, seed=0):
    gaps = np.random.default_rng(seed).random(X.shape) < share
    return np.where(gaps, np.nan, X), gaps


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_all_models_take_gaps(digits, name, likelihood):
    X, y = digits
    model = MODELS[name][0](likelihood=likelihood, **FIT)
    with_nan, gaps = with_gaps(X)
    model.fit(with_nan, y)
    for values in (model.transform(with_nan), model.reconstruct(with_nan)):
        assert np.isfinite(values).all()
    assert np.isfinite(model.score_samples(with_nan)).all()
    # A gap is not taken for the mean, which the encoder gets in its place.
    mean = X.mean(axis=0) if likelihood == "gaussian" else np.zeros(X.shape[1:])
    filled = model.transform(np.where(gaps, mean, X))
    assert np.abs(filled - model.transform(with_nan)).max() > 1e-4


@pytest.mark.parametrize("likelihood", [Gaussian("feature"), Laplace(), Gaussian(2.0)])
def test_scores_are_those_of_the_values_that_there_are(likelihood):
    X = 1e6 + 3 * np.random.default_rng(0).normal(size=(60, 5))
    X, gaps = with_gaps(X)
    ae = AE(2, likelihood=likelihood, **FIT).fit(X)
    module = ae.module_
    scale = torch.exp(module.likelihood._log_scale).detach() * module.spread
    density = stats.laplace if isinstance(likelihood, Laplace) else stats.norm
    log_p = density.logpdf(X, loc=ae.reconstruct(X), scale=scale.numpy())
    assert_allclose(ae.score_samples(X), np.nansum(log_p, axis=1), rtol=1e-5)
    assert_allclose(module.shift, np.nanmean(X, axis=0), rtol=1e-12)
    assert module.spread == pytest.approx(
        np.sqrt(np.nanvar(X, axis=0) @ (~gaps).mean(0) / (~gaps).mean(0).sum()),
        rel=1e-6,
    )


def test_gaps_are_filled_by_what_other_values_say():
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(500, 2)) @ rng.normal(size=(2, 12))
    X, gaps = with_gaps(whole)
    ae = AE(2, corruption=Masking(), **FIT | {"max_iter": 60}).fit(X)
    error = (ae.reconstruct(X) - whole)[gaps].std()
    assert error < 0.5 * (SimpleImputer().fit_transform(X) - whole)[gaps].std()


@pytest.mark.parametrize("architecture", ["mlp", Conv((4,))])
def test_images_have_gaps(digits, architecture):
    X, _ = with_gaps(digits[0])
    ae = AE(4, architecture=architecture, **FIT).fit(X, X_val=X[:9])
    assert ae.reconstruct(X[:7]).shape == (7, *X.shape[1:])
    again = (
        AE(4, architecture=architecture, **FIT).fit(X.reshape(len(X), -1))
        if architecture == "mlp"
        else ae
    )
    assert_allclose(again.loss_curve_, ae.loss_curve_, rtol=1e-5)


def test_a_stacked_search_is_that_of_single_fits(digits):
    X, _ = with_gaps(digits[0][:120].reshape(120, -1))
    grid = {"corruption": [None, Masking(0.2)], "learning_rate": [1e-3, 3e-3]}
    search = StackedGridSearchCV(VAE(2, **FIT), grid, cv=2, refit=False).fit(X)
    alone = clone(search.estimator).set_params(**search.cv_results_["params"][1])
    assert alone.fit(X[60:]).score(X[:60]) == pytest.approx(
        search.cv_results_["split0_test_score"][1], rel=1e-4
    )


def test_what_no_model_can_use_is_refused(digits):
    X, _ = with_gaps(digits[0][:40].reshape(40, -1))
    with pytest.raises(ValueError, match=r"contains NaN.* missing_values='mask' in AE"):
        AE().fit(X)
    with pytest.raises(ValueError, match="infinity"):
        AE(**FIT).fit(np.where(np.isnan(X), np.inf, X))
    X[:, 5] = np.nan
    with pytest.raises(ValueError, match=r"1 features of X have no value .* number 5"):
        AE(**FIT).fit(X)

    class Own(Likelihood):
        def nll(self, X, raw):
            return (X - raw).abs().flatten(1).sum(1)

    with pytest.raises(NotImplementedError, match="which missing values need"):
        AE(likelihood=Own(), **FIT).fit(X[:, 6:])


def test_outliers_are_found_among_samples_with_gaps(digits):
    X, y = digits
    X, _ = with_gaps(X.reshape(len(X), -1), 0.1)
    ae = AE(2, **FIT | {"max_iter": 20})
    detector = ReconstructionOutlierDetector(ae, cv=3, random_state=0).fit(X[y == 0])
    assert (detector.predict(X[y == 1]) == -1).mean() > 0.5


@pytest.fixture(scope="module")
def line():
    """A VAE of one component, and data with gaps."""
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(400, 1)) * [1, 2, -1, 0.5] + rng.normal(size=(400, 4)) / 4
    X, gaps = with_gaps(whole)
    vae = VAE(1, architecture=MLP((16,)), random_state=0, learning_rate=1e-2)
    imputer = AutoencoderImputer(vae, n_draws=500, random_state=0).fit(X)
    return imputer, X, gaps, whole


def exact(vae, X):
    """Integrate over a grid of codes: mean and deviation of each value given others."""
    Z = np.linspace(-6, 6, 2001)[:, None]
    means = vae.inverse_transform(Z)
    module = vae.module_
    scale = torch.exp(module.likelihood._log_scale.detach()) * module.spread
    scale = scale.item()
    log_p = stats.norm.logpdf(X[:, None], means, scale)
    log_w = np.nansum(log_p, axis=2) + stats.norm.logpdf(Z[:, 0])
    weights = np.exp(log_w - log_w.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    mean = weights @ means
    return mean, np.sqrt(weights @ (means**2 + scale**2) - mean**2)


def test_the_filling_is_the_mean_given_the_other_values(line):
    imputer, X, gaps, whole = line
    filled = imputer.transform(X)
    mean, deviation = exact(imputer.estimator_, X)
    assert_array_equal(filled[~gaps], whole[~gaps])
    assert np.abs(filled - mean)[gaps].mean() < 0.1 * deviation.mean()
    assert_array_equal(imputer.transform(X[::-1])[::-1], filled)


def test_draws_vary_as_values_do(line):
    imputer, X, gaps, whole = line
    draws = imputer.draw(X, 200)
    mean, deviation = exact(imputer.estimator_, X)
    assert_array_equal(
        draws[:, ~gaps], np.broadcast_to(whole[~gaps], draws[:, ~gaps].shape)
    )
    assert np.abs(draws.mean(axis=0) - mean)[gaps].mean() < 0.15 * deviation.mean()
    assert_allclose(draws.std(axis=0)[gaps] / deviation[gaps], 1, atol=0.5)
    assert draws.std(axis=0)[gaps].mean() == pytest.approx(
        deviation[gaps].mean(), rel=0.05
    )
    assert_array_equal(imputer.draw(X, 2), draws[:2])
    assert_array_equal(imputer.draw(whole, 2), np.stack([whole, whole]))
    assert (imputer.draw(X, 1, random_state=1) != draws[:1])[:, gaps].all()


def test_units_and_names_are_those_of_the_data(line):
    pd = pytest.importorskip("pandas")
    _, X, gaps, whole = line
    table = pd.DataFrame(1e4 + 100 * X, columns=list("abcd"))
    vae = VAE(1, max_iter=20, random_state=0)
    imputer = AutoencoderImputer(make_pipeline(StandardScaler(), vae))
    filled = imputer.set_output(transform="pandas").fit_transform(table)
    assert list(filled.columns) == list("abcd")
    assert np.abs(filled.to_numpy() - 1e4 - 100 * whole).max() < 1000
    error = (filled.to_numpy() - 1e4 - 100 * whole)[gaps].std()
    assert error < 0.6 * (100 * whole)[gaps].std()
    model = make_pipeline(clone(imputer), PCA(2)).fit(table)
    assert model.transform(table).shape == (400, 2)


def test_only_a_vae_has_draws(digits):
    X, _ = with_gaps(digits[0])
    ae = AE(2, max_iter=2, random_state=0)
    filled = AutoencoderImputer(ae).fit_transform(X)
    assert filled.shape == X.shape
    assert not np.isnan(filled).any()
    with pytest.raises(ValueError, match="of a VAE, which AE is not"):
        AutoencoderImputer(ae, sample_posterior=True).fit(X)
    with pytest.raises(ValueError, match="AE has no posterior"):
        AutoencoderImputer(ae).fit(X).draw(X)
    with pytest.raises(ValueError, match="autoencoder of skvae"):
        AutoencoderImputer(PCA()).fit(X)


@pytest.mark.filterwarnings("ignore")  # the checks fit what can't be fitted
def test_check_estimator():
    vae = VAE(2, architecture=MLP((8,)), max_iter=2, random_state=0)
    check_estimator(AutoencoderImputer(vae, random_state=0, n_draws=5))


@pytest.mark.parametrize(
    "likelihood",
    **parametrize(
        {
            "shared": Gaussian(),
            "feature": Gaussian("feature"),
            "laplace": Laplace(),
        }.items()
    ),
)
def test_draws_of_data_have_the_scale_of_the_likelihood(likelihood):
    X = 1e5 + np.random.default_rng(0).normal(size=(100, 3)) * [1, 2, 4]
    vae = VAE(1, likelihood=likelihood, max_iter=5, random_state=0).fit(X)
    module = vae.module_
    with torch.no_grad():
        Z = torch.zeros(20_000, 1)
        drawn = module.decode(Z, Noise(torch.Generator().manual_seed(0)))
        deviation = torch.exp(module.likelihood._log_scale) * module.spread
        if isinstance(likelihood, Laplace):
            deviation *= 2**0.5
        mean = module.decode(Z[:1])[0]
    assert_allclose(drawn.mean(0), mean, atol=4 * deviation.max() / 20_000**0.5)
    assert_allclose(drawn.std(0), deviation.expand(3), rtol=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_samples_with_noise_vary_as_data_do(digits, name):
    X, y = digits
    model = MODELS[name][0](likelihood="bernoulli", max_iter=2, random_state=0)
    model.fit(X, y)
    drawn = model.sample(9, noise=True)
    assert drawn.shape == (9, *X.shape[1:])
    assert set(np.unique(drawn)) == {0, 1}
    assert_array_equal(drawn, model.sample(9, noise=True))
    assert (drawn != model.sample(9, noise=True, random_state=1)).any()


def test_no_data_can_be_drawn_from_a_squared_error(digits):
    ae = AE(likelihood="squared_error", max_iter=1).fit(digits[0])
    with pytest.raises(ValueError, match="says nothing of how data spread"):
        ae.sample(noise=True)
