"""What a recorder is given: each kind of it is taken as what it is, or refused in one sentence."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from foreign import LIVE, TOKENS, WIDTH, Model, train
from torch import Tensor, nn

from deadtokens.errors import UserError
from deadtokens.recording.attach import Attached
from deadtokens.recording.recorder import Recorder
from deadtokens.trajectory.reader import open_run

DEAD = np.arange(TOKENS) >= LIVE


def new() -> tuple[Model, torch.optim.Optimizer]:
    model = Model()
    return model, torch.optim.AdamW(model.parameters(), lr=0.01)


def recorded(folder: Path, updates: int = 2, **options):
    """Record some updates, and open the record."""
    model, optimizer = new()
    with Recorder(folder, model.embedding.weight, optimizer, on_failure="raise", **options):
        train(model, optimizer, range(updates))
    return open_run(folder)


ROWS = {
    "mask": (DEAD, list(range(LIVE, TOKENS))),
    "mask of torch": (torch.tensor(DEAD), list(range(LIVE, TOKENS))),
    "mask as a list": (DEAD.tolist(), list(range(LIVE, TOKENS))),
    "numbers": (np.array([7, 3, 7]), [3, 7]),
    "small numbers": (np.array([7, 3], np.uint8), [3, 7]),
    "numbers of torch": (torch.tensor([7, 3]), [3, 7]),
    "a range": (range(3), [0, 1, 2]),
    "a set": ({7, 3}, [3, 7]),
    "a generator": ((2 * one for one in range(3)), [0, 2, 4]),
}


@pytest.mark.parametrize("kind", ROWS)
def test_rows_are_numbers_or_a_mask(tmp_path, kind):
    given, rows = ROWS[kind]
    assert recorded(tmp_path / "mine", rows=given).token.values.tolist() == rows


@pytest.mark.parametrize(
    "given", [DEAD, ~DEAD, torch.tensor(DEAD), DEAD.tolist(), torch.arange(TOKENS) % 3]
)
def test_counts_are_numbers_or_whether_there_are_any(tmp_path, given):
    run = recorded(tmp_path / "mine", counts=given, embedding=None)
    values = np.asarray(given)
    assert run.dead.values.tolist() == (values == 0).tolist()
    assert ("count" in run) == (values.dtype != bool)  # a truth value is no number of occurrences
    if "count" in run:
        assert np.array_equal(run["count"], values)


class Handmade:
    """An optimizer that is none of torch's: no hooks."""

    def __init__(self, inner: torch.optim.Optimizer):
        self.param_groups, self.state, self.inner = inner.param_groups, inner.state, inner

    def step(self) -> None:
        self.inner.step()


class Hasty(torch.optim.SGD):
    """Makes its groups itself, and nothing else that an optimizer of torch has."""

    def __init__(self, weights: list[Tensor]):
        self.param_groups, self.state = [{"params": weights}], {}


class Slotted:
    __slots__ = ()


