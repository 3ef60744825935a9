"""The setting that says when a block is final, in its three forms."""

import pytest

from node.config import Settings
from node.core.mirror import Finality


@pytest.mark.parametrize(
    ("text", "finality"),
    [
        ("tag", Finality(None)),
        ("depth:12", Finality(12)),
        ("tag,depth:65", Finality(65, tag_first=True)),
    ],
)
def test_each_form_of_the_setting_says_who_decides(text: str, finality: Finality) -> None:
    assert Settings(chain_finality=text).finality == finality
