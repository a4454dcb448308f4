"""Prints the versions installed now, in the form of `[tool.uv] constraint-dependencies`; see docs/dependencies.md."""

from importlib.metadata import distributions


def installed() -> list[str]:
    """`name==version` of every distribution that is not ours, sorted."""
    found = {(dist.name.lower().replace("_", "-"), dist.version) for dist in distributions()}
    return [f"{name}=={version}" for name, version in sorted(found) if not name.startswith("haetae")]


if __name__ == "__main__":
    print("constraint-dependencies = [")  # noqa: T201
    for pin in installed():
        print(f'    "{pin}",')  # noqa: T201
    print("]")  # noqa: T201
