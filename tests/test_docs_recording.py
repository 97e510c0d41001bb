"""Every example of docs/recording.md runs, on a small model, and makes what the page says."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from house import REPOSITORY
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from deadtokens.trajectory.reader import open_run

PAGE = REPOSITORY / "docs" / "recording.md"
README = REPOSITORY / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOKENS, LIVE, WIDTH, UPDATES = 30, 20, 8, 24
Names = dict[str, Any]


class Model(nn.Module):
    """Has the names of GPT-2's parts; predicts a token from one."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.transformer = nn.ModuleDict({"wte": nn.Embedding(TOKENS, WIDTH)})
        self.lm_head = nn.Linear(WIDTH, TOKENS, bias=False)
        self.lm_head.weight = self.transformer.wte.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.lm_head(self.transformer.wte(ids))


def batches() -> list[tuple[Tensor, Tensor]]:
    ids = torch.randint(0, LIVE, (UPDATES, 3, 9), generator=torch.Generator().manual_seed(1))
    ids[0].flatten()[:LIVE] = torch.arange(LIVE)
    return [(one[:, :-1], one[:, 1:]) for one in ids]


def step(model: Model, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor) -> None:
    optimizer.zero_grad()
    cross_entropy(model(inputs).flatten(0, 1), labels.flatten()).backward()
    optimizer.step()


def train(model: Model, optimizer: torch.optim.Optimizer) -> None:
    for inputs, labels in batches():
        step(model, optimizer, inputs, labels)


