"""How many of torch's threads a piece of work gets."""

import os
from contextlib import contextmanager
from threading import Lock, Thread

import torch

# Multiply-adds of a forward pass from which on a second thread saves time: measured,
# see "Threads" in docs/design.rst.
_ENOUGH = 2**24

_switching = Lock()


@contextmanager
def threads_for(work):
    """Run a block on one thread if its steps are small, else on as many as before.

    The threads of a small step wait for each other longer than they work, above all
    where other processes want the same cores. Only the calling Python thread is
    concerned.

    Parameters
    ----------
    work : int
        Multiply-adds of the forward pass of one step.
    """
    with _switching:
        before = torch.get_num_threads()
    if before == 1 or work >= _ENOUGH:
        yield
        return
    try:  # from here on, or Ctrl-C in between would leave one thread for good
        use_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def use_threads(number):
    """Set how many of torch's threads the calling Python thread uses, and no other.

    `torch.set_num_threads` sets the number for its caller and for all Python threads
    that have not used torch yet.
    """
    with _switching:
        before = torch.get_num_threads()
        torch.set_num_threads(number)
        others = Thread(target=torch.set_num_threads, args=(before,))
        others.start()
        others.join()


def _begin_as_child():
    """Use one thread: those of the parent are missing, and torch would wait for them.

    A lock that another thread of the parent held would never be released either.
    """
    global _switching
    _switching = Lock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_begin_as_child)
