"""Any network divided into stem, stages and the rest, by how its data flows.

The network is traced (torch.fx) with its blocks as they are: what is opened is the network's own
`forward` and its `nn.Sequential`s. A place where nothing but one tensor goes on may be a boundary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, fx, nn

from kd.errors import UserError, unknown

WRITING = ("iadd", "isub", "imul", "itruediv")
"""Functions that write into what they take, beside those that are named so."""

HALVED = 1.5
"""From how many times fewer pixels a side on there is another resolution."""


class UndividableError(Exception):
    """The network is no line of parts, by what it does; its text says how."""


@dataclass(frozen=True)
class Boundary:
    """A place where one tensor alone goes on: behind a node of the graph that is a submodule.

    shape: of the tensor; () if not known. layers: how many convolutions and linear layers there
    are since the boundary before.
    """

    node: fx.Node
    shape: tuple[int, ...]
    layers: int

    @property
    def side(self) -> int:
        """How many pixels its side has; 0 for what is no square map (B, C, H, H)."""
        square = len(self.shape) == 4 and self.shape[2] == self.shape[3]
        return self.shape[2] if square else 0


class _Tracer(fx.Tracer):
    """Opens the network, its nn.Sequentials, and what is no layer of torch.nn down to `depth`."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """As of fx.Tracer."""
        layer = m.__module__.startswith("torch.nn.")
        opened = not layer and module_qualified_name.count(".") < self.depth
        return not (isinstance(m, nn.Sequential) or opened)


class _Shapes(fx.Interpreter):
    """Runs a graph, and notes the shape of what each node gives."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.extra_traceback = False

    def run_node(self, n: fx.Node) -> Any:
        """As of fx.Interpreter."""
        value = super().run_node(n)
        n.meta["shape"] = tuple(value.shape) if isinstance(value, Tensor) else ()
        return value


