import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import VAE
from skvae.nn import Masking
from skvae.preprocessing import SquashingScaler, TableEncoder


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    stage = rng.choice(["I", "II", "III"], 200)
    return pd.DataFrame(
        {
            "age": 1000 + 10 * rng.normal(size=200) + 30 * (stage == "III"),
            "smoker": rng.random(200) < 0.3,
            "stage": pd.Categorical(stage, categories=["III", "II", "I", "0"]),
            "lesions": rng.poisson(3, 200),
            "site": rng.choice(["lung", "liver"], 200),
        }
    )


def test_tables_come_back_as_they_were(table):
    encoder = TableEncoder().fit(table)
    X = encoder.transform(table)
    assert list(encoder.get_feature_names_out()) == [
        *["age", "smoker", "stage_III", "stage_II", "stage_I", "stage_0"],
        *["lesions", "site_liver", "site_lung"],
    ]
    assert_allclose(X[:, [0, 6]].mean(axis=0), 0, atol=1e-9)
    assert_allclose(X[:, [0, 6]].std(axis=0), 1)
    assert_array_equal(X[:, 2:6].sum(axis=1), 1)
    assert encoder.likelihood_.bernoulli == [1]
    assert encoder.likelihood_.categorical == [[2, 3, 4, 5], [7, 8]]
    assert_frame_equal(encoder.inverse_transform(X), table)
    other_order = table[table.columns[::-1]]
    assert_array_equal(encoder.transform(other_order), X)


def test_categories_in_and_out_of_a_pipeline(table):
    encoder = TableEncoder().fit(table)
    vae = VAE(
        4,
        likelihood=encoder.likelihood_,
        max_iter=60,
        learning_rate=5e-3,
        random_state=0,
    )
    pipeline = make_pipeline(encoder, vae).fit(table)
    again = pipeline.inverse_transform(pipeline.transform(table))
    assert again.dtypes.equals(table.dtypes)
    assert (again["stage"] == table["stage"]).mean() > 0.6  # chance .36
    drawn = encoder.inverse_transform(pipeline[-1].sample(1000, noise=True))
    shares = [each["stage"].value_counts(normalize=True) for each in (drawn, table)]
    assert_allclose(*(share.sort_index() for share in shares), atol=0.12)
    means = [
        each.groupby("stage", observed=True)["age"].mean() for each in (drawn, table)
    ]
    assert means[0]["III"] - means[0]["I"] > 0.5 * (means[1]["III"] - means[1]["I"])


def test_missing_values_are_filled_with_categories(table):
    whole = table.copy()
    rng = np.random.default_rng(1)
    for name in ("age", "stage", "site"):
        table[name] = table[name].mask(rng.random(200) < 0.2)
    table["smoker"] = table["smoker"].astype("boolean").mask(rng.random(200) < 0.2)
    encoder = TableEncoder().fit(table)
    X = encoder.transform(table)
    assert_array_equal(np.isnan(X[:, 2:6]).all(axis=1), table["stage"].isna())
    assert_array_equal(np.isnan(X[:, 1]), table["smoker"].isna())
    options = {"missing_values": "mask", "corruption": Masking(0.1)}
    vae = VAE(
        4,
        likelihood=encoder.likelihood_,
        max_iter=60,
        learning_rate=5e-3,
        random_state=0,
        **options,
    )
    filled = encoder.inverse_transform(vae.fit(X).reconstruct(X))
    assert not filled.isna().any(axis=None)
    was_there = table["stage"].notna()
    assert (filled["stage"] == whole["stage"])[was_there].mean() > 0.6  # chance .36


def test_tables_that_can_not_be_encoded(table):
    encoder = TableEncoder().fit(table)
    with pytest.raises(TypeError, match=r"must be a pandas DataFrame.* got ndarray"):
        TableEncoder().fit(table.to_numpy())
    with pytest.raises(TypeError, match=r"Columns \['day'\] hold dates"):
        TableEncoder().fit(table.assign(day=pd.Timestamp("2024-01-01")))
    with pytest.raises(ValueError, match="'age' has no value"):
        TableEncoder().fit(table.assign(age=np.nan))
    with pytest.raises(ValueError, match="must have different names"):
        TableEncoder().fit(pd.concat([table, table], axis=1))
    with pytest.raises(ValueError, match=r"lacks the columns \['age'\]"):
        encoder.transform(table.drop(columns="age"))
    with pytest.raises(
        ValueError, match="'site' has 200 values that are none of the 2"
    ):
        encoder.transform(table.assign(site="brain"))
    with pytest.raises(ValueError, match=r"shape \(n_samples, 9\), got \(3, 2\)"):
        encoder.inverse_transform(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="X contains NaN, which is no value"):
        encoder.inverse_transform(np.full((1, 9), np.nan))


# --- SquashingScaler ------------------------------------------------------------------


@parametrize_with_checks([SquashingScaler()])
def test_the_scaler_passes_all_checks(estimator, check):
    check(estimator)


def test_the_middle_is_standardized_and_tails_come_close_to_the_bound():
    X = np.random.default_rng(0).normal(5, 2, size=(10_000, 1))
    X = np.vstack([X, [[1e6], [-1e6]]])
    scaler = SquashingScaler().fit(X)
    assert scaler.center_[0] == pytest.approx(5, abs=0.1)
    assert scaler.scale_[0] == pytest.approx(2, abs=0.1)
    Z = scaler.transform(X)
    middle = np.abs(X - 5) < 1
    assert_allclose(
        Z[middle], ((X - scaler.center_) / scaler.scale_)[middle], atol=0.02
    )
    assert_allclose(Z[-2:, 0], [3, -3], rtol=1e-6)
    assert (np.diff(Z[np.argsort(X[:, 0]), 0]) >= 0).all()


def test_squashed_columns_come_back():
    rng = np.random.default_rng(0)
    X = np.column_stack(
        [rng.lognormal(size=200), np.full(200, 7.0), rng.random(200) < 0.1]
    )
    X[3, 0] = np.nan
    scaler = SquashingScaler(max_absolute_value=2.0).fit(X)
    Z = scaler.transform(X)
    assert np.isnan(Z[3, 0])
    assert_array_equal(Z[:, 1], 0)
    assert np.nanmax(np.abs(Z)) < 2
    assert_allclose(scaler.inverse_transform(Z), X, rtol=1e-6)
    assert np.isfinite(scaler.inverse_transform([[9.0, 0.0, -9.0]])).all()
    with pytest.raises(ValueError, match=r"Columns \[1\] have no value"):
        scaler.fit([[1.0, np.nan], [2.0, np.nan]])
