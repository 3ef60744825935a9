"""Signed requests: whose key signed, whether it holds, and each nonce once."""

from datetime import UTC, datetime
from uuid import UUID

from node.core.errors import NotFound, SignatureInvalid, SignatureReplayed
from node.core.ids import Prefix, decode_id
from node.core.parties import Partner
from node.core.partners import SIGNATURE_TAG, SignatureClaim, SignedRequest, signature_fault
from node.core.ports import Clock, UnitOfWork
from node.core.ports.partners import RequestSignatures


class SignedRequests:
    """Checks signatures of requests (RFC 9421).

    Their times are those of the sender's machine, so they are held against this machine's and not
    against the database's, which a sandbox can move.
    """

    def __init__(self, units: UnitOfWork, signatures: RequestSignatures, clock: Clock) -> None:
        self._units = units
        self._signatures = signatures
        self._clock = clock

    async def check(self, partner: Partner, request: SignedRequest) -> None:
        """Accept a signed request of a partner, once.

        Raises:
            SignatureInvalid: It is not signed by a key of this partner, does not cover what it
                must, or is not of now.
            SignatureReplayed: Its nonce was used before.
        """
        claim = self._signatures.claim(request, SIGNATURE_TAG)
        async with self._units() as unit:
            if fault := signature_fault(request, claim, self._clock.now()):
                raise SignatureInvalid(f"the signature {claim.label!r} cannot be accepted: {fault}")
            key = await unit.partners.signing_key(_key_id(claim))
            if key is None or key.partner_id != partner.id or not key.is_live(unit.now):
                raise SignatureInvalid(
                    "the keyid names no signing key of this partner, or one that was revoked or"
                    " has expired"
                )
            self._signatures.check(request, claim, key.public_key)
            assert claim.nonce is not None  # `signature_fault` has looked
            assert claim.expires_s is not None
            ends = datetime.fromtimestamp(claim.expires_s, UTC)
            if not await unit.partners.take_nonce(partner.id, claim.nonce, ends):
                raise SignatureReplayed("a request with this nonce was seen before; sign again")


def _key_id(claim: SignatureClaim) -> UUID:
    try:
        return decode_id(Prefix.SIGNING_KEY, claim.key_id or "")
    except NotFound:
        raise SignatureInvalid("the keyid is no id of a signing key (`sig_...`)") from None
