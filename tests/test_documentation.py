"""Docstrings and constructors that estimators take from their bases."""

import ast
import inspect
import re

import pytest
from cases import MODELS, SMALL
from sklearn.base import clone

import skvae
from skvae._documentation import inherit_documentation


def public_methods():
    for model, _ in MODELS.values():
        for name in dir(model):
            method = getattr(model, name)
            ours = "skvae" in (getattr(method, "__module__", None) or "")
            if callable(method) and ours and not name.startswith(("_", "set_")):
                yield model, name


def section(doc, title):
    """Return the entries of a section, as pairs of a name and a type."""
    pattern = rf"^{title}\n-+\n(.*?)(?=\n\n\w|\Z)"
    found = re.search(pattern, inspect.cleandoc(doc), re.S | re.M)
    return dict(re.findall(r"^(\S+) : (.*)$", found[1], re.M)) if found else {}


@pytest.mark.parametrize(("model", "name"), list(public_methods()))
def test_documented_arguments_of_methods_are_those_of_the_signature(model, name):
    method = getattr(model, name)
    documented = section(method.__doc__, "Parameters")
    _, *parameters = inspect.signature(method).parameters.values()
    assert list(documented) == [parameter.name for parameter in parameters]
    for parameter in parameters:
        default = re.search("default=(.*)$", documented[parameter.name])
        if parameter.default is not parameter.empty and default:
            assert ast.literal_eval(default[1]) == parameter.default
    assert section(method.__doc__, "Returns")


@pytest.mark.parametrize("name", MODELS)
def test_attributes_of_a_fit_are_documented(name, digits):
    model, _ = MODELS[name]
    fitted = model(**SMALL).fit(digits[0], digits[1])
    learnt = {n for n in vars(fitted) if n.endswith("_") and not n.startswith("_")}
    documented = set(section(model.__doc__, "Attributes"))
    assert learnt <= documented
    of_some_input = {"feature_names_in_", "classes_", "class_prior_"}
    of_some_input.add("explained_variance_ratio_")
    assert documented - learnt <= of_some_input


def test_docstrings_are_completed_by_those_of_the_bases():
    class Base:
        """A base.

        Parameters
        ----------
        a : int, default=1
            The first.
        b : int, default=2
            The second.

        Attributes
        ----------
        c_ : int
            The third.
        """

        def __init__(self, a=1, b=2):
            pass

        def fit(self, X, y=None):
            """Fit.

            Parameters
            ----------
            X : array
            y : array, default=None

            Returns
            -------
            self : object
            """

    @inherit_documentation
    class Special(Base):
        """Something special.

        Parameters
        ----------
        z : int, default=0
            The last.

        Attributes
        ----------
        d_ : int
            The fourth.

        Examples
        --------
        >>> 1 + 1
        2
        >>> 2 + 2
        4
        """

        def __init__(self, b=3, z=0):
            pass

        def fit(self, X):
            """Fit in a special way."""

    assert inspect.getdoc(Special).split("\n\n")[1:] == [
        "Parameters\n----------\nb : int, default=3\n    The second.\n"
        "z : int, default=0\n    The last.",
        "Attributes\n----------\nd_ : int\n    The fourth.\nc_ : int\n    The third.",
        "Examples\n--------\n>>> 1 + 1\n2\n>>> 2 + 2\n4",
    ]
    assert inspect.getdoc(Special.fit) == (
        "Fit in a special way.\n\nParameters\n----------\nX : array\n\n"
        "Returns\n-------\nself : object"
    )


def test_a_class_without_docstrings_stays_so():
    @inherit_documentation
    class Silent(skvae.AE):
        def transform(self, X):
            return X

    assert Silent.__doc__ is None
    assert Silent.transform.__doc__ is None


def test_a_constructor_can_be_inherited_with_other_defaults():
    class Mine(skvae.AAE, max_iter=7):
        pass

    assert repr(Mine()) == "Mine()"
    parameters = clone(Mine(posterior="gaussian")).get_params()
    assert parameters["max_iter"] == 7
    assert parameters["adversarial_weight"] == 0.25
    assert parameters["posterior"] == "gaussian"
    assert skvae.AAE().max_iter == 100
    assert skvae.SupervisedAAE().adversarial_weight == 0.5
    assert Mine(max_iter=8).max_iter == 8
    with pytest.raises(TypeError, match="takes no keyword arguments"):

        class Wrong(skvae.AAE, max_iters=7):
            pass


def test_class_arguments_of_scikit_learn_pass_through():
    class Plain(skvae.AE, auto_wrap_output_keys=None):
        pass

    assert not hasattr(Plain(), "set_output")
