"""Hostile files and command lines, made from a seed: each is read, or refused with advice, soon and with no traceback.

python -m tests.soak.hostile                    the long version, a part of make soak
python -m tests.soak.hostile files 1000 [SEED]  one part: files, commands
python -m tests.soak.hostile short              few of each, with another seed
"""

import contextlib
import gzip
import io
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

import mnist
from models.numpy_models.weights_file import read_weights
from models.registry import load_trained
from study.comparison.groups import list_runs
from study.sweeps.plan import read_plan
from trainers import Recipe, train
from utils.cli import options_of
from utils.data.array_files import DamagedFile, read_idx
from utils.data.csv_digits import csv_digits, csv_images
from utils.data.digit_preprocessing import read_digit
from utils.data.mnist_c_files import published_digits
from utils.data.pictures import labelled_pictures
from utils.errors import CONTROL_CHARACTERS, UserError
from utils.predictions import load_predictions
from utils.run import Run

CPU_SECONDS, WALL_SECONDS = 5, 60  # of one file; the machine may be busy
ADVICE = re.compile(
    r"expected|Expected|choose|Choose|All options|All commands|mnist |did you mean|Try|Delete|[Dd]ownload|leave|set "
    r"|Set |give|Connect|create|put|needs|names|replace|Convert|Correct|unset|start the command|make"
)
SHORT = {"files": 80, "commands": 12}
MANY_DIGITS = "9" * 5000
TEXTS = [
    "\x1b[2J\x1b[31m",
    "\u202eoops",
    "\r\nforged line",
    "=cmd|' /C calc'!A0",
    "x" * 100_000,
    "../../etc/passwd",
    "",
]
Mutation = Callable[[random.Random, bytes], bytes]


def main(arguments: list[str]) -> None:
    parts = {"files": (check_files, 1000), "commands": (check_commands, 600)}
    chosen = {name: count for name, (_, count) in parts.items()}
    seed = int(arguments[2]) if arguments[2:] else 0
    if arguments == ["short"]:
        chosen, seed = SHORT, 1
    elif arguments:
        chosen = {arguments[0]: int(arguments[1])}
    torch.set_num_threads(1)
    for name, count in chosen.items():
        with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
            home = Path(folder) / "in" / "here"  # so that ../.. is inside too
            home.mkdir(parents=True)
            failures, line = parts[name][0](home, count, seed)
            print(*failures, line, sep="\n", flush=True)
            if failures:
                sys.exit(1)


# Files: a valid file of each kind, damaged.


def check_files(home: Path, count: int, seed: int) -> tuple[list[str], str]:
    """The failures, and a line for docs/reliability.md."""
    random_numbers = random.Random(seed)
    with prepared(home):
        kinds = file_kinds(home)
        failures: list[str] = []
        outcomes: Counter[str] = Counter()
        longest = 0.0
        for number in range(count):
            name, (path, read) = random_numbers.choice(list(kinds.items()))
            original = path.read_bytes()
            damage = replace_file(random_numbers, path, original)
            started = time.process_time()
            outcome = outcome_of(read)
            longest = max(longest, time.process_time() - started)
            restore(path, original)
            outcomes[outcome.split("\n")[0]] += outcome in ("read", "refused")
            if outcome not in ("read", "refused"):
                failures.append(f"{name}, {damage}, file {number} of seed {seed}: {outcome}")
    counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()) if number)
    return failures, f"files: {count:,} of seed {seed}: {counts}, {len(failures)} failed; longest {longest:.1f} s"


@contextlib.contextmanager
def prepared(home: Path) -> Iterator[None]:
    """A home with a finished run `mine`, without a mirror; messages go nowhere."""
    before = dict(os.environ), Path.cwd()
    os.environ["MNIST_STUDY_HOME"] = str(home)
    os.environ.pop("MNIST_STUDY_MIRROR", None)
    os.environ |= {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    os.chdir(home)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train(Recipe("linear", dataset="digits", num_epochs=2, learning_rate=0.01), run_name="mine")
        yield
    os.environ.clear()
    os.environ.update(before[0])
    os.chdir(before[1])


def outcome_of(read: Callable[[], object]) -> str:
    """`read`, `refused`, or what went wrong."""

    def too_long(*_: object) -> None:
        raise TimeoutError("too long")

    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, too_long)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    try:
        read()
    except UserError as error:
        message = str(error)
        if CONTROL_CHARACTERS.search(message.replace("\n", "")) or len(message.split("\n")) > 3 or len(message) > 2000:
            return f"a bad message: {message!r:.500}"
        return "refused"
    except Exception:
        return f"traceback\n{traceback.format_exc(limit=-6)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "read"


