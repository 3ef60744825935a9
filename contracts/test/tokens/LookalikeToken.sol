// SPDX-License-Identifier: Apache-2.0
// A token that looks like TestUSD and writes Transfer events about tokens that never moved.
pragma solidity ^0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title Same name, symbol and digits; false events at the asking.
contract LookalikeToken is ERC20 {
    constructor() ERC20("Test USD", "tUSD") {}

    /// @notice Six.
    /// @return The number of digits.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice Makes tokens for anyone.
    /// @param to Who receives them.
    /// @param amount How much, in token units.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @notice Writes a Transfer event; nothing moves.
    /// @param from Who would have sent.
    /// @param to Who would have received.
    /// @param amount How much, in token units.
    function forge(address from, address to, uint256 amount) external {
        emit Transfer(from, to, amount);
    }
}
