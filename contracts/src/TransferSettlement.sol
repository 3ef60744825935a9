// SPDX-License-Identifier: Apache-2.0
// Pays many beneficiaries in one transaction, each payment number at most once.
// Not here: roles, caps and delays (`SettlementControl`); quotes, ledger, refunds; any upgrade of this code.
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SettlementControl} from "./settlement/SettlementControl.sol";

/// @title Settlement of transfers in one ERC-20 token, out of this contract's own balance.
/// @notice A payment number is one bit: used (paid or voided) or not. A record that fails changes nothing and stops
/// no other record; its number stays unused and can be settled later. One node, one contract: two databases that
/// allot numbers never share one.
contract TransferSettlement is SettlementControl, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    // ------------------------------------------------------------------------------------------------ limits

    /// @notice Bytes of one record: number (8), beneficiary (20), amount (8), each big endian, nothing between.
    uint256 public constant RECORD_BYTES = 36;
    /// @notice Most records of one `settle` and most numbers of one `void`.
    uint256 public constant RECORDS_MAX = 256;
    /// @notice Most bytes of the token's answer that `Failed` carries.
    uint256 public constant REASON_BYTES_MAX = 100;
    /// @notice Most digits of a token: amounts are 64 bits, which at 9 digits still hold 18 thousand million units.
    uint256 public constant DIGITS_MAX = 9;
    /// @notice Gas given to the token for one payment, never less. A first payment to a holder takes about 35,000 on
    /// a plain token and 45,000 behind a proxy; new storage is expected to cost three times as much in a coming fork.
    uint256 public constant TOKEN_CALL_GAS = 200_000;
    /// @notice Gas that must be left before each payment. A call is given at most 63/64 of what is left (EIP-150), so
    /// with less the token could run out through the caller's fault and a payable beneficiary be marked as failed.
    /// 200,000 * 64 / 63, rounded up, and 40,000 for what follows the call: the record's event, the word of the
    /// numbers and the check of the balance. Without these the transaction would fail all the same, but tell less.
    uint256 public constant GAS_BEFORE_PAYMENT_MIN = 243_175;

    // Settled is 0x00: what the outcomes are before anything is done.
    bytes1 private constant OUTCOME_FAILED = 0x01;
    bytes1 private constant OUTCOME_SKIPPED = 0x02;

    // ------------------------------------------------------------------------------------------------ state

    /// @notice The one token that is paid.
    IERC20 public immutable TOKEN;

    /// @dev Bit `number % 256` of word `number / 256`: 256 consecutive numbers share a storage slot.
    mapping(uint256 wordIndex => uint256 word) private _usedWords;

    // ------------------------------------------------------------------------------------------------ events

    /// @notice Emitted directly after the token's call: the last `Transfer` of the token out of this contract before
    /// it in the same transaction is the payout, and names beneficiary and amount.
    event Settled(uint64 indexed number);
    /// @notice Nothing was paid and the number is still unused.
    /// @param reason First bytes of what the token answered, or an `Unpayable` error. Empty: out of gas or no answer.
    event Failed(uint64 indexed number, bytes reason);
    /// @notice The number was used before; nothing changed.
    event Skipped(uint64 indexed number);
    /// @notice The number will never be paid.
    event Voided(uint64 indexed number);

    /// @notice Tokens were taken out of the contract, not as a payment.
    event Rescued(address indexed token, address indexed to, uint256 amount);

    // ------------------------------------------------------------------------------------------------ errors

    /// @notice There is no contract at the token's address.
    error TokenHasNoCode(address token);
    /// @notice The token has more digits than a 64-bit amount serves.
    error TokenDigitsTooMany(uint256 digits, uint256 digitsMax);
    /// @notice The records' bytes are not whole records.
    error RecordsLengthInvalid(uint256 length);
    /// @notice No record or number at all, or too many.
    error BatchSizeOutOfRange(uint256 count, uint256 countMax);
    /// @notice The contract holds less than the sum of all amounts of the batch.
    error FloatShort(uint256 needed, uint256 balance);
    /// @notice Too little gas is left for the next payment: nothing of the batch is done.
    error GasShort(uint256 gasLeft, uint256 gasMin);
    /// @notice The balance did not fall by exactly what was settled: fee on transfer, or a token that changes balances.
    error TokenTakesFee(uint256 expectedBalance, uint256 balance);
    /// @notice The reason of a failed record that was not offered to the token: beneficiary zero or this contract, or
    /// nothing to pay. It is 100 bytes, as long as a reason may be.
    error Unpayable(uint64 number, address beneficiary, uint64 amount);

    // ------------------------------------------------------------------------------------------------ set up

    /// @notice Pays with one token for good; the roles can change.
    /// @param token The ERC-20 token to pay; it has `decimals()`, at most 9. One that returns nothing works too.
    /// @param firstAdmin The first admin, not zero.
    /// @param firstPauser The first pauser; zero: the admin alone.
    /// @param firstRescuer The first rescuer; zero: nobody.
    /// @param contractCap The cap of all operators together, in token units.
    /// @param operators The first operators with their caps, without repetition.
    constructor(
        IERC20Metadata token,
        address firstAdmin,
        address firstPauser,
        address firstRescuer,
        uint64 contractCap,
        OperatorCap[] memory operators
    ) SettlementControl(firstAdmin, firstPauser, firstRescuer, contractCap, operators) {
        if (address(token).code.length == 0) revert TokenHasNoCode(address(token));
        uint256 digits = token.decimals();
        if (digits > DIGITS_MAX) revert TokenDigitsTooMany(digits, DIGITS_MAX);
        TOKEN = token;
    }

    // ------------------------------------------------------------------------------------------------ payments

    /// @notice Pays each record whose number is unused, in order.
    /// @dev Reverts as a whole, and pays nothing, for: a caller who is no operator, a pause, malformed records, a sum
    /// of ALL amounts (used numbers count too) above the contract's balance or above what is left in a bucket, a token
    /// that takes a fee, too little gas. All else is per record. Of equal numbers in one batch the first that the
    /// token accepts counts; those after it are skipped.
    /// @param records 1 to 256 records of 36 bytes: number, beneficiary, amount in the token's units.
    /// @return outcomes One byte per record: 0 settled, 1 failed, 2 skipped. For an `eth_call` before sending.
    function settle(bytes calldata records) external nonReentrant returns (bytes memory outcomes) {
        _requireMaySettle(msg.sender);
        uint256 count = _countOf(records);
        uint256 balanceBefore = TOKEN.balanceOf(address(this));
        uint256 needed = _sumOf(records);
        if (needed > balanceBefore) revert FloatShort(needed, balanceBefore);
        _spend(msg.sender, needed);

        outcomes = new bytes(count);
        uint256 unpaid = _settleAll(records, outcomes);

        if (unpaid != 0) _unspend(msg.sender, unpaid);
        uint256 expected = balanceBefore - (needed - unpaid);
        uint256 balance = TOKEN.balanceOf(address(this));
        if (balance != expected) revert TokenTakesFee(expected, balance);
    }

    /// @notice Makes numbers unpayable for good, also while paused. A number used before is skipped.
    /// @param numbers 1 to 256 payment numbers.
    function void(uint64[] calldata numbers) external nonReentrant {
        if (!isOperator(msg.sender) && msg.sender != admin) revert NotOperator(msg.sender);
        _requireBatchSize(numbers.length);
        for (uint256 i = 0; i < numbers.length; ++i) {
            (uint256 wordIndex, uint256 bit) = _positionOf(numbers[i]);
            uint256 word = _usedWords[wordIndex];
            if (word & bit != 0) {
                emit Skipped(numbers[i]);
            } else {
                _usedWords[wordIndex] = word | bit;
                emit Voided(numbers[i]);
            }
        }
    }

    /// @notice True when the number was paid or voided. Does not answer while a batch is being paid.
    /// @param number A payment number.
    /// @return True: it will never be paid again.
    function used(uint64 number) external view nonReentrantView returns (bool) {
        return _isUsed(number);
    }

    /// @notice The same for many numbers, at one block.
    /// @param numbers Payment numbers; as many as the call's gas allows.
    /// @return flags One byte per number: 1 used, 0 not.
    function usedMany(uint64[] calldata numbers) external view nonReentrantView returns (bytes memory flags) {
        flags = new bytes(numbers.length);
        for (uint256 i = 0; i < numbers.length; ++i) {
            if (_isUsed(numbers[i])) flags[i] = 0x01;
        }
    }

    // ------------------------------------------------------------------------------------------------ rescue

    /// @notice Takes tokens out, not as a payment: foreign ones always, the float only while paused.
    /// @param token The token to take.
    /// @param to Who receives it, not zero.
    /// @param amount How much, in the token's units.
    function rescue(IERC20 token, address to, uint256 amount) external nonReentrant {
        if (msg.sender != rescuer) revert NotRescuer(msg.sender);
        if (to == address(0)) revert ZeroAddress();
        if (address(token) == address(TOKEN) && !paused()) revert IsNotPaused();
        emit Rescued(address(token), to, amount);
        uint256 balanceMin = paused() ? 0 : TOKEN.balanceOf(address(this));
        token.safeTransfer(to, amount);
        // A token with two addresses would pass for a foreign one.
        if (balanceMin != 0 && TOKEN.balanceOf(address(this)) < balanceMin) revert IsNotPaused();
    }

    // ------------------------------------------------------------------------------------------------ inside

    /// @dev Settles every record and writes what did not end well into `outcomes`; zero, settled, stands there
    /// already. Ordinary records are paid by `_settleOrdinary`; here is what it stops at. The bitmap's word is on the
    /// stack while records share it, and written when the next record needs another one and at the end. `unpaid` is
    /// the sum of the amounts that were not paid.
    function _settleAll(bytes calldata records, bytes memory outcomes) private returns (uint256 unpaid) {
        (uint256 start, uint256 end) = _boundsOf(records);
        uint256 position = start;
        uint256 wordIndex = type(uint256).max; // none: a number's is below 2^56
        uint256 word = 0;
        while (true) {
            bool refused;
            (position, word, refused) = _settleOrdinary(position, end, wordIndex, word);
            if (position == end) break;
            (uint64 number, address beneficiary, uint64 amount) = _recordAt(position);
            if (number >> 8 != wordIndex) {
                if (position != start) _usedWords[wordIndex] = word;
                wordIndex = number >> 8;
                word = _usedWords[wordIndex];
                continue;
            }
            uint256 index = (position - start) / RECORD_BYTES;
            if (refused) {
                outcomes[index] = OUTCOME_FAILED;
                emit Failed(number, _reason());
            } else if (word & (1 << (number & 0xff)) != 0) {
                outcomes[index] = OUTCOME_SKIPPED;
                emit Skipped(number);
            } else if (_isUnpayable(beneficiary, amount)) {
                outcomes[index] = OUTCOME_FAILED;
                emit Failed(number, abi.encodeWithSelector(Unpayable.selector, number, beneficiary, amount));
            } else {
                revert GasShort(gasleft(), GAS_BEFORE_PAYMENT_MIN);
            }
            unpaid += amount;
            position += RECORD_BYTES;
        }
        _usedWords[wordIndex] = word;
    }

    /// @dev Pays records as long as all is well, and stops, at `stoppedAt`, behind the last one or at one whose number
    /// is in another word or used, that is unpayable, comes with too little gas, or was refused by the token:
    /// `refused` tells that the token was called for it, and the answer is the current return data. What was paid is
    /// in `newWord` alone until the caller writes that to storage; meanwhile nobody can enter, and `used` does not
    /// answer.
    ///
    /// Assembly, because this loop is nearly all that a batch costs besides the token: it takes 330 gas a payment,
    /// where Solidity takes 2,700 (`test/plain/`), as that reads records byte by byte, checks bounds and arithmetic
    /// that are checked already, and writes the word once per payment. And Solidity's own call copies all that the
    /// token returns, so that a huge answer would use up this contract's gas.
    ///
    /// Memory: the call's 68 bytes begin at the free memory pointer, which stays where it is, since nothing is kept
    /// there between two runs of the loop:
    ///     buffer + 0x00  selector of transfer (4 bytes)
    ///     buffer + 0x04  beneficiary (a word)
    ///     buffer + 0x24  amount (a word)
    /// The first word of the answer goes to the scratch space at 0x00. No other memory is written.
    function _settleOrdinary(uint256 position, uint256 end, uint256 wordIndex, uint256 word)
        private
        returns (uint256 stoppedAt, uint256 newWord, bool refused)
    {
        address token = address(TOKEN);
        bytes32 selector = IERC20.transfer.selector;
        bytes32 topic = Settled.selector;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, selector)
            for {} 1 { position := add(position, RECORD_BYTES) } {
                // The record's first and last 32 bytes: they overlap, as it has 36. Read at `end` too, where calldata
                // has whatever it has: that is not used.
                let head := calldataload(position)
                let tail := calldataload(add(position, 4))
                let beneficiary := and(shr(64, tail), 0xffffffffffffffffffffffffffffffffffffffff)
                let amount := and(tail, 0xffffffffffffffff)
                // One jump for all that is not ordinary; the caller finds out what it is. The number is the top 8 bytes
                // of the head: byte 7 tells the bit, the 56 bits above it the word. The product is zero when
                // beneficiary or amount is: 160 and 64 bits do not overflow.
                if or(
                    or(
                        or(xor(shr(200, head), wordIndex), and(shr(byte(7, head), word), 1)),
                        iszero(lt(position, end))
                    ),
                    or(
                        or(iszero(mul(beneficiary, amount)), eq(beneficiary, address())),
                        lt(gas(), GAS_BEFORE_PAYMENT_MIN)
                    )
                ) { break }
                mstore(add(buffer, 0x04), beneficiary)
                mstore(add(buffer, 0x24), amount)
                let success := call(TOKEN_CALL_GAS, token, 0, buffer, 0x44, 0x00, 0x20)
                // Paid: it returned true, or, which is asked second as it is rare, nothing at all.
                if iszero(and(success, and(eq(mload(0x00), 1), gt(returndatasize(), 0x1f)))) {
                    refused := or(iszero(success), gt(returndatasize(), 0))
                    if refused { break }
                }
                log2(0x00, 0x00, topic, shr(192, head))
                // slither-disable-next-line incorrect-shift: 1 is what is shifted, by the number modulo 256
                word := or(word, shl(byte(7, head), 1))
            }
            stoppedAt := position
            newWord := word
        }
    }

    /// @dev The first bytes of what the last call returned.
    function _reason() private pure returns (bytes memory reason) {
        uint256 size = 0;
        // Assembly, because Solidity has no other way to copy a part of the return data.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            size := returndatasize()
        }
        reason = new bytes(size < REASON_BYTES_MAX ? size : REASON_BYTES_MAX);
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            returndatacopy(add(reason, 0x20), 0x00, mload(reason))
        }
    }

    /// @dev Paid to itself, the balance would not fall and the whole batch would look like a fee.
    function _isUnpayable(address beneficiary, uint64 amount) private view returns (bool) {
        return beneficiary == address(0) || beneficiary == address(this) || amount == 0;
    }

    function _isUsed(uint64 number) private view returns (bool) {
        (uint256 wordIndex, uint256 bit) = _positionOf(number);
        return _usedWords[wordIndex] & bit != 0;
    }

    function _requireBatchSize(uint256 count) private pure {
        if (count == 0 || count > RECORDS_MAX) revert BatchSizeOutOfRange(count, RECORDS_MAX);
    }

    function _countOf(bytes calldata records) private pure returns (uint256 count) {
        if (records.length % RECORD_BYTES != 0) revert RecordsLengthInvalid(records.length);
        count = records.length / RECORD_BYTES;
        _requireBatchSize(count);
    }

    /// @dev Assembly, because this is one more pass over all records: 40 gas a payment, where Solidity takes 150. It
    /// takes four records a turn (144 bytes), after those that are left over. An amount is the low 64 bits of the word
    /// that ends its record; 256 of them cannot overflow.
    function _sumOf(bytes calldata records) private pure returns (uint256 sum) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let mask := 0xffffffffffffffff
            let position := add(records.offset, 4)
            let end := add(position, records.length)
            for { let left := mod(records.length, 144) } left { left := sub(left, RECORD_BYTES) } {
                sum := add(sum, and(calldataload(position), mask))
                position := add(position, RECORD_BYTES)
            }
            for {} lt(position, end) { position := add(position, 144) } {
                sum := add(
                    add(
                        sum,
                        add(and(calldataload(position), mask), and(calldataload(add(position, 36)), mask))
                    ),
                    add(
                        and(calldataload(add(position, 72)), mask),
                        and(calldataload(add(position, 108)), mask)
                    )
                )
            }
        }
    }

    /// @dev Assembly, because Solidity does not tell where in calldata the bytes are.
    function _boundsOf(bytes calldata records) private pure returns (uint256 start, uint256 end) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            start := records.offset
            end := add(start, records.length)
        }
    }

    function _recordAt(uint256 position)
        private
        pure
        returns (uint64 index, address beneficiary, uint64 amount)
    {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            index := shr(192, calldataload(position))
            let tail := calldataload(add(position, 4))
            beneficiary := and(shr(64, tail), 0xffffffffffffffffffffffffffffffffffffffff)
            amount := and(tail, 0xffffffffffffffff)
        }
    }

    function _positionOf(uint64 number) private pure returns (uint256 wordIndex, uint256 bit) {
        wordIndex = number >> 8;
        bit = 1 << (number & 0xff);
    }
}