def file_kinds(home: Path) -> dict[str, tuple[Path, Callable[[], object]]]:
    """Kind -> a valid file of it, and the function that reads it."""
    run = Run(home / "runs" / "mine")
    files = home / "files"
    files.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (30, 785)) % [10, *[256] * 784]
    np.savetxt(files / "digits.csv", pixels, "%d", delimiter=",")
    np.savetxt(files / "pixels.csv", pixels[:, 1:], "%d", delimiter=",")
    header = bytes([0, 0, 8, 3, 0, 0, 0, 30, 0, 0, 0, 28, 0, 0, 0, 28])
    (files / "images.gz").write_bytes(gzip.compress(header + pixels[:, 1:].astype(np.uint8).tobytes()))
    weights = {"weight_1": np.ones((8, 784)), "bias_1": np.ones(8), "weight_2": np.ones((10, 8)), "bias_2": np.ones(10)}
    np.savez(files / "weight_detailsFC8-FC10.npz", **weights)
    (files / "plan.toml").write_text('models = ["linear"]\n[fields]\nlearning_rate = [1e-3, 1e-2]\n')
    picture = Image.new("RGBA", (280, 280), "white")
    ImageDraw.Draw(picture).line([(80, 70), (200, 70), (120, 220)], fill="black", width=18)
    pictures = home / "data" / "mine"
    pictures.mkdir(parents=True)
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"):
        picture.convert("RGBA" if kind == "PNG" else "RGB").save(files / f"seven.{kind}", kind)
    picture.save(pictures / "seven.png")
    (pictures / "labels.csv").write_text("file,label\nseven.png,7\n")
    corrupted = home / "data" / "mnist_c" / "fog"
    corrupted.mkdir(parents=True)
    np.save(corrupted / "test_images.npy", np.zeros((10_000, 28, 28, 1), np.uint8))
    np.save(corrupted / "test_labels.npy", np.zeros(10_000, np.int64))

    def everything_of_the_run() -> None:
        list_runs()  # never refused because of one damaged run
        found = Run(run.path)
        _ = found.problem
        _ = found.recipe, found.execution, found.environment, found.metrics, found.summary
        found.predictions("test")
        load_trained(found)

    def or_os_error(read: Callable[[], object]) -> Callable[[], object]:
        """For readers whose callers explain these two errors."""

        def reading() -> None:
            try:
                read()
            except (DamagedFile, OSError) as error:
                raise UserError(str(error)) from None

        return reading

    kinds: dict[str, tuple[Path, Callable[[], object]]] = {
        "CSV with labels": (files / "digits.csv", lambda: csv_digits([str(files / "digits.csv")])),
        "CSV without labels": (files / "pixels.csv", lambda: csv_images(str(files / "pixels.csv"))),
        "idx": (files / "images.gz", or_os_error(lambda: read_idx(files / "images.gz"))),
        "weights of the NumPy project": (
            files / "weight_detailsFC8-FC10.npz",
            lambda: read_weights(files / "weight_detailsFC8-FC10.npz"),
        ),
        "plan": (files / "plan.toml", lambda: read_plan(files / "plan.toml")),
        "labels.csv": (pictures / "labels.csv", lambda: labelled_pictures("mine")),
        "MNIST-C": (corrupted / "test_images.npy", lambda: published_digits("fog")),
        "predictions": (run.predictions_file("test"), lambda: load_predictions(run.predictions_file("test"))),
    }
    for path in files.glob("seven.*"):
        kinds[f"picture {path.suffix}"] = (path, lambda path=path: read_digit(path))
    for path in (*run.path.glob("*.json*"), run.best_checkpoint, run.predictions_file("test")):
        kinds[f"{path.name} of a run"] = (path, everything_of_the_run)
    return kinds