ROWS_ARE = "^rows: must be 'all', 'dead', whole numbers of rows, or a truth value for each token$"
OPTIMIZER_IS = "must be a `torch.optim.Optimizer`"
MISTAKES = [
    ({"rows": [1.5, 2.7]}, ROWS_ARE),
    ({"rows": np.array([[1, 2]])}, ROWS_ARE),
    ({"rows": [[1], [2, 3]]}, ROWS_ARE),
    ({"rows": torch.tensor([1.0])}, ROWS_ARE),
    ({"rows": 5}, ROWS_ARE),
    ({"rows": slice(0, 5)}, ROWS_ARE),
    ({"rows": None}, ROWS_ARE),
    ({"rows": {1: 2}}, ROWS_ARE),
    ({"rows": DEAD[1:]}, "^rows: has 39 truth values, and the vocabulary 40 tokens"),
    ({"rows": [True, False]}, "^rows: has 2 truth values, and the vocabulary 40 tokens"),
    ({"rows": np.zeros(TOKENS, bool)}, "^rows: must be numbers from 0 to 39, one at least"),
    ({"rows": []}, "^rows: must be numbers from 0 to 39, one at least"),
    ({"rows": [-1]}, "^rows: must be numbers from 0 to 39, one at least"),
    ({"rows": "dead", "counts": ~DEAD, "live": 1.5}, "^live: is 1.5, and must be a whole number"),
    ({"live": -1}, "^live: is -1, and must be a whole number from 0 on$"),
    ({"counts": {7: 3}}, r"^counts: has the shape \(\), and the vocabulary has 40 tokens"),
    ({"counts": [[1], [2, 3]]}, r"^counts: has the shape \(\), and"),
    ({"counts": torch.full((TOKENS,), 0.5)}, "^counts: must be whole numbers from 0 on"),
    ({"on_failure": "rasie"}, "^on_failure: is 'rasie', and must be 'warn' or 'raise'$"),
    ({"on_failure": None}, "^on_failure: is None, and must be"),
    ({"updates": -4}, "^updates: is -4, and must be a whole number from 0 on$"),
    ({"updates": "x"}, "^updates: is 'x', and must"),
    ({"updates": True}, "^updates: is True, and must"),
    ({"segment": 0}, "^segment: is 0, and must be a whole number from 1 on$"),
    ({"segment": -3}, "^segment: is -3, and must"),
    ({"segment": 2.5}, "^segment: is 2.5, and must"),
    ({"segment": "4"}, "^segment: is '4', and must"),
    ({"segment": None}, "^segment: is None, and must"),
    ({"folder": ""}, "^folder: is '', and must be the path of a folder, such as 'recorded/mine'$"),
    ({"folder": "."}, "^folder: is '.', and must"),
    ({"folder": None}, "^folder: is None, and must"),
    ({"folder": b"mine"}, "^folder: is b'mine', and must"),
    ({"optimizer": None}, f"^optimizer: is a NoneType, and {OPTIMIZER_IS}"),
    ({"optimizer": Slotted()}, f"^optimizer: is a Slotted, and {OPTIMIZER_IS}"),
    (
        {"optimizer": SimpleNamespace(optimizer=None)},
        f"^optimizer: is a NoneType, and {OPTIMIZER_IS}",
    ),
    ({"optimizer": Handmade}, f"^optimizer: is a Handmade, and {OPTIMIZER_IS}"),
    ({"optimizer": Hasty}, "^optimizer: a Hasty whose `__init__` has not called that of"),
    ({"embedding": nn.Parameter(torch.zeros(TOKENS, WIDTH))}, "^embedding: is a Parameter, and"),
    ({"embedding": "wte"}, "^embedding: is a str, and must be the module that reads the tokens"),
    ({"embedding": nn.Embedding}, "^embedding: is a type, and must be the module that reads"),
    ({"unembedding": torch.zeros(TOKENS, WIDTH)}, "^unembedding: is a Tensor, and must be the mod"),
    ({"unembedding": "found"}, "^unembedding: is a str, and must be the module that makes the log"),
]


def made(optimizer: object, model: Model, usual: torch.optim.Optimizer) -> object:
    if optimizer is Handmade:
        return Handmade(usual)
    return Hasty([model.embedding.weight]) if optimizer is Hasty else optimizer


@pytest.mark.parametrize(("change", "sentence"), MISTAKES)
def test_a_wrong_argument_is_one_sentence_before_anything_moves(
    tmp_path, monkeypatch, change, sentence
):
    monkeypatch.chdir(tmp_path)
    model, usual = new()
    given = {"folder": tmp_path / "mine", "optimizer": usual} | change
    folder, optimizer = given.pop("folder"), made(given.pop("optimizer"), model, usual)
    with pytest.raises(UserError, match=sentence):
        Recorder(folder, model.embedding.weight, optimizer, **given)
    assert not usual._optimizer_step_pre_hooks
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_and_paths_of_both_kinds_are_taken(tmp_path):
    run = recorded(str(tmp_path / "mine"), updates=5, segment=np.int64(2))
    assert run.sizes["update"] == 5
    assert len(list((tmp_path / "mine").glob("segment-*.nc"))) == 3


def test_a_training_that_a_library_resumes_behind_its_end_is_no_mistake(tmp_path):
    model, optimizer = new()
    with Attached(tmp_path / "mine", weight="embedding.weight") as attached:
        attached._begin(model, [optimizer], updates=-2)
        train(model, optimizer, range(1))
    assert open_run(tmp_path / "mine").sizes["update"] == 1


