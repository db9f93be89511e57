"""What orders of graphs are; expected values stay outside.

The calls follow CPython's Lib/test/test_graphlib.py, PSF licence.
"""

import graphlib
from itertools import islice

from observe import outcome

_GRAPHS = (
    {2: {11}, 9: {11, 8}, 10: {11, 3}, 11: {7, 5}, 8: {7, 3}},
    {1: {}},
    {x: {x + 1} for x in range(10)},
    {2: {3}, 3: {4}, 4: {5}, 5: {1}, 11: {12}, 12: {13}, 13: {14}, 14: {15}},
    {0: [1, 2], 1: [3], 2: [5, 6], 3: [4], 4: [9], 5: [3], 6: [7], 7: [8], 8: [4], 9: []},
    {0: [1, 2], 1: [], 2: [3], 3: []},
    {0: [1, 2], 1: [], 2: [3], 3: [], 4: [5], 5: [6], 6: []},
    {1: {2}, 3: {4}, 5: {6}},
    {1: set(), 3: set(), 5: set()},
    {1: {2}, 3: {4}, 0: [2, 4, 4, 4, 4, 4]},
    {},
)
_CYCLIC = (
    {1: {1}},
    {1: {2}, 2: {1}},
    {1: {2}, 2: {3}, 3: {1}},
    {1: {2}, 2: {3}, 3: {1}, 5: {4}, 4: {6}},
    {1: {2}, 2: {1}, 3: {4}, 4: {5}, 6: {7}, 7: {6}},
    {1: {2}, 2: {3}, 3: {2, 4}, 4: {5}},
)


def _sorter(*rows, prepared=False):
    """A sorter to which the rows were added: nodes, each before the nodes that it needs."""
    sorter = graphlib.TopologicalSorter()
    for row in rows:
        sorter.add(*row)
    if prepared:
        sorter.prepare()
    return sorter


def _groups(sorter):
    """The nodes that get ready together; their order in a group is free."""
    groups = []
    sorter.prepare()
    while sorter.is_active():
        nodes = sorter.get_ready()
        for node in nodes:
            sorter.done(node)
        groups.append(sorted(nodes))
    return groups


def _flat(graph):
    """The static order, its nodes sorted where they get ready together."""
    order = iter(graphlib.TopologicalSorter(graph).static_order())
    groups = _groups(graphlib.TopologicalSorter(graph))
    return [sorted(islice(order, len(group))) for group in groups] + [list(order)]


def _cycle(graph):
    """The cycle that is reported, from its smallest node on."""
    try:
        _sorter(*((node, *needed) for node, needed in graph.items()), prepared=True)
    except graphlib.CycleError as error:
        nodes = list(error.args[1])
        if len(nodes) > 1 and nodes[0] == nodes[-1]:
            nodes.pop()
        start = nodes.index(min(nodes))
        return nodes[start:] + nodes[:start]


def groups_of_graphs():
    for graph in _GRAPHS:
        yield outcome(lambda graph=graph: _groups(graphlib.TopologicalSorter(graph)))


def static_orders():
    for graph in _GRAPHS:
        yield outcome(_flat, graph)
    yield outcome(lambda: list(_sorter((1, 2), (1, 2), (1, 2)).static_order()))
    yield outcome(lambda: list(graphlib.TopologicalSorter({0: iter([1, 3, 5, 7, 9])}).static_order()))
    yield outcome(lambda: list(_sorter((1, 2), (1, 3), (1, 4), (1, 5)).static_order()))


def cycles():
    for graph in _CYCLIC:
        yield outcome(_cycle, graph)
        yield outcome(lambda graph=graph: graphlib.TopologicalSorter(graph).prepare())


def calls_before_prepare():
    sorter = graphlib.TopologicalSorter()
    yield outcome(sorter.get_ready)
    yield outcome(sorter.done, 3)
    yield outcome(sorter.is_active)
    yield outcome(sorter.prepare)
    yield outcome(sorter.prepare)


def nodes_that_are_not_done():
    sorter = _sorter((1, 2, 3, 4), (2, 3, 4), prepared=True)
    yield outcome(lambda: sorted(sorter.get_ready()))
    yield outcome(sorter.done, 2)
    yield outcome(sorter.done, 24)


def what_is_ready_after_each_node():
    sorter = _sorter((1, 2, 3, 4), (2, 3), prepared=True)
    for nodes in ((), (), (3,), (), (4, 2), (), (1,)):
        for node in nodes:
            yield outcome(sorter.done, node)
        yield outcome(sorter.get_ready), outcome(sorter.is_active)


def whether_a_sorter_is_active():
    sorter = _sorter((1, 2), prepared=True)
    for node in (2, 1):
        yield outcome(sorter.is_active), outcome(sorter.get_ready), outcome(sorter.is_active)
        yield outcome(sorter.done, node), outcome(sorter.is_active)


def nodes_that_cannot_be_hashed():
    sorter = graphlib.TopologicalSorter()
    for row in (({}, 1), (1, {}), ({}, {})):
        yield outcome(sorter.add, *row)


def order_of_insertion():
    rows = ((3, 2, 1), (1, 0), (4, 5), (6, 7), (4, 7))
    for places in ((0, 1, 2, 3, 4), (1, 0, 4, 3, 2)):
        yield outcome(lambda places=places: _groups(_sorter(*(rows[i] for i in places))))
