// SPDX-License-Identifier: Apache-2.0
// A second address of a token, as some tokens have after a migration.
pragma solidity ^0.8.37;

import {PlainToken} from "./PlainToken.sol";

/// @title A token that its second door may move.
contract TwoDoorToken is PlainToken {
    /// @notice The other address of this token.
    Door public immutable DOOR = new Door(this);

    /// @notice Only the door does this.
    error NotDoor(address caller);

    /// @notice Moves tokens for the door.
    /// @param from Whose tokens move.
    /// @param to Who receives.
    /// @param amount How much, in token units.
    function moveFor(address from, address to, uint256 amount) external {
        if (msg.sender != address(DOOR)) revert NotDoor(msg.sender);
        _transfer(from, to, amount);
    }
}

/// @title The second door: another address, the same balances.
contract Door {
    TwoDoorToken private immutable TOKEN;

    constructor(TwoDoorToken token) {
        TOKEN = token;
    }

    /// @notice As in ERC-20.
    /// @param to Who receives.
    /// @param amount How much, in token units.
    /// @return Always true.
    function transfer(address to, uint256 amount) external returns (bool) {
        TOKEN.moveFor(msg.sender, to, amount);
        return true;
    }
}
