"""A binary heap with priorities that can change, and what it is good for."""


class PriorityQueue:
    """Smallest priority first; equal priorities in the order of their arrival."""

    def __init__(self, items=()):
        self.heap = []
        self.places = {}
        self.count = 0
        for item, priority in items:
            self.push(item, priority)

    def __len__(self):
        return len(self.heap)

    def __contains__(self, item):
        return item in self.places

    def push(self, item, priority):
        """Adds an item; raises ValueError where it is inside already."""
        if item in self.places:
            raise ValueError(f"{item!r} is already queued")
        self.heap.append((priority, self.count, item))
        self.count += 1
        self.places[item] = len(self.heap) - 1
        self.sift_up(len(self.heap) - 1)

    def peek(self):
        """The next item, None for an empty queue."""
        if len(self.heap) == 0:
            return None
        return self.heap[0][2]

    def pop(self):
        """Removes and returns the next item; raises IndexError for an empty queue."""
        if len(self.heap) == 0:
            raise IndexError("pop from an empty queue")
        item = self.heap[0][2]
        self.remove(item)
        return item

    def remove(self, item):
        """Takes an item out, wherever it stands."""
        place = self.places.pop(item)
        last = self.heap.pop()
        if place < len(self.heap):
            self.set_place(place, last)
            self.sift_up(place)
            self.sift_down(self.places[last[2]])

    def priority(self, item):
        return self.heap[self.places[item]][0]

    def change(self, item, priority):
        """Gives a queued item another priority."""
        place = self.places[item]
        before, order, _ = self.heap[place]
        self.heap[place] = (priority, order, item)
        if priority < before:
            self.sift_up(place)
        elif priority > before:
            self.sift_down(place)

    def set_place(self, place, entry):
        self.heap[place] = entry
        self.places[entry[2]] = place

    def swap(self, i, j):
        first, second = self.heap[i], self.heap[j]
        self.set_place(i, second)
        self.set_place(j, first)

    def sift_up(self, place):
        while place > 0:
            parent = (place - 1) // 2
            if self.heap[place] >= self.heap[parent]:
                break
            self.swap(place, parent)
            place = parent

    def sift_down(self, place):
        while 2 * place + 1 < len(self.heap):
            child = 2 * place + 1
            if child + 1 < len(self.heap) and self.heap[child + 1] < self.heap[child]:
                child += 1
            if self.heap[place] <= self.heap[child]:
                break
            self.swap(place, child)
            place = child

    def is_heap(self):
        """True where no entry is before its parent and every place is right."""
        for place in range(1, len(self.heap)):
            if self.heap[place] < self.heap[(place - 1) // 2]:
                return False
        return all(self.heap[place][2] == item for item, place in self.places.items())


def smallest(numbers, count):
    """The `count` smallest numbers in order."""
    queue = PriorityQueue()
    for index, number in enumerate(numbers):
        queue.push(index, -number)
        if len(queue) > count:
            queue.pop()
    kept = []
    while len(queue) > 0:
        kept.append(-queue.priority(queue.peek()))
        queue.pop()
    return kept[::-1]


def merge(*lists):
    """One sorted list of sorted lists."""
    queue = PriorityQueue((i, values[0]) for i, values in enumerate(lists) if len(values) > 0)
    positions = [0] * len(lists)
    merged = []
    while len(queue) > 0:
        index = queue.pop()
        merged.append(lists[index][positions[index]])
        positions[index] += 1
        if positions[index] < len(lists[index]):
            queue.push(index, lists[index][positions[index]])
    return merged


def shortest_path(graph, start, goal):
    """(cost, nodes) of the cheapest way; None where there is none."""
    costs, previous = {start: 0}, {}
    queue = PriorityQueue([(start, 0)])
    while len(queue) > 0:
        node = queue.pop()
        if node == goal:
            break
        for neighbour, cost in graph.get(node, {}).items():
            total = costs[node] + cost
            if neighbour in costs and total >= costs[neighbour]:
                continue
            costs[neighbour] = total
            previous[neighbour] = node
            if neighbour in queue:
                queue.change(neighbour, total)
            else:
                queue.push(neighbour, total)
    if goal not in costs:
        return None
    path = [goal]
    while path[-1] != start:
        path.append(previous[path[-1]])
    return costs[goal], path[::-1]
