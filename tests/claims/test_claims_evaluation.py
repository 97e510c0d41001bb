"""What becomes of claims: their numbers, what leaves them untested, mistakes in them."""

import json
from collections.abc import Container

import numpy as np
import pytest
import xarray as xr
import yaml
from claims_data import effect_data, planted_sample, variable_data
from foreign_records import make_record
from house import REPOSITORY

from deadtokens.claims.claims import as_json
from deadtokens.claims.contrasts import of_effect
from deadtokens.claims.evaluation import FAILS, HOLDS, NOT_TESTED, evaluate, find, judge
from deadtokens.claims.reduction import reduce
from deadtokens.claims.sample import Entry, NotTested, Sample, ratios
from deadtokens.claims.selection import Numbers, combine, variable_entry
from deadtokens.claims.table import findings_table, subject_of
from deadtokens.cli import call
from deadtokens.comparison.members import Experiment, Member
from deadtokens.comparison.outcomes import compare
from deadtokens.errors import UserError
from deadtokens.netcdf import write
from deadtokens.study.claims import OWN, Claim, Effect, Variable, claimed_files, read_claims
from deadtokens.study.members import has
from deadtokens.study.study import Study

DEFAULT = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
STUDY = DEFAULT | {
    "experiments": {
        "regimes": {
            "vary": {"precision": ["pure-bf16", "fp32"]},
            "seeds": [0, 1, 2, 3, 4],
            "figures": [],
        }
    }
}
FROZEN = {("pure-bf16", seed): 0.9 + seed / 100 for seed in range(5)}
FROZEN |= {("fp32", seed): seed / 100 for seed in range(5)}


def claim(criterion: dict, seeds: int = 5, **subject) -> Claim:
    """Return a claim; `subject` is `value`, `effect` or `variable`."""
    return Claim(
        statement="It is so.",
        question=1,
        source="ours",
        criterion=criterion,
        seeds=seeds,
        **subject,
    )


def of_value(criterion: dict, seeds: int = 5, **value) -> Claim:
    """Return a claim on the fraction at rest."""
    defaults = {"experiment": "regimes", "outcome": "frozen", "setting": {"precision": "fp32"}}
    return claim(criterion, seeds, value=defaults | value)


@pytest.fixture
def study() -> Study:
    return Study(STUDY)


def written_numbers(
    folder, study: Study, frozen: dict, experiment: str = "regimes", diverged: Container = ()
) -> Numbers:
    """Return numbers of an experiment's runs, whose fractions at rest are given by their key.

    A key is precision and seed, and the batch seed where there is one; a text in place of a number
    says why there is none. So do the keys of those that diverged.
    """
    members = []
    for member in study.experiments[experiment].members:
        spec = study.runs[member.run]
        names = ("precision", "seed", "batch_seed")
        settings = {name: getattr(spec, name) for name in names if getattr(spec, name) is not None}
        key = tuple(settings.values())
        outcome = (np.nan, frozen[key]) if isinstance(frozen[key], str) else (frozen[key], "")
        found = {"frozen": outcome, "diverged": (float(key in diverged), "")}
        members.append(Member(member.run, settings, found))
        loss = xr.Dataset({"loss": ("update", [9.0] * 1499 + [1.0])})
        said = {"run": member.run, "spec": spec.json_text(), "updates": 1500, "status": "complete"}
        path = folder / "runs" / member.run / "steps-1500" / "scalars.nc"
        write(loss.assign_attrs(said), path)
    outcomes = compare(Experiment(tuple(members)))
    write(outcomes, folder / "experiments" / experiment / "outcomes.nc")
    return Numbers(study, folder)


@pytest.fixture
def numbers(tmp_path, study) -> Numbers:
    """Return numbers of two regimes and five seeds, whose fractions at rest are FROZEN."""
    return written_numbers(tmp_path, study, FROZEN)


