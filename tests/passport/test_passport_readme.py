"""The README lists every claim and every refusal there is."""

import json
import re
from base64 import urlsafe_b64decode
from pathlib import Path

import haetae_passport
from haetae_passport import PassportError

from tests.passport.world import mint

README = (Path(haetae_passport.__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_every_minted_claim_is_documented_and_every_documented_one_is_minted() -> None:
    body = mint().split(".")[1]
    claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    table = README.partition("| claim |")[2].partition("\n\n")[0]
    first_column = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    documented = {name for cell in first_column for name in re.findall(r"`(\w+)`", cell)}
    assert documented == set(claims)
    context_row = next(line for line in table.splitlines() if line.startswith("| `ctx`"))
    assert set(claims["ctx"]) <= set(re.findall(r"`(\w+)`", context_row))


def test_every_refusal_code_a_caller_can_meet_is_documented() -> None:
    answered = {"passport-missing", "passport-invalid", "passport-keys-unavailable"}
    codes = {error.code for error in PassportError.__subclasses__()}
    assert codes == answered | {"passport-unmintable"}
    assert all(f"`{code}`" in README for code in answered)
