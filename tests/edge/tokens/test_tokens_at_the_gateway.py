"""Access tokens at the gateway: who passes, as whom, and what the upstream is told of it."""

import asyncio
import json
from typing import Any, ClassVar

import pytest
from haetae_crypto.jwks import parse_jwks
from haetae_crypto.signing_keys import new_signing_ring
from haetae_edge.exchange import ClientCertificate, Exchange
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.filters.passport import Passport
from haetae_edge.filters.verify_jwt import VerifyJwt
from haetae_edge.tokens.scopes import ScopeRule
from haetae_passport import PassportPolicy, PassportVerifier, jwks_document
from joserfc.jwk import ECKey

from tests.edge.tokens.gate import AUDIENCE, NOW, Gate, Holder, at_once, gate

THUMBPRINT = "A" * 43


class WithCertificate:
    """Stands for the filter that knows the certificate of the connection."""

    phase: ClassVar[Phase] = Phase.AUTHENTICATE
    shortcut: ClassVar[tuple[str, ...]] = ()

    def build(self, context: BuildContext) -> Steps:
        def present(exchange: Exchange) -> None:
            exchange.caller.certificate = ClientCertificate(
                thumbprint=THUMBPRINT, uris=(), dns=(), emails=(), not_after=NOW + 1
            )

        return Steps(request=((Phase.AUTHENTICATE, present),))


async def refused(gate: Gate, token: str, reason: str, *, status: int = 401) -> None:
    answer = await gate.bearer(token)
    assert (answer.status, gate.reason) == (status, reason)
    assert gate.edge.upstream.requests == []


async def test_caller_with_a_good_token_passes_and_the_token_stays_here() -> None:
    async with gate(VerifyJwt()) as g:
        answer = await g.bearer(g.issuer.token())
        assert answer.status == 200
        assert g.edge.upstream.only.values(b"authorization") == []


async def test_token_goes_on_to_the_upstream_where_the_route_says_so() -> None:
    async with gate(VerifyJwt(forward=True)) as g:
        token = g.issuer.token()
        assert (await g.bearer(token)).status == 200
        assert g.edge.upstream.only.values(b"authorization") == [b"Bearer " + token.encode()]


async def test_caller_without_a_token_is_asked_for_one_and_told_no_error() -> None:
    async with gate(VerifyJwt()) as g:
        answer = await g.ask()
        assert (answer.status, answer.problem()) == (401, "token-invalid")
        assert answer.value(b"www-authenticate") == b'Bearer realm="haetae"'


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://other.example"}, "issuer"),
        ({"aud": "another-api"}, "audience"),
        ({"aud": ...}, "claim-aud"),
        ({"exp": NOW - 31, "iat": NOW - 60}, "expired"),
        ({"nbf": NOW + 31}, "not-yet-valid"),
        ({"iat": NOW + 31, "exp": NOW + 60}, "issued-in-the-future"),
        ({"exp": NOW + 3601}, "lifetime"),
        ({"exp": str(NOW + 60)}, "claim-exp"),
        ({"sub": ["u-1"]}, "claim-sub"),
        ({"jti": ...}, "claim-jti"),
        ({"client_id": ...}, "claim-client_id"),
    ],
)
async def test_token_with_another_claim_is_refused(changes: dict[str, Any], reason: str) -> None:
    async with gate(VerifyJwt()) as g:
        await refused(g, g.issuer.token(**changes), reason)


async def test_id_token_foreign_signature_and_unknown_key_are_refused() -> None:
    async with gate(VerifyJwt()) as g:
        await refused(g, g.issuer.token(header={"typ": "JWT"}), "type")
        await refused(g, g.issuer.token(key=ECKey.generate_key("P-256")), "signature")
        await refused(g, g.issuer.token(header={"kid": "k2"}), "key-unknown")
        assert b'error="invalid_token"' in (await g.bearer("a.b.c")).value(b"www-authenticate")