def test_an_outcome_of_a_setting_is_its_mean_over_seeds(numbers):
    found = find(of_value({"below": 0.05, "by": "every run"}), numbers)
    assert found.status == HOLDS
    assert found.sample.numbers == pytest.approx([0, 0.01, 0.02, 0.03, 0.04])
    assert (found.sample.mean, found.sample.seeds, found.sample.runs) == (pytest.approx(0.02), 5, 5)
    reach = 2.7764451 * np.std(found.sample.numbers, ddof=1) / np.sqrt(5)  # Student, 4 degrees
    assert found.sample.interval == pytest.approx((0.02 - reach, 0.02 + reach))
    assert find(of_value({"below": 0.04, "by": "every run"}), numbers).status == FAILS
    assert find(of_value({"below": 0.04, "by": "mean"}), numbers).status == HOLDS
    assert find(of_value({"below": 0.02 + 0.9 * reach, "by": "interval"}), numbers).status == FAILS
    assert find(of_value({"below": 0.02 + 1.1 * reach, "by": "interval"}), numbers).status == HOLDS


def test_a_ratio_is_taken_seed_by_seed(numbers):
    ratio = of_value({"below": 1, "by": "mean"}, ratio_to={"precision": "pure-bf16"})
    found = find(ratio, numbers)
    expected = [FROZEN["fp32", seed] / FROZEN["pure-bf16", seed] for seed in range(5)]
    assert found.sample.numbers == pytest.approx(expected)
    assert found.sample.runs == 10


@pytest.mark.parametrize(
    ("to", "from_", "sign"), [("fp32", "pure-bf16", -1), ("pure-bf16", "fp32", 1)]
)
def test_an_effect_is_found_both_ways(to, from_, sign, numbers):
    effect = {"experiment": "regimes", "outcome": "frozen", "changed": "precision"}
    found = find(
        claim({"between": [-1, 1], "by": "mean"}, effect=effect | {"to": to, "from": from_}),
        numbers,
    )
    assert found.sample.numbers == pytest.approx([sign * 0.9] * 5)
    assert (found.status, found.sample.runs) == (HOLDS, 10)


REGIMES = ("pure-bf16", "fp32")
CROSSED = {"vary": {"precision": list(REGIMES), "batch_seed": [7, 8]}, "seeds": [0, 1, 2, 3, 4]}


@pytest.mark.parametrize("lost", [None, ("fp32", 3, 8)])
def test_an_effect_of_crossed_seeds_counts_the_runs_that_it_is_made_from(tmp_path, lost):
    frozen = {(name, seed, batch): 0.5 * (name == "fp32") for name in REGIMES
              for seed in range(5) for batch in (7, 8)}  # fmt: skip
    study = Study(STUDY | {"experiments": {"crossed": CROSSED | {"figures": []}}})
    frozen |= {lost: "the run diverged"} if lost else {}
    effect = {"experiment": "crossed", "outcome": "frozen", "changed": "precision"}
    about = claim({"above": 0, "by": "mean"}, effect=effect | {"from": REGIMES[0], "to": "fp32"})
    found = find(about, written_numbers(tmp_path, study, frozen, "crossed"))
    if lost is None:
        assert (found.status, found.sample.numbers.tolist()) == (HOLDS, [0.5] * 5)
        assert found.sample.runs == 20
    else:
        assert (found.status, found.why) == (NOT_TESTED, "seed 3: the run diverged")
        assert found.sample.runs == 16  # of four seeds


def test_an_effect_has_the_reason_of_its_own_runs_and_counts_no_others(tmp_path):
    """A third regime has runs, and reasons, of which the effect is not made."""
    names = ["mixed", *REGIMES]
    vary = {"vary": {"precision": names}, "seeds": [0, 1, 2, 3, 4], "figures": []}
    study = Study(STUDY | {"experiments": {"regimes": vary}})
    frozen = FROZEN | {("mixed", seed): "another one's" for seed in range(5)}
    effect = {"experiment": "regimes", "outcome": "frozen", "changed": "precision"}
    about = claim({"below": 0, "by": "mean"}, effect=effect | {"from": REGIMES[0], "to": "fp32"})
    folders = tmp_path / "whole", tmp_path / "lost"
    assert find(about, written_numbers(folders[0], study, frozen)).sample.runs == 10
    frozen[("fp32", 2)] = "its own"
    found = find(about, written_numbers(folders[1], study, frozen))
    assert (found.why, found.sample.runs) == ("seed 2: its own", 8)


