// SPDX-License-Identifier: Apache-2.0
// Deposit addresses of one node: whatever token is sent to one can go to one destination, and nowhere else.
// Not here: whose address is whose, what a deposit is for, when to sweep (the node); keys, roles, upgrades (there are none).
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";

/// @title Factory of forwarders, one per salt, all to the same destination for good.
/// @notice A deposit address is where this contract's forwarder of a salt is or will be (CREATE2, EIP-1014): tokens can
/// be sent there before anything is deployed. Anybody may sweep, and may call a forwarder too, since all that either
/// does is to transfer tokens to the destination. There is no key, no admin, and nothing that removes code.
///
/// Native coin: a forwarder refuses it. Sent to a deposit address before the first sweep deployed the forwarder, it
/// stays there for ever, as does coin that is forced upon it: the destination cannot receive coin, and one more address
/// to which money may go would be one more to trust.
contract DepositForwarders {
    // ------------------------------------------------------------------------------------------------ limits

    /// @notice Gas given to the token to tell a balance.
    uint256 public constant BALANCE_GAS = 100_000;
    /// @notice Gas given to a forwarder for one transfer, never less; the token gets 63/64 of what is left (EIP-150),
    /// above the 200,000 that `TransferSettlement` gives it.
    uint256 public constant FORWARD_GAS = 210_000;
    /// @notice Gas that must be left before each address: with less, one could fail through the caller's fault alone.
    /// Both of the above, with what a caller must have to give them (64/63), 46,000 to deploy the forwarder, and
    /// 10,000 for the rest, the event of a failure among it.
    uint256 public constant GAS_BEFORE_ADDRESS_MIN = 371_000;
    /// @notice Most bytes of the token's answer that `SweepFailed` carries.
    uint256 public constant REASON_BYTES_MAX = 100;

    // Swept is 0x00: what the outcomes are before anything is done.
    bytes1 private constant OUTCOME_FAILED = 0x01;
    bytes1 private constant OUTCOME_EMPTY = 0x02;

    /// @dev What a forwarder does, with a token and an amount as two words of calldata:
    /// `token.transfer(DESTINATION, amount)`, answering what the token answers, and reverting as it does. By hand,
    /// because code costs 200 gas a byte for each address: this is 66 bytes, the destination among them.
    ///
    ///     5f 5f 34 6040 57             with coin: revert(0, 0)          two zeros stay, for the call's answer
    ///     63a9059cbb 5f 52             memory 0x1c: the selector of transfer(address,uint256)
    ///     73<destination> 6020 52      memory 0x20: the destination
    ///     6020 35 6040 52              memory 0x40: the amount, the second word of calldata
    ///     6044 601c 34 5f 35 5a f1     call(gas, token, 0, 0x1c, 0x44, 0, 0); CALLVALUE is zero here
    ///     3d 5f 5f 3e                  the answer to memory 0x00
    ///     5f 3d 91 15 6040 57 f3       return it,
    ///     5b fd                        or, at 0x40, revert with it
    ///
    /// Before it 9 bytes that deploy it: `6042 80 6009 5f 39 5f f3`.
    bytes private constant FORWARDER_HEAD = hex"60428060095f395ff35f5f3460405763a9059cbb5f5273";
    bytes private constant FORWARDER_TAIL =
        hex"6020526020356040526044601c345f355af13d5f5f3e5f3d9115604057f35bfd";

    // ------------------------------------------------------------------------------------------------ state

    /// @notice Where everything goes.
    address public immutable DESTINATION;
    /// @notice Keccak-256 of the code that deploys a forwarder: with a salt, all that a deposit address depends on.
    bytes32 public immutable FORWARDER_HASH;

    // ------------------------------------------------------------------------------------------------ events

    /// @notice The address still holds what it held. What was swept has the token's own `Transfer`.
    /// @param reason First bytes of what the token answered. Empty: out of gas or no answer.
    event SweepFailed(bytes32 indexed salt, address indexed token, bytes reason);

    // ------------------------------------------------------------------------------------------------ errors

    /// @notice Nothing is at the destination: tokens sent there would be lost.
    error DestinationHasNoCode(address destination);
    /// @notice There is no contract at the token's address.
    error TokenHasNoCode(address token);
    /// @notice Too little gas is left for the next address: nothing is swept.
    error GasShort(uint256 gasLeft, uint256 gasMin);

    // ------------------------------------------------------------------------------------------------ set up

    /// @notice Sends to one contract for good.
    /// @param destination The settlement contract, which must be deployed.
    constructor(address destination) {
        if (destination.code.length == 0) revert DestinationHasNoCode(destination);
        DESTINATION = destination;
        FORWARDER_HASH = keccak256(_forwarder(destination));
    }

    // ------------------------------------------------------------------------------------------------ sweeping

    /// @notice Moves the whole balance of each address to the destination, and deploys its forwarder if there is none.
    /// @dev Reverts as a whole for: a token without code, too little gas. All else is per address. A token that takes
    /// a fee takes it; a token that enters again finds nothing to change, since nothing is stored here.
    /// @param token An ERC-20 token, any; one whose `transfer` returns nothing works too.
    /// @param salts The deposit addresses, by salt, as many as the gas allows. One that holds nothing is left alone.
    /// @return outcomes One byte per salt: 0 swept, 1 failed, 2 empty. For an `eth_call` before sending.
    function sweep(IERC20 token, bytes32[] calldata salts) external returns (bytes memory outcomes) {
        if (address(token).code.length == 0) revert TokenHasNoCode(address(token));
        outcomes = new bytes(salts.length);
        bytes memory forwarder = _forwarder(DESTINATION);
        for (uint256 i = 0; i < salts.length; ++i) {
            if (gasleft() < GAS_BEFORE_ADDRESS_MIN) revert GasShort(gasleft(), GAS_BEFORE_ADDRESS_MIN);
            address from = addressOf(salts[i]);
            (bool known, uint256 amount) = _balanceOf(token, from);
            if (known && amount == 0) {
                outcomes[i] = OUTCOME_EMPTY;
            } else if (
                !known || !_isThere(from, salts[i], forwarder) || !_forward(from, address(token), amount)
            ) {
                outcomes[i] = OUTCOME_FAILED;
                emit SweepFailed(salts[i], address(token), _reason());
            }
        }
    }

    /// @notice The deposit address of a salt, whether its forwarder is deployed or not.
    /// @param salt Any 32 bytes.
    /// @return The last 20 bytes of keccak256(0xff · this contract · salt · FORWARDER_HASH).
    function addressOf(bytes32 salt) public view returns (address) {
        return Create2.computeAddress(salt, FORWARDER_HASH);
    }

    // ------------------------------------------------------------------------------------------------ inside

    /// @dev The code that deploys a forwarder.
    function _forwarder(address destination) private pure returns (bytes memory) {
        return abi.encodePacked(FORWARDER_HEAD, destination, FORWARDER_TAIL);
    }

    /// @dev Assembly, because Solidity reverts as a whole when the token does or answers too little, and copies all
    /// that it answers.
    function _balanceOf(IERC20 token, address holder) private view returns (bool known, uint256 amount) {
        bytes4 selector = IERC20.balanceOf.selector;
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            mstore(0x00, selector)
            mstore(0x04, holder)
            known := staticcall(BALANCE_GAS, token, 0x00, 0x24, 0x00, 0x20)
            known := and(known, gt(returndatasize(), 0x1f))
            if known { amount := mload(0x00) }
        }
    }

    /// @dev Deploys the forwarder where there is none. False: it cannot be deployed, for want of gas.
    function _isThere(address expected, bytes32 salt, bytes memory forwarder) private returns (bool) {
        if (expected.code.length != 0) return true;
        address deployed = address(0);
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            deployed := create2(0, add(forwarder, 0x20), mload(forwarder), salt)
        }
        return deployed == expected;
    }

    /// @dev Whether the token moved, by what it answered: true, or nothing at all. Assembly, as in `_balanceOf`.
    function _forward(address from, address token, uint256 amount) private returns (bool done) {
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            mstore(0x00, token)
            mstore(0x20, amount)
            done := call(FORWARD_GAS, from, 0, 0x00, 0x40, 0x00, 0x20)
            if returndatasize() {
                done := and(done, and(eq(mload(0x00), 1), gt(returndatasize(), 0x1f)))
            }
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
}
