"""Time that `import skvae` takes over `import sklearn`, in fresh processes. Usage::

python examples/benchmarks/import_time.py
"""

import subprocess
import sys
from statistics import median

CODE = """
import time, sklearn
start = time.perf_counter()
import skvae
print(time.perf_counter() - start)
"""

if __name__ == "__main__":
    seconds = [
        float(subprocess.check_output([sys.executable, "-c", CODE])) for _ in range(9)
    ]
    print(f"import skvae after sklearn: {median(seconds):.3f} s, median of 9")
