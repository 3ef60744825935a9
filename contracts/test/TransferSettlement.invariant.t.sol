// SPDX-License-Identifier: Apache-2.0
// Random histories of everything that can be done with the contract; its laws hold after each step.
pragma solidity ^0.8.37;

import {TestUSD} from "../src/TestUSD.sol";
import {SettlementControl} from "../src/settlement/SettlementControl.sol";
import {TransferSettlement} from "../src/TransferSettlement.sol";
import {SettlementTest} from "./base/SettlementTest.sol";
import {Vm} from "./base/Vm.sol";

/// Does the random steps and keeps its own books of what the events said.
contract History is SettlementTest {
    uint64 public constant NUMBERS = 12; // few, so that they meet again; on both sides of a word's end
    uint64 public constant FIRST = 250;

    address public constant SECOND = address(0xAD08);
    uint64 public constant LANE_CAP = 5_000_000;
    uint64 public constant SECOND_CAP = 4_000_000;
    uint64 public constant CONTRACT_CAP = 7_000_000;

    mapping(uint64 number => uint256) public timesSettled;
    mapping(uint64 number => uint256) public timesVoided;
    mapping(address operator => uint256) public sumSettledBy;
    uint256 public sumSettled;
    uint256 public sumRescued;
    uint256 public startS;

    function setUp() public override {
        super.setUp();
        SettlementControl.OperatorCap[] memory operators = new SettlementControl.OperatorCap[](2);
        operators[0] = SettlementControl.OperatorCap(LANE, LANE_CAP);
        operators[1] = SettlementControl.OperatorCap(SECOND, SECOND_CAP);
        settlement = deploySettlement(address(token), ADMIN, CONTRACT_CAP, operators);
        vm.prank(ISSUER);
        token.mint(address(settlement), FLOAT);
        startS = vm.getBlockTimestamp();
    }

    function tokenUnderTest() external view returns (TestUSD) {
        return token;
    }

    function settlementUnderTest() external view returns (TransferSettlement) {
        return settlement;
    }

    function settleSome(uint256 seed, uint8 count) external {
        bytes memory records;
        uint256 sum = 0;
        for (uint256 i = 0; i < 1 + uint256(count) % 6; ++i) {
            uint256 roll = uint256(keccak256(abi.encode(seed, i)));
            uint64 amount = uint64((roll >> 128) % 1_000_000);
            sum += amount;
            records = bytes.concat(
                records,
                record(FIRST + uint64(roll % NUMBERS), beneficiaryOf(uint64((roll >> 64) % 4)), amount)
            );
        }
        address operator = seed % 3 == 0 ? SECOND : LANE;
        (uint64 left, uint64 contractLeft) = settlement.capLeft(operator);
        bool allowed = !settlement.paused() && sum <= token.balanceOf(address(settlement)) && sum <= left
            && sum <= contractLeft;
        vm.recordLogs();
        vm.prank(operator);
        try settlement.settle(records) returns (bytes memory outcomes) {
            vm.assertTrue(allowed, "settled though paused, short or above a cap");
            sumSettledBy[operator] += book(vm.getRecordedLogs(), records, outcomes);
        } catch {
            vm.assertTrue(!allowed, "reverted without a cause");
            vm.getRecordedLogs();
        }
    }

    function voidSome(uint256 seed, uint8 count) external {
        uint64[] memory numbers = new uint64[](1 + uint256(count) % 3);
        for (uint256 i = 0; i < numbers.length; ++i) {
            numbers[i] = FIRST + uint64(uint256(keccak256(abi.encode(seed, i))) % NUMBERS);
        }
        vm.recordLogs();
        vm.prank(LANE);
        settlement.void(numbers);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint64 n = FIRST; n < FIRST + NUMBERS; ++n) {
            timesVoided[n] += countLogs(logs, VOIDED_TOPIC, n);
        }
    }

    function togglePause() external {
        vm.startPrank(PAUSER);
        settlement.paused() ? settlement.unpause() : settlement.pause();
        vm.stopPrank();
    }

    function toggleTokenPause() external {
        vm.startPrank(ISSUER);
        token.paused() ? token.unpause() : token.pause();
        vm.stopPrank();
    }

    function toggleDenied(uint64 index) external {
        address account = beneficiaryOf(index % 4);
        vm.startPrank(ISSUER);
        token.isDenied(account) ? token.undeny(account) : token.deny(account);
        vm.stopPrank();
    }

    function rescueSome(uint64 amount) external {
        if (!settlement.paused() || token.paused()) return;
        uint256 balance = token.balanceOf(address(settlement));
        uint256 taken = bound(amount, 0, balance / 4);
        vm.prank(RESCUER);
        settlement.rescue(token, RESCUER, taken);
        sumRescued += taken;
    }

    function waitSome(uint16 seconds_) external {
        vm.warp(vm.getBlockTimestamp() + seconds_);
    }

    /// Books what the events say; the outcomes must say the same. Returns the sum of what was settled.
    function book(Vm.Log[] memory logs, bytes memory records, bytes memory outcomes)
        private
        returns (uint256 sum)
    {
        uint256[3] memory byOutcome;
        for (uint256 i = 0; i < outcomes.length; ++i) {
            ++byOutcome[uint8(outcomes[i])];
            if (outcomes[i] == 0x00) sum += amountAt(records, i);
        }
        sumSettled += sum;
        uint256[3] memory byEvent;
        for (uint64 n = FIRST; n < FIRST + NUMBERS; ++n) {
            uint256 settled = countLogs(logs, SETTLED_TOPIC, n);
            timesSettled[n] += settled;
            byEvent[0] += settled;
            byEvent[1] += countLogs(logs, FAILED_TOPIC, n);
            byEvent[2] += countLogs(logs, SKIPPED_TOPIC, n);
        }
        for (uint256 i = 0; i < 3; ++i) {
            vm.assertEq(byEvent[i], byOutcome[i], "events and outcomes agree");
        }
    }

    function amountAt(bytes memory records, uint256 index) private pure returns (uint256 amount) {
        for (uint256 i = 36 * index + 28; i < 36 * index + 36; ++i) {
            amount = (amount << 8) | uint8(records[i]);
        }
    }
}