def refused_before_it_moves(folder: Path, sentence: str, **options) -> None:
    """Check that the first batch of a training, or its first step, is refused."""
    model, optimizer = new()
    before = [one.detach().clone() for one in model.parameters()]
    watched = {name: getattr(model, module) for name, module in options.items()}
    with (
        Recorder(folder, model.embedding.weight, optimizer, **watched),
        pytest.raises(UserError, match=sentence),
    ):
        train(model, optimizer, range(1))
    now = [one.detach() for one in model.parameters()]
    assert all(torch.equal(*pair) for pair in zip(before, now, strict=True))


def test_modules_of_another_kind_are_refused_at_their_first_batch(tmp_path):
    refused_before_it_moves(
        tmp_path / "read", "ids, which are whole numbers, and these are float32", embedding="inner"
    )
    refused_before_it_moves(
        tmp_path / "made",
        "^unembedding: makes vectors of 6 numbers from vectors of 6, and is to make the logits of "
        "the weight's 40 tokens from hidden states of its width, 6;",
        unembedding="inner",
    )


def test_logits_of_hidden_states_of_another_width_are_refused(tmp_path):
    model, optimizer = new()
    wide = nn.Linear(WIDTH + 1, TOKENS)
    with (
        Recorder(tmp_path / "mine", model.embedding.weight, optimizer, unembedding=wide),
        pytest.raises(UserError, match="makes vectors of 40 numbers from vectors of 7, and is to"),
    ):
        wide(torch.zeros(2, WIDTH + 1))


IDS = {
    "a list": [7, 9, 9, -100],
    "lists": [[7, 9], [9, -100]],
    "an array": np.array([7, 9, 9, -100]),
    "a tensor": torch.tensor([[7, 9], [9, -100]]),
    "a file of small numbers": np.array([7, 9, 9], np.uint16),
    "small numbers of torch": torch.tensor([7, 9, 9], dtype=torch.uint8),
}


@pytest.mark.parametrize("kind", IDS)
def test_tokens_are_counted_from_whatever_holds_their_ids(tmp_path, kind):
    model, optimizer = new()
    ids = IDS[kind]
    if isinstance(ids, np.ndarray):
        ids.setflags(write=False)  # as one that is mapped from a file
    with Recorder(tmp_path / "mine", model.embedding.weight, optimizer, embedding=None) as recorder:
        recorder.count(ids)
        recorder.count([])
        train(model, optimizer, range(1))
    sampled = open_run(tmp_path / "mine").sampled
    assert sampled.sel(token=[7, 9]).values.tolist() == [1, 2]
    assert sampled.sum() == 3


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (torch.tensor([1.5]), "ids, which are whole numbers, and these are float32"),
        ([1.5], "ids, which are whole numbers, and these are float64"),
        (torch.tensor([True]), "ids, which are whole numbers, and these are bool"),
        ("the", "^count: is given a str, and takes tokens by their ids"),
        (None, "^count: is given a NoneType, and takes tokens by their ids"),
        ([[1], [2, 3]], "^count: is given a list, and takes tokens by their ids"),
    ],
)
def test_what_is_no_token_is_not_counted(tmp_path, given, sentence):
    model, optimizer = new()
    with (
        Recorder(tmp_path / "mine", model.embedding.weight, optimizer) as recorder,
        pytest.raises(UserError, match=sentence),
    ):
        recorder.count(given)


@pytest.mark.parametrize(
    "loss", [2, 2.0, np.float32(2), torch.tensor(2.0, requires_grad=True), torch.tensor([2.0])]
)
def test_a_loss_is_one_number_of_any_kind(tmp_path, loss):
    model, optimizer = new()
    with Recorder(tmp_path / "mine", model.embedding.weight, optimizer) as recorder:
        recorder.loss(loss)
        recorder.loss(0.5)
        train(model, optimizer, range(1))
    assert open_run(tmp_path / "mine").loss.values.tolist() == [2.5]


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (torch.ones(2), r"^loss: has the shape \(2,\), and must be one number"),
        (np.ones(3), r"^loss: has the shape \(3,\), and must be one number"),
        ("2", "^loss: is '2', and must be one number"),
        (None, "^loss: is None, and must be one number"),
    ],
)
def test_what_is_no_loss_is_refused(tmp_path, loss, sentence):
    model, optimizer = new()
    with (
        Recorder(tmp_path / "mine", model.embedding.weight, optimizer) as recorder,
        pytest.raises(UserError, match=sentence),
    ):
        recorder.loss(loss)