def examples(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the heading and the code of each example."""
    heading = ""
    for part in re.split(r"^(?=#+ )", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        heading = part.partition("\n")[0].lstrip("# ")
        yield from ((heading, code) for code in BLOCK.findall(part))


def yours(folder: Path) -> Names:
    """Return what the examples take for given."""
    model = Model()
    return {
        "model": model,
        "optimizer": torch.optim.AdamW(model.parameters(), lr=0.01),
        "tokenizer": [f"token {number}" for number in range(TOKENS)],
        "batches": batches(),
        "stream": torch.cat([ids.flatten() for ids, _ in batches()]).numpy(),
        "train": train,
        "step": step,
    }


def of_transformers(folder: Path) -> Names:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    torch.manual_seed(0)
    sizes = {"n_embd": WIDTH, "n_layer": 1, "n_head": 2, "n_positions": 16}
    ends = {"bos_token_id": None, "eos_token_id": None}
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=TOKENS, **sizes, **ends)
    )
    arguments = transformers.TrainingArguments(
        str(folder / "trainer"),
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        per_device_train_batch_size=3,
        max_steps=UPDATES,
        save_strategy="no",
    )
    dataset = [
        {"input_ids": row, "labels": row} for row in torch.cat([one for one, _ in batches()])
    ]
    return yours(folder) | {"model": model, "arguments": arguments, "dataset": dataset}


def of_lightning(folder: Path) -> Names:
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = Model()

        def training_step(self, batch: list[Tensor], number: int) -> Tensor:
            inputs, labels = batch
            return cross_entropy(self.model(inputs).flatten(0, 1), labels.flatten())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=0.01)

    pairs = [pair for inputs, labels in batches() for pair in zip(inputs, labels, strict=True)]
    loader = torch.utils.data.DataLoader(pairs, batch_size=3)
    return {"module": Module(), "loader": loader}


def recorded(folder: Path) -> Names:
    """Make the record that the examples read."""
    names = yours(folder)
    (code,) = (code for heading, code in examples(PAGE) if heading == "A plain loop")
    exec(code, names)
    return names


def whole_run(name: str, updates: int = UPDATES, dead: int | None = TOKENS - LIVE) -> Callable:
    """Return what checks that so many updates of all rows are recorded."""

    def check(names: Names) -> None:
        run = open_run(f"recorded/{name}")
        assert dict(run.sizes) == {
            "state": updates + 1,
            "update": updates,
            "token": TOKENS,
            "component": WIDTH,
        }
        assert {"W", "grad", "exp_avg", "exp_avg_sq", "lr"} <= set(run)
        if "model" in names:
            assert np.array_equal(run.W[-1], names["model"].transformer.wte.weight.detach())
        if dead is not None:
            assert int((run.sampled == 0).sum()) == dead

    return check


def check_strings(names: Names) -> None:
    whole_run("mine", dead=None)(names)
    assert open_run("recorded/mine").token_string[7] == "token 7"
    assert names["recorder"].failure is None


def loss_at_the_start() -> Tensor:
    inputs, labels = batches()[0]
    return cross_entropy(Model()(inputs).flatten(0, 1), labels.flatten())


def check_loop(names: Names) -> None:
    whole_run("mine")(names)
    run = open_run("recorded/mine")
    assert run.lr.values[:10] == pytest.approx(1e-3 * np.linspace(1 / 3, 1, 11)[:10])
    assert run.lr.values[10:] == pytest.approx(1e-3)
    assert run.loss.values[0] == pytest.approx(float(loss_at_the_start().detach()), rel=1e-4)


def check_rows_and_updates(names: Names) -> None:
    run = open_run("recorded/dead")
    assert run.state.values.tolist() == [*range(11), 15, 20]
    dead = run.token.values[run.dead.values]
    assert dead.tolist() == list(range(LIVE, TOKENS))
    assert run.sizes["token"] == len(dead) + 5


def check_predictions(names: Names) -> None:
    whole_run("predictions")(names)
    run = open_run("recorded/predictions")
    assert run.probability.sum("token").values == pytest.approx(1, abs=1e-5)
    assert {"h_mean", "entropy"} <= set(run)


def check_trainer(names: Names) -> None:
    whole_run("trainer")(names)
    assert open_run("recorded/trainer").token_string[7] == "token 7"


def check_resumed(names: Names) -> None:
    whole_run("resumed", updates=2 * UPDATES)(names)
    assert not Path("recorded/resumed/set-aside").exists()
    assert not Path("recorded/resumed-2").exists()


def check_reading(names: Names) -> None:
    assert dict(names["moved"].sizes) == {"state": UPDATES, "token": TOKENS}
    assert names["moved"].all()
    assert names["run"].dead.values.tolist() == [token >= LIVE for token in range(TOKENS)]
    assert names["moved_dead"].values.tolist() == [1.0] * UPDATES
    seen = names["norms"]
    assert seen[:LIVE].min() > seen[LIVE:].max() > 0
    assert names["damaged"] == {}


def check_analyses(names: Names) -> None:
    assert names["frozen"].values.tolist() == [0.0] * UPDATES
    assert 0 < names["efficiency"] <= 1
    area = names["indicators"].area
    for indicator, update in names["seen_from"].items():
        seen = (area.sel(indicator=indicator) >= 0.95).values
        unseen = np.flatnonzero(~seen).max(initial=-1)
        assert update == (area.state[unseen + 1] if seen[-1] else -1)
    assert names["audit"]["identical"]
    assert names["audit"]["controls_detected"]
    assert "single" in names["audit"]["reproduced_by"]
    assert names["shares"].sum("term").values == pytest.approx(1, abs=1e-4)
    assert names["causes"].sum() == int(names["stillness"].still_components.sum())


CHECKS: dict[str, tuple[Callable[[Path], Names], Callable[[Names], None]]] = {
    "Record your own training": (yours, check_strings),
    "A plain loop": (yours, check_loop),
    "Which rows, and when": (yours, check_rows_and_updates),
    "Which tokens are dead": (yours, whole_run("counted")),
    "What the model predicts": (yours, check_predictions),
    "HuggingFace Trainer": (of_transformers, check_trainer),
    "Lightning": (of_lightning, whole_run("lightning")),
    "What is written": (yours, check_resumed),
    "Read it": (recorded, check_reading),
    "What it says": (recorded, check_analyses),
}


def test_every_example_is_checked():
    headings = [heading for heading, _ in examples(PAGE)]
    assert headings == list(CHECKS)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning:lightning")  # advice on loaders
@pytest.mark.parametrize("heading", CHECKS)
def test_the_example_makes_what_the_page_says(heading, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    given, check = CHECKS[heading]
    names = given(tmp_path)
    (code,) = (code for found, code in examples(PAGE) if found == heading)
    exec(compile(code, f"{PAGE.name}: {heading}", "exec"), names)
    check(names)
    if given in (yours, recorded):
        printed = capfd.readouterr()
        assert printed.out.count("\n") == code.count("print(")
        assert printed.err == ""


def test_a_check_notices_a_record_that_is_not_the_page_s(tmp_path, monkeypatch):
    """Negative control."""
    monkeypatch.chdir(tmp_path)
    names = recorded(tmp_path)
    check_loop(names)
    with torch.no_grad():
        names["model"].transformer.wte.weight[0, 0] += 1
    with pytest.raises(AssertionError):
        check_loop(names)


def test_the_readme_has_the_first_example():
    _, first = next(examples(PAGE))
    assert first in BLOCK.findall(README.read_text(encoding="utf-8"))
