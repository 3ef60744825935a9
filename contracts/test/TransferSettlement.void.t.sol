// SPDX-License-Identifier: Apache-2.0
// void() and the reading of used numbers.
pragma solidity ^0.8.37;

import {SettlementControl} from "../src/settlement/SettlementControl.sol";
import {TransferSettlement} from "../src/TransferSettlement.sol";
import {SettlementTest} from "./base/SettlementTest.sol";
import {Vm} from "./base/Vm.sol";

contract TransferSettlementVoidTest is SettlementTest {
    function test_void_aVoidedNumberIsNeverPaid(uint64 number, uint64 amount) public {
        amount = uint64(bound(amount, 1, FLOAT));
        voidNumber(number);
        vm.assertTrue(settlement.used(number), "used");
        vm.assertEq(settle(record(number, ALMA, amount)), hex"02", "skipped");
        vm.assertEq(token.balanceOf(address(settlement)), FLOAT, "float");
    }

    function test_void_aPaidNumberIsSkippedAndStaysPaid(uint64 number) public {
        settle(record(number, ALMA, 1));
        vm.recordLogs();
        voidNumber(number);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(countLogs(logs, SKIPPED_TOPIC, number), 1, "Skipped");
        vm.assertTrue(settlement.used(number), "used");
    }

    function test_void_emitsVoidedOnceForEqualNumbers(uint64 number) public {
        uint64[] memory numbers = new uint64[](3);
        numbers[0] = number;
        numbers[1] = number;
        numbers[2] = number;
        vm.recordLogs();
        vm.prank(LANE);
        settlement.void(numbers);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(countLogs(logs, VOIDED_TOPIC, number), 1, "Voided");
        vm.assertEq(countLogs(logs, SKIPPED_TOPIC, number), 2, "Skipped");
    }

    function test_void_voidsANumberWhosePaymentFailed() public {
        vm.prank(ISSUER);
        token.deny(BORIS);
        vm.assertEq(settle(record(4, BORIS, 1)), hex"01", "failed");
        voidNumber(4);
        vm.prank(ISSUER);
        token.undeny(BORIS);
        vm.assertEq(settle(record(4, BORIS, 1)), hex"02", "skipped");
    }

    function test_void_worksWhilePaused() public {
        vm.prank(PAUSER);
        settlement.pause();
        voidNumber(4);
        vm.assertTrue(settlement.used(4), "used");
    }

    function test_void_worksForTheAdmin() public {
        vm.prank(ADMIN);
        settlement.void(numbersOf(4));
        vm.assertTrue(settlement.used(4), "used");
    }

    function test_void_reverts_whenTheCallerIsNeitherOperatorNorAdmin(address caller) public {
        if (caller == LANE || caller == ADMIN) return;
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotOperator.selector, caller));
        settlement.void(numbersOf(4));
    }

    function test_void_reverts_whenThereIsNoNumber() public {
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.BatchSizeOutOfRange.selector, 0, 256));
        settlement.void(new uint64[](0));
    }

    function test_void_reverts_whenThereAreMoreThan256Numbers() public {
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.BatchSizeOutOfRange.selector, 257, 256));
        settlement.void(new uint64[](257));
    }

    function test_void_takes256Numbers() public {
        uint64[] memory numbers = new uint64[](256);
        for (uint64 i = 0; i < 256; ++i) {
            numbers[i] = 1000 + i;
        }
        vm.prank(LANE);
        settlement.void(numbers);
        bytes memory flags = settlement.usedMany(numbers);
        for (uint256 i = 0; i < 256; ++i) {
            vm.assertTrue(flags[i] == 0x01, "used");
        }
    }

    function test_usedMany_saysForEachNumberWhatUsedSays(uint64[] memory numbers, uint256 chosen) public {
        if (numbers.length != 0) voidNumber(numbers[chosen % numbers.length]);
        bytes memory flags = settlement.usedMany(numbers);
        vm.assertEq(flags.length, numbers.length, "one byte each");
        for (uint256 i = 0; i < numbers.length; ++i) {
            vm.assertTrue((flags[i] == 0x01) == settlement.used(numbers[i]), "flag");
            vm.assertTrue(flags[i] == 0x00 || flags[i] == 0x01, "0 or 1");
        }
    }
}
