// SPDX-License-Identifier: Apache-2.0
// A token that pays only when it is given nearly all the gas that a payment is promised.
pragma solidity ^0.8.37;

import {PlainToken} from "./PlainToken.sol";

/// @title Demanding but honest: with its full gas it always pays; with less it refuses at once, and leaves its caller
/// enough gas to finish and to book the refusal.
contract DemandingToken is PlainToken {
    /// @notice Gas that a transfer must be given, a little less than the promise.
    uint256 public constant GAS_MIN = 199_000;

    /// @notice The transfer was given too little gas.
    error GasMissing(uint256 gasLeft);

    /// @notice As in ERC-20, if there is gas enough.
    /// @param to Who receives.
    /// @param amount How much, in token units.
    /// @return Always true.
    function transfer(address to, uint256 amount) public override returns (bool) {
        if (gasleft() < GAS_MIN) revert GasMissing(gasleft());
        return super.transfer(to, amount);
    }
}
