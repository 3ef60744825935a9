"""The words of real clients, and words like them, are taken for what they allow to conclude.

Each text is as its client's source has it, with what the client puts around it; the commit or
version is named with the client. What nobody has seen yet counts as perhaps sent.
"""

import pytest

from node.core.submission import SEEN, AnswerClass, answer_class, plain_words, verdict

SENT = b"\x01" * 32
A = AnswerClass

# go-ethereum at 0dfc43ad, in core/txpool (errors, validation, legacypool), core/error.go, and for
# the cap on the whole fee internal/ethapi/api.go
GETH = [
    ("already known", A.KNOWN),
    ("invalid sender", A.REJECTED),
    ("transaction underpriced", A.UNDERPRICED),
    ("transaction underpriced: gas tip cap 0, minimum needed 1", A.UNDERPRICED),
    ("transaction gas price below minimum: gas tip cap 0, minimum needed 1", A.UNDERPRICED),
    ("replacement transaction underpriced", A.UNDERPRICED_REPLACEMENT),
    (
        "replacement transaction underpriced: new tx gas fee cap 7 <= 7 queued",
        A.UNDERPRICED_REPLACEMENT,
    ),
    ("account limit exceeded", A.NONCE_HIGH),
    ("account limit exceeded: pooled 64 txs", A.NONCE_HIGH),
    ("exceeds block gas limit", A.REJECTED),
    ("negative value", A.REJECTED),
    ("oversized data", A.REJECTED),
    ("oversized data: transaction size 200000, limit 131072", A.REJECTED),
    ("future transaction tries to replace pending", A.NONCE_HIGH),
    ("address already reserved", A.RESERVED),
    ("authority already reserved", A.RESERVED),
    ("gapped-nonce tx from delegated accounts", A.RESERVED),
    ("in-flight transaction limit reached for delegated accounts", A.RESERVED),
    ("txpool is full", A.UNDERPRICED),
    ("nonce too low: next nonce 5, tx nonce 4", A.NONCE_LOW),
    ("nonce too high", A.NONCE_HIGH),
    ("insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1", A.FUNDS),
    ("max fee per gas less than block base fee: address 0x71, maxFeePerGas: 0", A.UNDERPRICED),
    ("max priority fee per gas higher than max fee per gas", A.REJECTED),
    ("intrinsic gas too low: gas 20000, minimum needed 21000", A.REJECTED),
    ("transaction gas limit too high (cap: 16777216, tx: 16777217)", A.REJECTED),
    ("tx fee (1.54 ether) exceeds the configured cap (1.00 ether)", A.REJECTED),
    ("invalid chain id for signer: have 1 want 31337", A.REJECTED),
    ("transaction type not supported", A.REJECTED),
]
# reth 00971c29: crates/rpc/rpc-eth-types/src/error/mod.rs
RETH = [
    ("already known", A.KNOWN),
    ("transaction underpriced", A.UNDERPRICED),
    ("transaction priority fee below minimum required priority fee 7", A.UNDERPRICED),
    ("replacement transaction underpriced", A.UNDERPRICED_REPLACEMENT),
    ("exceeds block gas limit", A.REJECTED),
    ("exceeds max transaction gas limit", A.REJECTED),
    (
        "tx fee (1540000000000000000 wei) exceeds the configured cap (1000000000000000000 wei)",
        A.REJECTED,
    ),
    ("nonce too low: next nonce 7, tx nonce 3", A.NONCE_LOW),
    ("insufficient funds for gas * price + value: have 1 want 2", A.FUNDS),
    ("gas limit too high", A.REJECTED),
    ("intrinsic gas too high", A.REJECTED),
    ("max fee per gas less than block base fee", A.UNDERPRICED),
    ("sender is not an EOA", A.RESERVED),
    ("invalid chain ID", A.REJECTED),
    ("address already reserved", A.RESERVED),
    ("txpool is full", A.UNDERPRICED),
]
# Nethermind 030cbd1b: TxPoolErrorMessages.cs; before it, the names of AcceptTxResult
NETHERMIND = [
    ("already known", A.KNOWN),
    ("replacement transaction underpriced", A.UNDERPRICED_REPLACEMENT),
    ("gas limit reached", A.REJECTED),
    ("nonce too far in future", A.NONCE_HIGH),
    ("sender not an eoa", A.RESERVED),
    ("failed to recover sender", A.REJECTED),
    ("transaction too large", A.REJECTED),
    ("delegation nonce gap", A.RESERVED),
    ("delegation authority has pending transaction", A.RESERVED),
    ("pending transaction type conflict", A.RESERVED),
    ("node is syncing", A.AMBIGUOUS),
    ("AlreadyKnown", A.KNOWN),
    ("FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 1, BaseFee: 7", A.UNDERPRICED),
    ("FeeTooLowToCompete", A.UNDERPRICED),
    ("GasLimitExceeded, Tx gas limit exceeded", A.REJECTED),
    ("InsufficientFunds, Account balance: 0, cumulative cost: 21000", A.FUNDS),
    ("NonceGap, Future nonce. Expected nonce: 3", A.NONCE_HIGH),
    ("NonceTooFarInFuture", A.NONCE_HIGH),
    ("OldNonce, Current nonce: 5, nonce of rejected tx: 4", A.NONCE_LOW),
    ("ReplacementNotAllowed", A.UNDERPRICED_REPLACEMENT),
    ("SenderIsContract", A.RESERVED),
    ("NotCurrentNonceForDelegation", A.RESERVED),
    ("DelegatorHasPendingTx", A.RESERVED),
]
# Besu 24, in RpcErrorType.java (newer ones speak as geth does)
BESU = [
    ("Known transaction", A.KNOWN),
    ("Replacement transaction underpriced", A.UNDERPRICED_REPLACEMENT),
    ("Nonce too low", A.NONCE_LOW),
    ("Transaction nonce is too distant from current sender nonce", A.NONCE_HIGH),
    ("An invalid transaction with a lower nonce exists", A.NONCE_HIGH),
    ("Gas price below configured minimum gas price", A.UNDERPRICED),
    ("Gas price below current base fee", A.UNDERPRICED),
    ("Upfront cost exceeds account balance", A.FUNDS),
    ("Intrinsic gas exceeds gas limit", A.REJECTED),
    ("Transaction fee cap exceeded", A.REJECTED),
    ("Max priority fee per gas exceeds max fee per gas", A.REJECTED),
    ("Invalid signature", A.REJECTED),
    ("Wrong chainId", A.REJECTED),
    ("ChainId not supported", A.REJECTED),
    ("Initial sync is still in progress", A.AMBIGUOUS),
    ("Internal error", A.AMBIGUOUS),
    ("Timeout expired", A.AMBIGUOUS),
]
# Erigon 05916db2: txnprovider/txpool/txpoolcfg/txpoolcfg.go; 2.x says "tx" for "txn"
ERIGON = [
    ("already known", A.KNOWN),
    ("existing txn with same hash", A.KNOWN),
    ("INTERNAL_ERROR: existing tx with same hash", A.KNOWN),
    ("ALREADY_EXISTS: already known", A.KNOWN),
    ("underpriced", A.UNDERPRICED),
    ("fee too low", A.UNDERPRICED),
    ("replacement transaction underpriced", A.UNDERPRICED_REPLACEMENT),
    ("could not replace existing tx", A.UNDERPRICED_REPLACEMENT),
    ("INTERNAL_ERROR: could not replace existing tx", A.UNDERPRICED_REPLACEMENT),
    ("INTERNAL_ERROR: nonce too low", A.NONCE_LOW),
    ("insufficient funds", A.FUNDS),
    ("pending sub-pool is full", A.UNDERPRICED),
    ("baseFee sub-pool is full", A.UNDERPRICED),
    ("queued sub-pool is full", A.NONCE_HIGH),
    ("IntrinsicGas", A.REJECTED),
    ("RLPTooLong", A.REJECTED),
    ("gas limit is too high", A.REJECTED),
    ("invalid sender", A.REJECTED),
    ("spammer", A.AMBIGUOUS),
]
# anvil 1.7: foundry 02ad6dec, crates/anvil/src/eth/error.rs
ANVIL = [
    ("transaction already imported", A.KNOWN),
    ("replacement transaction underpriced", A.UNDERPRICED_REPLACEMENT),
    ("nonce too low", A.NONCE_LOW),
    ("Nonce too high", A.NONCE_HIGH),
    ("max fee per gas less than block base fee", A.UNDERPRICED),
    ("Insufficient funds for gas * price + value", A.FUNDS),
    ("insufficient funds for transfer", A.FUNDS),
    ("intrinsic gas too low", A.REJECTED),
    ("intrinsic gas too high -- CallerGasLimitMoreThanBlock", A.REJECTED),
    (
        "Transaction gas limit is greater than the block gas limit, gas_limit: 2, cap: 1",
        A.REJECTED,
    ),
    ("Incompatible EIP-155 transaction, signed for another chain", A.REJECTED),
    ("sender not an eoa", A.RESERVED),
]
# How a next version, a proxy or a gateway might put the same things.
MUTATED = [
    ("Already Known.", A.KNOWN),
    ("ERR_ALREADY_KNOWN", A.KNOWN),
    ("tx 0xab: transaction  already   known (pool)", A.KNOWN),
    ('{"code":-32000,"message":"already known"}', A.KNOWN),
    ("rpc error: code = Unknown desc = known transaction: abcd", A.KNOWN),
    ("NONCE_TOO_LOW", A.NONCE_LOW),
    ("Error: nonce is too low, expected 12", A.NONCE_LOW),
    ("nonce 4 has already been used", A.NONCE_LOW),
    ("nonce-too-low", A.NONCE_LOW),
    ("replacement fee too low", A.UNDERPRICED_REPLACEMENT),
    ("REPLACEMENT_TRANSACTION_UNDERPRICED", A.UNDERPRICED_REPLACEMENT),
    ("gas price too low to replace the pending one", A.UNDERPRICED_REPLACEMENT),
    ("replacement tx is underpriced, want 110%", A.UNDERPRICED_REPLACEMENT),
    ("Transaction Under-priced? transaction underpriced!", A.UNDERPRICED),
    ("maxFeePerGas below the current base fee", A.UNDERPRICED),
    ("tx-nonce-too-high", A.NONCE_HIGH),
    ("transaction nonce is too far in the future", A.NONCE_HIGH),
    ("nonce gap: missing 7", A.NONCE_HIGH),
    ("sender has INSUFFICIENT_FUNDS", A.FUNDS),
    ("insufficient balance for transfer", A.FUNDS),
    ("inflight transaction limit reached", A.RESERVED),
    ("Invalid chainID", A.REJECTED),
]
UNKNOWN = [
    "",
    "unknown transaction",
    "UNKNOWN_TRANSACTION: not in the pool",
    "rate limit exceeded",
    "Too Many Requests",
    "<html>502 Bad Gateway</html>",
    "request timed out",
    "header not found",
    "transaction indexing is in progress",
    "context deadline exceeded",
    "try again later",
    "the moon is in the seventh house",
]
EVERY = [
    pytest.param(text, wanted, id=f"{client}: {text[:48]}")
    for client, texts in (
        ("geth", GETH),
        ("reth", RETH),
        ("nethermind", NETHERMIND),
        ("besu", BESU),
        ("erigon", ERIGON),
        ("anvil", ANVIL),
        ("mutated", MUTATED),
    )
    for text, wanted in texts
]