def replace_file(random_numbers: random.Random, path: Path, original: bytes) -> str:
    """Puts something hostile in the place of the file and returns what."""
    links = {"device": Path("/dev/zero"), "loop": path, "no target": Path("nowhere")}
    special = {"pipe": os.mkfifo, "folder": Path.mkdir}
    special |= {name: lambda it, target=target: it.symlink_to(target) for name, target in links.items()}
    if random_numbers.random() < 0.08:
        name = random_numbers.choice(list(special))
        path.unlink()
        special[name](path)
        return name
    mutations = [*BYTE_MUTATIONS]
    if path.suffix in (".json", ".jsonl", ".csv", ".toml"):
        mutations += [*TEXT_MUTATIONS] * 2
    if path.suffix in (".json", ".jsonl"):
        mutations += [hostile_value] * 8
    if path.suffix == ".npz":
        mutations += [hostile_array, unpacks_to_much] * 4
    if path.suffix == ".npy":
        mutations += [lambda random_numbers, _: npy(random_numbers)] * 4
    if path.suffix == ".gz":
        mutations += [hostile_idx] * 4
    if path.suffix in (".PNG", ".BMP", ".GIF", ".JPEG"):
        mutations += [hostile_picture] * 4
    content = original
    mutation = mutations[0]
    for _ in range(random_numbers.choice([1, 1, 1, 2])):
        mutation = random_numbers.choice(mutations)
        content = mutation(random_numbers, content)
    path.write_bytes(content)
    return mutation.__name__


def restore(path: Path, original: bytes) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()
    path.write_bytes(original)