@pytest.mark.parametrize("target", ["/orders?access_token=x", "/orders?a=1&access%5Ftoken=x"])
async def test_token_in_header_and_query_is_an_ambiguous_request(target: str) -> None:
    async with gate(VerifyJwt()) as g:
        answer = await g.bearer(g.issuer.token(), target=target)
        assert (answer.status, answer.problem()) == (400, "token-ambiguous")
        assert b'error="invalid_request"' in answer.value(b"www-authenticate")
        assert g.edge.upstream.requests == []


async def test_token_in_header_and_form_is_an_ambiguous_request_and_another_form_passes_whole() -> None:
    form = "Content-Type: application/x-www-form-urlencoded"
    async with gate(VerifyJwt()) as g:
        answer = await g.bearer(g.issuer.token(), form, method="POST", body=b"amount=1&access_token=x")
        assert (answer.status, answer.problem()) == (400, "token-ambiguous")
        assert g.edge.upstream.requests == []
        answer = await g.bearer(g.issuer.token(), form, method="POST", body=b"amount=1&to=joon")
        assert answer.status == 200
        assert g.edge.upstream.only.content == b"amount=1&to=joon"


async def test_several_tokens_in_the_header_are_an_ambiguous_request() -> None:
    async with gate(VerifyJwt()) as g:
        answer = await g.ask("Authorization: Bearer a b")
        assert (answer.status, answer.problem()) == (400, "token-ambiguous")


# -- what it grants ----------------------------------------------------------------------------------------------------


async def test_scope_that_was_not_granted_is_named_and_words_compare_whole() -> None:
    async with gate(VerifyJwt(scopes=("read",))) as g:
        answer = await g.bearer(g.issuer.token(scope="reader read.all"))
        assert (answer.status, answer.problem()) == (403, "insufficient-scope")
        assert b'scope="read"' in answer.value(b"www-authenticate")
        assert (await g.bearer(g.issuer.token(scope="write read"))).status == 200


async def test_first_rule_for_method_and_path_decides_and_no_rule_is_a_no() -> None:
    rules = (
        ScopeRule(path="/orders/{id}", methods=("GET",), scopes=("orders.read",)),
        ScopeRule(path="/orders/**", scopes=("orders.write",)),
    )
    async with gate(VerifyJwt(scope_map=rules)) as g:
        reader, writer = (g.issuer.token(scope=f"orders.{what}") for what in ("read", "write"))
        assert (await g.bearer(reader, target="/orders/7")).status == 200
        assert (await g.bearer(writer, target="/orders/7")).status == 403
        assert (await g.bearer(reader, target="/orders/7", method="DELETE")).status == 403
        assert (await g.bearer(writer, target="/orders/7", method="DELETE")).status == 200
        answer = await g.bearer(writer, target="/accounts")
        assert (answer.status, answer.problem()) == (403, "insufficient-scope")


# -- single use --------------------------------------------------------------------------------------------------------


async def test_token_used_twice_is_refused_even_when_it_was_remembered_as_good() -> None:
    async with gate(VerifyJwt(reuse="refuse")) as g:
        token = g.issuer.token()
        assert (await g.bearer(token)).status == 200
        answer = await g.bearer(token)
        assert (answer.status, answer.problem(), g.reason) == (401, "token-invalid", "token-reused")
        assert b'error="invalid_token"' in answer.value(b"www-authenticate")
        assert len(g.edge.upstream.requests) == 1


async def test_token_used_by_twenty_at_once_passes_once() -> None:
    async with gate(VerifyJwt(reuse="refuse")) as g:
        token = g.issuer.token()
        assert await at_once(20, lambda: g.bearer(token)) == [200] + [401] * 19


async def test_claim_outlives_the_token() -> None:
    async with gate(VerifyJwt(reuse="refuse")) as g:
        assert (await g.bearer(g.issuer.token())).status == 200
        client = g.store.client()
        keys = await client.keys("t:token:*")
        assert len(keys) == 1
        assert await client.pttl(keys[0]) > 330_000
        await client.aclose()


