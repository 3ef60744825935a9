// SPDX-License-Identifier: Apache-2.0
// A token that burns all the gas it is given when a chosen beneficiary is paid.
pragma solidity ^0.8.37;

import {PlainToken} from "./PlainToken.sol";

/// @title Gas bomb for one beneficiary; all others are paid.
contract GasBombToken is PlainToken {
    /// @notice Whose payments burn the gas.
    mapping(address account => bool) public isBomb;

    /// @notice Makes a beneficiary a bomb, or harmless again.
    /// @param account The beneficiary.
    /// @param bomb True: burn all gas.
    function setBomb(address account, bool bomb) external {
        isBomb[account] = bomb;
    }

    /// @notice As in ERC-20, unless the beneficiary is a bomb.
    /// @param to Who receives.
    /// @param amount How much, in token units.
    /// @return Always true.
    function transfer(address to, uint256 amount) public override returns (bool) {
        if (isBomb[to]) {
            assembly ("memory-safe") {
                invalid()
            }
        }
        return super.transfer(to, amount);
    }
}
