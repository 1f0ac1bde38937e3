"""How many times quicker `verify --jobs N` can be, from the CPU times that a plan has.

`python -m tests.bench.schedule` prints it of every plan that is shipped. What is simulated is what
`bootstrap.runs.ahead` does: N - 1 workers take the most urgent unit that can be begun; the process
that drives kaem runs a unit itself when its turn comes and nobody has begun it, and others while it
would wait. What it needs to take a result is a part (`TAKING`) of running it.
"""

from __future__ import annotations

import heapq
from pathlib import Path

from bootstrap.documents import from_json
from bootstrap.known.steps import data_dir
from bootstrap.runs.ahead import RunPlan, _Unit, _units
from tests.bench.tables import table

TAKING = 0.03
"""Of all CPU seconds of a run: measured as what a memo takes (docs/speed.md)."""
JOBS = (2, 4, 8)


def times_faster(plan: RunPlan, jobs: int) -> float:
    """CPU time of all units, by the time that so many processes take for them."""
    units, costs = _units(plan), [max(one.milliseconds, 1) for one in plan.units]
    taking = TAKING * sum(costs) / len(units)
    known: set[int] = set()
    begun: set[int] = set()
    # Time, and who has a unit at an end then: None is a worker, else where the driver is after it.
    ends: list[tuple[float, int, int | None]] = []
    now, turn, free, driving = 0.0, 0, jobs - 1, False

    def next_unit() -> int | None:
        ready = [u for u in units if u.number not in begun and _known(u, known)]
        if not ready:
            return None
        number = max(ready, key=lambda unit: (unit.urgency, -unit.number)).number
        begun.add(number)
        return number

    while turn < len(units):
        while free and (number := next_unit()) is not None:
            free -= 1
            heapq.heappush(ends, (now + costs[number], number, None))
        if not driving:
            if turn in known:
                driving = True
                heapq.heappush(ends, (now + taking, turn, turn + 1))
            elif turn not in begun:
                driving = True
                begun.add(turn)
                heapq.heappush(ends, (now + costs[turn], turn, turn + 1))
            elif (number := next_unit()) is not None:
                driving = True
                heapq.heappush(ends, (now + costs[number], number, turn))
        now, number, after = heapq.heappop(ends)
        known.add(number)
        if after is None:
            free += 1
        else:
            driving, turn = False, after
    return sum(costs) / now


def _known(unit: _Unit, known: set[int]) -> bool:
    return all(maker is None or maker.number in known for maker in unit.inputs.values())


def shipped() -> dict[str, RunPlan]:
    """The plans that are shipped, by their names."""
    places = sorted(Path(str(data_dir("steps"))).glob("*.plan"))
    return {one.stem: from_json(RunPlan, one.read_bytes(), one.name) for one in places}


def main() -> None:
    """Print it."""
    rows = [
        [name, f"{sum(one.milliseconds for one in plan.units) / 1000:.0f} s"]
        + [f"{times_faster(plan, jobs):.2f}" for jobs in JOBS]
        for name, plan in shipped().items()
    ]
    print(table(["plan", "CPU time", *map(str, JOBS)], rows))


if __name__ == "__main__":
    main()