async def test_token_that_is_refused_for_another_reason_is_not_used_up() -> None:
    async with gate(VerifyJwt(reuse="refuse")) as g:
        token = g.issuer.token()
        head, body, signature = token.split(".")
        assert (await g.bearer(f"{head}.{body}.{signature[::-1]}")).status == 401
        assert (await g.bearer(token)).status == 200


async def test_two_issuers_or_ids_with_shifted_borders_do_not_share_a_claim() -> None:
    async with gate(VerifyJwt(reuse="refuse")) as g:
        claims = g.services.token_claims
        assert claims is not None
        for owner, identifier in (("ab", "c"), ("a", "bc"), ("abc", "")):
            await claims.claim("jti", owner, identifier, holder="", ttl_ms=60_000)


async def test_lost_store_refuses_tokens_that_are_used_once() -> None:
    async with gate(VerifyJwt(reuse="refuse")) as g:
        g.store.kill()
        answer = await g.bearer(g.issuer.token())
        assert (answer.status, answer.problem()) == (503, "replay-store-unavailable")
        assert g.edge.upstream.requests == []


async def test_bearer_token_without_a_holder_is_used_once_even_per_device() -> None:
    async with gate(VerifyJwt(reuse="once-per-device")) as g:
        token = g.issuer.token()
        assert (await g.bearer(token)).status == 200
        assert (await g.bearer(token)).status == 401


async def test_holder_of_the_bound_key_uses_a_token_again_per_device() -> None:
    async with gate(VerifyJwt(reuse="once-per-device")) as g:
        holder = Holder()
        token = g.issuer.token(cnf=holder.cnf)
        for _ in range(3):
            assert (await g.proven(token, holder.proof(token))).status == 200


async def test_token_id_used_with_one_certificate_is_refused_with_another_holder() -> None:
    async with gate(VerifyJwt(reuse="once-per-device"), before=(WithCertificate(),)) as g:
        holder = Holder()
        by_certificate = g.issuer.token(jti="same", cnf={"x5t#S256": THUMBPRINT})
        by_key = g.issuer.token(jti="same", cnf=holder.cnf)
        assert (await g.bearer(by_certificate)).status == 200
        assert (await g.bearer(by_certificate)).status == 200
        assert (await g.proven(by_key, holder.proof(by_key))).status == 401
        assert g.reason == "token-reused"


# -- certificates ------------------------------------------------------------------------------------------------------


async def test_certificate_bound_token_passes_with_its_certificate_and_with_no_other() -> None:
    async with gate(VerifyJwt(certificate_bound=True), before=(WithCertificate(),)) as g:
        assert (await g.bearer(g.issuer.token(cnf={"x5t#S256": THUMBPRINT}))).status == 200
        assert (await g.bearer(g.issuer.token(cnf={"x5t#S256": "B" * 42 + "A"}))).status == 401
        assert g.reason == "bound-to-another-certificate"
        assert (await g.bearer(g.issuer.token())).status == 401
        assert g.reason == "not-bound-to-a-certificate"


async def test_certificate_bound_token_without_a_certificate_is_refused() -> None:
    async with gate(VerifyJwt()) as g:
        await refused(g, g.issuer.token(cnf={"x5t#S256": THUMBPRINT}), "bound-to-another-certificate")


# -- Passports ---------------------------------------------------------------------------------------------------------

RING = new_signing_ring(bytes(32), now=NOW - 10)


async def test_upstream_gets_a_passport_for_the_user_of_the_token_and_no_forged_one() -> None:
    async with gate(VerifyJwt(), Passport(audience="bank"), ring=RING) as g:
        answer = await g.bearer(g.issuer.token(), "X-Passport: forged", "X_Passport: forged")
        assert answer.status == 200
        [value] = g.edge.upstream.only.values(b"x-passport")
        keys = parse_jwks(jwks_document(RING, now=NOW))
        policy = PassportPolicy(issuer="haetae-web", audience="bank")
        passport = PassportVerifier(policy).verify(value.decode(), keys=keys, now=NOW)
        assert (passport.subject, passport.context.auth, passport.context.route) == ("u-1", ("token",), "everything")
        assert passport.claims["client_id"] == "pages"


