"""Configuration files: JSON or YAML, merged as Snakemake merges them, but no key lost."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import yaml

from deadtokens.errors import UserError

MERGE = "tag:yaml.org,2002:merge"  # `<<`, which may stand several times


def read_configuration(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Return configuration files merged as Snakemake merges them, later ones over earlier ones.

    Raises
    ------
    UserError
        If a file is missing, is neither JSON nor YAML in UTF-8, is no mapping, or has a key twice
        in one mapping: the readers that Snakemake uses would take the last one without a word.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        _merge(merged, _read(Path(path)))
    return merged


def check_folder_of_results(folder: Path) -> None:
    """Refuse results in what is there and no folder.

    Raises
    ------
    UserError
        If it is a file, or stands below one.
    """
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise UserError(
                f"{place}: a file stands where the folder of the results should be; rename it, or "
                "let Snakemake work in another folder (--directory)"
            )


def _merge(values: dict, over: dict) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _read(path: Path) -> dict[str, Any]:
    try:
        values = _parsed(path.read_text(encoding="utf-8"), path)
    except OSError as error:
        raise UserError(f"{path}: not a readable configuration ({error.strerror})") from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable configuration ({reason})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: a configuration is a mapping of keys to values, this is not")
    return values


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _json_mapping(pairs, path))
    except ValueError:  # not JSON
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
    for mapping in _mappings(root, set()):
        keys = [key for key, _ in mapping.value if key.tag != MERGE]
        lines = (f"{path}, line {key.start_mark.line + 1}" for key in keys)
        _refuse_repeats([str(key.value) for key in keys], lines)
    return None if root is None else loader.construct_document(root)


def _json_mapping(pairs: Sequence[tuple[str, Any]], path: Path) -> dict[str, Any]:
    _refuse_repeats([name for name, _ in pairs], repeat(str(path)))
    return dict(pairs)


def _mappings(node: yaml.Node | None, seen: set[int]) -> Iterator[yaml.MappingNode]:
    """Yield every mapping below a node once, however often aliases repeat it."""
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield node
    for part in node.value:
        for inner in part if isinstance(part, tuple) else (part,):
            yield from _mappings(inner, seen)


def _refuse_repeats(names: Sequence[str], places: Iterable[str]) -> None:
    seen = set()
    for name, place in zip(names, places, strict=False):
        if name in seen:
            raise UserError(
                f"{place}: the key {name!r} stands in this mapping a second time, and the first "
                "would be lost; keep one"
            )
        seen.add(name)
