// SPDX-License-Identifier: Apache-2.0
// A token that takes one part in a hundred of each transfer.
pragma solidity ^0.8.37;

import {PlainToken} from "./PlainToken.sol";

/// @title Fee on transfer, on top of the amount: the sender loses more than the beneficiary receives.
contract FeeToken is PlainToken {
    /// @notice Who collects the fees.
    address public constant COLLECTOR = address(0xFEE);

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from != address(0)) super._update(from, COLLECTOR, amount / 100);
    }
}