def test_a_variable_of_a_file_is_reduced_for_each_run(numbers):
    loss = {"experiment": "regimes", "file": "scalars.nc", "variable": "loss"}
    ratio = claim({"below": 1, "by": "mean"}, variable=loss | {"statistic": "last over first"})
    found = find(ratio, numbers)
    assert found.status == NOT_TESTED  # two regimes have each seed
    assert found.why == "several runs of seed 0 have the settings that it names"
    each = claim({"below": 1, "by": "every run"}, variable=loss | {"statistic": "last over first"})
    found = find(each, numbers)
    assert found.sample.numbers == pytest.approx([1 / 9] * 10)
    assert (found.sample.seeds, found.sample.runs) == (5, 10)
    assert all(np.isnan(found.sample.interval))  # of seeds twice over there is none


LAST_LOSS = {"file": "scalars.nc", "variable": "loss", "statistic": "last"}
ORDERS = {"vary": {"batch_seed": [5, 6, 7, 8, 9]}, "seeds": [3], "figures": []}


@pytest.mark.parametrize("by", ["mean", "interval", "every run"])
def test_a_variable_and_an_outcome_have_the_same_seeds(by, tmp_path):
    """Of one seed of the weights the orders of the data are the sample, whatever is spoken of."""
    study = Study(STUDY | {"experiments": {"orders": ORDERS}})
    precision = DEFAULT["defaults"]["precision"]
    frozen = {(precision, 3, batch): 0.5 for batch in ORDERS["vary"]["batch_seed"]}
    numbers = written_numbers(tmp_path, study, frozen, "orders")
    criterion, of_orders = {"between": [0, 1], "by": by}, {"experiment": "orders"}
    outcome = find(claim(criterion, value=of_orders | {"outcome": "frozen"}), numbers)
    variable = find(claim(criterion, variable=of_orders | LAST_LOSS), numbers)
    for found in (outcome, variable):
        assert (found.status, found.why) == (HOLDS, "")
        assert [entry.seed for entry in found.sample.entries] == [5, 6, 7, 8, 9]


def test_of_several_seeds_of_the_weights_a_variable_has_these(tmp_path):
    """However many orders of the data each has, as outcomes do."""
    study = Study(STUDY | {"experiments": {"crossed": CROSSED | {"figures": []}}})
    frozen = {(name, seed, batch): 0.5 for name in REGIMES for seed in range(5) for batch in (7, 8)}
    numbers = written_numbers(tmp_path, study, frozen, "crossed")
    setting = {"precision": "fp32", "batch_seed": 8}
    loss = LAST_LOSS | {"experiment": "crossed", "setting": setting}
    found = find(claim({"below": 2, "by": "mean"}, variable=loss), numbers)
    assert (found.status, found.sample.seeds, found.sample.runs) == (HOLDS, 5, 5)
    assert [entry.seed for entry in found.sample.entries] == [0, 1, 2, 3, 4]


UNTESTED = {
    "the experiment 'length' is not configured": {"experiment": "length"},
    "the experiment has no run with precision mixed": {"setting": {"precision": "mixed"}},
    "the experiment has no run with batch 128": {"setting": {"precision": "fp32", "batch": 128}},
    "5 seeds, and it is over at least 10": {"seeds": 10},
    "several runs of seed 0 have the settings that it names": {"setting": {}},
    "seed 0: no attribution.nc of the run": {"outcome": "share_momentum"},
}


@pytest.mark.parametrize("why", UNTESTED)
def test_a_claim_that_cannot_be_tested_says_why(why, numbers):
    subject = dict(UNTESTED[why])
    found = find(of_value({"below": 1, "by": "mean"}, subject.pop("seeds", 5), **subject), numbers)
    assert (found.status, found.why) == (NOT_TESTED, why)


RECORDED = {
    "value": {"outcome": "frozen"},
    "effect": {"outcome": "frozen", "changed": "precision", "from": "pure-bf16", "to": "fp32"},
    "variable": LAST_LOSS,
}


