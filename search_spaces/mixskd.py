"""What may vary in MixSKD: how images are mixed, the weights of its terms, and T."""

from search_spaces._domains import Domain, Range


def domains(stages: int) -> dict[str, Domain]:
    """The authors take α of 0.4, 0.1 on ImageNet, 1 for all weights, and T 3."""
    weight = Range(low=0.1, high=10.0, log=True)
    return {
        "kd.mixup_alpha": Range(low=0.05, high=2.0, log=True),
        "kd.mixed_label_weight": weight,
        "kd.kd_weight": weight,
        "kd.feature_weight": weight,
        "kd.discriminator_weight": weight,
        "kd.temperature": Range(low=1.0, high=10.0, log=True),
    }
