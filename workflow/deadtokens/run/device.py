"""Where a run trains, and what makes its bits repeatable there."""

import ctypes
import fcntl
import os
import platform
import stat
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import torch

from deadtokens.errors import UserError

PLACES = 32  # of runs on a GPU, more than one holds
_claims: list[ExitStack] = []  # open as long as the process lives; then the kernel frees them


def choose_device(wanted: str) -> torch.device:
    """Return the device that `wanted` ('auto', 'cpu', 'cuda' or 'mps') means on this machine.

    Raises
    ------
    UserError
        If the machine has no such device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    kind = next(kind for kind in available if available[kind]) if wanted == "auto" else wanted
    if not available[kind]:
        raise UserError(f"device: this machine has no {kind}; set `device: auto` or `device: cpu`")
    return torch.device("cuda", _claim_gpu()) if kind == "cuda" else torch.device(kind)


def _claim_gpu() -> int:
    """Return the GPU that the fewest runs of this program use; the first if that is not known."""
    names = [
        f"deadtokens-gpu-{torch.cuda.get_device_properties(index).uuid}"
        for index in range(torch.cuda.device_count())
    ]
    for place in ["", *(f"-{number}" for number in range(1, PLACES))]:
        for index, name in enumerate(names):
            if _claim(Path(tempfile.gettempdir()) / f"{name}{place}.lock"):
                return index
    return 0


def _claim(path: Path) -> bool:
    """Return whether the lock at `path` is now this process's.

    All users of the machine lock the same file, which any of them may have made. So it is only
    read: a common folder does not let one write another's (Linux: ``fs.protected_regular``). What
    someone put there instead, a link or a pipe, is not followed, does no harm and is no lock.
    """
    with ExitStack() as unless_claimed, suppress(OSError):
        if not os.path.lexists(path):
            _make_readable_for_all(path)
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        lock = unless_claimed.enter_context(open(number))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stat.S_ISREG(os.fstat(number).st_mode):
            _claims.append(unless_claimed.pop_all())
            return True
    return False


def _make_readable_for_all(path: Path) -> None:
    """Make an empty file, which gets its name when all may read it, whatever the user's umask."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".deadtokens-") as new:
        os.fchmod(new.fileno(), 0o444)
        with suppress(FileExistsError):  # another process was faster
            os.link(new.name, path)


def make_deterministic(threads: int) -> None:
    """Fix everything outside the spec that could change bits: call it before any computation."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    # The same as use_deterministic_algorithms(True), without the seconds that this takes to import
    # torch's compiler.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs a pass over each matrix
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def keep_freed_memory() -> None:
    """Let glibc keep what is freed: the logits' matrices come back at every update.

    Without this each is mapped and zeroed anew by the kernel, a third of the time on a CPU.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mmap_threshold = -1, -3
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_threshold, 32 << 20)
    libc.mallopt(trim_threshold, 1 << 30)


def describe_device(device: torch.device) -> str:
    """Return the device's class and name, as recorded: 'cuda NVIDIA H100', 'cpu x86_64 ...'."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"{device.type} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
