// SPDX-License-Identifier: Apache-2.0
// A token that answers each beneficiary in one of 16 ways, as the last digit of the address says.
pragma solidity ^0.8.37;

import {PlainToken} from "./PlainToken.sol";

/// @title Every temper in one token, without state: the same call is answered the same on every history.
contract MoodyToken is PlainToken {
    /// @notice Taken from the sender on top of each transfer, in token units.
    uint256 public fee;
    /// @notice True: transfers return true and move nothing.
    bool public lies;
    /// @notice What the callback of mood 15 returned last.
    bytes public lastAnswer;

    /// @notice Not an answer to anybody: the transfer was refused.
    error Refused(bytes words);

    /// @notice Chooses what goes wrong for all beneficiaries at once.
    /// @param units The fee, in token units.
    /// @param moveNothing Whether transfers lie.
    function setFaults(uint256 units, bool moveNothing) external {
        fee = units;
        lies = moveNothing;
    }

    /// @notice As in ERC-20 for moods 0 to 7 and 15, though 6 returns nothing and 7 returns too much; the others refuse.
    /// @param to Who receives; its lowest 4 bits are the mood, the 8 above them vary it.
    /// @param amount How much, in token units.
    /// @return True when it moved.
    function transfer(address to, uint256 amount) public override returns (bool) {
        uint256 mood = uint160(to) & 0xf;
        uint256 variation = (uint160(to) >> 4) & 0xff;
        if (mood == 15) callBack(variation);
        if (mood < 8 || mood == 15) {
            if (!lies) _transfer(msg.sender, to, amount);
            if (fee != 0) _transfer(msg.sender, address(0xFEE), fee);
        }
        if (mood == 6) answer("", false);
        if (mood == 7) answer(abi.encode(true, variation), false);
        if (mood == 8) answer(abi.encode(false), false);
        if (mood == 9) answer(abi.encode(2 + variation), false);
        if (mood == 10) answer(new bytes(variation % 31 + 1), false);
        if (mood == 11) answer("", true);
        if (mood == 12) answer(new bytes(variation), true);
        if (mood == 13) burnGas();
        if (mood == 14) answer(new bytes(20_000), variation % 2 == 0);
        return true;
    }

    /// Enters the caller again in one of four ways; with an odd variation, insists on success.
    function callBack(uint256 variation) private {
        bytes memory data = variation % 4 == 0
            ? abi.encodeWithSignature("used(uint64)", 1)
            : variation % 4 == 1
                ? abi.encodeWithSignature("settle(bytes)", new bytes(36))
                : variation % 4 == 2
                    ? abi.encodeWithSignature("void(uint64[])", new uint64[](1))
                    : abi.encodeWithSignature("paused()");
        (bool success, bytes memory returned) = msg.sender.call(data);
        lastAnswer = returned;
        if (!success && variation > 127) revert Refused(returned);
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
