// SPDX-License-Identifier: Apache-2.0
// TransferSettlement in plain Solidity: what the shipped one must do, in every respect but gas. It came first, and the
// differential tests hold the two together. Not here: roles, caps and delays, which both inherit (`SettlementControl`).
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SettlementControl} from "../../src/settlement/SettlementControl.sol";

/// @title Settlement of transfers in one ERC-20 token, out of this contract's own balance.
/// @notice A payment number is one bit: used (paid or voided) or not. A record that fails changes nothing and stops
/// no other record; its number stays unused and can be settled later. One node, one contract: two databases that
/// allot numbers never share one.
contract PlainTransferSettlement is SettlementControl, ReentrancyGuardTransient {
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
    /// 200,000 * 64 / 63, rounded up, and 40,000 for what follows the call.
    uint256 public constant GAS_BEFORE_PAYMENT_MIN = 243_175;

    bytes1 private constant OUTCOME_SETTLED = 0x00;
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
        uint256 needed = _sumOf(records, count);
        if (needed > balanceBefore) revert FloatShort(needed, balanceBefore);
        _spend(msg.sender, needed);

        outcomes = new bytes(count);
        uint256 settled = 0;
        for (uint256 i = 0; i < count; ++i) {
            (uint64 number, address beneficiary, uint64 amount) = _recordAt(records, i);
            bytes1 outcome = _settleRecord(number, beneficiary, amount);
            outcomes[i] = outcome;
            if (outcome == OUTCOME_SETTLED) settled += amount;
        }

        if (settled != needed) _unspend(msg.sender, needed - settled);
        uint256 balance = TOKEN.balanceOf(address(this));
        if (balance != balanceBefore - settled) revert TokenTakesFee(balanceBefore - settled, balance);
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

    function _settleRecord(uint64 number, address beneficiary, uint64 amount) private returns (bytes1) {
        (uint256 wordIndex, uint256 bit) = _positionOf(number);
        uint256 word = _usedWords[wordIndex];
        if (word & bit != 0) {
            emit Skipped(number);
            return OUTCOME_SKIPPED;
        }
        // Paid to itself, the balance would not fall and the whole batch would look like a fee.
        if (beneficiary == address(0) || beneficiary == address(this) || amount == 0) {
            emit Failed(number, abi.encodeWithSelector(Unpayable.selector, number, beneficiary, amount));
            return OUTCOME_FAILED;
        }
        // Used before the token is called, unused again when it refuses: the token never sees a paid number as free.
        _usedWords[wordIndex] = word | bit;
        (bool paid, bytes memory reason) = _pay(beneficiary, amount);
        if (!paid) {
            _usedWords[wordIndex] &= ~bit;
            emit Failed(number, reason);
            return OUTCOME_FAILED;
        }
        emit Settled(number);
        return OUTCOME_SETTLED;
    }

    /// @dev Calls `transfer` with a fixed gas limit. Paid means: the call succeeded, and returned nothing or true.
    function _pay(address beneficiary, uint64 amount) private returns (bool paid, bytes memory reason) {
        bytes memory data = abi.encodeCall(IERC20.transfer, (beneficiary, amount));
        address token = address(TOKEN);
        if (gasleft() < GAS_BEFORE_PAYMENT_MIN) revert GasShort(gasleft(), GAS_BEFORE_PAYMENT_MIN);
        uint256 size;
        // Assembly, because Solidity copies all the token returns: a huge answer would use up the caller's gas. Here
        // one word is copied, to the scratch space.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            let success := call(TOKEN_CALL_GAS, token, 0, add(data, 0x20), mload(data), 0x00, 0x20)
            size := returndatasize()
            let returnedTrue := and(gt(size, 0x1f), eq(mload(0x00), 1))
            paid := and(success, or(iszero(size), returnedTrue))
        }
        if (paid) return (true, reason);
        reason = new bytes(size < REASON_BYTES_MAX ? size : REASON_BYTES_MAX);
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            returndatacopy(add(reason, 0x20), 0, mload(reason))
        }
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

    function _sumOf(bytes calldata records, uint256 count) private pure returns (uint256 sum) {
        for (uint256 i = 0; i < count; ++i) {
            (,, uint64 amount) = _recordAt(records, i);
            sum += amount;
        }
    }

    function _recordAt(bytes calldata records, uint256 index)
        private
        pure
        returns (uint64 number, address beneficiary, uint64 amount)
    {
        uint256 start = index * RECORD_BYTES;
        number = uint64(bytes8(records[start:start + 8]));
        beneficiary = address(bytes20(records[start + 8:start + 28]));
        amount = uint64(bytes8(records[start + 28:start + 36]));
    }

    function _positionOf(uint64 number) private pure returns (uint256 wordIndex, uint256 bit) {
        wordIndex = number >> 8;
        bit = 1 << (number & 0xff);
    }
}
