"""What the volumes of a study are, and of whom."""

import pandas as pd


def cases_of(volumes):
    """List the rows of a table, or what is in a list."""
    if hasattr(volumes, "iterrows"):
        return [row for _, row in volumes.iterrows()]
    return list(volumes)


def patients_of(cases):
    """Return a table of the patients; that of several series is that of the first."""
    rows = []
    for case in cases:
        parts = [case] if hasattr(case, "keys") else []
        parts += [part for part in dict(*parts).values() if hasattr(part, "keys")]
        known = [part["patient_id"] for part in parts if "patient_id" in part]
        rows.append({"patient_id": known[0] if known else None})
    return pd.DataFrame(rows, columns=["patient_id"])


def sources_of(case, channels):
    """List the series of a case, as `load_series` takes them."""
    if not hasattr(case, "keys"):
        return [case]
    named = [case[name] for name in channels if name in case]
    return named or ([case] if "files" in case else [])


def problem_of(case):
    """Return why a volume can't be read, None if it can."""
    problem = case.get("problem") if hasattr(case, "keys") else None
    return problem if isinstance(problem, str) else None
