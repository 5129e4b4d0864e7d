"""What people type wrong, over all commands, and how one such line is tried.

`bad_inputs.txt` is the table: a line, and the sentence that answers it.
`python tests/bad_inputs.py [WORD …]` prints what is answered to each line that begins so.
"""

import atexit
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, NoReturn, Self

import pyarrow as pa
import pyarrow.parquet as pq
from image_folders import picture, split_folder
from parquet_folder import parquet_folder

from kd.data.config import ImagesConfig
from kd.data.preparing import prepare

TESTS = Path(__file__).parent
MODULES = {
    **{
        name: f"tuning.{name}"
        for name in ("search", "confirm", "compare", "best", "export", "report", "replay", "ui")
    },
    "train": "kd.train",
    "backbones": "kd.backbones.__main__",
}
PATIENCE = 90
"""Seconds after which a line counts as hanging; far above what any takes on a busy machine."""

LONG, HUGE, DIGITS = "x" * 300, "y" * 5000, "9" * 400
CONFIG = "method: pskd\nbackbone: resnet8\ndataset: digits\nepochs: 1\n"
GRID = "method: lsskd\nrows:\n"
LAUGHS = "x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"x{i + 1}: &x{i + 1} [{', '.join([f'*x{i}'] * 10)}]\n" for i in range(9)
)
WORDS = {
    "<long>": LONG,
    "<huge>": HUGE,
    "<digits>": DIGITS,
    "<thousands>": DIGITS * 11,
    "<break>": "\n",
}
FILES = {
    "config.yaml": CONFIG,
    "empty.yaml": "",
    "list.yaml": "- 1\n- 2\n",
    "open.yaml": "epochs: [",
    "twice.yaml": CONFIG + "epochs: 2\n",
    "large.yaml": CONFIG + "#" * 10_000_000,
    "bomb.yaml": LAUGHS,
    "text": "a file\n",
    "garbage.safetensors": "garbage",
    "spaces/down.yaml": "alpha: {low: 0.9, high: 0.2}",
    "spaces/equal.yaml": "alpha: {low: 0.5, high: 0.5}",
    "spaces/words.yaml": "alpha_schedule: [0, 1]",
    "spaces/mixed.yaml": "alpha: [0.1, much, 0.9]",
    "spaces/none.yaml": "alpha:",
    "spaces/empty.yaml": "alpha: []",
    "spaces/high.yaml": "alpha: {low: 0.1, high: 7}",
    "spaces/log.yaml": "beta: {low: 0, high: 1, log: true}",
    "spaces/nan.yaml": "alpha: [.nan, 1]",
    "spaces/inf.yaml": "temperature: [1, .inf]",
    "spaces/key.yaml": "alpha: {low: 0.1, hihg: 0.5}",
    "spaces/long.yaml": f"{LONG}: [0.1, 0.5]",
    "spaces/many.yaml": f"temperature: {[*range(1, 301)]}\nalpha: {[i / 301 for i in range(301)]}",
    "spaces/split.yaml": "split.seed: [1, 2]",
    "spaces/nested.yaml": "kd:\n  alpha: [0.1, 0.5]",
    "spaces/number.yaml": "3: [0.1, 0.5]",
    "spaces/huge.yaml": f"temperature: [1, {DIGITS}]",
    "spaces/swapped.yaml": "beta_min: {low: 5, high: 9}\nbeta_max: {low: 1, high: 2}",
    "spaces/both.yaml": "alpha: [0.1, 0.5]\nkd.alpha: [0.2, 0.6]",
    "spaces/pair.yaml": "alpha: [0.1, 0.5]",
    "spaces/pair_log.yaml": "temperature: [1, 8]",
    "spaces/pair_down.yaml": "batch_size: [128, 32]",
    "spaces/pair_alike.yaml": "alpha: [0.5, 0.5]",
    "spaces/pair_above.yaml": "beta_max: [0.6, 1]",
    "spaces/pair_floor.yaml": "beta_min: [0, 0.5]",
    "spaces/alone.yaml": "alpha: 0.3",
    "spaces/dots.yaml": "alpha: 0.1 .. 0.5",
    "spaces/step_log.yaml": "beta: {low: 1, high: 8, log: true, step: 1}",
    "spaces/step_none.yaml": "alpha: {low: 0.1, high: 0.9, step: 0}",
    "spaces/step_word.yaml": "alpha: {low: 0.1, high: 0.9, step: small}",
    "spaces/step_wide.yaml": "alpha: {low: 0.1, high: 0.9, step: 1}",
    "spaces/step_off.yaml": "alpha: {low: 0.05, high: 1, step: 0.1}",
    "spaces/step_half.yaml": "batch_size: {low: 16, high: 64, step: 0.5}",
    "spaces/step_tiny.yaml": "alpha: {low: 0.1, high: 0.9, step: 1.0e-300}",
    "spaces/step_above.yaml": "beta_max: {low: 0.6, high: 1, step: 0.1}",
    "spaces/step_choices.yaml": "alpha: {choices: [0.1, 0.5, 0.9], step: 0.1}",
    "spaces/when_word.yaml": "temperature: {low: 1, high: 8, when: linear}",
    "spaces/when_none.yaml": "temperature: {low: 1, high: 8, when: {alpha_schedule: []}}",
    "spaces/when_nested.yaml": "temperature: {low: 1, high: 8, when: {kd: {alpha: 1}}}",
    "spaces/when_name.yaml": "temperature: {low: 1, high: 8, when: {alpha_shedule: linear}}",
    "spaces/when_value.yaml": "temperature: {low: 1, high: 8, when: {alpha_schedule: liner}}",
    "spaces/when_range.yaml": "temperature: {low: 1, high: 8, when: {beta: 1}}",
    "spaces/when_fixed.yaml": "temperature: {low: 1, high: 8, when: {alpha_schedule: linear}}",
    "spaces/when_kept.yaml": "temperature: {low: 1, high: 8, when: {feature_target: deepest}}",
    "spaces/when_itself.yaml": "beta: {choices: [1, 2, 4], when: {beta: 1}}",
    "spaces/when_circle.yaml": "beta: {choices: [1, 2, 4], when: {gamma: 1}}\n"
    "gamma: {choices: [1, 2, 4], when: {beta: 1}}",
    "spaces/when_never.yaml": "beta: {choices: [1, 2, 4], when: {alpha_schedule: linear}}\n"
    "gamma: {low: 0.1, high: 1, when: {beta: 2, alpha_schedule: constant}}",
    "spaces/when_twice.yaml": "gamma: {low: 0.1, high: 1, when: {alpha_schedule: linear, "
    "kd.alpha_schedule: constant}}",
    "spaces/when_high.yaml": "temperature: {low: 1, high: 1.0e+13, when: {alpha_schedule: "
    "constant}}",
    "grids/rows.yaml": f"{GRID}  a: {{alpha: 1}}",
    "grids/name.yaml": f"{GRID}  a: {{alhpa: 1}}",
    "grids/high.yaml": f"{GRID}  a: {{alpha: 7}}",
    "grids/word.yaml": f"{GRID}  a: {{alpha: much}}",
    "grids/default.yaml": f"{GRID}  a: {{alpha: 0.8}}",
    "grids/twins.yaml": f"{GRID}  a: {{alpha: 1}}\n  b: {{α: 1.0}}",
    "grids/again.yaml": f"{GRID}  a: {{alpha: 1}}\n  a: {{alpha: 0.5}}",
    "grids/twice.yaml": f"{GRID}  a: {{alpha: 1, kd.alpha: 0.5}}",
    "grids/none.yaml": f"{GRID}  a:",
    "grids/list.yaml": f"{GRID}  - {{alpha: 1}}",
    "grids/rowless.yaml": GRID,
    "grids/number.yaml": f"{GRID}  1: {{alpha: 1}}",
    "grids/empty.yaml": f'{GRID}  "": {{alpha: 1}}',
    "grids/break.yaml": f'{GRID}  "a\\nb": {{alpha: 1}}',
    "grids/long.yaml": f"{GRID}  {LONG[:100]}: {{alpha: 1}}",
    "grids/key.yaml": f"{GRID}  a: {{alpha: 1}}\nrow: 3",
    "grids/nomethod.yaml": "rows:\n  a: {alpha: 1}",
    "grids/method.yaml": "method: lskd\nrows:\n  a: {alpha: 1}",
    "grids/lengths.yaml": "method: dtskd\nrows:\n  a: {lambda_b: [3, 0, 0, 0]}",
    "grids/strip.yaml": f'{GRID}  a: {{alpha: 1}}\n  "a ": {{alpha: 0.5}}',
    "grids/reserved.yaml": f"{GRID}  the paper's default: {{alpha: 1}}",
    "grids/padding.yaml": f"{GRID}  deep pad: {{augment.crop_padding: 40}}",
    "grids/stages.yaml": f"{GRID}  a: {{milestones: 0.5}}",
    "wrong/method.yaml": CONFIG.replace("pskd", "pksd"),
    "wrong/nomethod.yaml": CONFIG.replace("method: pskd\n", ""),
    "wrong/backbone.yaml": CONFIG.replace("resnet8", "resnet9"),
    "wrong/dataset.yaml": CONFIG.replace("digits", "digit"),
    "wrong/folder.yaml": CONFIG.replace("digits", "parquet:nowhere"),
    "wrong/key.yaml": CONFIG + "batchsize: 3\n",
    "wrong/section.yaml": CONFIG + "kd: 3\n",
    "wrong/epochs.yaml": CONFIG.replace("epochs: 1", "epochs: many"),
    "wrong/temperature.yaml": CONFIG.replace("pskd", "kd") + "kd: {temperature: 1.0e300}\n",
    "wrong/alpha.yaml": CONFIG + "kd: {alpha: 7}\n",
    "wrong/nan.yaml": CONFIG + "kd: {alpha: .nan}\n",
    "wrong/batch.yaml": CONFIG + "batch_size: 1\n",
    "wrong/seed.yaml": CONFIG + f"seed: {DIGITS}\n",
    "wrong/teacher.yaml": CONFIG.replace("pskd", "kd") + "teacher: {backbone: resnet21}\n",
    "wrong/weights.yaml": CONFIG.replace("pskd", "kd")
    + "teacher: {weights: garbage.safetensors}\n",
    "wrong/weight.yaml": CONFIG.replace("pskd", "kd") + "teacher: {weight: 0}\n",
    "wrong/untaught.yaml": CONFIG.replace("pskd", "kd") + "teacher: {method: kd}\n",
    "wrong/taught.yaml": CONFIG.replace("pskd", "kd") + "teacher: {teacher: {backbone: resnet8}}\n",
    "wrong/nested.yaml": CONFIG.replace("pskd", "kd")
    + "teacher: {method: kd, teacher: {bakbone: resnet8}}\n",
    "wrong/several.yaml": CONFIG.replace("pskd", "at")
    + "further_teachers: [{backbone: resnet8}]\n",
    "wrong/padding.yaml": CONFIG + "augment: {crop_padding: 1000000000}\n",
    "wrong/cutout.yaml": CONFIG + "augment: {cutout: 1000000000}\n",
    "wrong/lr.yaml": CONFIG + "optimizer: {lr: 0}\n",
    "wrong/size.yaml": CONFIG + "images: {size: 0}\n",
    "wrong/images.yaml": CONFIG + "images: 3\n",
    "wrong/mixed.yaml": CONFIG.replace("digits", "folder:files/mixed"),
    "wrong/split.yaml": CONFIG + "split: {val_fraction: 1.5}\n",
    "wrong/oblong.yaml": CONFIG.replace("pskd", "lsskd").replace("digits", "parquet:oblong"),
}
"""What lies where the lines are typed, beside the sweeps of tests/old; a file a value."""


