// SPDX-License-Identifier: Apache-2.0
// A token that answers with as many bytes as its gas can buy when a chosen beneficiary is paid.
pragma solidity ^0.8.37;

import {PlainToken} from "./PlainToken.sol";

/// @title Return data bomb: who copies the whole answer pays for it.
contract ReturnBombToken is PlainToken {
    /// @notice Whose payments are answered so.
    address public bomb;
    /// @notice How many bytes are returned.
    uint256 public answerBytes = 300_000;
    /// @notice Whether the answer comes as a revert or as a return.
    bool public reverts = true;

    /// @notice Chooses the beneficiary.
    /// @param account The beneficiary.
    /// @param size How many bytes are returned.
    /// @param asRevert True: revert with them.
    function setBomb(address account, uint256 size, bool asRevert) external {
        bomb = account;
        answerBytes = size;
        reverts = asRevert;
    }

    /// @notice As in ERC-20, unless the beneficiary is the bomb: then nothing moves.
    /// @param to Who receives.
    /// @param amount How much, in token units.
    /// @return True when it moved.
    function transfer(address to, uint256 amount) public override returns (bool) {
        if (to != bomb) return super.transfer(to, amount);
        uint256 size = answerBytes;
        bool asRevert = reverts;
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore(start, 0xb0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0)
            if asRevert { revert(start, size) }
            return(start, size)
        }
    }
}
