"""The HTML report: what is in it, that hostile text stays text, and that a browser can use it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from envs.store import write_episodes
from envs.types import Episode, Segment, Stop, Task, Verdict
from evals.evaluation.models import EvaluatedModel, EvaluatedModels
from evals.evaluation.plan import Evaluation
from evals.evaluation.suites import Suite
from scgrpo.config import TrainConfig
from scgrpo.models.tiny import make_tiny

pytest.importorskip("altair", reason="altair draws the charts")
pytest.importorskip("vl_convert", reason="vl-convert-python makes them SVG")

from evals.page import main  # noqa: E402
from evals.report import html  # noqa: E402
from evals.report.html import page  # noqa: E402
from evals.report.microscope import _spread, training_episodes  # noqa: E402

HOSTILE = "</script><script>window.owned=1</script><img src=x onerror=window.owned=1>{{7*7}}'\"&"
CHROMIUM = shutil.which("chromium")
A, END = 4 + ord("a") - 32, 2
LABELS = ("base", "trained")
CONFIG = TrainConfig()


def episode(
    task: str, score: float | None, *, level: int = 0, reply: str = ""
) -> Episode:
    """Two turns: `ab` and `c`, each ended by the end-of-turn token."""
    turns = [(A, A + 1, END), (A + 2, END)]
    return Episode(
        task=Task(task, "train", level, "f", "p", {}),
        messages=(),
        tools=(),
        segments=(
            Segment("prompt", f"state {HOSTILE}"),
            Segment("policy", f"ab {HOSTILE}", turns[0], (-0.5, -2.0, -0.1)),
            Segment("env", reply or f"reply {HOSTILE}"),
            Segment("policy", "c", turns[1], (-0.25, -0.75)),
        ),
        stop=Stop.ERROR if score is None else Stop.FINISHED,
        verdict=None if score is None else Verdict(score == 1.0, score, HOSTILE),
        error=HOSTILE if score is None else "",
    )


def make_run(folder: Path, *, credit: bool = True) -> Path:
    """Two steps of two groups: failed and solved, solved and errored."""
    make_tiny(folder / "checkpoints" / "step-000002", hidden=8, layers=1, heads=1)
    (folder / "config.yaml").write_text("env: toy_guess\n")
    for step in (1, 2):
        x, y = (f"train/0/{HOSTILE}-{step}{name}" for name in "xy")
        four = [episode(x, 0.0), episode(x, 1.0)]
        four += [episode(y, 1.0, level=1), episode(y, None, level=1)]
        write_episodes(folder / "episodes" / f"step-{step:06d}.jsonl", four)
        row = {
            "episode": 0,
            "group": 0,
            "reference": 1,
            "case": "weighted",
            "advantage": -0.5,
        }
        row |= {
            "divergence": [0.0, 0.03, 0.01, 0.0, 0.0],
            "weight": [0.0, 0.8, 0.4, 0.1, 0.0],
        }
        if credit:
            (folder / "credit").mkdir(exist_ok=True)
            (folder / "credit" / f"step-{step:06d}.jsonl").write_text(
                json.dumps(row) + "\n"
            )
    rows = [
        {"step": 1, "episodes/success": 0.25},
        {"step": 2, "episodes/success": 0.75},
    ]
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )
    return folder


def evaluated(run: Path) -> Path:
    """A report of two models in two cells; the episodes of the first cell are still there."""

    def estimate(value: float, low: float, high: float) -> dict[str, float]:
        return {"value": value, "low": low, "high": high}

    rows = [
        {
            "env": "toy",
            "level": 0,
            "split": split,
            "rollouts": 2,
            "tasks": 2,
            "scores": {
                "base": {"success": estimate(0.25, 0.125, 0.5)},
                "trained": {"success": estimate(0.75, 0.5, 0.875)},
            },
            "differences": [
                {
                    "after": "trained",
                    "before": "base",
                    "estimate": estimate(0.5, 0.375, 0.625),
                }
            ],
        }
        for split in ("id", f"ood/{HOSTILE}")
    ]
    models = EvaluatedModels(
        tuple(EvaluatedModel(x, x, run) for x in LABELS), None, CONFIG, ()
    )
    made = Evaluation(
        models, {}, dict.fromkeys(LABELS, "0"), {"toy": "c"}, 2, 0, True, run / "evals"
    )
    for label, subject in zip(LABELS, models.models, strict=True):
        x, y = (f"id/0/{HOSTILE}-{name}" for name in "xy")
        score = float(label == "trained")
        four = [
            episode(x, score),
            episode(x, score),
            episode(y, score),
            episode(y, None),
        ]
        write_episodes(made.path(Suite("toy", 0, "id"), subject), four)
    origin = {
        "sampling": "greedy",
        "models": {
            label: {"name": label, "folder": str(run), "sha256": "0"}
            for label in LABELS
        },
        "limits": asdict(CONFIG.limits),
        "code": {"toy": "c"},
        "seed": 0,
    }
    (run / "evals" / "x.json").write_text(
        json.dumps({"provenance": origin, "rows": rows})
    )
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "a")


def data_of(text: str) -> list[dict[str, Any]]:
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', text, re.S
    )
    assert found
    return json.loads(found[1])["episodes"]


def test_hostile_text_is_nowhere_markup(run):
    text = page([evaluated(run)])
    assert "<script>window" not in text
    assert "<img" not in text
    assert text.count("</script>") == 2
    assert "{{7*7}}" in data_of(text)[0]["segments"][0]["text"]
    assert data_of(text)[0]["segments"][1]["text"] == f"ab {HOSTILE}"


def test_the_page_names_no_other_place(run):
    text = page([evaluated(run)])
    refers = re.findall(r"""(?:src|href|action|url)\s*[=(]\s*["']?([^"')\s>]+)""", text)
    fetched = [
        place
        for place in refers
        if not place.startswith(("#", "data:,", "x", "\\u003d"))
    ]
    assert fetched == []
    assert "default-src 'none'" in text


def test_each_token_has_its_numbers(run):
    first = data_of(page([run]))[0]
    turn = first["segments"][1]
    assert turn["tokens"] == ["a", "b", "<|im_end|>"]
    assert (turn["logprob"], turn["d"], turn["w"]) == (
        [-0.5, -2.0, -0.1],
        [0.0, 0.03, 0.01],
        [0.0, 0.8, 0.4],
    )
    assert first["segments"][3]["w"] == [0.1, 0.0]
    assert (first["reference"], first["advantage"], first["verdict"]) == (
        1,
        -0.5,
        "not solved",
    )


def test_tables_hold_the_reports_numbers(run):
    text = page([evaluated(run)])
    assert "<td>75.0 % (50.0-87.5)</td><td>+50.0 better (+37.5 to +62.5)</td>" in text
    assert text.count('role="img"') == 3  # success while training, rates, differences
    assert "episodes/success by step: a from 0.25 to 0.75" in text


def test_errored_episodes_have_curves_by_cause_and_a_warning_below_the_table(run):
    rows = [
        json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()
    ]
    rows[1]["errors/ENOSPC"] = 4.0
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = evaluated(run) / "evals" / "x.json"
    data = json.loads(path.read_text())
    about = {"episodes": 10, "errors": 3, "causes": {"ENOSPC": 3}, "success_bound": 0.5}
    data["rows"][0]["scores"]["trained"] |= about
    path.write_text(json.dumps(data))
    text = page([run])
    assert "errors/ENOSPC by step: a from 4 to 4" in text
    note = "Errored episodes of trained on toy level 0 id: ENOSPC 3, of 13."
    assert f'<p class="note">{note}</p>' in text
    assert "as failures success is 50.0 %, not 75.0 %." in text
    assert text.count("Errored episodes of") == 1


def test_a_profile_is_a_table_of_stages(run):
    assert "stages of a step" not in page([run])
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row |= {"profile/decode/wall_s": 3.0, "profile/decode/processor_s": 4.5}
        row |= {"profile/decode/tokens": 600.0}
        row |= {"profile/other/wall_s": 1.0, "profile/other/processor_s": 0.5}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = page([run])
    assert "stages of a step" in text
    cells = ["3.00", "75.0 %", "1.50", "600", "200"]
    assert "".join(f"<td>{cell}</td>" for cell in cells) in text
    assert "<dt>student forward</dt>" in text


def test_without_credit_evaluation_or_episodes_the_page_says_so(tmp_path):
    bare = make_run(tmp_path / "bare", credit=False)
    text = page([bare])
    assert "No credit was kept" in text
    assert "No evaluation yet" in text
    shutil.rmtree(bare / "episodes")
    assert "No episode was kept." in page([bare])


def test_runs_without_evaluation_stand_side_by_side_uncompared(run, tmp_path):
    text = page([run, make_run(tmp_path / "b")])
    assert "Not compared:" in text
    assert "a from 0.25 to 0.75; b from 0.25 to 0.75" in text
    assert {row["run"] for row in data_of(text)} == {"a", "b"}


def test_steps_are_spread_and_groups_stay_whole(run):
    assert _spread([1, 2, 3, 4, 5], 3) == [1, 3, 5]
    assert _spread([1, 2, 3], 1) == [3]
    assert [(r["step"], r["place"]) for r in training_episodes(run, "a", "e", 3)] == [
        (2, 0),
        (2, 1),
    ]


def test_an_evaluation_s_episodes_follow_those_of_training(run):
    episodes = data_of(page([evaluated(run)]))
    assert [(e["model"], e["step"]) for e in episodes[7:9]] == [
        ("in training", 2),
        ("base", None),
    ]
    later = episodes[8:]
    assert [e["model"] for e in later] == ["base"] * 4 + ["trained"] * 4
    assert {(e["run"], e["env"]) for e in later} == {("a", "toy")}
    wanted = ["not solved"] * 3 + ["errored"] + ["solved"] * 3 + ["errored"]
    assert [e["verdict"] for e in later] == wanted
    turn = later[0]["segments"][1]
    assert (turn["tokens"][0], turn["logprob"][0]) == ("a", -0.5)
    assert (turn["w"], later[0]["reference"], later[0]["advantage"]) == (
        None,
        None,
        None,
    )


def test_an_evaluation_gets_a_third_of_the_room_in_whole_tasks_of_every_model(run):
    episodes = data_of(page([evaluated(run)], episodes=12))
    assert [e["place"] for e in episodes[8:]] == [0, 1, 0, 1]
    assert [e["model"] for e in episodes[8:]] == ["base", "base", "trained", "trained"]


def test_a_report_whose_episodes_are_gone_is_shown_without_them(run):
    shutil.rmtree(evaluated(run) / "evals" / "episodes")
    text = page([run])
    assert "<td>75.0 % (50.0-87.5)</td>" in text
    assert len(data_of(text)) == 8


def test_a_report_that_does_not_say_how_it_was_made_is_refused_by_name(run, capsys):
    path = evaluated(run) / "evals" / "x.json"
    data = json.loads(path.read_text())
    del data["provenance"]["code"]
    path.write_text(json.dumps(data))
    with pytest.raises(SystemExit) as stopped:
        main([str(run)])
    assert stopped.value.code == 2
    assert (
        f"{path} is not a report of this version (KeyError: 'code')"
        in capsys.readouterr().err
    )


def test_a_page_too_large_holds_fewer_episodes(run, monkeypatch):
    whole = page([run])
    assert len(data_of(whole)) == 8
    monkeypatch.setattr(html, "MAX_BYTES", len(whole.encode()) - 1)
    assert len(data_of(page([run], episodes=8))) == 4


def test_the_command_writes_into_the_run_and_names_what_is_missing(run, capsys):
    main([str(run)])
    assert (run / "evals" / "report.html").read_text().startswith("<!doctype html>")
    for arguments, sentence in (
        (
            [str(run), "--episodes", "0"],
            "argument --episodes: got '0', expected a whole number from 1",
        ),
        (["nowhere"], "there is no run"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert sentence in capsys.readouterr().err


@pytest.fixture
def browser() -> Iterator[Any]:
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright drives the browser"
    )
    if not CHROMIUM:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        # Root has no sandbox for itself; the page is our own file.
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield opened
        opened.close()


@pytest.fixture
def tab(browser, run, tmp_path) -> Iterator[Any]:
    """The page of the run in a browser; at the end it has said and asked for nothing."""
    path = tmp_path / "report.html"
    main([str(evaluated(run)), "--out", str(path)])
    opened = browser.new_page(viewport={"width": 1366, "height": 768})
    said, asked = [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(path.as_uri())
    yield opened
    assert opened.evaluate("window.owned") is None
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]


@pytest.mark.slow
def test_filters_narrow_the_list(tab):
    entries = tab.locator("#list button")
    assert entries.count() == 16
    for name, value, left in (
        ("step", "2", 4),
        ("verdict", "errored", 1),
        ("level", "1", 1),
    ):
        tab.select_option(f"#filter-{name}", value)
        assert entries.count() == left
    assert tab.inner_text("#count") == "1 of 16 episodes"
    tab.select_option("#filter-verdict", "not solved")
    assert entries.count() == 0
    assert "No episode passes" in tab.inner_text("#columns")


@pytest.mark.slow
def test_the_reference_stands_first_beside_the_chosen_and_then_the_siblings(tab):
    names = tab.locator("#columns article h3")
    assert names.all_inner_texts() == ["Chosen: episode 0", "Reference: episode 1"]
    tab.locator("#list button").nth(1).click()
    assert names.all_inner_texts() == ["Chosen: episode 1", "Sibling: episode 0"]
    assert tab.locator("#list button[aria-current]").count() == 1


@pytest.mark.slow
def test_a_model_of_the_evaluation_is_chosen_by_keyboard_and_its_siblings_are_its_own(
    tab,
):
    choice = tab.get_by_role("combobox", name="model", exact=True)
    assert choice.locator("option").all_text_contents() == [
        "all",
        "in training",
        "base",
        "trained",
    ]
    choice.focus()
    tab.keyboard.type("tra")
    assert choice.input_value() == "trained"
    assert tab.inner_text("#count") == "4 of 16 episodes"
    entry = tab.locator("#list button").first
    assert entry.inner_text().startswith("trained, 0: solved. id/0/")
    entry.focus()
    tab.keyboard.press("Enter")
    names = tab.locator("#columns article h3")
    assert names.all_inner_texts() == ["Chosen: episode 0", "Sibling: episode 1"]
    token = tab.locator("#columns .token").nth(1)
    token.focus()
    assert "weight w        not recorded" in tab.inner_text("#numbers")
    tab.select_option("#filter-step", "1")
    assert "No episode passes" in tab.inner_text("#columns")


@pytest.mark.slow
def test_every_control_and_region_has_a_name_and_focus_stays_when_a_list_entry_is_chosen(
    tab,
):
    # The browser's own names, as a screen reader gets them; a region that scrolls is one too.
    for role in (
        "combobox",
        "searchbox",
        "button",
        "listbox",
        "option",
        "region",
        "navigation",
    ):
        assert tab.get_by_role(role).count() > 0
        assert (
            tab.get_by_role(role, name=re.compile(r"\S")).count()
            == tab.get_by_role(role).count()
        )
    assert (
        tab.get_by_role("img", name=re.compile(r"\S")).count()
        == tab.locator("svg").count()
        == 3
    )
    tab.locator("#list button").nth(2).focus()
    tab.keyboard.press("Enter")
    focused = "document.activeElement.getAttribute('aria-current')"
    assert tab.evaluate(focused) == "true"
    assert tab.get_by_role("status").inner_text() == "16 of 16 episodes"
    assert tab.get_by_role("heading", name="Credit microscope").count() == 1


@pytest.mark.slow
def test_turns_fold(tab):
    turns = tab.locator("#columns article").first.locator("details")
    assert [turn.get_attribute("open") for turn in turns.all()] == [None, "", "", ""]
    turns.nth(1).locator("summary").click()
    assert turns.nth(1).get_attribute("open") is None
    tab.click("#unfold")
    assert tab.locator("#columns details:not([open])").count() == 0
    tab.click("#fold")
    assert tab.locator("#columns details[open]").count() == 0


@pytest.mark.slow
def test_a_tokens_numbers_show_on_hover_and_on_focus(tab):
    tokens = tab.locator("#columns article").first.locator(".token")
    numbers = tab.locator("#numbers")
    wanted = "log-probability -2\ndivergence D    0.03\nweight w        0.8\nadvantage       -0.5"
    assert numbers.is_hidden()
    tokens.nth(1).hover()
    assert numbers.inner_text() == wanted
    tab.mouse.move(0, 0)
    assert numbers.is_hidden()
    tokens.nth(0).focus()
    tab.keyboard.press("ArrowRight")
    assert numbers.inner_text() == wanted
    assert "weight w 0.8" in tab.evaluate(
        "document.activeElement.getAttribute('aria-label')"
    )
    tab.keyboard.press("Escape")
    assert numbers.is_hidden()


@pytest.mark.slow
def test_the_heaviest_token_is_shaded_fully_and_another_measure_shades_others(tab):
    tokens = tab.locator("#columns article").first.locator(".token")

    def shares() -> list[float]:
        script = "all => all.map(t => Number(t.style.getPropertyValue('--share')))"
        return tokens.evaluate_all(script)

    assert shares() == pytest.approx([0, 1, 0.5, 0.125, 0])
    tab.select_option("#shade", "logprob")
    assert shares() == pytest.approx([0.25, 1, 0.05, 0.125, 0.375])


@pytest.mark.slow
def test_light_and_dark_follow_the_reader(tab):
    def paper() -> str:
        return tab.evaluate("getComputedStyle(document.body).backgroundColor")

    tab.emulate_media(color_scheme="light")
    assert paper() == "rgb(255, 255, 255)"
    tab.emulate_media(color_scheme="dark")
    assert paper() == "rgb(20, 23, 26)"


@pytest.mark.slow
def test_two_hundred_long_episodes_open_within_a_second(browser, tmp_path):
    run = make_run(tmp_path / "large")
    long = [
        episode(f"train/0/{i // 8}", i % 2, reply="word " * 4000) for i in range(200)
    ]
    write_episodes(run / "episodes" / "step-000003.jsonl", long)
    path = tmp_path / "large.html"
    main([str(run), "--out", str(path)])
    assert path.stat().st_size < 10_000_000
    tab = browser.new_page()
    tab.goto(path.as_uri())
    spent_ms = tab.evaluate(
        "performance.getEntriesByType('navigation')[0].loadEventEnd"
    )
    assert tab.locator("#list button").count() == 200
    assert spent_ms < 1000
