// SPDX-License-Identifier: Apache-2.0
// TestPriceFeed answers as AggregatorV3Interface has it, and only its owner says what.
pragma solidity ^0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {TestPriceFeed} from "../src/TestPriceFeed.sol";
import {Vm} from "./base/Vm.sol";

contract TestPriceFeedTest {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    address private constant OWNER = address(0xAD08);
    address private constant ALMA = address(0xBE01);

    TestPriceFeed private feed;

    function setUp() public {
        feed = new TestPriceFeed(OWNER, 8, "EUR / USD");
    }

    function setAnswer(int256 answer, uint256 time) private {
        vm.prank(OWNER);
        feed.setAnswer(answer, time);
    }

    function requireRound(bytes memory data, uint80 number, int256 answer, uint256 time) private pure {
        vm.assertEq(data, abi.encode(number, answer, time, time, number), "round");
    }

    function test_selectors_areThoseOfAggregatorV3Interface() public view {
        vm.assertTrue(feed.decimals.selector == bytes4(0x313ce567), "decimals()");
        vm.assertTrue(feed.description.selector == bytes4(0x7284e416), "description()");
        vm.assertTrue(feed.version.selector == bytes4(0x54fd4d50), "version()");
        vm.assertTrue(feed.getRoundData.selector == bytes4(0x9a6fc8f5), "getRoundData(uint80)");
        vm.assertTrue(feed.latestRoundData.selector == bytes4(0xfeaf968c), "latestRoundData()");
    }

    function test_metadata_isWhatItWasMadeWith(uint8 digits) public {
        vm.assertEq(bytes(feed.description()), "EUR / USD", "description");
        vm.assertEq(new TestPriceFeed(OWNER, digits, "").decimals(), digits, "digits");
        vm.assertEq(feed.version(), 1, "version");
    }

    function test_latestRoundData_reverts_beforeTheFirstAnswer() public {
        vm.expectRevert(abi.encodeWithSelector(TestPriceFeed.NoDataPresent.selector, 0));
        feed.latestRoundData();
    }

    function test_setAnswer_isAnsweredAsItIs_whateverItIs(int256 answer, uint256 time) public {
        setAnswer(answer, time);
        (bool done, bytes memory data) = address(feed).call(abi.encodeCall(feed.latestRoundData, ()));
        vm.assertTrue(done, "answered");
        requireRound(data, 1, answer, time);
    }

    function test_setAnswer_beginsARoundOfItsOwn_andKeepsThoseBefore() public {
        setAnswer(1, 10);
        setAnswer(2, 20);
        vm.assertEq(feed.latestRound(), 2, "rounds");
        (, bytes memory newest) = address(feed).call(abi.encodeCall(feed.latestRoundData, ()));
        requireRound(newest, 2, 2, 20);
        (, bytes memory first) = address(feed).call(abi.encodeCall(feed.getRoundData, (1)));
        requireRound(first, 1, 1, 10);
    }

    function test_setAnswer_tellsItInAnEvent() public {
        vm.recordLogs();
        setAnswer(-5, 30);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertTrue(
            logs[0].topics[0] == keccak256("AnswerUpdated(int256,uint256,uint256)"), "AnswerUpdated"
        );
        vm.assertTrue(int256(uint256(logs[0].topics[1])) == -5, "answer");
        vm.assertEq(uint256(logs[0].topics[2]), 1, "round");
        vm.assertEq(logs[0].data, abi.encode(uint256(30)), "time");
    }

    function test_setAnswer_reverts_forAnybodyButTheOwner() public {
        vm.prank(ALMA);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, ALMA));
        feed.setAnswer(1, 1);
    }

    function test_getRoundData_reverts_whenThereIsNoSuchRound(uint80 number) public {
        setAnswer(1, 10);
        if (number == 1) number = 2;
        vm.expectRevert(abi.encodeWithSelector(TestPriceFeed.NoDataPresent.selector, number));
        feed.getRoundData(number);
    }
}