@pytest.mark.parametrize("kind", RECORDED)
def test_a_claim_on_an_experiment_of_recordings_is_untested(kind, tmp_path):
    make_record(tmp_path / "mine")
    recorded = {"mine": {"path": str(tmp_path / "mine")}}
    experiments = {"theirs": {"recorded": ["mine"], "figures": []}}
    study = Study(STUDY | {"experiments": experiments, "recorded": recorded})
    subject = {kind: RECORDED[kind] | {"experiment": "theirs"}}
    found = find(claim({"below": 1, "by": "mean"}, **subject), Numbers(study, tmp_path))
    assert (found.status, found.why) == (
        NOT_TESTED,
        "the experiment 'theirs' has recordings alone",
    )


def test_a_file_of_the_first_run_alone_is_not_one_of_the_others(numbers):
    start = {"experiment": "regimes", "file": "initial_softmax.nc", "variable": "loss"}
    fp32 = claim({"below": 1, "by": "mean"}, variable=start | {"setting": {"precision": "fp32"}})
    assert find(fp32, numbers).why == "no run with precision fp32 has initial_softmax.nc"


def test_one_seed_is_called_so_and_has_no_interval():
    found = judge(of_value({"below": 1, "by": "every run"}, seeds=1), Sample([Entry(0, 0.5)], 1))
    assert (found.status, found.why) == (HOLDS, "one seed")
    assert all(np.isnan(found.sample.interval))
    with pytest.raises(NotTested, match="one seed, and it is over at least 5"):
        judge(of_value({"below": 1, "by": "every run"}), Sample([Entry(0, 0.5)], 1))


def judged(undefined: str, entries: list[Entry]) -> tuple[str, str]:
    """Return what comes of a claim on entries and others that are as it says."""
    criterion = {"below": 1, "by": "every run", "undefined": undefined}
    others = [Entry(10 + seed, 0.5) for seed in range(5 - len(entries))]
    try:
        found = judge(of_value(criterion), Sample([*others, *entries], 5))
    except NotTested as error:
        return NOT_TESTED, str(error)
    return found.status, found.why


NEVER = "no update left so many frozen"


@pytest.mark.parametrize(
    ("diverged", "undefined", "status"),
    [(False, "fails", FAILS), (False, "not tested", NOT_TESTED), (True, "fails", NOT_TESTED)],
)
def test_what_has_no_number_is_untested_or_fails_as_the_claim_says(diverged, undefined, status):
    entries = [Entry(4, np.nan, NEVER, diverged)]
    assert judged(undefined, entries) == (status, f"seed 4: {NEVER}")


@pytest.mark.parametrize("order", [1, -1])
def test_one_run_that_did_not_diverge_decides_in_whichever_order(order):
    diverged, lacking = Entry(3, np.nan, "it diverged", True), Entry(4, np.nan, NEVER)
    assert judged("fails", [diverged, lacking][::order]) == (FAILS, f"seed 4: {NEVER}")
    other = Entry(4, np.nan, "this one too", True)
    assert judged("fails", [diverged, other]) == (NOT_TESTED, "seed 3: it diverged")


OF_REGIMES = {"experiment": "regimes", "outcome": "frozen"}
FP32 = OF_REGIMES | {"setting": {"precision": "fp32"}}
CHANGE = {"changed": "precision", "from": "pure-bf16", "to": "fp32"}
OF_FP32 = {
    "value": {"value": FP32},
    "ratio": {"value": FP32 | {"ratio_to": {"precision": "pure-bf16"}}},
    "effect": {"effect": OF_REGIMES | CHANGE},
}


def with_lost_runs(folder, study, kind, lost: dict) -> tuple[str, str]:
    """Return what comes of a claim; of each lost run is given whether it diverged."""
    reasons = {run: "it did" if diverged else "it did not" for run, diverged in lost.items()}
    gone = {run for run, diverged in lost.items() if diverged}
    numbers = written_numbers(folder, study, FROZEN | reasons, diverged=gone)
    criterion = {"below": 9, "by": "mean", "undefined": "fails"}
    found = find(claim(criterion, **OF_FP32[kind]), numbers)
    return found.status, found.why


