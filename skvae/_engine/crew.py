"""Fits that wait for each other where they train, so that networks can train as one.

Each task of joblib becomes a thread, of which one runs at a time. Where a network is to
be trained, its thread waits and the next one runs. When all wait, the networks are
trained together, and their threads go on: to the scores, or to the next training.
"""

import threading
from collections import OrderedDict, deque
from contextvars import ContextVar, copy_context

from joblib.parallel import FallbackToBackend, ParallelBackendBase, SequentialBackend

_current = ContextVar("_current", default=None)


def current_crew():
    """Return the crew that the calling thread belongs to, if any."""
    return _current.get()


class Abandoned(BaseException):
    """Ends a thread that nobody waits for any more."""


class Outcome:
    """What a task comes to: a result or an error, for those who wait for it."""

    def __init__(self):
        self.is_there = False
        self.waiting = []
        self._result = self._error = None

    def of(self, function):
        """Take what a function gives."""
        try:
            self._result = function()
        except Exception as error:
            self._error, self._traceback = error, error.__traceback__
        self.is_there = True

    def get(self):
        if self._error is not None:  # else each that waits would add to the traceback
            raise self._error.with_traceback(self._traceback)
        return self._result


class Crew:
    """Threads of which one runs at a time, and the networks that they wait for.

    Parameters
    ----------
    train : callable
        Takes a list of trainings and `go_on`, a function without arguments to be called
        between epochs. What it raises becomes the `error` of each training.
    max_networks : int
        Number of waiting trainings from which on no further task is begun, and number
        of finished results from which on the oldest is forgotten.
    """

    def __init__(self, train, max_networks):
        self.sources = []  # calls of joblib that are not over
        self._train = train
        self._max_networks = max_networks
        self._tasks = deque()
        self._ready = deque()
        self._trainings = []
        self._threads = set()
        self._waiting = set()
        self._made = OrderedDict()
        self._is_abandoned = False

    def __enter__(self):
        self._token = _current.set(self)
        return self

    def __exit__(self, kind, error, traceback):
        _current.reset(self._token)
        self._abandon()

    def submit(self, function, callback, context):
        """Take a task that runs in a thread of its own while others wait.

        Its context is that of the call of joblib, since any thread may ask a call for
        its next tasks.
        """
        outcome = Outcome()
        self._tasks.append((context.copy(), function, callback, outcome))
        return outcome

    def result(self, outcome):
        """Wait for the outcome of a task."""
        if not outcome.is_there:
            outcome.waiting.append(threading.Event())
            self._wait(outcome.waiting[-1])
        return outcome.get()

    def train(self, training):
        """Wait until a network was trained, together with others.

        One that is finished when all are abandoned can still be kept on disk.
        """
        turn = threading.Event()
        self._trainings.append((training, turn))
        try:
            self._wait(turn)
        except Abandoned:
            if not training.is_done:
                raise

    def go_on(self):
        """End the calling thread if nobody waits for it any more."""
        if self._is_abandoned:
            raise Abandoned

    def once(self, key_of, make):
        """Make something, or take what is made, or was, under the same key.

        What has no key, since something in it can't be hashed, is made.
        """
        try:
            key = key_of()
        except Exception:
            return make()
        if key in self._made:
            self._made.move_to_end(key)
            return self.result(self._made[key])
        outcome = self._made[key] = Outcome()
        outcome.of(make)
        self._forget_oldest()
        self._ready.extend(outcome.waiting)
        return outcome.get()

    def _forget_oldest(self):
        finished = [key for key, outcome in self._made.items() if outcome.is_there]
        for key in finished[: -self._max_networks]:
            del self._made[key]

    def _wait(self, turn):
        """Let others run until it is the turn of this thread."""
        self._waiting.add(turn)
        self._pass_on()
        if not self._is_abandoned:  # from then on nobody wakes it
            turn.wait()
        self._waiting.discard(turn)
        self.go_on()

    def _pass_on(self):
        """Let another thread run, begin a task, or train the networks that wait."""
        while not self._is_abandoned:
            if self._ready:
                self._ready.popleft().set()
                return
            if len(self._trainings) < self._max_networks and self._next_tasks():
                thread = threading.Thread(target=self._run, args=self._tasks.popleft())
                self._threads.add(thread)
                thread.start()
                return
            if not self._trainings:
                return
            waiting, self._trainings = self._trainings, []
            trainings = [training for training, _ in waiting]
            try:
                self._train(trainings, self.go_on)
            except Exception as error:  # else nobody would wake those that wait
                for training in trainings:
                    training.fail(error)
            self._ready.extend(turn for _, turn in waiting)

    def _next_tasks(self):
        """Return tasks; calls of joblib that hold some back are asked for the next."""
        for parallel in self.sources:
            if self._tasks:
                break
            if getattr(parallel, "_original_iterator", None) is not None:
                parallel.dispatch_next()
        return self._tasks

    def _run(self, context, function, callback, outcome):
        try:
            self.go_on()
            context.run(outcome.of, function)
            if callback is not None:
                context.run(callback, outcome)
            self._ready.extend(outcome.waiting)
            self._pass_on()
        except Abandoned:
            pass
        finally:
            self._threads.discard(threading.current_thread())

    def _abandon(self):
        """End all threads that still wait, or work for nobody."""
        self._is_abandoned = True
        for turn in list(self._waiting):
            turn.set()
        while begun := [thread for thread in list(self._threads) if thread.ident]:
            begun[0].join()


class CrewBackend(ParallelBackendBase):
    """Makes the tasks of joblib, also those within tasks, tasks of a crew."""

    supports_sharedmem = True
    uses_threads = True

    def __init__(self, crew, **kwargs):
        super().__init__(**kwargs)
        self.crew = crew

    def configure(self, n_jobs=1, parallel=None, prefer=None, require=None, **options):
        if prefer == "threads" or require == "sharedmem":
            # The trees of a forest, say: many small tasks, and no network among them.
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        return super().configure(n_jobs, parallel, **options)

    def effective_n_jobs(self, n_jobs):
        return 2  # with more, scikit-learn cuts work that needs no network into bits

    def start_call(self):
        self._context = copy_context()
        self.crew.sources.append(self.parallel)

    def stop_call(self):
        self.crew.sources.remove(self.parallel)

    def submit(self, func, callback=None):
        return self.crew.submit(func, callback, self._context)

    def retrieve_result(self, out, timeout=None):
        return self.crew.result(out)

    def get_nested_backend(self):
        return CrewBackend(self.crew, nesting_level=self.nesting_level), None
