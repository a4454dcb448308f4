"""Names by which tools know people: each means one person, also after a tool or an encoder trimmed it."""

import pytest
from haetae_edge.staff.presets.model import NameUnusable, log_in_name

from tests.edge.staff.staff_office import Badge


@pytest.mark.parametrize("name", ["admin ", " admin", "admin\t", "admin\u00a0", "\u3000admin", "admin\n", "", " "])
@pytest.mark.parametrize("kind", ["username", "email", "subject"])
def test_name_that_becomes_another_persons_when_trimmed_is_no_name(kind: str, name: str) -> None:
    person = Badge(username=name, email=name, subject=name)
    with pytest.raises(NameUnusable):
        log_in_name(person, kind)  # type: ignore[arg-type]  # each of them is one


def test_name_without_space_around_it_is_told_as_it_is() -> None:
    assert log_in_name(Badge(username="김 지민"), "username") == "김 지민"
