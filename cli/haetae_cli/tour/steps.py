"""The app's tour: its steps in order. Used by ``haetae demo app`` and ``haetae up --check``."""

from haetae_cli.tour import blocking, calls, refusals
from haetae_cli.tour.place import Place, Step

STEPS: tuple[Step[Place], ...] = (
    Step(title="the gateway's keys are signed by the pinned root key", run=calls.gateway_keys, essential=True),
    Step(title="two people enrol their devices and get tokens", run=calls.enrolment, essential=True),
    Step(title="accounts come back encrypted", run=calls.encrypted_answer, essential=True),
    Step(title="the service sees plaintext and a Passport", run=calls.what_the_service_sees),
    Step(title="a transfer moves money once", run=calls.transfer),
    Step(title="nobody sees another's account", run=calls.only_own_accounts),
    Step(title="an app with a wrong clock corrects itself", run=calls.wrong_clock_corrects_itself),
    Step(title="a replayed request is refused", run=refusals.replay),
    Step(title="a changed body is refused", run=refusals.changed_body),
    Step(title="a changed path is refused", run=refusals.changed_path),
    Step(title="a changed query is refused", run=refusals.changed_query),
    Step(title="an exchanged token is refused", run=refusals.exchanged_token),
    Step(title="a stolen token is refused", run=refusals.stolen_token),
    Step(title="an exchanged content key is refused", run=refusals.exchanged_content_key),
    Step(title="a content key for another gateway is refused", run=refusals.unknown_content_key),
    Step(title="a delayed request is refused", run=refusals.delayed),
    Step(title="an unsigned request is refused", run=refusals.unsigned),
    Step(title="an unknown device is refused", run=refusals.unknown_device),
    Step(title="a call around the gateway is refused", run=refusals.around_the_gateway),
    Step(title="a block is enforced and taken back", run=blocking.block_is_enforced_and_taken_back),
)
