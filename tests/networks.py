"""Networks as people write them, for `module:networks:FUNCTION`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two convolutions with a way past them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.past = nn.Conv2d(before, after, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.past(x))


class Net(nn.Module):
    """A stem, three stages that are called one by one, and dropout as a function."""

    def __init__(self, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.one = nn.Sequential(Block(4, 4, 1))
        self.two = nn.Sequential(Block(4, 8, 2), Block(8, 8, 1))
        self.three = Block(8, 12, 2)
        self.fc = nn.Linear(12, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.conv(images))
        x = self.three(self.two(self.one(x)))
        x = F.dropout(x.mean((2, 3)), 0.0, self.training)
        logits: Tensor = self.fc(x)
        return logits


class Inside(nn.Module):
    """The same within a module of its own."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.body = Net(16)
        self.head = nn.Linear(16, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images))
        return logits


class Branching(nn.Module):
    """What decides by what it sees cannot be followed."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.net = Net(num_classes)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] != 3:
            raise ValueError("three channels, please")
        logits: Tensor = self.net(images)
        return logits


class Fixed(nn.Module):
    """For 32×32 images of one channel alone, with a hidden layer behind the flattened maps."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 20)
        self.fc2 = nn.Linear(20, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        logits: Tensor = self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))
        return logits


class Pair(nn.Module):
    """Gives more than logits."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.net = Net(num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(images), images


class Again(nn.Module):
    """Goes through one block at two resolutions."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.block = Block(4, 4, 2)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.block(self.block(self.block(self.first(images))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def again(num_classes: int) -> nn.Module:
    return Again(num_classes)


def lazy(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(num_classes))


def tied(num_classes: int) -> nn.Module:
    made = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3), nn.Flatten(1), nn.Linear(3, 5))
    made[1].weight = made[0].weight
    return made


def convolved(num_classes: int, in_channels: int = 3) -> nn.Module:
    """Its classifier is a convolution."""
    made = Net(12, in_channels)
    made.fc = nn.Sequential(
        nn.Unflatten(1, (12, 1, 1)), nn.Conv2d(12, num_classes, 1), nn.Flatten()
    )
    return made


def net(num_classes: int, in_channels: int = 3) -> nn.Module:
    return Net(num_classes, in_channels)


def inside(num_classes: int) -> nn.Module:
    return Inside(num_classes)


def branching(num_classes: int) -> nn.Module:
    return Branching(num_classes)


def fixed(num_classes: int) -> nn.Module:
    return Fixed(num_classes)


def pair(num_classes: int) -> nn.Module:
    return Pair(num_classes)


def failing(num_classes: int) -> nn.Module:
    raise RuntimeError(f"no weights for {num_classes} classes")


def text(num_classes: int) -> str:
    return "a network"


def without_classes() -> nn.Module:
    return Net(10)


class Auxiliary(Net):
    """Gives more than logits as it is trained, as GoogLeNet's code often does."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return (logits, logits) if self.training else logits  # type: ignore[return-value]


class Cut(Net):
    """Its logits are cut off from its weights."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).detach()


def auxiliary(num_classes: int) -> nn.Module:
    return Auxiliary(num_classes)


def cut(num_classes: int) -> nn.Module:
    return Cut(num_classes)


def frozen(num_classes: int) -> nn.Module:
    return Net(num_classes).requires_grad_(False)


def ending(num_classes: int) -> nn.Module:
    raise SystemExit(0)


def unforwarded(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(7, num_classes))


def deaf(num_classes: int) -> nn.Module:
    return Net(7)
