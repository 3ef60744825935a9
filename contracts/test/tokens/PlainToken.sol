// SPDX-License-Identifier: Apache-2.0
// An ERC-20 token without issuer's powers; anyone mints. The other tokens here are this one with one fault each.
pragma solidity ^0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title OpenZeppelin's ERC-20 with 6 digits; the token that gas is measured on.
contract PlainToken is ERC20 {
    constructor() ERC20("Plain", "PLN6") {}

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
}
