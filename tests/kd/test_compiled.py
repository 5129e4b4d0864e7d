"""One compiled step serves a whole search: no break, and no other one for other numbers."""

from dataclasses import replace

import pytest
import torch

from kd.methods import method_names
from kd.testing import Case


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("name", method_names())
def test_a_step_is_one_graph_for_every_epoch_and_every_trial(name):
    case, batch = Case(name, "resnet8", 8), Case(name, "resnet8", 8).batch()
    usual = case.build()
    numbers = {n: v / 2 for n, v in vars(usual.config).items() if isinstance(v, float) and v}
    allowed = {n: v for n, v in numbers.items() if n not in ("beta_max", "label_smoothing")}
    other = case.build(seed=1, config=replace(usual.config, **allowed))

    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    @torch.compile(fullgraph=True, backend=keep)
    def loss(method, batch):
        return method(batch).total

    for method in (usual, other):
        plain = case.build(config=method.config)
        plain.load_state_dict(method.state_dict())
        for epoch in (0, 7):
            method.begin_epoch(epoch)
            plain.begin_epoch(epoch)
            torch.testing.assert_close(loss(method, batch), plain(batch).total)
    assert len(graphs) == 1
