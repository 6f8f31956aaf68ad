"""Mistakes in the test functions of one's own benchmark."""

from __future__ import annotations

import textwrap

from .mistake import Mistake

CHAT = 'await served_model.chat([{"role": "user", "content": "What is the capital of Peru?"}])'


def own(
    name: str, meant: str, body: str, gets: str, *, status: int = 1, more: str = "", **kept: object
) -> Mistake:
    """A test file with a mistake in it; the model may have been asked by then."""
    files = {"test_own.py": "import pytest\n\n" + textwrap.dedent(body).lstrip()}
    command = f"pytest $MODEL test_own.py {more}"
    return Mistake(name, meant, command, gets, status=status, files=files, asks=True, **kept)  # type: ignore[arg-type]


MISTAKES = [
    own("a forgotten await", "await is forgotten before chat", """
        async def test_own(served_model, record_score):
            reply = served_model.chat([{"role": "user", "content": "Hello?"}])
            record_score(float("Lima" in reply.text))
        """, r"is an `await` missing\?", never="could not be asked"),
    own("a forgotten await, nothing used", "await is forgotten, and the reply is not looked at", """
        async def test_own(served_model, record_score):
            served_model.chat([{"role": "user", "content": "Hello?"}])
            record_score(1.0)
        """, r"(chat|coroutine).*await", status=7),
    own("a forgotten async", "async is forgotten before def", f"""
        def test_own(served_model, record_score):
            reply = {CHAT}
            record_score(1.0)
        """, r"'await' outside async function", status=2),
    own("await in a plain test", "a plain test is written as the guide says", """
        def test_own(served_model, record_score):
            reply = served_model.chat([{"role": "user", "content": "Hello?"}])
            record_score(1.0)
        """, r"3 passed", status=0),
    own("an assertion", "a wrong answer fails the test", f"""
        async def test_own(served_model, record_score):
            reply = {CHAT}
            assert "Lima" in reply.text
            record_score(1.0)
        """, r"AssertionError: assert 'Lima' in", never="could not be asked"),
    own("no score", "record_score is never called", f"""
        @pytest.mark.eval("own")
        async def test_own(served_model, record_score):
            {CHAT}
        """, r"own.*(recorded|record_score)", status=0),
    own("no score, gated", "record_score is never called, and there is a gate", f"""
        @pytest.mark.eval("own")
        async def test_own(served_model, record_score):
            {CHAT}
        """, r"own.*(recorded|record_score)", more="--eval-gate='own >= 0.5'", status=7),
    own("no record_score", "the test has no record_score, and there is a gate", f"""
        @pytest.mark.eval("own")
        async def test_own(served_model):
            {CHAT}
        """, r"own.*record_score", more="--eval-gate='own >= 0.5'", status=7),
    own("NaN", "the score is not a number", """
        async def test_own(served_model, record_score):
            record_score(float("nan"))
        """, r"a score must be a finite number \(got nan\); record None"),
    own("a text", "the score is a text", """
        async def test_own(served_model, record_score):
            record_score("0.5 points")
        """, r"record_score takes a number, a Score, or None for no score \(got '0\.5 points'\)"),
    own("beyond the maximum", "the score is beyond the maximum", """
        async def test_own(served_model, record_score):
            record_score(7)
        """, r"expected a score from 0 to 1 \(got 7\); set another maximum with max_score"),
    own("negative", "the score is negative", """
        async def test_own(served_model, record_score):
            record_score(-0.5)
        """, r"expected a score from 0 to 1 \(got -0\.5\)"),
    own("a marker without a name", "the marker has no name, and the function's is taken", """
        @pytest.mark.eval
        async def test_own(served_model, record_score):
            record_score(0.5)
        """, r"^own +0\.5000", status=0),
    own("a keyword that isn't", "a keyword of the marker is misspelt", """
        @pytest.mark.eval("own", max_scores=10)
        async def test_own(served_model, record_score):
            record_score(5)
        """, r"test_own\.py::test_own: the marker eval has no argument 'max_scores'.*did you mean max_score", status=4),
    own("a maximum that is a text", "max_score is a text", """
        @pytest.mark.eval("own", max_score="ten")
        async def test_own(served_model, record_score):
            record_score(5)
        """, r"test_own\.py::test_own: .*max_score.*'ten'", status=4),
    own("a fixture's typo", "a fixture is misspelt", """
        async def test_own(served_modle, record_score):
            record_score(5)
        """, r"fixture 'served_modle' not found"),
    own("a judge without a judge", "the test needs a judge, and none is named", """
        async def test_own(served_model, judge, record_score):
            record_score(await judge.grade("Hello?", "Hello."))
        """, r"SKIPPED .*needs a judge; name one with --eval-judge-model", status=0, more="-rs"),
    own("two scales", "two tests of a benchmark have different scales", """
        @pytest.mark.eval("own")
        async def test_one(served_model, record_score):
            record_score(0.5)

        @pytest.mark.eval("own", max_score=10)
        async def test_two(served_model, record_score):
            record_score(5)
        """, r"own.*(scales|max_score|maximum)", status=7),
    own("two scales, gated", "two tests of a gated benchmark have different scales", """
        @pytest.mark.eval("own")
        async def test_one(served_model, record_score):
            record_score(0.5)

        @pytest.mark.eval("own", max_score=10)
        async def test_two(served_model, record_score):
            record_score(5)
        """, r"own.*(scales|max_score|maximum)", more="--eval-gate='own >= 0.5'", status=7),
    own("an import", "a module that the test imports is missing", """
        import capitals

        async def test_own(served_model, record_score):
            record_score(0.5)
        """, r"ModuleNotFoundError: No module named 'capitals'", status=2),
    own("a broken test file", "a bracket is missing", """
        async def test_own(served_model, record_score:
            record_score(0.5)
        """, r"SyntaxError: ", status=2),
    own("a text for messages", "chat gets a text in place of messages", """
        async def test_own(served_model, record_score):
            reply = await served_model.chat("Hello?")
            record_score(0.5)
        """, r"3 passed", status=0),
    own("no tests", "the function's name does not begin with test_", """
        async def own(served_model, record_score):
            record_score(0.5)
        """, r"(no tests ran|collected 0 items)", status=5),
]  # fmt: skip