async def test_client_that_acts_for_itself_is_no_user_in_its_passport() -> None:
    async with gate(VerifyJwt(), Passport(audience="bank"), ring=RING) as g:
        assert (await g.bearer(g.issuer.token(sub="partner-1", client_id="partner-1"))).status == 200
        exchange = g.edge.gateway.finished.all[0].exchange
        assert exchange is not None
        assert (exchange.caller.user, exchange.caller.client_id) == (None, "partner-1")
        [value] = g.edge.upstream.only.values(b"x-passport")
        policy = PassportPolicy(issuer="haetae-web", audience="bank")
        passport = PassportVerifier(policy).verify(
            value.decode(), keys=parse_jwks(jwks_document(RING, now=NOW)), now=NOW
        )
        assert passport.subject == "partner-1"


async def test_passport_without_anybody_is_refused() -> None:
    async with gate(VerifyJwt(required=False), Passport(audience="bank"), ring=RING) as g:
        answer = await g.ask()
        assert (answer.status, answer.problem()) == (401, "token-invalid")
        assert g.edge.upstream.requests == []


# -- proofs ------------------------------------------------------------------------------------------------------------


async def test_token_bound_to_a_key_passes_with_a_proof_of_it_and_the_proof_stays_here() -> None:
    async with gate(VerifyJwt()) as g:
        holder = Holder()
        token = g.issuer.token(cnf=holder.cnf)
        assert (await g.proven(token, holder.proof(token))).status == 200
        assert g.edge.upstream.only.values(b"dpop") == []
        assert g.edge.upstream.only.values(b"authorization") == []


async def test_token_bound_to_a_key_is_refused_as_a_bearer_token() -> None:
    async with gate(VerifyJwt()) as g:
        await refused(g, g.issuer.token(cnf=Holder().cnf), "bound-to-another-key")


async def test_token_that_is_bound_to_nothing_is_refused_with_a_proof() -> None:
    async with gate(VerifyJwt()) as g:
        holder, token = Holder(), g.issuer.token()
        answer = await g.proven(token, holder.proof(token))
        assert (answer.status, g.reason) == (401, "not-bound-to-a-key")


async def test_proof_by_another_key_than_the_tokens_is_refused() -> None:
    async with gate(VerifyJwt()) as g:
        token = g.issuer.token(cnf=Holder().cnf)
        answer = await g.proven(token, Holder().proof(token))
        assert (answer.status, g.reason) == (401, "dpop-another-key")
        assert b'error="invalid_dpop_proof"' in answer.value(b"www-authenticate")
        assert b'algs="' in answer.value(b"www-authenticate")


async def test_proof_is_taken_once_even_by_twenty_at_once() -> None:
    async with gate(VerifyJwt()) as g:
        holder = Holder()
        token = g.issuer.token(cnf=holder.cnf)
        proof = holder.proof(token)
        assert await at_once(20, lambda: g.proven(token, proof)) == [200] + [401] * 19
        reasons = {item.exchange.facts.reason for item in g.edge.gateway.finished.all if item.exchange is not None}
        assert reasons == {None, "dpop-replayed"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": "POST"}, "dpop-method"),
        ({"uri": "http://api.test/accounts"}, "dpop-uri"),
        ({"uri": "https://api.test/orders"}, "dpop-uri"),
        ({"uri": "http://evil.test/orders"}, "dpop-uri"),
        ({"iat": NOW - 61}, "dpop-time"),
        ({"ath": ...}, "dpop-access-token"),
    ],
)
async def test_proof_for_another_request_is_refused(changes: dict[str, Any], reason: str) -> None:
    async with gate(VerifyJwt()) as g:
        holder = Holder()
        token = g.issuer.token(cnf=holder.cnf)
        answer = await g.proven(token, holder.proof(token, **changes))
        assert (answer.status, g.reason) == (401, reason)
        assert g.edge.upstream.requests == []


