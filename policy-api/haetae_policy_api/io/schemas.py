"""What requests look like in the OpenAPI document. The language itself is checked by `haetae_policy.parse`, which says
more about what is wrong than a schema can; these models bound shapes and refuse unknown fields.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

MAX_BATCH = 100_000
Text = Annotated[str, Field(min_length=1, max_length=500)]
Ident = Annotated[str, Field(min_length=1, max_length=256)]


class Strict(BaseModel):
    """Unknown fields are errors; nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SubjectBody(Strict):
    """Who; all that are given must hold, none means everyone."""

    session: Ident | None = None
    device: Ident | None = None
    user: Ident | None = None
    account: Ident | None = None
    pw_fp: Ident | None = None
    client: Ident | None = None
    ip: Annotated[str, Field(max_length=64)] | None = None
    untrusted: bool | None = None


class ApiBody(Strict):
    """What; all that are given must hold, none means every API."""

    gateway: Annotated[str, Field(max_length=128)] | None = None
    route: Annotated[str, Field(max_length=128)] | None = None
    method: Annotated[str, Field(max_length=16)] | None = None
    path: Annotated[str, Field(max_length=1024)] | None = None


class RateBody(Strict):
    """A throttle's rate."""

    limit: Annotated[int, Field(ge=1, le=1_000_000)]
    per_seconds: Annotated[int, Field(ge=1, le=86_400)]


class NewPolicy(Strict):
    """A policy somebody asks for. Exactly one of `expires` (RFC 3339, UTC) and `lasts_s` (seconds)."""

    subject: SubjectBody | None = None
    api: ApiBody | None = None
    action: Literal["observe", "allow", "throttle", "challenge", "block"]
    mode: Literal["enforce", "shadow"] | None = None
    hard: bool | None = None
    rate: RateBody | None = None
    reason: Text
    why: Annotated[str, Field(max_length=64)] | None = None
    evidence: dict[str, Any] | None = None
    expires: Annotated[str, Field(max_length=32)] | None = None
    lasts_s: Annotated[int, Field(ge=1, le=2_592_000)] | None = None
    ticket: Annotated[str, Field(max_length=64)] | None = None

    def document(self) -> dict[str, Any]:
        """Return what was given, for the language's own parser."""
        return self.model_dump(exclude_none=True)


class Batch(Strict):
    """Many policies that all take effect or none."""

    # Each is checked once, by the language's own parser; the schema of one is that of `NewPolicy`.
    policies: Annotated[
        list[dict[str, Any]],
        Field(min_length=1, max_length=MAX_BATCH),
        WithJsonSchema(
            {
                "type": "array",
                "items": {"$ref": "#/components/schemas/NewPolicy"},
                "minItems": 1,
                "maxItems": MAX_BATCH,
            }
        ),
    ]

    def documents(self) -> list[dict[str, Any]]:
        """Return what was given, for the language's own parser."""
        known = NewPolicy.model_fields  # null stands for absence there; of an unknown field it is an error, too
        return [
            {name: value for name, value in policy.items() if value is not None or name not in known}
            for policy in self.policies
        ]


class ExceptionBody(Strict):
    """An exception to a policy; subject and API may narrow it."""

    subject: SubjectBody | None = None
    api: ApiBody | None = None
    reason: Text
    expires: Annotated[str, Field(max_length=32)] | None = None
    lasts_s: Annotated[int, Field(ge=1, le=2_592_000)] | None = None
    ticket: Annotated[str, Field(max_length=64)] | None = None

    def document(self) -> dict[str, Any]:
        """Return what was given."""
        return self.model_dump(exclude_none=True)


class Extension(Strict):
    """Another end of a policy."""

    expires: Annotated[str, Field(max_length=32)] | None = None
    lasts_s: Annotated[int, Field(ge=1, le=2_592_000)] | None = None


class Because(Strict):
    """Why something is taken back or rejected."""

    reason: Text


class Verdict(Strict):
    """Whether a decision of the fraud detection was right. `same_cause` says a false alarm of all of its cause."""

    word: Literal["confirm", "false-alarm"]
    same_cause: bool = False


class Switch(Strict):
    """The mode of one detector; without one, of all."""

    mode: Literal["off", "shadow", "enforce"]
    detector: Annotated[str, Field(max_length=64)] | None = None


class Undo(Strict):
    """Of one detector, without one of all; at most seven days."""

    minutes: Annotated[int, Field(ge=1, le=10_080)]
    detector: Annotated[str, Field(max_length=64)] | None = None


class FieldProblem(BaseModel):
    """One field that is wrong: `code` is stable (`other` where there is none), `message` is for people."""

    field: str
    code: str
    message: str


class ProblemBody(BaseModel):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldProblem] | None = None
