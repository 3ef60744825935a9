// SPDX-License-Identifier: Apache-2.0
// A token whose transfer returns nothing, as one of the largest in use does.
pragma solidity ^0.8.37;

/// @title The least of a token, without return values.
contract NoReturnToken {
    /// @notice Six.
    uint8 public constant decimals = 6;
    /// @notice Balances in token units.
    mapping(address account => uint256) public balanceOf;

    /// @notice As in ERC-20.
    event Transfer(address indexed from, address indexed to, uint256 value);
    /// @notice The sender has less.
    error BalanceShort(uint256 balance, uint256 amount);

    /// @notice Makes tokens for anyone.
    /// @param to Who receives them.
    /// @param amount How much, in token units.
    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    /// @notice As in ERC-20, but returns nothing.
    /// @param to Who receives.
    /// @param amount How much, in token units.
    function transfer(address to, uint256 amount) external {
        if (amount > balanceOf[msg.sender]) revert BalanceShort(balanceOf[msg.sender], amount);
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        emit Transfer(msg.sender, to, amount);
    }
}
