"""Write the board of radiomics tables from the results of tables.py, at each build."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import rankdata, studentized_range, wilcoxon

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "examples" / "benchmarks" / "tables.csv"
FOLDER = DOCS / "board"
RAW = "no reduction"

SORTABLE = """
<script>
document.querySelectorAll("table.sortable th").forEach((header) => {
  header.tabIndex = 0;
  header.style.cursor = "pointer";
  header.title = "Sort by this column";
  const sort = () => {
    const body = header.closest("table").tBodies[0];
    const column = header.cellIndex, down = header.dataset.down !== "true";
    const value = (row) => {
      const text = row.cells[column].textContent.replace("\\u2212", "-");
      return isNaN(parseFloat(text)) ? text : parseFloat(text);
    };
    const rows = [...body.rows].sort((a, b) => value(a) > value(b) ? 1 : -1);
    body.append(...(down ? rows.reverse() : rows));
    header.dataset.down = down;
  };
  header.addEventListener("click", sort);
  header.addEventListener("keydown", (event) => event.key === "Enter" && sort());
});
</script>
"""


def areas():
    """Return areas of methods (columns) by table and repeat (rows).

    Methods that have not run on all tables are left out.
    """
    results = pd.read_csv(RESULTS)
    board = results.pivot_table(index=["table", "repeat"], columns="method")["area"]
    has_run = board.groupby("table").count().all()
    return board.loc[:, has_run]


def interval(values, n_draws=5000):
    """Return the 95 % interval of a mean over tables, which are drawn anew."""
    rng = np.random.default_rng(0)
    draws = rng.choice(values, (n_draws, len(values))).mean(axis=1)
    return np.quantile(draws, [0.025, 0.975])


def number(value, sign=False):
    text = f"{value:+.3f}" if sign else f"{value:.3f}"
    return text.replace("0.", ".").replace("-", "\N{MINUS SIGN}")


def summary(board):
    """Return a row per method: means, and how they compare with raw features."""
    seconds = pd.read_csv(RESULTS).groupby("method")["seconds"].median()
    means = board.groupby("table").mean()
    odd = np.arange(len(means)) % 2 == 0  # the first, third, ... of the alphabet
    rows = []
    for method in means.mean().sort_values(ascending=False).index:
        values = means[method]
        low, high = interval(values.to_numpy())
        n_repeats = board[method].groupby("table").count().min()
        row = {"method": method, "repeats": n_repeats, "mean": number(values.mean())}
        row["95 % interval"] = f"{number(low)} to {number(high)}"
        row["odd half"] = number(values[odd].mean())
        row["even half"] = number(values[~odd].mean())
        difference = (board[method] - board[RAW]).groupby("table").mean()
        row["to no reduction"] = number(difference.mean(), sign=True)
        low, high = interval(difference.to_numpy())
        row["interval"] = f"{number(low, True)} to {number(high, True)}"
        same = method == RAW
        row["better on"] = "" if same else f"{(difference > 0).sum()} of {len(means)}"
        row["p (Wilcoxon)"] = "" if same else f"{wilcoxon(difference).pvalue:.3f}"
        row["seconds"] = f"{seconds[method]:.0f}"
        rows.append(row)
    return pd.DataFrame(rows)


def draw_ranks(board):
    """Draw mean ranks, and join methods that can't be told apart (Demšar 2006).

    They are of the repeats that all methods have.
    """
    board = board.dropna().groupby("table").mean()
    n_tables, n_methods = board.shape
    ranks = pd.Series(rankdata(-board, axis=1).mean(axis=0), board.columns)
    ranks = ranks.sort_values()
    quantile = studentized_range.ppf(0.95, n_methods, np.inf) / np.sqrt(2)
    critical = quantile * np.sqrt(n_methods * (n_methods + 1) / (6 * n_tables))
    figure, ax = plt.subplots(figsize=(7, 0.32 * n_methods + 1), layout="constrained")
    y = np.arange(n_methods)
    ax.plot(ranks, y, "o", color="C0")
    for i, (method, rank) in enumerate(ranks.items()):
        ax.text(rank + 0.1, i, method, va="center")
    reached = -1
    for i, rank in enumerate(ranks):  # bars of methods within the critical difference
        last = np.flatnonzero(ranks <= rank + critical)[-1]
        if last > max(i, reached):
            ax.plot([rank, rank], [i, last], color="0.6", lw=3, zorder=0)
            ax.plot(rank, last, marker="_", color="0.6", zorder=0)
            reached = last
    ax.set(
        xlabel=f"mean rank over {n_tables} tables (1 is best)",
        yticks=[],
        ylim=(n_methods - 0.5, -0.5),
        xlim=(ranks.min() - 0.3, ranks.max() + 2),
        title=f"Critical difference {critical:.2f} (Nemenyi, 5 %)",
    )
    figure.savefig(FOLDER / "ranks.png", dpi=150)
    plt.close(figure)


def write_page(app):
    """Write what the page includes."""
    FOLDER.mkdir(exist_ok=True)
    board = areas()
    options = {"index": False, "border": 0, "classes": "sortable table"}
    html = summary(board).to_html(**options)
    by_table = board.groupby("table").mean().map(number)
    by_table = by_table.rename_axis(columns=None).reset_index()
    by_table = by_table.rename(columns={"table": "data set"})
    (FOLDER / "summary.html").write_text(html)
    (FOLDER / "by_table.html").write_text(by_table.to_html(**options) + SORTABLE)
    draw_ranks(board)


def setup(app):
    app.connect("builder-inited", write_page)
    return {"parallel_read_safe": True}
