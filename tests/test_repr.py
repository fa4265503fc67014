"""What notebooks show of an estimator."""

import html
import inspect
import re

import pytest
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skvae
from skvae import _documentation
from skvae.dicom import VolumeLoader
from skvae.radiomics import RegionFeatures

ESTIMATORS = [
    *(skvae.AE, skvae.VAE, skvae.AAE, skvae.SupervisedAAE, skvae.AAEClassifier),
    *(skvae.AAEClusterer, skvae.MLP, skvae.Conv, skvae.ResNet, skvae.Discriminator),
    *(VolumeLoader, RegionFeatures),
]

pytestmark = pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9),
    reason="scikit-learn < 1.9 shows no descriptions",
)


def descriptions_in(page):
    """Return the descriptions on a page, by what they describe."""
    spans = re.findall(r'"param-doc-description".*?>(.*?)</span>', page, re.S)
    pairs = (html.unescape(span).strip().split(": ", maxsplit=1) for span in spans)
    return dict(pairs)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_every_parameter_is_described(kind):
    parameters = inspect.signature(kind).parameters
    described = descriptions_in(kind()._repr_html_())
    assert set(described) == set(parameters)
    assert all("<br><br>" in text for text in described.values())


def test_steps_of_a_pipeline_and_fitted_attributes_are_described(digits):
    X = digits[0].reshape(300, 64)
    pipeline = make_pipeline(StandardScaler(), skvae.AE(max_iter=1, random_state=0))
    described = descriptions_in(pipeline.fit(X)._repr_html_())
    assert "Size of the code." in described["n_components"]
    assert "Number of epochs trained." in described["n_iter_"]


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_links_lead_to_the_hosted_docs(kind, monkeypatch):
    assert kind()._get_doc_link() == _documentation.documentation_url() == ""
    monkeypatch.setattr(_documentation, "documentation_url", lambda: "https://a.test")
    module = kind.__module__.split("._")[0].replace(".architectures", "")
    link = f"https://a.test/api/{module}.{kind.__name__}.html"
    page = kind()._repr_html_()
    assert f'href="{link}"' in page
    assert f'href="{link}#:~:text=' in page


def test_the_address_comes_from_the_metadata(monkeypatch):
    class Metadata:
        def get_all(self, name, default):
            return ["Source, https://b.test", "Documentation, https://a.test/"]

    monkeypatch.setattr(_documentation, "metadata", lambda name: Metadata())
    found = _documentation.documentation_url.__wrapped__()
    assert found == "https://a.test"
