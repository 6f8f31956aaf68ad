"""One qna.yaml: the pairs that are taken of it, and the sentence that says where it is no such file."""

from __future__ import annotations

import re
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.data.taxonomy import QnaFile, QnaPair, parse_qna
from pytest_instructlab_eval.errors import DataError

PATH = "compositional_skills/knots/qna.yaml"

SKILL = """\
created_by: ada
task_description: Tying things
seed_examples:
- question: What holds a boat?
  answer: A bowline.
- context: |
    Ropes are wet.
  answer: Because of the rain.
  question: Why?
"""

KNOWLEDGE = """\
version: 3
domain: piers
created_by: ben
seed_examples:
  - context: The pier is long.
    questions_and_answers:
      - question: How long?
        answer: Very.
      - question: Who says so?
        answer: The text.
  - context: The pier is old.
    questions_and_answers:
      - {question: 'How old?', answer: Quite.}
document_outline: All about piers
"""


def parse(text: str | bytes, path: str = PATH) -> QnaFile:
    return parse_qna(text if isinstance(text, bytes) else text.encode(), path)


def pair(question: str, answer: str = "a") -> str:
    return f"seed_examples:\n- question: {question}\n  answer: {answer}\n"


def refusal(text: str | bytes, path: str = PATH) -> str:
    with pytest.raises(DataError) as caught:
        parse(text, path)
    return str(caught.value)


def outcome(text: str) -> tuple[QnaPair, ...] | None:
    """The pairs of a text, None where it is refused."""
    try:
        return parse(text).pairs
    except DataError:
        return None


