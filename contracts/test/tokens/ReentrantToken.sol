// SPDX-License-Identifier: Apache-2.0
// A token that calls back into whoever pays with it.
pragma solidity ^0.8.37;

import {PlainToken} from "./PlainToken.sol";

/// @title Calls its caller with prepared bytes before each transfer.
contract ReentrantToken is PlainToken {
    /// @notice What is called back; empty: nothing.
    bytes public callback;
    /// @notice True: a callback that fails makes the transfer fail with the same answer.
    bool public strict;
    /// @notice How many callbacks were made, successful or not, outside of reverted transfers.
    uint256 public callbacks;
    /// @notice What the last one of them returned.
    bytes public lastAnswer;

    /// @notice Prepares the callback.
    /// @param data The bytes to call with.
    /// @param failWithIt Whether a failing callback fails the transfer.
    function prepare(bytes calldata data, bool failWithIt) external {
        callback = data;
        strict = failWithIt;
    }

    /// @notice As in ERC-20, after the callback.
    /// @param to Who receives.
    /// @param amount How much, in token units.
    /// @return Always true.
    function transfer(address to, uint256 amount) public override returns (bool) {
        if (callback.length != 0) {
            (bool success, bytes memory answer) = msg.sender.call(callback);
            if (!success && strict) {
                assembly ("memory-safe") {
                    revert(add(answer, 0x20), mload(answer))
                }
            }
            ++callbacks;
            lastAnswer = answer;
        }
        return super.transfer(to, amount);
    }
}