@pytest.mark.parametrize("kind", OF_FP32)
def test_the_outcome_says_which_runs_diverged_whatever_words_a_reason_has(kind, tmp_path, study):
    both = {("fp32", 2): True, ("fp32", 3): True}
    found = with_lost_runs(tmp_path / "both", study, kind, both)
    assert found == (NOT_TESTED, "seed 2: it did")
    one = both | {("fp32", 3): False}
    assert with_lost_runs(tmp_path / "one", study, kind, one) == (FAILS, "seed 3: it did not")


@pytest.mark.parametrize("kind", ["ratio", "effect"])
@pytest.mark.parametrize("diverged", ["pure-bf16", "fp32"])
def test_of_two_runs_of_a_seed_the_one_that_did_not_diverge_decides(
    kind, diverged, tmp_path, study
):
    lost = {(name, 2): name == diverged for name in ("pure-bf16", "fp32")}
    assert with_lost_runs(tmp_path, study, kind, lost) == (FAILS, "seed 2: it did not")


@pytest.mark.parametrize(("diverged", "status"), [((0, 1), NOT_TESTED), ((0,), FAILS)])
def test_a_variable_s_file_says_if_its_run_diverged(diverged, status):
    loss = of_file({"file": "scalars.nc", "variable": "loss"})
    files = [
        xr.Dataset({"loss": ((), np.nan)}, attrs={"status": "diverged"} if seed in diverged else {})
        for seed in (0, 1)
    ]
    entries = [variable_entry(file, seed, loss) for seed, file in enumerate(files)]
    assert judged("fails", entries)[0] == status


def test_a_ratio_to_zero_has_no_number_and_says_so():
    sample = ratios([Entry(0, 1.0), Entry(1, 1.0)], [Entry(0, 0.0), Entry(1, 2.0)])
    assert np.isnan(sample.numbers[0])
    assert sample.numbers[1] == 0.5
    assert sample.entries[0].reason == "the number by which it is divided is zero"
    (lacking,) = ratios([Entry(0, np.nan, NEVER)], [Entry(0, 0.0)]).entries
    assert lacking.reason == NEVER


def test_ratios_without_a_common_seed_are_untested():
    with pytest.raises(NotTested, match="share no seed"):
        ratios([Entry(0, 1.0)], [Entry(1, 1.0)])
    with pytest.raises(NotTested, match="several runs of seed 1"):
        combine(of_value({"below": 1, "by": "every run"}), [Entry(1, 1.0)] * 2, [Entry(1, 1.0)])


INTERACTION = Effect.model_validate(
    {
        "experiment": "rounding",
        "outcome": "frozen",
        "changed": ["weights", "moments"],
        "to": ["float32", "float32"],
        "from": ["bfloat16", "bfloat16"],
    }
)


def test_an_interaction_is_the_same_whichever_key_comes_first():
    data = effect_data(INTERACTION, [0.25, 0.75])
    other = INTERACTION.model_copy(update={"changed": ["moments", "weights"]})
    half = INTERACTION.model_copy(
        update={"to": ["bfloat16", "float32"], "from_": ["float32", "bfloat16"]}
    )
    assert of_effect(data, INTERACTION).numbers.tolist() == [0.25, 0.75]
    assert of_effect(data, other).numbers.tolist() == [0.25, 0.75]
    assert of_effect(data, half).numbers.tolist() == [-0.25, -0.75]
    assert of_effect(data, INTERACTION).runs == 8


def test_a_main_effect_is_made_from_the_runs_of_all_values_of_the_other_key():
    main = INTERACTION.model_copy(
        update={"changed": "weights", "to": "float32", "from_": "bfloat16", "over": "moments"}
    )
    assert of_effect(effect_data(main, [0.5, 0.25, 1.0]), main).runs == 3 * 4


@pytest.mark.parametrize(
    "other",
    [{"to": "0.9"}, {"changed": "beta1"}, {"context": {"precision": "fp32"}}, {"over": "lr"}],
)
def test_another_contrast_is_not_taken_for_it(other):
    effect = Effect.model_validate(
        {
            "experiment": "second-moment",
            "outcome": "frozen",
            "changed": "beta2",
            "to": 0.99,
            "from": 0.999,
            "context": {"precision": "pure-bf16"},
        }
    )
    data = effect_data(effect, [1.0] * 5)
    assert of_effect(data, effect).mean == 1
    with pytest.raises(NotTested, match="no such contrast"):
        of_effect(data, effect.model_copy(update=other))