def flipped(random_numbers: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(random_numbers.choice([1, 3, 30]) if changed else 0):
        place = random_numbers.randrange(min(len(changed), random_numbers.choice([64, 512, len(changed)])))
        changed[place] = random_numbers.choice([0, 255, 127, random_numbers.randrange(256)])
    return bytes(changed)


def cut(random_numbers: random.Random, content: bytes) -> bytes:
    return content[: random_numbers.randrange(len(content) + 1)]


def repeated(random_numbers: random.Random, content: bytes) -> bytes:
    start = random_numbers.randrange(len(content) + 1)
    part = content[start : start + random_numbers.choice([1, 10, 1000])]
    return content[:start] + part * random_numbers.choice([2, 100, 1000]) + content[start:]


def swapped(random_numbers: random.Random, content: bytes) -> bytes:
    """Another kind of file under this name."""
    png = b"\x89PNG\r\n\x1a\n"
    return random_numbers.choice(
        [b"", b"\0" * 5000, png, b"PK\x03\x04", b"<html>404</html>", b"\xff\xfe" + content, b"\n" * 99]
    )


def another_number(random_numbers: random.Random, content: bytes) -> bytes:
    numbers = list(re.finditer(rb"\d+", content))
    found = random_numbers.choice(numbers) if numbers else re.match(b"", content)
    values = ["-1", "1e999", "NaN", "Infinity", MANY_DIGITS, "9" * 30, "0.5", "''", '"7"', "=1+1", "٣", "1_0", "0x10"]
    return content[: found.start()] + random_numbers.choice(values).encode() + content[found.end() :]


def nested(random_numbers: random.Random, content: bytes) -> bytes:
    opening = random_numbers.choice([b"[", b'{"a":', b"(", b'"'])
    return random_numbers.choice([opening * 100_000, content + opening * 100_000])


def one_long_line(random_numbers: random.Random, content: bytes) -> bytes:
    return (
        content[: random_numbers.randrange(len(content) + 1)] + random_numbers.choice([b"1,", b"1", b"x"]) * 3_000_000
    )


def hostile_value(random_numbers: random.Random, content: bytes) -> bytes:
    """JSON with one value, or one name, replaced."""
    lines = (
        content.decode(errors="replace").splitlines() if content.count(b"}\n{") else [content.decode(errors="replace")]
    )
    place = random_numbers.randrange(len(lines))
    try:
        values = json.loads(lines[place])
        name = random_numbers.choice(list(values))
    except (ValueError, IndexError, TypeError, RecursionError):
        return content
    hostile = [
        None,
        True,
        -1,
        0,
        1e308,
        -1e308,
        2**63,
        2**62,
        [],
        {},
        [1],
        {"a": 1},
        float("nan"),
        float("inf"),
        *TEXTS,
    ]
    hostile += [
        "\ud800",
        "os:system",
        "C(999999999,3)-FC10",
        "FC999999999-FC10",
        "torchvision:nothing",
        "csv:/dev/zero",
    ]
    kind = random_numbers.random()
    if kind < 0.1:
        values.pop(name)
    elif kind < 0.2:
        values[random_numbers.choice(TEXTS)] = values.pop(name)
    else:
        values[name] = random_numbers.choice(hostile)
    lines[place] = json.dumps(values)
    return "".join(f"{line}\n" for line in lines).encode()


def npy(random_numbers: random.Random) -> bytes:
    arrays = [
        np.array(["a", "b"]), np.array([None, {}], dtype=object), np.zeros((2, 10), complex), np.zeros(3, bool),
        np.full((4, 10), np.nan), np.full((4, 10), np.inf, np.float32), np.zeros((0, 10)), np.zeros((4, 0)),
        np.zeros(()), np.array(["2020-01-01"], "M8[D]"), np.zeros((2, 10), [("a", "i4")]), np.full((3, 10), 1e300),
        np.full(4, 2**63, np.uint64), np.full(359, -1), np.zeros((1,) * 30),
    ]  # fmt: skip
    content = io.BytesIO()
    np.save(content, random_numbers.choice(arrays), allow_pickle=True)
    shapes = [
        b"(-1, -28, 28)",
        b"(999999999999, 10)",
        b"(" + b"1," * 70 + b")",
        b"(1e9,)",
        b"(((((",
        b"'x'",
        b"(2**40,)",
    ]
    if random_numbers.random() < 0.5:
        return content.getvalue()
    shape = random_numbers.choice(shapes)
    text = b"{'descr': '<i8', 'fortran_order': False, 'shape': " + shape + b", }\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(16)


def hostile_array(random_numbers: random.Random, content: bytes) -> bytes:
    """An npz file with one array replaced, left out or added."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:
        return content
    name = random_numbers.choice([*members, "added.npy"])
    members[name] = npy(random_numbers)
    if random_numbers.random() < 0.2:
        members.pop(name)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", random_numbers.choice([zipfile.ZIP_STORED, zipfile.ZIP_LZMA])) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return made.getvalue()


def unpacks_to_much(random_numbers: random.Random, content: bytes) -> bytes:
    """A file of a few hundred kilobytes that unpacks to 400 MB."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        name = random_numbers.choice(["logits.npy", "weight_1.npy", "labels.npy", "x"])
        with archive.open(name, "w", force_zip64=True) as member:
            for _ in range(100):
                member.write(bytes(4_000_000))
    return made.getvalue()


def hostile_idx(random_numbers: random.Random, content: bytes) -> bytes:
    sizes = [[2**32 - 1] * 3, [0, 28, 28], [30, 28, 29], [1] * 4, [30 * 784]]
    header = bytes([0, 0, random_numbers.choice([8, 9, 12, 14]), random_numbers.choice([0, 1, 3, 4, 200])])
    header += b"".join(side.to_bytes(4, "big") for side in random_numbers.choice(sizes))
    return gzip.compress(header + bytes(random_numbers.choice([0, 100, 30 * 784, 300_000_000])), 1)


def hostile_picture(random_numbers: random.Random, content: bytes) -> bytes:
    """A picture with an unusual form, or that takes much time or memory if nothing limits it."""
    kind = random_numbers.randrange(7)
    made = io.BytesIO()
    if kind == 0:  # long and thin
        Image.new("L", random_numbers.choice([(8, 100_000), (100_000, 8), (9, 60_000)]), 255).save(made, "PNG")
    elif kind == 1:
        Image.new("L", (9_000, 9_000)).save(made, "PNG")
    elif kind == 2:  # claims 4,000,000,000 x 4 pixels
        header = b"IHDR" + (4_000_000_000).to_bytes(4, "big") + (4).to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
        checksum = zlib.crc32(header).to_bytes(4, "big")
        return b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header + checksum
    elif kind == 3:  # floating-point values
        values = np.full((40, 40), random_numbers.choice([np.nan, np.inf, -1e38, 1e38]), np.float32)
        Image.fromarray(values).save(made, "TIFF")
    elif kind == 4:
        frames = [Image.new("P", (100, 100), number) for number in range(200)]
        frames[0].save(made, "GIF", save_all=True, append_images=frames[1:])
    elif kind == 5:  # run-length coded, which Pillow decodes in Python
        size = (4000).to_bytes(4, "little") * 2
        head = (
            b"BM" + bytes(8) + (1078).to_bytes(4, "little") + (40).to_bytes(4, "little") + size + b"\1\0\x08\0\1\0\0\0"
        )
        return head + bytes(20) + bytes(1024) + b"\x01\x07" * 4_000_000
    else:  # a progressive JPEG of thousands of scans
        Image.new("RGB", (5_000, 5_000), "white").save(made, "JPEG", progressive=True)
        start = made.getvalue().rindex(b"\xff\xda")
        return made.getvalue()[:-2] + made.getvalue()[start:-2] * 3_000 + b"\xff\xd9"
    return made.getvalue()


BYTE_MUTATIONS = (flipped, flipped, cut, repeated, swapped)
TEXT_MUTATIONS = (another_number, nested, one_long_line)


# Command lines: options of every command with hostile values.


def check_commands(home: Path, count: int, seed: int) -> tuple[list[str], str]:
    """The failures, and a line for docs/reliability.md."""
    random_numbers = random.Random(seed)
    failures: list[str] = []
    outcomes: Counter[str] = Counter()
    with prepared(home):
        os.mkfifo(home / "pipe")
        (home / "a folder").mkdir()
        for number in range(count):
            arguments = hostile_arguments(random_numbers)
            code, output = run_in_child(arguments, home)
            problem = problem_of(code, output)
            outcomes[
                {0: "done", 2: "refused"}.get(code, "stopped after 20 s" if code == -9 else "other")
            ] += not problem
            if problem:
                shown = " ".join(f"{argument!r:.60}" for argument in arguments)
                failures.append(f"command {number} of seed {seed}: mnist {shown}: {problem}\n{output[-1500:]}")
    counts = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()) if number)
    return failures, f"commands: {count:,} of seed {seed}: {counts}, {len(failures)} failed"


