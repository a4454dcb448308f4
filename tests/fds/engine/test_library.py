"""The example of the documentation, as it stands there: a bare script with the imports that are documented."""

import json
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs" / "fds.md"


def test_example_of_the_documentation_prints_what_a_replay_prints(tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    plain = {"ts": 1_700_000_000_000, "gw": "app", "api": "GET /things", "ip": "198.51.100.7", "status": 200}
    tries = [
        {"id": f"e{n}", "ts": 1_700_000_100_000 + n * 1000, "gw": "app", "route": "login", "api": "POST /login",
         "ip": "203.0.113.9", "acct": f"a{n}", "cred_fp": f"c{n}", "auth": "bad", "status": 401}
        for n in range(20)
    ]  # fmt: skip
    (tmp_path / "plain.jsonl").write_text(json.dumps({**plain, "id": "p"}) + "\n")
    (tmp_path / "events.jsonl").write_text("nonsense\n" + "\n".join(json.dumps(one) for one in tries) + "\n")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30
    )
    made = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["detector"], one["subject"]) for one in made] == [
        ("stuffing_from_address", {"ip": "203.0.113.9"}),
    ]
