"""Several responses to each prompt: pass@k by hand and by enumeration, votes, and what is kept."""

from itertools import combinations

import pandas as pd
import pytest

import latent_core as lc
from latent_core.errors import SettingError
from latent_core.evaluation.samples import evaluate_samples, pass_at

TASK = lc.load_task("repetition")


def made(responses: list[list[str]], right: str = "a") -> pd.DataFrame:
    """Records of an example for each list of responses."""
    rows = [
        {"method": "m", "split": "id", "example": i, "key": f"k{i}", "sample": j, "response": said}
        | {"exact": said.strip() == right, "graded": float(said.strip() == right)}
        for i, texts in enumerate(responses)
        for j, said in enumerate(texts)
    ]
    return pd.DataFrame(rows)


def test_pass_at_k_is_the_share_of_all_draws_of_k() -> None:
    texts = [list("aabcb"), list("bbbbb"), list("aaaaa"), list("abbbb")]
    found = pass_at(made(texts), k=(1, 2, 3, 5))
    for k in (1, 2, 3, 5):
        drawn = [list(combinations(said, k)) for said in texts]
        wanted = [sum("a" in one for one in all_) / len(all_) for all_ in drawn]
        assert found[f"pass_at_{k}"].tolist() == pytest.approx(wanted)
    assert found["exact"].tolist() == pytest.approx(found["pass_at_1"].tolist())
    assert found["samples"].tolist() == [5] * 4


def test_the_majority_is_the_most_frequent_text_and_ties_are_drawn() -> None:
    texts = [["a", " a ", "b", "c"], ["a", "b", "b", "c"], ["a", "b", "c", "d"], list("aabb")]
    assert pass_at(made(texts))["majority"].tolist() == [1, 0, 0.25, 0.5]


def test_means_of_several_runs_come_from_summarise() -> None:
    frame = pd.concat([made([list("ab"), list("bb")]).assign(seed=seed) for seed in (0, 1)])
    found = pass_at(frame)
    assert len(found) == 4
    table = lc.summarise(found, metric="pass_at_2")
    assert table[["mean", "seeds", "records"]].values.tolist() == [[0.5, 2, 4]]


def test_samples_are_those_of_generate_and_do_not_depend_on_the_batch() -> None:
    model = lc.LatentModel("tiny", "Start_2+Comma_1", seed=0)
    options = {"samples": 3, "temperature": 1.5, "progress": False, "seed": 4}
    frame = evaluate_samples(model, TASK, "id", 3, **options)
    alone = evaluate_samples(model, TASK, "id", 3, batch_size=1, **options)
    assert frame["response"].tolist() == alone["response"].tolist()
    assert frame["response"].nunique() > 3
    once = evaluate_samples(model, TASK, "id", 3, **options | {"seed": 5})
    assert frame["response"].tolist() != once["response"].tolist()
    one = TASK.examples("id", 3, 1)[1]
    greedy = lc.evaluate(model, TASK, "id", 3, progress=False)
    asked = {"do_sample": True, "top_k": 0, "temperature": 1.5, "seed": 4}
    direct = model.generate([one.prompt], 30, num_return_sequences=3, **asked)
    for said, other in zip(frame.loc[frame["example"] == 1, "response"], direct, strict=True):
        both = min(len(said), len(other))  # their limits differ
        assert both > 3 and said[:both] == other[:both]
    assert list(greedy.columns) == [name for name in frame.columns if name != "sample"]


def test_what_cannot_be_counted_is_refused() -> None:
    model = lc.LatentModel("tiny", "Start_2", seed=0)
    with pytest.raises(SettingError, match="use evaluate"):
        evaluate_samples(model, TASK, "id", 2, do_sample=False, progress=False)
    with pytest.raises(SettingError, match="samples is 0"):
        evaluate_samples(model, TASK, "id", 2, samples=0, progress=False)
    frame = made([list("ab"), list("bb")])
    with pytest.raises(SettingError, match="k is 3; expected at most 2"):
        pass_at(frame, k=(3,))
    with pytest.raises(SettingError, match="1 to 2 samples"):
        pass_at(frame.iloc[1:])
    with pytest.raises(SettingError, match="expected those of evaluate_samples"):
        pass_at(frame.drop(columns="sample"))