@pytest.fixture(params=["libyaml", "pure Python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's parsers; the fast one isn't everywhere."""
    if request.param == "pure Python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


# --- what is taken ---


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("begin", ["|", "|-", ">", "|2", "| # note", "|\n"])
def test_a_block_of_text_may_begin_with_a_tab(begin: str) -> None:
    text = f"seed_examples:\n- question: How?\n  answer: {begin}\n    \tTie it.\n    Pull.\n"
    answer = parse(text).pairs[0].answer
    assert answer.lstrip("\n ").startswith("\tTie it.")
    assert "Pull." in answer


@given(
    st.lists(
        st.sampled_from(["\t", " ", "\n", "x", ": ", "- ", "|", ">", "'", '"', "#", "    "]), max_size=12
    )
)
def test_both_parsers_of_yaml_read_the_same(parts: list[str]) -> None:
    text = f"seed_examples:\n- question: q\n  answer: |\n    \t{''.join(parts)}\n"
    with pytest.MonkeyPatch.context() as patch:
        fast = outcome(text)
        patch.delattr(yaml, "CSafeLoader", raising=False)
        assert outcome(text) == fast


@pytest.mark.usefixtures("parser")
def test_a_skill_has_pairs_with_and_without_context() -> None:
    assert parse(SKILL) == QnaFile(
        path=PATH,
        version=1,
        pairs=(
            QnaPair(PATH, 1, "What holds a boat?", "A bowline.", None, 4),
            QnaPair(PATH, 2, "Why?", "Because of the rain.", "Ropes are wet.\n", 9),
        ),
        created_by="ada",
        task_description="Tying things",
    )


@pytest.mark.usefixtures("parser")
def test_knowledge_has_its_pairs_under_a_context_and_numbers_them_through() -> None:
    file = parse(KNOWLEDGE, "knowledge/piers/qna.yaml")
    assert [(p.number, p.question, p.context, p.line) for p in file.pairs] == [
        (1, "How long?", "The pier is long.", 7),
        (2, "Who says so?", "The pier is long.", 9),
        (3, "How old?", "The pier is old.", 13),
    ]
    assert (file.version, file.domain, file.document_outline) == (3, "piers", "All about piers")


def test_older_knowledge_has_its_pairs_directly() -> None:
    file = parse(SKILL, "knowledge/knots/qna.yaml")
    assert file.is_knowledge
    assert len(file.pairs) == 2


@pytest.mark.parametrize("path", [PATH, "foundational_skills/knowledge/qna.yaml", "knowledge_of/x/qna.yaml"])
def test_only_the_top_folder_makes_a_file_one_of_knowledge(path: str) -> None:
    assert not parse(SKILL, path).is_knowledge


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_schemas_versions_are_read(version: int) -> None:
    assert parse(f"version: {version}\n{SKILL}").version == version


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("value", ["42", "007", "1_000", "3.50", "yes", "2024-01-31", "12:30", "=", "0x1F"])
def test_a_number_date_or_truth_value_is_taken_as_it_is_written(value: str) -> None:
    assert parse(pair("How many?", value)).pairs[0].answer == value


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("tagged", ["!!str 5", "!!int '5'", "! 5"])
def test_yamls_own_tags_change_nothing(tagged: str) -> None:
    assert parse(pair("How many?", tagged)).pairs[0].answer == "5"


def test_a_text_that_only_looks_like_nothing_is_kept() -> None:
    assert parse(pair("What is it?", "'null'")).pairs[0].answer == "null"


def test_a_description_of_another_form_is_left_out() -> None:
    assert parse("created_by: [ada, ben]\n" + pair("q")).created_by is None


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=ascii)
def test_a_line_is_counted_as_an_editor_counts_it(end: str) -> None:
    text = f'a: "one\u2028still one"\n# two 😀\n{SKILL}'
    assert [p.line for p in parse(text.replace("\n", end)).pairs] == [6, 11]


KEY_ORDERS = st.permutations(["question", "answer", "context"])


@given(
    orders=st.lists(KEY_ORDERS, min_size=1, max_size=4),
    texts=st.lists(st.text("ab:'\"#| \n\u2028\u0085é", min_size=1, max_size=30), min_size=4, max_size=4),
    nested=st.booleans(),
    style=st.sampled_from([None, "|", ">", '"']),
)
def test_a_pairs_line_is_that_of_its_question_whatever_stands_around_it(
    orders: list[list[str]], texts: list[str], nested: bool, style: str | None
) -> None:
    pairs = [
        {key: f"{key} {number} {texts[number]} end" for key in order} for number, order in enumerate(orders)
    ]
    examples = [{"questions_and_answers": [pair], "context": "c"} for pair in pairs] if nested else pairs
    text = yaml.safe_dump(
        {"seed_examples": examples}, sort_keys=False, allow_unicode=True, default_style=style
    )
    lines = re.split(r"\r\n|\r|\n", text)
    found = parse(text).pairs
    assert len(found) == len(pairs)
    for pair, number in zip(found, range(len(pairs)), strict=True):
        assert re.search(r'^[\s-]*"?question"?:', lines[pair.line - 1])
        assert f"question {number} " in " ".join(lines[pair.line - 1 : pair.line + 1])


@pytest.mark.usefixtures("parser")
def test_a_byte_order_mark_is_no_part_of_the_file() -> None:
    assert parse(b"\xef\xbb\xbf" + SKILL.encode()).pairs == parse(SKILL).pairs


# --- ids ---


def test_the_id_is_the_path_and_the_number() -> None:
    assert [p.id for p in parse(SKILL).pairs] == [f"{PATH}:1", f"{PATH}:2"]


# --- what is refused, with the line ---


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: the file is empty"),
        ("# nothing\n", "line 1: the file is empty"),
        ("- a\n", "line 1: expected a mapping with seed_examples"),
        ("a: 1\n", "line 1: seed_examples must be a list with at least one pair of question and answer"),
        ("a: 1\nseed_examples:\n", "line 2: seed_examples must be a list with at least one pair"),
        ("a: 1\nseed_examples: []\n", "line 2: seed_examples must be a list with at least one pair"),
        ("seed_examples:\n- text\n", "line 2: an entry of seed_examples must be a mapping"),
        ("seed_examples:\n- context: c\n  questions_and_answers: []\n", "line 3: questions_and_answers must"),
        ("seed_examples:\n- question: q\n", "line 2: this pair has no answer"),
        (pair("q", "null"), "line 3: this pair has no answer"),
        (pair("q", ""), "line 3: this pair has no answer"),
        (pair("' '"), "line 2: this pair has no question"),
        (pair("[a, b]"), "line 2: question must be a text, not a list or mapping"),
        (pair("q") + "  context: {a: b}\n", "line 4: context must be a text"),
        ("version: 4\n" + SKILL, "line 1: version must be 1, 2 or 3 (got 4)"),
        ("version: [3]\n" + SKILL, "line 1: version must be 1, 2 or 3 (got no number)"),
        (SKILL + "---\na: 1\n", "line 10: expected one YAML document (got a second one here)"),
        ("a: [1\nb: 2\n", "line 2: not YAML: "),
        (SKILL + "\tx", "line 10: not YAML: "),
        ("%YAML 9.9\n---\na: 1\n", "line 1: not YAML: "),
    ],
)
def test_what_is_no_qna_file_is_refused_with_the_line(text: str, reason: str) -> None:
    assert refusal(text).startswith(f"{PATH}, {reason}")


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            SKILL + "a: !!python/object/apply:os.system [id]\n",
            "line 10: tags are not supported (got tag:yaml.org,2002:python/obj",
        ),
        (
            pair("!!python/name:os.system x"),
            "line 2: tags are not supported (got tag:yaml.org,2002:python/name:os.system)",
        ),
        (pair("!function os.system"), "line 2: tags are not supported (got !function)"),
        (pair("!!binary aGk="), "line 2: tags are not supported (got tag:yaml.org,2002:binary)"),
        ("!!set\n" + SKILL, "line 1: tags are not supported (got tag:yaml.org,2002:set)"),
        (pair("&a q", "*a"), "line 3: aliases are not supported (got *a); write the value out"),
        ("a: &a {b: c}\n" + SKILL + "<<: *a\n", "line 11: merging another mapping (<<) is not supported"),
        (SKILL + "created_by: eve\n", "line 10: created_by is there twice, first in line 1"),
        (pair("q") + "  question: other\n", "line 4: question is there twice, first in line 2"),
        (SKILL + "? [a]\n: b\n", "line 10: expected a text as a key"),
        (SKILL + "a: x\x00\n", "line 10: not YAML: the character U+0000 is not allowed"),
        (SKILL + "a: \x1b[2J\n", "line 10: not YAML: the character U+001B is not allowed"),
        (pair('"\\ud800"'), "line 2: "),
        (b"\xff\xfe" + SKILL.encode("utf-16-le"), "line 1: not UTF-8 (byte 0xff)"),
        (
            SKILL.encode() + "a: é\n".encode("latin-1"),
            "line 10: not UTF-8 (byte 0xe9); save the file as UTF-8",
        ),
        (SKILL + "a: " + "[" * 20 + "\n", "line 10: expected at most 16 levels of nesting"),
    ],
)
def test_what_a_stranger_could_try_is_refused_with_the_line(text: str | bytes, reason: str) -> None:
    message = refusal(text)
    assert message.startswith(f"{PATH}, {reason}")
    assert message.isprintable()


