// SPDX-License-Identifier: Apache-2.0
// A token that misbehaves, in one of several ways, when a chosen holder sends or is asked about.
pragma solidity ^0.8.37;

import {PlainToken} from "./PlainToken.sol";

/// @title Tempers by holder; all others hold and send as in ERC-20.
contract TemperToken is PlainToken {
    enum Temper {
        NONE,
        RETURNS_FALSE,
        RETURNS_A_BYTE,
        RETURNS_MUCH,
        REVERTS_WITH_MUCH,
        BURNS_GAS,
        BALANCE_REVERTS,
        BALANCE_BURNS_GAS
    }

    uint256 private constant MUCH = 20_000;

    mapping(address holder => Temper) private _tempers;
    address private _asker;

    /// @notice How the token treats a holder from now on. The caller itself is always told balances.
    /// @param holder Whose transfers or balance.
    /// @param kind What goes wrong.
    function setTemper(address holder, Temper kind) external {
        _tempers[holder] = kind;
        _asker = msg.sender;
    }

    /// @notice As in ERC-20, but not for everybody.
    /// @param holder Whose.
    /// @return How much.
    function balanceOf(address holder) public view override returns (uint256) {
        Temper kind = msg.sender == _asker ? Temper.NONE : _tempers[holder];
        if (kind == Temper.BALANCE_REVERTS) revert("no");
        if (kind == Temper.BALANCE_BURNS_GAS) burnGas();
        return super.balanceOf(holder);
    }

    /// @notice As in ERC-20, but not for everybody; what misbehaves moves nothing.
    /// @param to Who receives.
    /// @param amount How much, in token units.
    /// @return True when it moved.
    function transfer(address to, uint256 amount) public override returns (bool) {
        Temper kind = _tempers[msg.sender];
        if (kind == Temper.RETURNS_FALSE) answer(abi.encode(false), false);
        if (kind == Temper.RETURNS_A_BYTE) answer(hex"01", false);
        if (kind == Temper.RETURNS_MUCH) answer(new bytes(MUCH), false);
        if (kind == Temper.REVERTS_WITH_MUCH) answer(new bytes(MUCH), true);
        if (kind == Temper.BURNS_GAS) burnGas();
        return super.transfer(to, amount);
    }

    function answer(bytes memory data, bool asRevert) private pure {
        assembly ("memory-safe") {
            if asRevert { revert(add(data, 0x20), mload(data)) }
            return(add(data, 0x20), mload(data))
        }
    }

    function burnGas() private pure {
        assembly ("memory-safe") {
            invalid()
        }
    }
}
