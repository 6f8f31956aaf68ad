"""A run's totals: requests, tokens, time, and their cost where prices are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.usage import ModelUsage
from pytest_instructlab_eval.reports.tables import paragraph

MILLION = 1_000_000


@dataclass(frozen=True)
class TotalLine:
    """The totals of one model or judge; `cost` is in the unit of the prices, None without prices."""

    usage: ModelUsage
    per_second: float
    cost: float | None


def run_totals(run: Run) -> list[TotalLine]:
    """Return the totals of each model and judge; none where the run did not keep them."""
    if run.usage is None:
        return []
    price_in, price_out = (_prices(run.configuration.get(name)) for name in ("price_in", "price_out"))
    totals = []
    for usage in run.usage.models:
        per_second = usage.completion_tokens / run.usage.seconds if run.usage.seconds else 0.0
        read, written = (prices.get(usage.model, prices.get("")) for prices in (price_in, price_out))
        cost = None
        if read is not None or written is not None:
            cost = usage.prompt_tokens * (read or 0.0) + usage.completion_tokens * (written or 0.0)
            cost /= MILLION
        totals.append(TotalLine(usage, per_second, cost))
    return totals


def _prices(given: object) -> dict[str, float]:
    """Return the prices by name; "" has that of all other models and judges."""
    texts = map(str, given) if isinstance(given, Sequence) and not isinstance(given, str) else ()
    parts = [text.rpartition("=") for text in texts]
    return {name.strip(): float(price) for name, _, price in parts}


def totals_table(run: Run) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the table of totals; no rows where the run did not keep them."""
    lines = run_totals(run)
    costs = [line.cost for line in lines if line.cost is not None]
    head = ["", "requests", "tokens read", "tokens written", "written a second"]
    rows = [
        [
            f"{'judge ' if line.usage.role == 'judge' else ''}{line.usage.model}",
            f"{line.usage.requests:,}",
            f"{line.usage.prompt_tokens:,}",
            f"{line.usage.completion_tokens:,}",
            f"{line.per_second:,.1f}",
            *([""] if line.cost is None else [f"{line.cost:,.4f}"]),
        ][: 6 if costs else 5]
        for line in lines
    ]
    return [*head, *(["cost"] if costs else [])], rows


def cost_of_run(run: Run) -> float | None:
    """Return the cost of a run; None without prices."""
    costs = [line.cost for line in run_totals(run) if line.cost is not None]
    return sum(costs) if costs else None


def time_and_cost(run: Run) -> str:
    """Return the time and the cost of a run, as far as they are known."""
    if run.usage is None:
        return ""
    return run_time(run.usage.seconds) + _cost_text(cost_of_run(run))


def totals_lines(run: Run) -> list[str]:
    """Return the run's time and cost, and a line for each model and judge; none where nothing was asked."""
    lines = run_totals(run)
    if run.usage is None or not lines:
        return []
    shown = [f"totals: {time_and_cost(run)}"]
    for line in lines:
        usage = line.usage
        role = "judge " if usage.role == "judge" else ""
        requests = "1 request" if usage.requests == 1 else f"{usage.requests:,} requests"
        shown += paragraph(
            f"  {role}{escape_line(usage.model)}: {requests}, {usage.prompt_tokens:,} tokens read, "
            f"{usage.completion_tokens:,} written ({line.per_second:,.1f} a second){_cost_text(line.cost)}"
        )
    return shown


def _cost_text(cost: float | None) -> str:
    return "" if cost is None else f", cost {cost:,.4f}"


def run_time(seconds: float) -> str:
    """Return a duration: "12.3 s", "4 min 5 s" or "2 h 3 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
