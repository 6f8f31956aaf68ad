"""What is asked, and how it is scored."""

from dataclasses import dataclass

from pytest_instructlab_eval import Benchmark, Model, Option, Score, Settings

CAPITALS = {
    "Africa": {"Egypt": "Cairo", "Kenya": "Nairobi", "Senegal": "Dakar"},
    "Europe": {"Norway": "Oslo", "Portugal": "Lisbon", "Poland": "Warsaw"},
}


@dataclass(frozen=True)
class Country:
    """A question: a country, its continent and its capital."""

    id: str
    group: str
    capital: str
    requests: int = 1

    @property
    def content(self) -> object:
        """What tells it from another question of its name."""
        return self.id, self.capital


def read(settings: Settings) -> list[Country]:
    """Return the countries, or those of one continent."""
    wanted = settings.own["continent"]
    return [
        Country(country, continent, capital)
        for continent, countries in CAPITALS.items()
        for country, capital in countries.items()
        if wanted in (None, continent)
    ]


async def score(country: Country, model: Model) -> Score:
    """Return 1 where the model names the capital."""
    reply = await model.chat(f"What is the capital of {country.id}? Answer with its name.")
    return Score(float(country.capital in reply.text), "named", explanation=reply.text)


def parse_continent(text: str) -> str:
    """Return the continent; raises ValueError."""
    if text not in CAPITALS:
        raise ValueError(f"expected one of {', '.join(CAPITALS)} (got {text!r})")
    return text


BENCHMARK = Benchmark(
    name="countries",
    title="Countries",
    question=Country,
    read=read,
    metrics={"named": 1.0},
    own_settings=("continent",),
    tests="countries_benchmark.test_countries",
    options=(Option("continent", "NAME", "Countries: of this continent alone", parse_continent),),
)
