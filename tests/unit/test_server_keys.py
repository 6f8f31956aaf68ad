"""Each server gets the key that it was given for, in its header, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_instructlab_eval.session.server_keys import judge_key, model_key
from pytest_instructlab_eval.settings import Settings

SHARED = {"api_key_env": "KEY", "api_key_header": "api-key"}
OWN_JUDGE = {"judge_api_key_env": "JUDGE_KEY", "judge_api_key_header": "X-Key"}


def settings(**more: Any) -> Settings:
    return Settings(("lab",), ("http://a/v1",), judge_model=("strict",), base_model="base", **more)


@pytest.mark.parametrize(
    ("given", "variable", "header"),
    [
        ({}, None, None),
        (SHARED, "KEY", "api-key"),
        ({**SHARED, "judge_api_key_env": "JUDGE_KEY"}, "JUDGE_KEY", "api-key"),
        ({**SHARED, "judge_api_key_header": "Authorization"}, "KEY", "Authorization"),
        ({**SHARED, **OWN_JUDGE}, "JUDGE_KEY", "X-Key"),
        ({**SHARED, "judge_base_url": ("http://b/v1",)}, None, None),
        (
            {**SHARED, "judge_api_key_env": "JUDGE_KEY", "judge_base_url": ("http://b/v1",)},
            "JUDGE_KEY",
            None,
        ),
        ({**SHARED, **OWN_JUDGE, "judge_base_url": ("http://b/v1",)}, "JUDGE_KEY", "X-Key"),
    ],
)
def test_a_judge_at_the_models_server_takes_what_it_lacks_from_the_models_key(
    given: dict[str, Any], variable: str | None, header: str | None
) -> None:
    key = judge_key(settings(**given), "strict")
    assert (key.variable, key.header) == (variable, header)


def test_the_base_model_has_its_own_key_at_its_own_server() -> None:
    own = {"base_model_api_key_env": "BASE_KEY", "base_model_api_key_header": "X-Base"}
    elsewhere = {"base_model_url": ("http://b/v1",)}
    assert model_key(settings(**SHARED), "base") == model_key(settings(**SHARED), "lab")
    assert model_key(settings(**SHARED, **elsewhere), "base").variable is None
    key = model_key(settings(**SHARED, **own, **elsewhere), "base")
    assert (key.variable, key.header, key.option) == ("BASE_KEY", "X-Base", "--eval-base-model-api-key-env")