SERIES = xr.Dataset(
    {
        "speed": (("update", "population"), [[8.0, 0.0], [np.nan, 0.0], [4.0, 0.0], [2.0, 1.0]]),
        "size": ("update", [2.0, 2.0, 2.0, 4.0]),
        "of_token": ("token", [1.0, 2.0, 30.0]),
        "dead": ("token", [True, True, False]),
    },
    coords={"update": [1, 2, 3, 4], "population": ["dead", "live"]},
)
REDUCED = [
    ({"statistic": "mean"}, 14 / 3),
    ({"statistic": "median"}, 4),
    ({"statistic": "min"}, 2),
    ({"statistic": "max"}, 8),
    ({"statistic": "sum"}, 14),
    ({"statistic": "first"}, 8),
    ({"statistic": "last"}, 2),
    ({"statistic": "last over first"}, 0.25),
    ({"statistic": "mean", "within": {"update": [2, 4]}}, 3),
    ({"at": {"population": "dead", "update": 3}}, 4),
    ({"statistic": "last", "relative_to": "size"}, 0.5),
    ({"variable": "of_token", "at": {}, "where": "dead", "statistic": "max"}, 2),
]


@pytest.mark.parametrize(("fields", "expected"), REDUCED)
def test_a_variable_is_reduced_to_one_number(fields, expected):
    selection = {"variable": "speed", "at": {"population": "dead"}} | fields
    assert reduce(SERIES, of_file(selection)) == pytest.approx(expected)


def of_file(fields: dict) -> Variable:
    return Variable.model_validate({"experiment": "regimes", "file": "drift.nc"} | fields)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"variable": "sped"}, "drift.nc: has no variable 'sped', of which a claim speaks"),
        ({"at": {"axis": 1}}, "drift.nc: speed has no coordinate 'axis'"),
        ({"at": {"population": "ded"}}, "drift.nc: population has no 'ded'; it has dead, live"),
        ({"at": {"population": "dead"}}, "drift.nc: speed has several values along update; say"),
    ],
)
def test_a_claim_on_what_a_file_never_has_is_a_mistake(fields, sentence):
    with pytest.raises(UserError, match=sentence):
        reduce(SERIES, of_file({"variable": "speed"} | fields))


def test_a_number_that_this_record_does_not_reach_leaves_it_untested():
    with pytest.raises(NotTested, match="the record has no update 5"):
        reduce(SERIES, of_file({"variable": "size", "at": {"update": 5}}))


def test_zero_is_a_setting_however_it_is_written():
    settings = {"weight_decay": 0.0, "tied": True, "embedding_std": None, "precision": "fp32"}
    assert has(settings, {"weight_decay": 0, "tied": True, "embedding_std": None})
    assert not has(settings, {"tied": 1})
    assert not has(settings, {"embedding_std": 0})
    assert not has(settings, {"optimizer": "adamw"})


def test_only_files_of_configured_experiments_are_needed(study):
    there = of_value({"below": 1, "by": "mean"})
    loss = {"experiment": "regimes", "file": "scalars.nc", "variable": "loss", "statistic": "last"}
    fp32 = claim({"below": 1, "by": "mean"}, variable=loss | {"setting": {"precision": "fp32"}})
    elsewhere = of_value({"below": 1, "by": "mean"}, experiment="length")
    assert list(claimed_files(study, [there, elsewhere])) == ["experiments/regimes/outcomes.nc"]
    files = claimed_files(study, [fp32])
    assert len(files) == 5
    assert all("precision-fp32" in file for file in files)


