// SPDX-License-Identifier: Apache-2.0
// Test USD with its pause and deny list, and beneficiaries that burn all the gas they are given.
pragma solidity ^0.8.37;

import {TestUSD} from "../../src/TestUSD.sol";

/// @title Test USD in which anybody can be made a gas bomb.
contract BombUSD is TestUSD {
    /// @notice Whose payments burn the gas.
    mapping(address account => bool) public isBomb;

    /// @notice No tokens and no minters at first.
    /// @param admin Owner, pauser and denylister.
    constructor(address admin) TestUSD(admin, admin, admin) {}

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
