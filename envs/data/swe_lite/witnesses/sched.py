"""What sched gives; expected values stay outside.

The events follow CPython's Lib/test/test_sched.py, PSF licence.
"""

import sched
import time


class _Clock:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 100.0

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def _scheduler():
    clock = _Clock()
    return sched.scheduler(clock.time, clock.sleep), clock


def _names(events):
    return [event.argument for event in events]


def entered_with_delays():
    scheduler, clock = _scheduler()
    seen = []
    for delay in (0.5, 0.4, 0.3, 0.2, 0.1):
        scheduler.enter(delay, 1, lambda delay: seen.append((delay, clock.now)), (delay,))
    scheduler.run()
    return seen


def entered_with_the_clock_of_the_system():
    # Times and no delays: a delay would begin when its turn comes, which may be late.
    scheduler = sched.scheduler(time.time, time.sleep)
    seen, start = [], time.time()
    for delay in (0.003, 0.002, 0.001):
        scheduler.enterabs(start + delay, 1, seen.append, (delay,))
    scheduler.run()
    return seen


def entered_at_times():
    scheduler, _ = _scheduler()
    seen = []
    for at in (0.05, 0.04, 0.03, 0.02, 0.01):
        scheduler.enterabs(at, 1, seen.append, (at,))
    scheduler.run()
    return seen


def priorities():
    for order in ([1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [2, 5, 3, 1, 4], [1, 2, 3, 2, 1]):
        scheduler, _ = _scheduler()
        seen = []
        for priority in order:
            scheduler.enterabs(0.01, priority, seen.append, (priority,))
        scheduler.run()
        yield seen
        yield scheduler.empty()


def cancelled():
    scheduler, clock = _scheduler()
    seen = []
    delays = (0.01, 0.02, 0.03, 0.04, 0.05)
    events = [scheduler.enterabs(clock.now + at, 1, seen.append, (at,)) for at in delays]
    scheduler.cancel(events[0])
    scheduler.cancel(events[-1])
    scheduler.run()
    return seen


def cancelled_among_equals():
    scheduler = sched.scheduler()
    seen = []
    events = [scheduler.enterabs(1, 1, seen.append, (name,)) for name in "abc"]
    scheduler.cancel(events[1])
    scheduler.run()
    return seen


def empty():
    scheduler, _ = _scheduler()
    yield scheduler.empty()
    for at in (0.05, 0.04, 0.03, 0.02, 0.01):
        scheduler.enterabs(at, 1, str, (at,))
    yield scheduler.empty()
    scheduler.run()
    yield scheduler.empty()


def queue():
    scheduler, clock = _scheduler()
    entered = [scheduler.enterabs(clock.now + at, 1, str, (at,)) for at in (0.05, 0.01, 0.02, 0.04, 0.03)]
    yield [(event.time, event.priority, event.argument, event.kwargs) for event in entered]
    yield _names(scheduler.queue)


def arguments():
    scheduler, clock = _scheduler()
    seen = []

    def action(*positional, **named):
        seen.append((positional, sorted(named.items())))

    scheduler.enterabs(clock.now, 1, action)
    scheduler.enterabs(clock.now, 1, action, argument=(1, 2))
    scheduler.enterabs(clock.now, 1, action, argument=("a", "b"))
    scheduler.enterabs(clock.now, 1, action, argument=(1, 2), kwargs={"foo": 3})
    scheduler.run()
    return sorted(seen, key=str)


def not_blocking():
    scheduler, _ = _scheduler()
    seen = []
    for delay in (10, 9, 8, 7, 6):
        scheduler.enter(delay, 1, seen.append, (delay,))
    scheduler.run(blocking=False)
    return seen