class Flow:
    """How data flows through `network`.

    Args:
        network: left in eval mode; an F.dropout of its own `forward` becomes a submodule.
        example: images (B, C, H, W) that tell the shapes; None where they need not be known.
        depth: down to which level modules of the network's own are opened, too.

    Raises:
        UndividableError: it cannot be followed, or is not the same in training.
    """

    def __init__(self, network: nn.Module, example: Tensor | None = None, depth: int = 0) -> None:
        self.network = network
        self.graph = _traced(network.eval(), depth)
        if _text(self.graph) != _text(_traced(network.train(), depth)):
            raise UndividableError("its forward does something else in training")
        network.eval()
        if example is not None:
            with torch.no_grad():
                _Shapes(fx.GraphModule(network, self.graph)).run(example)
        self._modules = dict(network.named_modules())
        self.boundaries = list(self._boundaries())

    # -- where it may be divided ----------------------------------------------------------------

    def by_resolution(self) -> list[Boundary]:
        """Where stages end: the last boundary of each resolution; none where there are not two.

        What unpadded layers cut from the edges is no other resolution. A first resolution of one
        layer alone belongs to the stem.
        """
        runs: list[list[Boundary]] = []
        for place in self.boundaries:
            if place.side < 2:
                continue
            if not runs or not 1 <= runs[-1][0].side / place.side < HALVED:
                runs.append([])
            runs[-1].append(place)
        sides = [run[0].side for run in runs]
        if sides != sorted(sides, reverse=True):
            return []
        runs = [run for run in runs if any(place.layers for place in run)]
        if len(runs) > 2 and sum(place.layers for place in runs[0]) < 2:
            del runs[0]
        return [run[-1] for run in runs] if len(runs) > 1 else []

    def behind(self, paths: Sequence[str]) -> list[Boundary]:
        """The boundaries behind these submodules; UserError for one that is no place to divide."""
        found = []
        for path in paths:
            if path not in self._modules:
                raise unknown("submodule", path, [self.named(place) for place in self.boundaries])
            within = [node for node in self.graph.nodes if _is_within(node, path)]
            ends = [place for place in self.boundaries if within and place.node is within[-1]]
            if not ends:
                raise UserError(
                    f"The network cannot be divided behind {path}, where more than one tensor goes "
                    f"on; choose among {', '.join(map(self.named, self.boundaries))}."
                )
            found += ends
        order = [self.boundaries.index(place) for place in found]
        if order != sorted(set(order)):
            raise UserError(
                f"The stages are {', '.join(paths)}; write them in the network's own order, each "
                "once."
            )
        return found

    def named(self, place: Boundary) -> str:
        """The path of the largest nn.Sequential that ends at `place`; else its own."""
        path = str(place.node.target)
        while "." in path:
            above, _, last = path.rpartition(".")
            parent = self._modules[above]
            if not isinstance(parent, nn.Sequential) or list(parent._modules)[-1] != last:
                break
            path = above
        return path

    def _boundaries(self) -> Iterator[Boundary]:
        """Those before the classifier, which is the last module that has parameters."""
        nodes = [node for node in self.graph.nodes if node.op not in ("get_attr", "output")]
        places = {node: place for place, node in enumerate(nodes)}
        weighing = [place for node, place in places.items() if self._parameters(node)]
        open_until = layers = 0
        for node, place in places.items():
            last = max((places.get(user, len(nodes)) for user in node.users), default=place)
            alone = open_until <= place
            open_until = max(open_until, last)
            if not weighing or place >= weighing[-1]:
                break
            layers += sum(parameter.dim() > 1 for parameter in self._parameters(node))
            if node.op == "call_module" and alone and not self._in_place(nodes[place + 1]):
                yield Boundary(node, node.meta.get("shape", ()), layers)
                layers = 0

    def _parameters(self, node: fx.Node) -> list[nn.Parameter]:
        if node.op != "call_module":
            return []
        return list(self._modules[str(node.target)].parameters())

    def _in_place(self, node: fx.Node) -> bool:
        """Whether a node may write into what it takes."""
        if node.op == "call_module":
            return bool(getattr(self._modules[str(node.target)], "inplace", False))
        name = node.target if isinstance(node.target, str) else node.target.__name__
        ends = name.endswith("_") and not name.endswith("__")
        return ends or name in WRITING or bool(node.kwargs.get("inplace", False))

    # -- divided ----------------------------------------------------------------------------------

    def divide(self, ends: Sequence[Boundary]) -> list[nn.Module]:
        """The stem, a module for each of `ends`, and what is left behind the last."""
        images = [node for node in self.graph.nodes if node.op == "placeholder"]
        output = next(node for node in self.graph.nodes if node.op == "output").args[0]
        if len(images) != 1 or not isinstance(output, fx.Node):
            raise UndividableError("it takes more than images, or gives more than logits")
        edges = [images[0], self._stem(images[0], ends[0]), *(place.node for place in ends), output]
        parts = [self._between(begin, end) for begin, end in pairwise(edges)]
        weights = [id(weight) for part in parts for weight in part.parameters()]
        if len({*weights}) < len(weights):
            raise UndividableError("a layer with weights stands in two of its parts")
        return parts

    def _stem(self, images: fx.Node, first: Boundary) -> fx.Node:
        """Where the stem ends: before the second layer; at the images, where there is one alone."""
        upto = self.boundaries[: self.boundaries.index(first) + 1]
        layers = [place for place, boundary in enumerate(upto) if boundary.layers]
        return upto[layers[1] - 1].node if len(layers) > 1 else images

    def _between(self, begin: fx.Node, end: fx.Node) -> nn.Module:
        """What makes the value of `end` of that of `begin`."""
        if begin is end:
            return nn.Identity()
        nodes = list(self.graph.nodes)
        part = fx.Graph()
        values = {begin: part.placeholder("x")}
        for node in nodes[nodes.index(begin) + 1 : nodes.index(end) + 1]:
            if node.op == "get_attr":
                continue
            for needed in node.all_input_nodes:
                if needed.op == "get_attr" and needed not in values:
                    values[needed] = part.node_copy(needed)
            values[node] = part.node_copy(node, lambda n: values[n])
        part.output(values[end])
        return fx.GraphModule(self.network, part)


def _traced(network: nn.Module, depth: int) -> fx.Graph:
    try:
        graph = _Tracer(depth).trace(network)
    except Exception as error:
        raise UndividableError(f"it cannot be followed ({type(error).__name__})") from None
    for node in graph.nodes:
        if node.op == "call_function" and node.target is nn.functional.dropout:
            _as_module(network, graph, node)
    return graph


def _as_module(network: nn.Module, graph: fx.Graph, node: fx.Node) -> None:
    """Put a module in the place of an F.dropout, which would be as it was when it was traced."""
    share = node.kwargs.get("p", node.args[1] if len(node.args) > 1 else 0.5)
    if not hasattr(network, name := f"_{node.name}"):
        network.add_module(name, nn.Dropout(share if isinstance(share, float) else 0.5))
    with graph.inserting_before(node):
        module = graph.call_module(name, (node.all_input_nodes[0],))
    node.replace_all_uses_with(module)
    graph.erase_node(node)


def _text(graph: fx.Graph) -> str:
    return graph.python_code("self").src


def _is_within(node: fx.Node, path: str) -> bool:
    target = str(node.target)
    return node.op == "call_module" and (target == path or target.startswith(f"{path}."))
