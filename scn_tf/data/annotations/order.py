"""One order of landmarks from lists that leave some out."""

import heapq
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence


def common_order(lists: Iterable[Sequence[str]]) -> list[str]:
    """All names, in an order that agrees with every list. If lists contradict each other, the order in which names first occur.

    Where the lists leave the order open, numbers decide for names that differ in numbers alone, such as ``lm_2`` and ``lm_10``. Other
    names are in the order in which they first occur.
    """
    distinct = list(dict.fromkeys(map(tuple, lists)))
    seen = {name: number for number, name in enumerate(dict.fromkeys(name for names in distinct for name in names))}
    if not distinct or len(distinct[0]) == len(seen):
        return list(seen)
    alike = len({re.sub(r"\d+", "0", name) for name in seen}) == 1
    rank = {name: (_numbers(name) if alike else (), number) for name, number in seen.items()}
    following: defaultdict[str, set[str]] = defaultdict(set)
    before = dict.fromkeys(seen, 0)
    for names in distinct:
        for name, other in itertools.pairwise(names):
            if other not in following[name]:
                following[name].add(other)
                before[other] += 1
    ready = [(rank[name], name) for name in seen if not before[name]]
    heapq.heapify(ready)
    found = []
    while ready:
        _, name = heapq.heappop(ready)
        found.append(name)
        for other in following[name]:
            before[other] -= 1
            if not before[other]:
                heapq.heappush(ready, (rank[other], other))
    return found if len(found) == len(seen) else list(seen)


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(digits[:18]) for digits in re.findall(r"\d+", name))