contract TransferSettlementInvariantTest is SettlementTest {
    History private history;

    function setUp() public override {
        history = newHistory();
        history.setUp();
        token = history.tokenUnderTest();
        settlement = history.settlementUnderTest();
    }

    function newHistory() internal virtual returns (History) {
        return new History();
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// forge asks for this: only the steps of the history are taken.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(history);
        targets[0].selectors = new bytes4[](9);
        targets[0].selectors[0] = History.settleSome.selector;
        targets[0].selectors[1] = History.settleSome.selector;
        targets[0].selectors[2] = History.settleSome.selector;
        targets[0].selectors[3] = History.voidSome.selector;
        targets[0].selectors[4] = History.togglePause.selector;
        targets[0].selectors[5] = History.toggleTokenPause.selector;
        targets[0].selectors[6] = History.toggleDenied.selector;
        targets[0].selectors[7] = History.rescueSome.selector;
        targets[0].selectors[8] = History.waitSome.selector;
    }

    /// forge asks for this: no other contract is called.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(history);
    }

    function invariant_aNumberIsPaidAtMostOnceAndNeverPaidAndVoided() public view {
        uint64 first = history.FIRST();
        for (uint64 n = first; n < first + history.NUMBERS(); ++n) {
            uint256 times = history.timesSettled(n) + history.timesVoided(n);
            vm.assertTrue(times <= 1, "at most once");
            vm.assertTrue(settlement.used(n) == (times == 1), "used is settled or voided");
        }
    }

    function invariant_whatLeftIsWhatWasSettledOrRescued() public view {
        uint256 balance = token.balanceOf(address(settlement));
        vm.assertEq(balance + history.sumSettled() + history.sumRescued(), FLOAT, "float");
        vm.assertEq(token.balanceOf(RESCUER), history.sumRescued(), "rescued");
        uint256 held = 0;
        for (uint64 i = 0; i < 4; ++i) {
            held += token.balanceOf(beneficiaryOf(i));
        }
        vm.assertEq(held, history.sumSettled(), "beneficiaries hold what was settled");
    }

    /// A bucket's size, and what has refilled since the start: never more leaves, whatever the steps.
    function invariant_noMoreLeavesThanTheCapsAllow() public view {
        uint256 elapsedS = vm.getBlockTimestamp() - history.startS();
        requireWithin(history.sumSettledBy(LANE), history.LANE_CAP(), elapsedS);
        requireWithin(history.sumSettledBy(history.SECOND()), history.SECOND_CAP(), elapsedS);
        requireWithin(history.sumSettled(), history.CONTRACT_CAP(), elapsedS);
    }

    function requireWithin(uint256 settled, uint256 cap, uint256 elapsedS) private pure {
        vm.assertTrue(settled <= cap + cap * elapsedS / 86_400, "within the cap");
    }

    function invariant_noNumberOutsideTheHistoryIsUsed() public view {
        uint64 first = history.FIRST();
        for (uint64 i = 1; i <= 20; ++i) {
            vm.assertTrue(!settlement.used(first - i), "below");
            vm.assertTrue(!settlement.used(first + history.NUMBERS() + i - 1), "above");
        }
    }
}
