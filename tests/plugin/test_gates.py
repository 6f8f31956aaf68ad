"""Gates: each a test of its own, in the terminal, in the JUnit file and in the exit status."""

from tests.scripted_server import Body

from .conftest import Project

OWN = """
    import pytest

    @pytest.mark.eval("own", gates=["own >= 0.25"])
    @pytest.mark.parametrize("number", range(40))
    async def test_number(number, served_model, record_score):
        reply = await served_model.chat([{"role": "user", "content": f"number {number}."}])
        record_score(float("right" in reply.text))
"""
RIGHT = 20  # of the forty, and the even ones of the others


def answers_to(right: range) -> object:
    def reply(body: Body) -> str:
        number = int(body["messages"][0]["content"].removesuffix(".").split()[-1])
        return "right" if number in right else "wrong"

    return reply


def own(project: Project, *args: str, right: range, ret: int = 0) -> object:
    project.write("test_own.py", OWN)
    project.server.reply = answers_to(right)  # type: ignore[assignment]
    return project.evaluate("test_own.py", *args, ret=ret, passed=40)
