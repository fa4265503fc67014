import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import AE
from skvae.outlier import ReconstructionOutlierDetector
from skvae.plot import FeatureScoreDisplay


@pytest.fixture(scope="module")
def detector(digits):
    X, y = digits
    ae = AE(2, max_iter=2, random_state=0)
    return ReconstructionOutlierDetector(ae, cv=2, random_state=0).fit(X[y == 0])


def test_heat_maps_stand_below_images_on_one_scale(digits, detector):
    X = digits[0][:3]
    display = FeatureScoreDisplay.from_estimator(detector, X)
    errors = detector.score_features(X)
    assert display.axes_.shape == (2, 3)
    for i in range(3):
        above, below = (ax.get_images()[0] for ax in display.axes_[:, i])
        assert_array_equal(above.get_array(), X[i])
        assert_array_equal(below.get_array(), errors[i])
        assert below.get_clim() == (0, errors.max())


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8)])
def test_flat_images_get_their_shape(digits, shape):
    X, y = digits
    X = X.reshape(len(X), -1)
    pipeline = make_pipeline(StandardScaler(), AE(2, max_iter=2, random_state=0))
    detector = ReconstructionOutlierDetector(pipeline, cv=2).fit(X[y == 0])
    display = FeatureScoreDisplay.from_estimator(detector, X[:2], image_shape=shape)
    assert display.axes_[1, 1].get_images()[0].get_array().shape == (8, 8)


def test_tables_get_bars_of_the_largest_errors(digits):
    pd = pytest.importorskip("pandas")
    X, y = digits
    table = pd.DataFrame(X.reshape(len(X), -1)).add_prefix("pixel ")
    ae = AE(2, max_iter=2, random_state=0)
    detector = ReconstructionOutlierDetector(ae, cv=2).fit(table[y == 0])
    errors = detector.score_features(table[:2])
    display = FeatureScoreDisplay.from_estimator(detector, table[:2])
    for ax, row in zip(display.axes_[0], errors, strict=True):
        labels = [label.get_text() for label in ax.get_yticklabels()]
        order = np.argsort(row)[-12:]
        assert labels == [f"pixel {i}" for i in order]
        assert [bar.get_width() for bar in ax.patches] == list(row[order])


def test_volumes_have_no_single_map(detector):
    with pytest.raises(ValueError, match="got an array of 5 axes"):
        FeatureScoreDisplay(np.zeros((1, 1, 2, 2, 2)), np.zeros((1, 1, 2, 2, 2))).plot()
