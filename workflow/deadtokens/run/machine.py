"""What determines the bits of a training besides its spec, its text and torch: the machine.

Libraries choose their kernels by the processor and by variables of the environment. All that is
known to give other bits is named here; where something is named that happens to make no difference,
that costs a question and no bit.
"""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from deadtokens.commit import git_commit
from deadtokens.errors import UserError
from deadtokens.run.device import describe_device

DEVICE = "device"
CPUINFO = Path("/proc/cpuinfo")
ON_CPU = (
    "ATEN_CPU_CAPABILITY",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA",  # oneDNN's, by its present and its former name
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_CPU_ISA_HINTS",
    "DNNL_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_DEBUG_CPU_TYPE",
    "OPENBLAS_CORETYPE",
    "GLIBC_TUNABLES",
    "OMP_DYNAMIC",  # fewer threads than are asked for, and so other sums
    "OMP_THREAD_LIMIT",
    "OMP_MAX_ACTIVE_LEVELS",
)
ON_GPU = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUBLASLT_WORKSPACE_SIZE",
    "DISABLE_ADDMM_CUDA_LT",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_BLAS_PREFER_CUBLASLT",
    "TORCH_CUBLASLT_UNIFIED_WORKSPACE",
)
ARITHMETIC = re.compile(r"sse4_\d|avx.*|f16c|fma4?|amx.*|asimd.*|fphp|sve.*|sme.*|bf16|i8mm")
Machine = Mapping[str, str]


def describe_machine(device: torch.device) -> dict[str, str]:
    """Return what determines bits on a device of this machine, in force in this process.

    Call it behind `device.make_deterministic`, which sets the threads.

    Returns
    -------
    dict of str to str
        By the names by which people speak of them; the first is the ``device``.
    """
    parts = {DEVICE: describe_device(device)}
    if device.type == "cuda":
        processors = torch.cuda.get_device_properties(device).multi_processor_count
        return parts | {
            "multiprocessors": str(processors),
            "CUDA": str(torch.version.cuda),
            "driver": _nvidia_driver(),
            "library switches": _switches(ON_GPU),
        }
    return parts | {
        "processor": _processor(),
        "instruction sets": _instruction_sets(),
        "library switches": _switches(ON_CPU),
        "threads": str(torch.get_num_threads()),
    }


def as_attribute(machine: Machine) -> str:
    """Return what a file says of the machine beside its device: one line for people."""
    return "; ".join(f"{part}: {value}" for part, value in machine.items() if part != DEVICE)


def describe_making(machine: Machine, packages: Sequence[str]) -> dict[str, str]:
    """Return the attributes that say where, and by what, a segment is made.

    Parameters
    ----------
    machine : mapping of str to str
    packages : sequence of str
        Those whose versions are named.
    """
    return {
        "device": machine[DEVICE],
        "machine": as_attribute(machine),
        "python": platform.python_version(),
        "packages": ", ".join(f"{package} {version(package)}" for package in packages),
        "git_commit": git_commit(),
    }


def check_same_machine(there: Machine, here: Machine, path: Path) -> None:
    """Refuse to go on where the bits may be others.

    Parameters
    ----------
    there, here : mapping of str to str
        Where the checkpoint was made; this machine.
    path : Path
        The checkpoint.

    Raises
    ------
    UserError
        What differs.
    """
    parts = [part for part in {**there, **here} if there.get(part) != here.get(part)]
    if parts:
        differences = ", ".join(
            f"{part} {there.get(part, 'unknown')!r} there and {here.get(part, 'unknown')!r} here"
            for part in parts
        )
        raise UserError(
            f"{path}: trained on another machine ({differences}): the bits would not be those of "
            "one run in one piece; go on there, or allow it by `machines.elsewhere: true` in the "
            "configuration (--elsewhere by hand): each segment then says where it was made"
        )


def processor_name() -> str:
    """Return the processor's model where the system tells, else its architecture."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def _processor() -> str:
    """Return the model by name and by numbers: virtual machines hide the former."""
    numbers = ("cpu family", "model", "CPU implementer", "CPU part")
    known = [f"{name} {_cpuinfo()[name]}" for name in numbers if name in _cpuinfo()]
    return ", ".join([processor_name(), *known])


def _instruction_sets() -> str:
    flags = _cpuinfo().get("flags") or _cpuinfo().get("Features", "")
    found = sorted(flag for flag in set(flags.split()) if ARITHMETIC.fullmatch(flag))
    return " ".join(found) or torch.backends.cpu.get_cpu_capability()


def _switches(names: Sequence[str]) -> str:
    found = [f"{name}={os.environ[name]}" for name in names if os.environ.get(name)]
    return " ".join(found) or "none"


def _nvidia_driver() -> str:
    try:
        return Path("/sys/module/nvidia/version").read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"


def _cpuinfo() -> dict[str, str]:
    return _first_processor(CPUINFO)


@cache
def _first_processor(path: Path) -> dict[str, str]:
    """Return what Linux says of the first processor, nothing on other systems."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return {}
    fields = [line.partition(":") for line in text.partition("\n\n")[0].splitlines()]
    return {name.strip(): value.strip() for name, _, value in fields}
