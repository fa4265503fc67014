"""Time that `import skvae` takes over scikit-learn, in fresh processes. Usage::

    python examples/benchmarks/import_time.py

Python's compiled files must be on disk (PYTHONDONTWRITEBYTECODE unset).
"""

import subprocess
import sys
from statistics import median

CODE = """
import time, {before}
start = time.perf_counter()
import skvae
print(time.perf_counter() - start)
"""

if __name__ == "__main__":
    for before in ("sklearn", "sklearn.model_selection"):
        command = [sys.executable, "-c", CODE.format(before=before)]
        seconds = [float(subprocess.check_output(command)) for _ in range(9)]
        print(f"import skvae after {before}: {median(seconds):.3f} s, median of 9")
