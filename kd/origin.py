"""What a training began with: whatever goes on with it later must find the same.

A sweep and a run of kd.train keep it in their folder. One that is older than this file, or has
no teacher yet, does not know all of it; what is not known is taken as it is found.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kd import plugins
from kd.backbones.own import digest_of, digests
from kd.errors import UserError
from kd.files import replace_file
from kd.screen import warn
from kd.section import Section, parse, read_mapping
from kd.teachers import networks_of

if TYPE_CHECKING:
    from kd.config import TrainConfig

FILE = "origin.json"
_ROOT = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Origin(Section):
    """The digests of the training images and of the teachers' files, and the versions at work.

    `versions` holds torch's version, as `kd` a digest of this package's own code, and one of the
    code of each network of one's own and of each package that adds the method or the data set.
    """

    images: str | None = None
    teacher: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, images: str, teachers: Sequence[bytes] = (), config: "TrainConfig | None" = None
    ) -> Self:
        """What a training that began now would begin with.

        Args:
            images: their digest.
            teachers: what their files hold.
            config: what is trained.
        """
        each = [hashlib.blake2b(teacher, digest_size=16).hexdigest() for teacher in teachers]
        versions = _versions() | (_code(config) if config else {})
        return cls(images=images, teacher="+".join(each) or None, versions=versions)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `folder` keeps, nothing if it keeps none; UserError if it is damaged."""
        path = folder / FILE
        if not path.exists():
            return cls()
        try:
            return parse(cls, read_mapping(path), str(path))
        except UserError:
            raise UserError(
                f"{path} is damaged; restore a copy of it, or delete it to go on unchecked."
            ) from None

    def require(self, now: Self, whose: str, remedy: str) -> None:
        """Raise UserError where the images or the teacher are others `now`, or gone.

        Another version may be right, and is only said. `whose` names the training, and `remedy`
        what to do if they cannot be put back.
        """
        for what in ("images", "teacher"):
            if getattr(self, what) not in (None, getattr(now, what)):
                verb, them = ("are", "them") if what == "images" else ("is", "it")
                raise UserError(
                    f"The {what} {verb} not what {whose} began with; put {them} back, or {remedy}."
                )
        names = ["this project" if n == "kd" else n for n in self.versions if self._differs(now, n)]
        if names:
            warn(
                f"{' and '.join(names)}: another version than {whose} began with, so its earlier "
                "and later scores may differ a little."
            )

    def _differs(self, now: Self, name: str) -> bool:
        return now.versions.get(name) != self.versions[name]

    def keep(self, folder: Path, now: Self) -> None:
        """Write into `folder` what is known, and what was found `now` of the rest."""
        whole = replace(
            self,
            images=self.images or now.images,
            teacher=self.teacher or now.teacher,
            versions=self.versions or now.versions,
        )
        if whole != self or not (folder / FILE).exists():
            text = json.dumps(asdict(whole), indent=2) + "\n"
            replace_file(folder / FILE, text.encode(), None)


def _versions() -> dict[str, str]:
    code = hashlib.blake2b(digest_size=8)
    for path in sorted(_ROOT.rglob("*.py")):
        code.update(path.relative_to(_ROOT).as_posix().encode() + path.read_bytes())
    return {"kd": code.hexdigest(), "torch": version("torch")}


def _code(config: "TrainConfig") -> dict[str, str]:
    """Digests of the code that is not this package's: by module of a network, by package added."""
    names = {plugins.METHODS: config.method, plugins.DATA: config.dataset}
    packages = plugins.packages(names)
    networks = digests(networks_of(config)).items()
    code = {name: found for name, found in networks if _top(name) not in packages.values()}
    return code | {name: digest_of(module) for name, module in packages.items()}


def _top(module: str) -> str:
    return module.partition(".")[0]