def test_the_table_has_a_row_a_claim_in_the_order_of_the_file(numbers):
    claims = {
        "untested": of_value({"below": 1, "by": "mean"}, experiment="length"),
        "failing": of_value({"above": 0.5, "by": "mean"}),
    }
    table = findings_table(evaluate(claims, numbers)).set_index("claim")
    assert table.index.tolist() == ["untested", "failing"]
    assert table.loc["failing", ["status", "seeds", "runs"]].tolist() == [FAILS, 5, 5]
    assert table.loc["failing", "number"] == pytest.approx(0.02)
    assert table.loc["failing", "criterion"] == "above 0.5 (mean)"
    assert table.loc["failing", "of"] == "regimes: frozen; precision fp32"
    assert np.isnan(table.loc["untested", "number"])
    rows = json.loads(json.dumps(as_json(findings_table(evaluate(claims, numbers)))))
    assert rows["untested"]["number"] is None


def test_what_a_claim_speaks_of_names_the_updates_and_the_tokens_that_it_takes():
    claims = read_claims(OWN)
    assert subject_of(claims["drift-starts-coherent"]) == (
        "regimes: drift.nc: resultant_length (dead, update 1 to 10, mean); precision pure-bf16"
    )
    assert subject_of(claims["early-phase-ends-at-121"]).startswith(
        "regimes: freezing.nc: last_in_phase (early, bfloat16, dead, median); precision pure-bf16, "
    )
    assert subject_of(claims["drift-away-from-live"]) == (
        "regimes: drift.nc: separation (last over first); precision pure-bf16"
    )


def test_no_claims_are_a_table_without_rows(numbers):
    table = findings_table(evaluate({}, numbers))
    assert len(table) == 0
    assert list(table) == list(
        findings_table({"one": find(of_value({"below": 1, "by": "mean"}), numbers)})
    )
    assert as_json(findings_table({})) == {}


def test_the_command_writes_both_tables(numbers, tmp_path):
    claims = tmp_path / "mine.yaml"
    claims.write_text(
        "low:\n  question: 7\n  source: ours\n  statement: It is low.\n"
        "  value: {experiment: regimes, outcome: frozen, setting: {precision: fp32}}\n"
        "  criterion: {below: 0.5, by: interval}\n"
    )
    study = json.dumps(STUDY | {"claims": str(claims)})
    made = tmp_path / "claims.csv", tmp_path / "claims.json"
    call("claims", ["--study", study, "--results", str(tmp_path), "--output", str(made[0]),
                    "--json", str(made[1])])  # fmt: skip
    assert json.loads(made[1].read_text())["low"]["status"] == HOLDS
    assert '"low",7,"holds"' in made[0].read_text()


MISTAKES = {
    "value: {experiment: a, outcome: frozen}": "one.criterion: this key is missing",
    "criterion: {below: 1, by: mean}": "one: needs one of `value`, `effect` and `variable`",
    "value: {experiment: a, outcome: frozen}\n  criterion: {by: mean}": (
        "one.criterion: needs one of `above`, `below` and `between`"
    ),
    "value: {experiment: a, outcome: frozen}\n  criterion: {between: [2, 1], by: mean}": (
        "one.criterion.between: needs the lower number first"
    ),
    "value: {experiment: a, outcome: frozen}\n  criterion: {below: 1, by: median}": (
        "one.criterion.by: must be 'mean', 'interval' or 'every run', not 'median'"
    ),
    "variable: {experiment: a, file: drft.nc, variable: x}\n  criterion: {below: 1, by: mean}": (
        "one.variable.file: must be "
    ),
    "valu: {}\n  criterion: {below: 1, by: mean}": "one.valu: unknown key; did you mean 'value'?",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_a_claim_is_one_sentence(text, tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(f"one:\n  question: 1\n  source: ours\n  statement: It is so.\n  {text}\n")
    with pytest.raises(UserError) as error:
        read_claims(path)
    assert str(error.value).splitlines()[0].startswith(f"{path}: {MISTAKES[text]}")


def test_planted_files_hold_nothing_else():
    """The helpers of these tests: what a claim does not select is NaN."""
    selection = of_file({"variable": "x", "at": {"population": "dead"}, "statistic": "last"})
    assert np.isnan(variable_data(selection, 3.0)["x"].sel(population="another")).all()
    assert planted_sample(of_value({"below": 1, "by": "mean"}), [1.0, 2.0]).numbers.tolist() == [
        1,
        2,
    ]