def class_of(message: str, *, answered: bool = True) -> AnswerClass:
    return answer_class(sent_hash=SENT, tx_hash=None, answered=answered, message=message)


@pytest.mark.parametrize(("message", "wanted"), EVERY)
def test_what_a_client_says_has_its_class_however_it_is_spelled(
    message: str, wanted: AnswerClass
) -> None:
    for spelled in (message, message.upper(), f"err: {message}", f"{message} [req 7f]"):
        assert class_of(spelled) is wanted


@pytest.mark.parametrize("message", UNKNOWN)
def test_words_nobody_knows_count_as_perhaps_sent(message: str) -> None:
    assert class_of(message) is A.AMBIGUOUS


@pytest.mark.parametrize(("message", "wanted"), EVERY)
def test_no_words_count_when_no_answer_came(message: str, wanted: AnswerClass) -> None:
    assert wanted is not A.ACCEPTED
    assert class_of(message, answered=False) is A.AMBIGUOUS


def test_only_four_classes_say_that_somebody_has_an_attempt_of_the_slot() -> None:
    assert {A.ACCEPTED, A.KNOWN, A.NONCE_LOW, A.UNDERPRICED_REPLACEMENT} == SEEN


def test_the_words_of_the_provider_that_decided_are_kept() -> None:
    found = verdict(
        [
            (A.AMBIGUOUS, "timed out"),
            (A.NONCE_LOW, "nonce too low: next nonce 5"),
            (A.FUNDS, "insufficient funds"),
        ]
    )
    assert (found.answer, found.message) == (A.NONCE_LOW, "nonce too low: next nonce 5")


def test_an_acceptance_has_no_words() -> None:
    found = verdict([(A.UNDERPRICED, "underpriced"), (A.ACCEPTED, "")])
    assert (found.answer, found.message) == (A.ACCEPTED, "")


@pytest.mark.parametrize(
    "message",
    [
        "401 at https://eth.example/v2/S3cr3tKeyS3cr3tKeyS3cr3tKey: denied",
        "wss://user:S3cr3tKeyS3cr3tKeyS3cr3tKey@host/ closed",
        "key S3cr3tKeyS3cr3tKeyS3cr3tKeyS3cr3tKey is not allowed to send",
    ],
)
def test_kept_words_hold_no_address_and_no_key(message: str) -> None:
    assert "S3cr3t" not in plain_words(message)


def test_kept_words_are_one_line_of_at_most_200_characters_and_keep_hashes() -> None:
    tx_hash = "0x" + "ab" * 32
    words = plain_words(f"tx {tx_hash}\n\x1b[31m already \x00 known " + "word " * 100)
    assert words.startswith(f"tx {tx_hash} [31m already known word")
    assert len(words) == 200
