"""What may vary in any method: the optimiser."""

from search_spaces._domains import Domain, Range

OPTIMIZER: dict[str, Domain] = {
    "optimizer.lr": Range(low=0.005, high=0.5, log=True),
    "optimizer.weight_decay": Range(low=1e-5, high=5e-3, log=True),
}
