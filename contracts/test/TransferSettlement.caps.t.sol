// SPDX-License-Identifier: Apache-2.0
// Caps: what a bucket holds, what uses it up, how it refills, and that it is lowered at once.
pragma solidity ^0.8.37;

import {SettlementControl} from "../src/settlement/SettlementControl.sol";
import {SettlementTest} from "./base/SettlementTest.sol";

contract TransferSettlementCapsTest is SettlementTest {
    address private constant SECOND = address(0xAD08);
    uint64 private constant LANE_CAP = 1_000_000;
    uint64 private constant SECOND_CAP = 600_000;
    uint64 private constant CONTRACT_CAP = 1_200_000;
    uint256 private constant DAY_S = 86_400;

    function setUp() public override {
        super.setUp();
        SettlementControl.OperatorCap[] memory operators = new SettlementControl.OperatorCap[](2);
        operators[0] = SettlementControl.OperatorCap(LANE, LANE_CAP);
        operators[1] = SettlementControl.OperatorCap(SECOND, SECOND_CAP);
        settlement = deploySettlement(address(token), ADMIN, CONTRACT_CAP, operators);
        vm.prank(ISSUER);
        token.mint(address(settlement), FLOAT);
        vm.warp(1_800_000_000);
    }

    // ------------------------------------------------------------------------------------------------ spending

    function test_capLeft_isFullAtFirst() public view {
        requireLeft(LANE, LANE_CAP, CONTRACT_CAP);
        requireLeft(SECOND, SECOND_CAP, CONTRACT_CAP);
        requireLeft(ALMA, 0, CONTRACT_CAP);
        (uint64 ofLane, uint64 ofContract) = settlement.capOf(LANE);
        vm.assertEq(ofLane, LANE_CAP, "lane");
        vm.assertEq(ofContract, CONTRACT_CAP, "contract");
    }

    function test_settle_usesUpTheBucketsOfTheCallerAndOfTheContract(uint64 amount) public {
        amount = uint64(bound(amount, 1, LANE_CAP));
        settle(record(1, ALMA, amount));
        requireLeft(LANE, LANE_CAP - amount, CONTRACT_CAP - amount);
        requireLeft(SECOND, SECOND_CAP, CONTRACT_CAP - amount);
    }

    function test_settle_paysExactlyTheCap() public {
        vm.assertEq(settle(record(1, ALMA, LANE_CAP)), hex"00", "outcome");
        requireLeft(LANE, 0, CONTRACT_CAP - LANE_CAP);
    }

    function test_settle_reverts_whenTheSumIsAboveTheCallersCap(uint64 excess) public {
        excess = uint64(bound(excess, 1, FLOAT - LANE_CAP));
        requireExceeded(LANE, bytes.concat(record(1, ALMA, LANE_CAP), record(2, BORIS, excess)), LANE_CAP);
        vm.assertTrue(!settlement.used(1), "nothing is paid");
        requireLeft(LANE, LANE_CAP, CONTRACT_CAP);
    }

    function test_settle_reverts_whenTheSumIsAboveTheContractsCap() public {
        settle(record(1, ALMA, LANE_CAP));
        requireExceeded(SECOND, record(2, BORIS, 200_001), 200_000);
        vm.prank(SECOND);
        vm.assertEq(settlement.settle(record(2, BORIS, 200_000)), hex"00", "exactly the rest");
    }

    function test_settle_failedAndSkippedRecordsUseUpNothing() public {
        settle(record(1, ALMA, 10));
        vm.prank(ISSUER);
        token.deny(BORIS);
        bytes memory records = bytes.concat(
            record(1, ALMA, 100_000),
            record(2, BORIS, 200_000),
            record(3, CHIDI, 5),
            record(4, address(0), 300_000)
        );
        vm.assertEq(settle(records), hex"02010001", "outcomes");
        requireLeft(LANE, LANE_CAP - 15, CONTRACT_CAP - 15);
    }

    function test_settle_countsUsedNumbersIntoTheSum() public {
        voidNumber(1);
        requireExceeded(LANE, bytes.concat(record(1, ALMA, LANE_CAP), record(2, BORIS, 1)), LANE_CAP);
    }

    function test_settle_tellsOfTheFloatBeforeTheCap() public {
        uint64 amount = uint64(FLOAT + 1);
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSignature("FloatShort(uint256,uint256)", FLOAT + 1, FLOAT));
        settlement.settle(record(1, ALMA, amount));
    }

    function test_void_needsNoCap() public {
        settle(record(1, ALMA, LANE_CAP));
        voidNumber(2);
        vm.assertTrue(settlement.used(2), "voided");
    }

    // ------------------------------------------------------------------------------------------------ refilling

    function test_capLeft_refillsByTheCapInADayAndNeverAboveIt(uint64 amount, uint40 elapsedS) public {
        amount = uint64(bound(amount, 1, LANE_CAP));
        settle(record(1, ALMA, amount));
        vm.warp(vm.getBlockTimestamp() + elapsedS);
        uint256 left = LANE_CAP - amount + uint256(LANE_CAP) * elapsedS / DAY_S;
        uint256 all = CONTRACT_CAP - amount + uint256(CONTRACT_CAP) * elapsedS / DAY_S;
        requireLeft(LANE, left < LANE_CAP ? left : LANE_CAP, all < CONTRACT_CAP ? all : CONTRACT_CAP);
    }

    /// 86,400 settlements a second apart: what refills between them is not lost to rounding. 1,000,000 a day is 11.57
    /// a second.
    function test_settle_secondBySecondGetsTheWholeRefill() public {
        settle(record(0, ALMA, LANE_CAP));
        uint256 start = vm.getBlockTimestamp();
        uint256 spent = 0;
        for (uint64 i = 1; i <= 864; ++i) {
            vm.warp(start + i);
            (uint64 left,) = settlement.capLeft(LANE);
            spent += left;
            settle(record(i, ALMA, left));
        }
        vm.assertEq(spent, uint256(LANE_CAP) * 864 / DAY_S, "a hundredth of a day's cap");
    }

    function test_settle_mayUseAFullBucketAndItsRefillWithinADay() public {
        settle(record(1, ALMA, LANE_CAP));
        vm.warp(vm.getBlockTimestamp() + DAY_S / 2);
        requireExceeded(LANE, record(2, ALMA, LANE_CAP / 2 + 1), LANE_CAP / 2);
        settle(record(2, ALMA, LANE_CAP / 2));
    }

    function test_capLeft_ofTheLargestCapIsRightAfterAThousandYears() public {
        settlement = deploySettlement(address(token));
        vm.warp(vm.getBlockTimestamp() + 365_000 days);
        requireLeft(LANE, type(uint64).max, type(uint64).max);
        vm.prank(ISSUER);
        token.mint(address(settlement), type(uint128).max);
        settle(record(1, ALMA, type(uint64).max));
        requireLeft(LANE, 0, 0);
        requireExceeded(LANE, bytes.concat(record(2, ALMA, type(uint64).max), record(3, ALMA, 1)), 0);
    }

    // ------------------------------------------------------------------------------------------------ tightening

    function test_lowerOperatorCap_countsAtOnce(uint64 spent, uint64 cap) public {
        spent = uint64(bound(spent, 1, LANE_CAP));
        cap = uint64(bound(cap, 0, LANE_CAP - 1));
        settle(record(1, ALMA, spent));
        vm.prank(ADMIN);
        settlement.lowerOperatorCap(LANE, cap);
        uint64 left = LANE_CAP - spent < cap ? LANE_CAP - spent : cap;
        requireLeft(LANE, left, CONTRACT_CAP - spent);
        vm.warp(vm.getBlockTimestamp() + DAY_S);
        requireLeft(LANE, cap, CONTRACT_CAP);
        requireExceeded(LANE, record(2, ALMA, uint64(cap + 1)), cap);
    }

    function test_lowerContractCap_countsAtOnceForAll(uint64 cap) public {
        cap = uint64(bound(cap, 0, SECOND_CAP - 1));
        vm.prank(ADMIN);
        settlement.lowerContractCap(cap);
        requireLeft(LANE, LANE_CAP, cap);
        requireExceeded(SECOND, record(1, ALMA, cap + 1), cap);
    }

    /// What had refilled until then is kept, at the old rate.
    function test_lowerOperatorCap_keepsWhatHadRefilled() public {
        settle(record(1, ALMA, LANE_CAP));
        vm.warp(vm.getBlockTimestamp() + DAY_S / 4);
        vm.prank(ADMIN);
        settlement.lowerOperatorCap(LANE, 500_000);
        requireLeft(LANE, 250_000, CONTRACT_CAP - LANE_CAP + 300_000);
        vm.warp(vm.getBlockTimestamp() + DAY_S / 4);
        requireLeft(LANE, 375_000, CONTRACT_CAP - LANE_CAP + 600_000);
    }

    function test_lowering_reverts_whenTheCapWouldNotFall(uint64 cap) public {
        cap = uint64(bound(cap, CONTRACT_CAP, type(uint64).max));
        vm.startPrank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.CapNotLower.selector, cap, LANE_CAP));
        settlement.lowerOperatorCap(LANE, cap);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.CapNotLower.selector, cap, CONTRACT_CAP));
        settlement.lowerContractCap(cap);
    }

    function test_lowerOperatorCap_reverts_whenTheAccountIsNoOperator() public {
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.OperatorUnknown.selector, ALMA));
        settlement.lowerOperatorCap(ALMA, 0);
    }

    function test_removeOperator_leavesNoCap() public {
        vm.prank(ADMIN);
        settlement.removeOperator(LANE);
        requireLeft(LANE, 0, CONTRACT_CAP);
        vm.warp(vm.getBlockTimestamp() + DAY_S);
        requireLeft(LANE, 0, CONTRACT_CAP);
    }

    // ------------------------------------------------------------------------------------------------ pause

    function test_pauseAndUnpause_leaveTheCapsAsTheyAre() public {
        settle(record(1, ALMA, 100));
        vm.startPrank(PAUSER);
        settlement.pause();
        requireLeft(LANE, LANE_CAP - 100, CONTRACT_CAP - 100);
        settlement.unpause();
        vm.stopPrank();
        requireLeft(LANE, LANE_CAP - 100, CONTRACT_CAP - 100);
    }

    // ------------------------------------------------------------------------------------------------ inside

    function requireLeft(address operator, uint256 left, uint256 contractLeft) private view {
        (uint64 ofOperator, uint64 ofContract) = settlement.capLeft(operator);
        vm.assertEq(ofOperator, left, "left of the operator");
        vm.assertEq(ofContract, contractLeft, "left of the contract");
    }

    function requireExceeded(address operator, bytes memory records, uint256 left) private {
        uint256 needed = 0;
        for (uint256 i = 0; i < records.length; i += 36) {
            uint256 amount = 0;
            for (uint256 k = i + 28; k < i + 36; ++k) {
                amount = (amount << 8) | uint8(records[k]);
            }
            needed += amount;
        }
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.CapExceeded.selector, needed, left));
        settlement.settle(records);
    }
}
