"""ONNX Runtime Web, which computes networks in the browser: downloaded once from the npm registry."""

import io
import tarfile
from pathlib import Path

from utils.data.downloads import DataFile, read_file
from utils.outside import DamagedFile, read_bounded

VERSION = "1.23.2"  # the smallest WebAssembly file of the versions that read opset 20
PACKAGE = DataFile(
    "onnxruntime_web",
    f"onnxruntime-web-{VERSION}.tgz",
    urls=(f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz",),
    sha256="0b8707d7efab9a2bea63564d66cad79e897cfd0bd627e5ae000488ffc1c45c7d",
)
# The build without WebGPU and WebNN: half as large, and as fast for networks of this size.
FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
MAX_BYTES = 2**26
ADVICE = (
    "The site needs it to compute networks in the browser. Connect to the internet and run again, or set "
    f"MNIST_STUDY_MIRROR to a folder or URL that holds {PACKAGE.folder}/{PACKAGE.name}"
)


def runtime_files() -> dict[str, bytes]:
    """The content of FILES by name, from data/onnxruntime_web/, where the package is downloaded if missing (26 MB).

    Raises UserError if the package cannot be downloaded.
    """
    return read_file(PACKAGE, _unpacked, advice=ADVICE)


def _unpacked(path: Path) -> dict[str, bytes]:
    files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(read_bounded(path, MAX_BYTES))) as archive:
            for name in FILES:
                member = archive.extractfile(f"package/dist/{name}")
                if member is None:
                    raise DamagedFile(f"{name} is not a file")
                files[name] = member.read(MAX_BYTES)
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise DamagedFile(str(error)) from None
    return files
