"""Searches and cross-validation whose networks are trained together."""

from contextlib import contextmanager, nullcontext
from numbers import Integral

import numpy as np
from joblib import hash as hash_of
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed
from tqdm.auto import tqdm

from ._engine.crew import Crew, CrewBackend, current_crew
from ._validation import at_least


@contextmanager
def stacked_training(*, max_networks=200, verbose=0):
    """Train the networks of all fits within as few batches of networks.

    Whatever fits several autoencoders by joblib, as searches and cross-validation do,
    fits them side by side. Those whose networks have one structure are trained as one
    batch, which takes a fraction of the time. Each takes the same steps as alone: its
    data, seed, rates and end are its own. Fits that need the same network share it.

    `n_jobs` has no effect within: torch's threads share the work.

    Parameters
    ----------
    max_networks : int, default=200
        At most so many networks wait in memory, each with its data, and so many
        finished ones are kept for other candidates. A network that is needed again
        later is trained again, or comes from the estimator's `memory`.
    verbose : int, default=0
        Above 0, a bar shows how many networks were trained in how many stacks.

    See Also
    --------
    StackedGridSearchCV : Does this for a search.

    Notes
    -----
    Networks can be stacked if `architecture` is one of this package, there are no
    callbacks, and a step is small. All others are trained one by one, in the
    same way as without. Sums within matrix products have another order, so losses agree
    to rounding.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from skvae import MLP, VAE
    >>> from skvae.model_selection import stacked_training
    >>> X, y = load_digits(n_class=4, return_X_y=True)
    >>> vae = VAE(2, architecture=MLP((16,)), max_iter=5, random_state=0)
    >>> with stacked_training():
    ...     scores = cross_val_score(make_pipeline(vae, LogisticRegression()), X, y)
    >>> scores.shape
    (5,)
    """
    if current_crew() is not None:
        yield
        return
    from ._engine.stacked import StackedTrainer

    trainer = StackedTrainer()
    with tqdm(unit="epoch") if verbose else nullcontext() as bar:

        def train_and_count(trainings, go_on):
            def next_epoch():
                go_on()
                bar.update()

            trainer.train(trainings, next_epoch)
            networks, stacks = sum(trainer.sizes), len(trainer.sizes)
            bar.set_postfix(networks=networks, stacks=stacks)

        crew = Crew(train_and_count if verbose else trainer.train, max_networks)
        with crew, parallel_config(backend=CrewBackend(crew), n_jobs=2):
            yield


class SharedSteps:
    """As `memory` of pipelines: what several of them fit alike is fitted once."""

    def cache(self, function, ignore=()):
        def fitted(*args, **kwargs):
            decisive = {name: kwargs[name] for name in kwargs if name not in ignore}
            return current_crew().once(
                lambda: hash_of((function.__qualname__, args, decisive)),
                lambda: function(*args, **kwargs),
            )

        return fitted

    def __deepcopy__(self, memo):
        return self


def _share_steps(estimator, kind, memory):
    """Set the memory of pipelines within an estimator, where it is of a kind."""
    for part in [estimator, *estimator.get_params().values()]:
        if isinstance(part, Pipeline) and isinstance(part.memory, kind):
            part.set_params(memory=memory)


class StackedSearchMixin:
    """Lets a search of scikit-learn train its networks together."""

    def fit(self, X, y=None, **params):
        """Fit the estimator for all candidates and folds, and the best one on all of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples, ...), default=None
        **params : dict
            As in scikit-learn's search: `groups`, and what is passed on to `fit`.

        Returns
        -------
        self : object
        """
        given, sharing = self.estimator, clone(self.estimator)
        self.estimator = sharing
        _share_steps(sharing, type(None), SharedSteps())
        options = {"max_networks": self.max_networks, "verbose": self.verbose}
        try:
            with stacked_training(**options):
                super().fit(X, y, **params)
        finally:
            self.estimator = given
            _share_steps(sharing, SharedSteps, None)  # `scorer_` may hold it
        if hasattr(self, "best_estimator_"):
            _share_steps(self.best_estimator_, SharedSteps, None)
        return self


