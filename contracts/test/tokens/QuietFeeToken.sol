// SPDX-License-Identifier: Apache-2.0
// A token that takes one part in a hundred of each transfer and does not say so.
pragma solidity ^0.8.37;

import {PlainToken} from "./PlainToken.sol";

/// @title Fee on transfer, out of the amount: the log has all of it, and the beneficiary receives less.
contract QuietFeeToken is PlainToken {
    mapping(address account => uint256 units) private _taken;

    /// @notice What is left after all fees.
    /// @param account Whose tokens.
    /// @return Token units.
    function balanceOf(address account) public view override returns (uint256) {
        return super.balanceOf(account) - _taken[account];
    }

    /// @notice Nothing: here anyone mints. Test USD, whose words a test speaks, has minters.
    /// @param minter Who would mint.
    /// @param allowance How much.
    function configureMinter(address minter, uint256 allowance) external {}

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        _taken[to] += amount / 100;
    }
}
