"""Displays of scores."""


class _BandDisplay:
    """Curves with bands on a square, one for each method of an evaluation."""

    def __init__(self, curves, labels, *, title=None, positive=None):
        self.curves = curves
        self.labels = labels
        self.title = title
        self.positive = positive

    def _begin(self, ax):
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(5, 5), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_, self.bands_ = {}, {}

    def _finish(self, diagonal, xlabel, ylabel, loc):
        of_class = "" if self.positive is None else f" (class {self.positive})"
        self.ax_.plot([0, 1], [0, 1], color="gray", linestyle=":", label=diagonal)
        self.ax_.set(aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        self.ax_.set(xlabel=xlabel + of_class, ylabel=ylabel + of_class)
        self.ax_.set_title(self.title, fontsize="medium")
        self.ax_.legend(loc=loc, fontsize="small")
        return self


def _chosen(evaluation, methods):
    if methods is None:
        return list(evaluation.predictions_)
    return [methods] if isinstance(methods, str) else list(methods)


def _title(name, evaluation):
    n_patients, n_cases = evaluation.counts_.shape[1], len(evaluation.y_)
    cases = "" if n_cases == n_patients else f"{n_cases} cases of "
    intervals = f"{100 * evaluation.confidence_level:g} % intervals over patients"
    return f"{name}, {cases}{n_patients} patients\n{intervals}"


class ROCBandDisplay(_BandDisplay):
    """ROC curves out of fold, with pointwise bands over patients.

    Parameters
    ----------
    curves : dict of str to DataFrame of shape (n_points, 4)
        Of each method, with the columns "fpr", "tpr", "low" and "high", as
        `Evaluation.roc_curve` returns.
    labels : dict of str to str
        What the legend says of each method.
    title : str or None, default=None
    positive : object, default=None
        The class that the rates are of.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D
    bands_ : dict of str to matplotlib PolyCollection

    See Also
    --------
    skvae.model_selection.evaluate : Makes what is drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skvae.model_selection import evaluate
    >>> from skvae.plot import ROCBandDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> evaluation = evaluate(
    ...     {"Bayes": GaussianNB()}, X, y, n_repeats=2, n_draws=200, random_state=0
    ... )
    >>> display = ROCBandDisplay.from_evaluation(evaluation)
    >>> display.labels
    {'Bayes': 'Bayes: AUC 0.99 (0.98 to 0.99)'}
    """

    @classmethod
    def from_evaluation(cls, evaluation, methods=None, *, ax=None):
        """Plot the curves of an evaluation.

        Parameters
        ----------
        evaluation : Evaluation
            Of classifiers, for two classes. Areas are in the legend if it was made with
            the scoring "roc_auc".
        methods : str or list of str, default=None
            None takes all. More than three bands can't be told apart.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : ROCBandDisplay
        """
        names = _chosen(evaluation, methods)
        curves = {name: evaluation.roc_curve(name) for name in names}
        table = evaluation.table[evaluation.table["metric"] == "roc_auc"]
        labels = {name: name for name in names} | {
            row.method: f"{row.method}: AUC {row.score:.2f} "
            f"({row.low:.2f} to {row.high:.2f})"
            for row in table.itertuples()
            if row.method in names
        }
        title, positive = _title("ROC curves", evaluation), evaluation.classes_[1]
        return cls(curves, labels, title=title, positive=positive).plot(ax)

    def plot(self, ax=None):
        """Draw the curves, their bands, and the line of chance.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : ROCBandDisplay
        """
        self._begin(ax)
        for i, (name, curve) in enumerate(self.curves.items()):
            (self.lines_[name],) = self.ax_.plot(
                curve["fpr"], curve["tpr"], color=f"C{i}", label=self.labels[name]
            )
            self.bands_[name] = self.ax_.fill_between(
                curve["fpr"], curve["low"], curve["high"], color=f"C{i}", alpha=0.15
            )
        axes = "False positive rate", "True positive rate"
        return self._finish("chance", *axes, "lower right")


class CalibrationBandDisplay(_BandDisplay):
    """Observed frequency by predicted probability, with intervals over patients.

    Parameters
    ----------
    curves : dict of str to DataFrame of shape (n_bins, 5)
        Of each method, with the columns "predicted", "observed", "low" and "high", as
        `Evaluation.calibration_curve` returns.
    labels : dict of str to str
        What the legend says of each method.
    title : str or None, default=None
    positive : object, default=None
        The class that the probabilities are of.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D
    bands_ : dict of str to matplotlib LineCollection
        The intervals of the bins, as vertical lines.

    See Also
    --------
    skvae.model_selection.evaluate : Makes what is drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skvae.model_selection import evaluate
    >>> from skvae.plot import CalibrationBandDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> evaluation = evaluate(
    ...     {"Bayes": GaussianNB()}, X, y, n_repeats=2, n_draws=200, random_state=0
    ... )
    >>> display = CalibrationBandDisplay.from_evaluation(evaluation)
    >>> display.labels
    {'Bayes': 'Bayes: Brier score 0.057'}
    """

    @classmethod
    def from_evaluation(cls, evaluation, methods=None, *, n_bins=5, ax=None):
        """Plot the calibration of an evaluation.

        Parameters
        ----------
        evaluation : Evaluation
            Of classifiers with probabilities, for two classes.
        methods : str or list of str, default=None
            None takes all.
        n_bins : int, default=5
            Bins are quantiles of the probabilities. More bins show more, with wider
            intervals.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : CalibrationBandDisplay
        """
        names = _chosen(evaluation, methods)
        curves = {
            name: evaluation.calibration_curve(name, n_bins=n_bins) for name in names
        }
        labels = {
            name: f"{name}: Brier score {evaluation.brier_score(name):.3f}"
            for name in names
        }
        title, positive = _title("Calibration", evaluation), evaluation.classes_[1]
        return cls(curves, labels, title=title, positive=positive).plot(ax)

    def plot(self, ax=None):
        """Draw the frequencies with their intervals, and the line of perfection.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        display : CalibrationBandDisplay
        """
        self._begin(ax)
        for i, (name, curve) in enumerate(self.curves.items()):
            (self.lines_[name],) = self.ax_.plot(
                curve["predicted"],
                curve["observed"],
                color=f"C{i}",
                marker="o",
                markersize=5,
                label=self.labels[name],
            )
            self.bands_[name] = self.ax_.vlines(
                curve["predicted"],
                curve["low"],
                curve["high"],
                color=f"C{i}",
                alpha=0.5,
            )
        axes = "Predicted probability", "Observed frequency"
        return self._finish("perfectly calibrated", *axes, "upper left")