class StackedGridSearchCV(StackedSearchMixin, GridSearchCV):
    """Grid search that trains its networks together.

    It has the parameters, attributes and methods of scikit-learn's `GridSearchCV`, and
    gives the same scores to rounding. See `stacked_training` for what is trained
    together. Steps of a `Pipeline` before the autoencoder are fitted once per fold and
    setting. Candidates that differ in `layer`, or in what comes after the autoencoder,
    share its network. A search inside `stacked_cross_validate` trains outer folds,
    inner folds and candidates together.

    Parameters
    ----------
    estimator : estimator
        An autoencoder, or a `Pipeline` or `FeatureUnion` with one in it. Others work as
        with scikit-learn.
    param_grid : dict or list of dicts
        Names of parameters, each with a list of values to try.
    scoring : str, callable, list, tuple or dict, default=None
        How predictions are scored. None takes `estimator.score`.
    n_jobs : int, default=None
        Has no effect: torch's threads share the work.
    refit : bool, str or callable, default=True
        Whether, or by which score, to fit the best estimator on all samples.
    cv : int, splitter or iterable, default=None
        How to split. None takes 5 folds.
    verbose : int, default=0
        Above 0, a bar shows how many networks were trained in how many stacks; above 1,
        each fit is printed.
    pre_dispatch : int or str, default="2*n_jobs"
        Has no effect.
    error_score : "raise" or float, default=nan
        The score of a candidate whose fit fails.
    return_train_score : bool, default=False
        Whether to score on the training samples, too.
    max_networks : int, default=200
        At most so many networks wait in memory, each with its data, and so many
        finished ones are kept for other candidates. A network that is needed again
        later is trained again, or comes from the estimator's `memory`.

    Attributes
    ----------
    cv_results_ : dict of ndarrays
        A table of candidates and scores. Times are from the begin of a fit to its end,
        so they count waiting for others.
    best_estimator_ : estimator
        Fitted on all samples with the best parameters.
    best_params_ : dict
    best_score_ : float
        Mean score of the best candidate over the folds.
    best_index_ : int

    See Also
    --------
    StackedRandomizedSearchCV : Draws candidates from distributions.
    sklearn.model_selection.GridSearchCV : Trains one network after the other.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skvae import MLP, VAE
    >>> from skvae.model_selection import StackedGridSearchCV
    >>> X, y = load_digits(n_class=4, return_X_y=True)
    >>> vae = VAE(2, architecture=MLP((16,)), max_iter=5, random_state=0)
    >>> pipeline = make_pipeline(vae, LogisticRegression())
    >>> grid = {"vae__learning_rate": [1e-3, 1e-2], "logisticregression__C": [0.1, 1]}
    >>> search = StackedGridSearchCV(pipeline, grid, cv=3).fit(X, y)
    >>> search.best_params_["vae__learning_rate"]
    0.01
    """

    _parameter_constraints = GridSearchCV._parameter_constraints | {
        "max_networks": [at_least(1, Integral)]
    }

    def __init__(
        self,
        estimator,
        param_grid,
        *,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        pre_dispatch="2*n_jobs",
        error_score=np.nan,
        return_train_score=False,
        max_networks=200,
    ):
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.max_networks = max_networks


class StackedRandomizedSearchCV(StackedSearchMixin, RandomizedSearchCV):
    """Randomized search that trains its networks together.

    It has the parameters, attributes and methods of scikit-learn's
    `RandomizedSearchCV`. All else is as in `StackedGridSearchCV`.

    Parameters
    ----------
    estimator : estimator
        As in `StackedGridSearchCV`.
    param_distributions : dict or list of dicts
        Names of parameters, each with a list of values or a distribution.
    n_iter : int, default=10
        Candidates to draw.
    scoring : str, callable, list, tuple or dict, default=None
    n_jobs : int, default=None
    refit : bool, str or callable, default=True
    cv : int, splitter or iterable, default=None
    verbose : int, default=0
    pre_dispatch : int or str, default="2*n_jobs"
        As in `StackedGridSearchCV`.
    random_state : int, RandomState instance or None, default=None
        Seed of the candidates.
    error_score : "raise" or float, default=nan
    return_train_score : bool, default=False
    max_networks : int, default=200
        As in `StackedGridSearchCV`.

    Attributes
    ----------
    cv_results_ : dict of ndarrays
    best_estimator_ : estimator
    best_params_ : dict
    best_score_ : float
    best_index_ : int
        As in `StackedGridSearchCV`.

    See Also
    --------
    StackedGridSearchCV : Tries all combinations.
    """

    _parameter_constraints = RandomizedSearchCV._parameter_constraints | {
        "max_networks": [at_least(1, Integral)]
    }

    def __init__(
        self,
        estimator,
        param_distributions,
        *,
        n_iter=10,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        pre_dispatch="2*n_jobs",
        random_state=None,
        error_score=np.nan,
        return_train_score=False,
        max_networks=200,
    ):
        super().__init__(
            estimator,
            param_distributions,
            n_iter=n_iter,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            random_state=random_state,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.max_networks = max_networks


def stacked_cross_validate(
    estimators, X, y=None, *, max_networks=200, verbose=0, **options
):
    """Cross-validate one or several estimators; all networks are trained together.

    Parameters
    ----------
    estimators : estimator, or dict of str to estimator
        A stacked search among them is a nested one: the networks of outer folds, inner
        folds and candidates are trained together.
    X : array-like of shape (n_samples, ...)
    y : array-like of shape (n_samples, ...), default=None
    max_networks : int, default=200
    verbose : int, default=0
        As in `stacked_training`.
    **options : dict
        Arguments of `sklearn.model_selection.cross_validate`: `cv`, `groups`,
        `scoring`, `return_train_score`, `return_estimator` and others. For repeats take
        a `cv` that repeats.

    Returns
    -------
    scores : dict of str to ndarray of shape (n_splits,)
        As `cross_validate` returns them. A dict of such dicts for several estimators.

    Raises
    ------
    ValueError
        If all fits of an estimator fail.

    See Also
    --------
    evaluate : Intervals over patients, and differences; use it in `stacked_training`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skvae import MLP, VAE
    >>> from skvae.model_selection import StackedGridSearchCV, stacked_cross_validate
    >>> X, y = load_digits(n_class=4, return_X_y=True)
    >>> vae = VAE(2, architecture=MLP((16,)), max_iter=5, random_state=0)
    >>> pipeline = make_pipeline(vae, LogisticRegression())
    >>> search = StackedGridSearchCV(pipeline, {"vae__beta": [0.5, 1.0]}, cv=3)
    >>> stacked_cross_validate(search, X, y, cv=4)["test_score"].shape
    (4,)
    """
    several = isinstance(estimators, dict)
    named = estimators if several else {"": estimators}
    with stacked_training(max_networks=max_networks, verbose=verbose):
        scores = Parallel()(
            delayed(cross_validate)(estimator, X, y, **options)
            for estimator in named.values()
        )
    return dict(zip(named, scores, strict=True)) if several else scores[0]
