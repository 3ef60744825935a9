// SPDX-License-Identifier: Apache-2.0
// A token that does not revert but answers with a word of its choice for a chosen beneficiary.
pragma solidity ^0.8.37;

import {PlainToken} from "./PlainToken.sol";

/// @title Refuses by its return value: false, or something that is no boolean at all.
contract FalseReturnToken is PlainToken {
    /// @notice Who is refused.
    address public refused;
    /// @notice The bytes that are returned to a payment of theirs.
    bytes public answer = abi.encode(false);

    /// @notice Chooses who is refused.
    /// @param account The beneficiary.
    function refuse(address account) external {
        refused = account;
    }

    /// @notice Chooses what is returned to them.
    /// @param bytesReturned The raw answer.
    function setAnswer(bytes calldata bytesReturned) external {
        answer = bytesReturned;
    }

    /// @notice As in ERC-20, unless the beneficiary is refused: then nothing moves.
    /// @param to Who receives.
    /// @param amount How much, in token units.
    /// @return True when it moved.
    function transfer(address to, uint256 amount) public override returns (bool) {
        if (to != refused) return super.transfer(to, amount);
        bytes memory raw = answer;
        assembly ("memory-safe") {
            return(add(raw, 0x20), mload(raw))
        }
    }
}
