// SPDX-License-Identifier: Apache-2.0
// A price feed for devnets and tests that answers what its owner says, as Chainlink's AggregatorV3Interface does.
// Not here: oracles, a proxy, rounds of several answers. It believes anything, so nobody should believe it.
pragma solidity ^0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

/// @title Test price feed.
/// @notice Each answer is a round of its own, numbered from 1. With answers of 0 (up) and 1 (down) it is the uptime
/// feed of a sequencer.
contract TestPriceFeed is Ownable2Step {
    /// @dev `time` is when the round began and when it was answered, Unix seconds.
    struct Round {
        int256 answer;
        uint256 time;
    }

    /// @notice What is priced in what, such as "EUR / USD".
    string public description;
    /// @notice The number of rounds, which is the number of the newest.
    uint80 public latestRound;

    uint8 private immutable DIGITS;
    mapping(uint80 roundId => Round) private _rounds;

    /// @notice There is another answer.
    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    /// @notice There is no such round.
    error NoDataPresent(uint80 roundId);

    /// @notice No answer at first.
    /// @param firstOwner Says what it answers; not zero.
    /// @param digits How many decimals answers have.
    /// @param text The description.
    constructor(address firstOwner, uint8 digits, string memory text) Ownable(firstOwner) {
        DIGITS = digits;
        description = text;
    }

    /// @notice Begins and answers a new round. Nothing is checked: a test may need a feed that lies.
    /// @param answer The price in units of 10^-decimals, or a sequencer's state.
    /// @param time When the round began and was answered, Unix seconds.
    function setAnswer(int256 answer, uint256 time) external onlyOwner {
        uint80 roundId = ++latestRound;
        _rounds[roundId] = Round(answer, time);
        emit AnswerUpdated(answer, roundId, time);
    }

    /// @notice The newest round.
    /// @return roundId Its number.
    /// @return answer The price in units of 10^-decimals.
    /// @return startedAt When it began, Unix seconds.
    /// @return updatedAt When it was answered, Unix seconds.
    /// @return answeredInRound The round the answer is of.
    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        return getRoundData(latestRound);
    }

    /// @notice How many decimals answers have.
    /// @return The number.
    function decimals() external view returns (uint8) {
        return DIGITS;
    }

    /// @notice The version of what feeds are made of.
    /// @return Always 1.
    function version() external pure returns (uint256) {
        return 1;
    }

    /// @notice One round.
    /// @param wanted Its number.
    /// @return roundId Its number again.
    /// @return answer The price in units of 10^-decimals.
    /// @return startedAt When it began, Unix seconds.
    /// @return updatedAt When it was answered, Unix seconds.
    /// @return answeredInRound The round the answer is of.
    function getRoundData(uint80 wanted)
        public
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        if (wanted == 0 || wanted > latestRound) revert NoDataPresent(wanted);
        Round memory found = _rounds[wanted];
        return (wanted, found.answer, found.time, found.time, wanted);
    }
}