def hostile_arguments(random_numbers: random.Random) -> list[str]:
    name = random_numbers.choice(list(mnist.COMMANDS))
    options = options_of(mnist.load_command(name)[1])
    values = [
        "", " ", "-1", "0", "7", "1e999", "nan", "inf", "1.5", MANY_DIGITS, "-" + MANY_DIGITS, "0x10", "\u0663",
        "9" * 30, "\x1b[2J", "\u202eX", "a\nb", "\U0001f986", "\udcff", "x" * 5000, "(" * 3000, "%s", "{0}", "$(id)",
        "=1+1", "*", "~", "../..", "/proc/x", ".", "/dev/zero", "/dev/null", "pipe", "a folder", "mine", "runs/mine",
        "~nobody/x", "None", "True", "csv:", "csv:/dev/zero", "csv:pipe", "csv:,,,", "csv:a,test=b,test=c", "os:system",
        "os:nothing", "torchvision:x", "C(0,3)", "FC10-FC10", "-", "--", "--nothing", "-h=", "0:0", "5:1",
        "0:999999999", "0,0", "auto", "cuda:99", "digits", "linear",
    ]  # fmt: skip
    words = name.split()
    for _ in range(random_numbers.choice([1, 1, 2, 3])):
        option = random_numbers.choice(options) if options else None
        value = random_numbers.choice(values)
        kind = random_numbers.random()
        if option is None or kind < 0.2 or not option.flags:
            words.append(value)
        elif kind < 0.3:
            words.append(random_numbers.choice(option.flags))
        elif kind < 0.5:
            words.append(f"{random_numbers.choice(option.flags)}={value}")
        else:
            words += [random_numbers.choice(option.flags), value]
    if random_numbers.random() < 0.05:
        words[0] = value
    return words


def run_in_child(arguments: list[str], home: Path) -> tuple[int, str]:
    """Exit code, or the negative number of a signal, and output of `mnist` in a forked child, stopped after 20 s."""
    log = home / "log"
    child = os.fork()
    if child == 0:
        code = 70
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
            sys.argv = ["mnist", *arguments]
            mnist.main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    deadline = time.monotonic() + 20
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(status), log.read_text(encoding="utf-8", errors="replace")


def problem_of(code: int, output: str) -> str:
    """What is wrong with the end of a command; empty if nothing."""
    if "Traceback" in output or code not in (0, 2, -9):
        return f"exit code {code}"
    if CONTROL_CHARACTERS.search(re.sub(r"\x1b\[A|[\n\t\r]", "", output)):  # tqdm moves up by a line
        return "control characters"
    if code != 2:
        return ""
    message = output[output.rindex("error: ") :] if "error: " in output else ""
    if not message or len(message.rstrip().split("\n")) > 3 or len(message) > 3000:
        return "not a message of one or two lines"
    return "" if ADVICE.search(message) else "a message without advice"


if __name__ == "__main__":
    main(sys.argv[1:])