BOMB = "a0: &a0 [x,x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40))


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, r"line 2: aliases are not supported \(got \*a0\)"),
        (
            "[" * 1_000_000,
            "line 1: (expected at most 16 levels of nesting|not YAML: exceeded maximum nesting)",
        ),  # libyaml's own limit
        ("- " * 500_000, "line 1: expected at most 16 levels of nesting"),
        ("{a: " * 250_000, "line 1: expected at most 16 levels of nesting"),
        ("a: " + "x" * 2_000_000, f"{PATH} is larger than 1,048,576 bytes"),
    ],
    ids=["aliases", "flow lists", "block lists", "flow mappings", "one long text"],
)
def test_a_bomb_is_refused_at_once(text: str, reason: str) -> None:
    begin = time.process_time()
    assert re.search(reason, refusal(text))
    assert time.process_time() - begin < 10  # of the processor's time; none takes a tenth


def test_a_name_that_would_act_on_the_terminal_is_escaped_in_the_sentence() -> None:
    assert refusal("", "a\n\x1b[2J/qna.yaml") == r"a\n\x1b[2J/qna.yaml, line 1: the file is empty"


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS, st.none() | TEXTS), min_size=1, max_size=5)


@pytest.mark.parametrize("flow", [True, False])
@given(PAIRS, st.booleans())
def test_the_texts_are_those_that_yaml_says(
    flow: bool, pairs: list[tuple[str, str, str | None]], escape: bool
) -> None:
    examples = [{"question": q, "answer": a, "context": c} for q, a, c in pairs]
    text = yaml.safe_dump({"seed_examples": examples}, default_flow_style=flow, allow_unicode=not escape)
    loader = getattr(
        yaml, "CSafeLoader", yaml.SafeLoader
    )  # writing isn't lossless: U+0085 comes back a space
    expected = yaml.load(text, loader)["seed_examples"]
    found = parse(text).pairs
    assert [{"question": p.question, "answer": p.answer, "context": p.context} for p in found] == expected


@given(
    st.binary() | st.text(alphabet=st.sampled_from("seed_examples: []{}-&*!?|>'\"\n\t ab")).map(str.encode)
)
def test_any_bytes_are_read_or_refused_with_a_sentence(data: bytes) -> None:
    try:
        file = parse(data)
    except DataError as error:
        message = str(error)
    else:
        message = file.pairs[0].id
    assert message.isprintable()
    assert message.startswith(PATH)