async def test_query_is_no_part_of_what_a_proof_is_for() -> None:
    async with gate(VerifyJwt()) as g:
        holder = Holder()
        token = g.issuer.token(cnf=holder.cnf)
        assert (await g.proven(token, holder.proof(token), target="/orders?page=2")).status == 200


async def test_two_proofs_or_none_are_refused() -> None:
    async with gate(VerifyJwt()) as g:
        holder = Holder()
        token = g.issuer.token(cnf=holder.cnf)
        assert (await g.ask(f"Authorization: DPoP {token}")).status == 401
        assert g.reason == "dpop-count"
        first, second = holder.proof(token), holder.proof(token)
        assert (await g.proven(token, first, f"DPoP: {second}")).status == 401


async def test_route_that_requires_proofs_refuses_bearer_tokens_and_names_the_algorithms() -> None:
    async with gate(VerifyJwt(dpop="require")) as g:
        answer = await g.bearer(g.issuer.token())
        assert (answer.status, g.reason) == (401, "dpop-missing")
        answer = await g.ask()
        assert answer.value(b"www-authenticate").startswith(b'DPoP realm="haetae", algs="')


async def test_route_that_refuses_proofs_says_so() -> None:
    async with gate(VerifyJwt(dpop="refuse")) as g:
        holder = Holder()
        token = g.issuer.token(cnf=holder.cnf)
        assert (await g.proven(token, holder.proof(token))).status == 401
        assert g.reason == "dpop-not-accepted"


async def test_client_is_given_a_nonce_uses_it_and_gets_the_next_one_in_time() -> None:
    async with gate(VerifyJwt(dpop_nonce=True)) as g:
        holder = Holder()
        token = g.issuer.token(cnf=holder.cnf)
        asked = await g.proven(token, holder.proof(token))
        assert (asked.status, g.reason) == (401, "dpop-nonce")
        assert b'error="use_dpop_nonce"' in asked.value(b"www-authenticate")
        nonce = asked.value(b"dpop-nonce").decode()
        answer = await g.proven(token, holder.proof(token, nonce=nonce))
        assert answer.status == 200
        g.clock[0] += 120
        later = await g.proven(token, holder.proof(token, nonce=nonce, iat=NOW + 120))
        assert later.status == 200
        fresh = later.value(b"dpop-nonce").decode()
        assert fresh != nonce
        g.clock[0] += 120
        stale = await g.proven(token, holder.proof(token, nonce=nonce, iat=NOW + 240))
        assert (stale.status, g.reason) == (401, "dpop-nonce")


async def test_lost_store_refuses_proofs() -> None:
    async with gate(VerifyJwt()) as g:
        holder = Holder()
        token = g.issuer.token(cnf=holder.cnf)
        g.store.kill()
        answer = await g.proven(token, holder.proof(token))
        assert (answer.status, answer.problem()) == (503, "replay-store-unavailable")


async def test_hung_store_refuses_within_its_deadline_and_serves_again_when_it_is_back() -> None:
    async with gate(VerifyJwt(reuse="refuse")) as g:
        g.store.hang()
        answer = await g.bearer(g.issuer.token())
        assert answer.status == 503
        g.store.resume()
        async with asyncio.timeout(10):
            while (await g.bearer(g.issuer.token())).status != 200:  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.05)


async def test_refusals_never_show_the_token_or_why() -> None:
    async with gate(VerifyJwt()) as g:
        token = g.issuer.token(aud="another-api")
        answer = await g.bearer(token)
        text = json.dumps([[n.decode(), v.decode()] for n, v in answer.fields]) + answer.body.decode()
        assert token not in text
        assert "audience" not in text
        assert AUDIENCE not in text