def lay_out(folder: Path) -> None:
    """Write what the lines name into `folder`."""
    with tarfile.open(TESTS / "old" / "runs.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "binary.yaml").write_bytes(bytes(range(256)))
    (folder / "folder.yaml").mkdir()
    (folder / "folder.safetensors").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    lay_out_files(folder / "files")
    parquet_folder(folder / "images")
    parquet_folder(folder / "oblong", shape=(8, 6))
    prepare("digits", ImagesConfig(), folder / "made")
    runs = folder / "runs"
    lay_out_tables(folder / "tables", runs / "finished")
    for name in ("cut", "baseless", "nameless", "other", "endless", "paid"):
        shutil.copytree(runs / "finished", runs / name)
    (runs / "cut" / "sweep.yaml").write_text("")
    (runs / "baseless" / "sweep.yaml").write_text("trials: 3\n")
    for name, line in (("endless", "hours: .nan"), ("paid", "price_per_hour: -2.0")):
        with (runs / name / "sweep.yaml").open("a") as file:
            file.write(f"{line}\n")
    (runs / "other" / "study.log").write_text("no journal\n" * 9)
    (runs / "nameless").rename(runs / "two words")


def lay_out_files(folder: Path) -> None:
    """Folders of image files, each with something wrong but `sound` and `whole`."""
    counts = {"cat": 12, "dog": 12}
    for name in ("sound", "mixed", "palette", "empty", "other", "damaged"):
        split_folder(folder / name, counts=counts)
    split_folder(folder / "alone", ("train",), counts=counts)
    split_folder(folder / "whole", ("train", "val", "test"), counts=counts)
    picture(size=(8, 6)).save(folder / "mixed" / "train" / "dog" / "dog_0.png")
    picture("P").save(folder / "palette" / "train" / "cat" / "cat_0.png")
    (folder / "empty" / "train" / "eel").mkdir()
    (folder / "other" / "test" / "dog").rename(folder / "other" / "test" / "eel")
    (folder / "damaged" / "test" / "dog" / "dog_7.png").write_text("no image")


def lay_out_tables(folder: Path, sweep: Path) -> None:
    """Tables that cannot be replayed, each beside the curves of `sweep`."""
    trials = pq.read_table(sweep / "trials.parquet")
    rows = trials.to_pylist()

    def changed(**values: object) -> pa.Table:
        return pa.Table.from_pylist([row | values for row in rows])

    wrong = {
        "empty": trials.slice(0, 0),
        "running": changed(state="running"),
        "lonely": trials.slice(0, 1),
        "headless": trials.slice(1),
        "method": changed(method="pksd"),
        "strange": changed(**{"kd.delta": 3.0}),
        "longer": changed(epochs=9),
        "words": pa.table({"word": ["no trial"]}),
        "state": changed(state=3),
        "backwards": changed(seeds=-3),
        "endless": changed(seconds=float("inf")),
        "texts": changed(**{"kd.beta": "much"}),
        "within": changed(**{"kd.beta.0": 3.0}),
        "hole": changed(**{"optimizer.milestones.9": 3}),
        "twice": pa.concat_tables([trials, trials.slice(1, 1)]),
        "high": trials,
        "below": trials,
        "again": trials,
        "early": trials,
    }
    for name, table in wrong.items():
        (folder / name).mkdir(parents=True)
        pq.write_table(table, folder / name / "trials.parquet")
        shutil.copy(sweep / "curves.parquet", folder / name)
    curves = pq.read_table(sweep / "curves.parquet").to_pylist()
    wrong_curves = {
        "high": [*curves[:-1], curves[-1] | {"val_acc": 1e300}],
        "below": [*curves[:-1], curves[-1] | {"val_acc": -65.0}],
        "again": [*curves, curves[-1]],
        "early": [point | {"epoch": "first"} for point in curves],
    }
    for name, points in wrong_curves.items():
        pq.write_table(pa.Table.from_pylist(points), folder / name / "curves.parquet")
    (folder / "garbage").mkdir()
    for name in ("trials.parquet", "curves.parquet"):
        (folder / "garbage" / name).write_text("garbage")


# -- the table -------------------------------------------------------------------------------------


def table() -> list[tuple[str, str]]:
    """What is typed, and the sentence that answers it, in which … stands for anything."""
    lines = (TESTS / "bad_inputs.txt").read_text(encoding="utf-8").splitlines()
    typed = [line.removeprefix("$ ") for line in lines[::2]]
    return list(zip(typed, lines[1::2], strict=True))


def words(line: str) -> list[str]:
    """A line as the shell would hand it on, long values written out."""
    for short, long in WORDS.items():
        line = line.replace(short, long)
    return shlex.split(line)


# -- a line, tried ---------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What a command that was refused leaves: its exit code, what it printed, and the rest."""

    code: int
    out: str
    err: str
    left: set[str]
    """The files that it made, changed or deleted."""


class Asker:
    """Tries lines in a folder, each in a fork of one process that has imported the commands."""

    def __init__(self, folder: Path) -> None:
        lay_out(folder)
        self._folder = folder
        self._answers = Path(tempfile.mkdtemp())
        self._server = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(self._answers)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(TESTS.parent), "TMPDIR": str(self._answers)},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()
        shutil.rmtree(self._answers)

    def ask(self, line: str) -> Answer:
        """Type one line."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        before = self._state()
        print(json.dumps(words(line)), file=self._server.stdin, flush=True)
        code = int(self._server.stdout.readline())
        out, err = ((self._answers / name).read_text() for name in ("out", "err"))
        return Answer(code, out, err, {name for name, _ in before ^ self._state()})

    def _state(self) -> set[tuple[str, int]]:
        paths = [path for path in self._folder.rglob("*") if path.name != "mlflow.lock"]
        return {(str(p.relative_to(self._folder)), p.lstat().st_mtime_ns) for p in paths}


def serve(answers: Path) -> None:
    """Answer the lines of standard input, in `answers` and with an exit code each."""
    mains = {name: import_module(module).main for name, module in MODULES.items()}
    # Whoever goes as far as to start a Ray ends here, with a traceback.
    sys.modules["ray"] = None  # type: ignore[assignment]
    for line in sys.stdin:
        child = os.fork()
        if not child:
            signal.alarm(PATIENCE)
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(answers / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            command, *words = json.loads(line)
            answer(mains[command], words)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def answer(main: Callable[[list[str]], None], words: list[str]) -> NoReturn:
    """Run `main` in a fork and end as the interpreter would, but for what it destroys.

    Arrow's threads do not outlive a fork, and its destructors abort now and then over that.
    """
    code = 0
    try:
        main(words)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
        sys.exit()
    with tempfile.TemporaryDirectory() as name, Asker(Path(name)) as asker:
        for line, _ in table():
            if line.startswith(" ".join(sys.argv[1:])):
                code, out, err, left = asker.ask(line)
                print(f"$ {line}\n{err.removeprefix('error: ').strip()}", flush=True)
                if code != 2 or left:
                    print(f"!! {code} {sorted(left)}\n{out}")
