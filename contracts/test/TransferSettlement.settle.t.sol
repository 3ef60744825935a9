// SPDX-License-Identifier: Apache-2.0
// settle() on a well-behaved token: who may, what reverts as a whole, what each record does, which events tell it.
pragma solidity ^0.8.37;

import {TestUSD} from "../src/TestUSD.sol";
import {SettlementControl} from "../src/settlement/SettlementControl.sol";
import {TransferSettlement} from "../src/TransferSettlement.sol";
import {SettlementTest} from "./base/SettlementTest.sol";
import {Vm} from "./base/Vm.sol";

contract TransferSettlementSettleTest is SettlementTest {
    // ------------------------------------------------------------------------------------------------ pays

    function test_settle_paysEachRecordAndMarksItsNumber(uint64 first, uint64 amount) public {
        first = uint64(bound(first, 0, type(uint64).max - 1));
        amount = uint64(bound(amount, 1, FLOAT / 2));
        bytes memory records = bytes.concat(record(first, ALMA, amount), record(first + 1, BORIS, amount));

        vm.assertEq(settle(records), hex"0000", "outcomes");

        vm.assertEq(token.balanceOf(ALMA), amount, "ALMA");
        vm.assertEq(token.balanceOf(BORIS), amount, "BORIS");
        vm.assertEq(token.balanceOf(address(settlement)), FLOAT - 2 * uint256(amount), "float");
        vm.assertTrue(settlement.used(first) && settlement.used(first + 1), "used");
    }

    function test_settle_marksNoOtherNumber(uint64 number, uint64 other) public {
        if (number == other) return;
        settle(record(number, ALMA, 1));
        vm.assertTrue(settlement.used(number), "its own");
        vm.assertTrue(!settlement.used(other), "another");
    }

    function test_settle_marksNoNeighbourInTheSameWord(uint64 word, uint8 bit) public {
        uint64 first = uint64(bound(word, 0, type(uint64).max >> 8)) << 8;
        settle(record(first + bit, ALMA, 1));
        for (uint64 i = 0; i < 256; ++i) {
            vm.assertTrue(settlement.used(first + i) == (i == bit), "bit");
        }
    }

    function test_settle_acceptsNumbersInAnyOrderAcrossWords() public {
        bytes memory records =
            bytes.concat(record(type(uint64).max, ALMA, 1), record(0, BORIS, 2), record(256, CHIDI, 3));
        vm.assertEq(settle(records), hex"000000", "outcomes");
        vm.assertTrue(settlement.used(type(uint64).max) && settlement.used(0) && settlement.used(256), "used");
    }

    function test_settle_pays256Records() public {
        bytes memory outcomes = settle(recordsOf(1, 256));
        vm.assertEq(outcomes, new bytes(256), "all settled");
        vm.assertEq(token.balanceOf(address(settlement)), FLOAT - 256_000_000, "float");
    }

    function test_settle_paysTheWholeFloat() public {
        vm.assertEq(settle(record(1, ALMA, uint64(FLOAT))), hex"00", "outcome");
        vm.assertEq(token.balanceOf(ALMA), FLOAT, "ALMA");
    }

    function test_settle_emitsSettledDirectlyAfterTheTokensTransfer() public {
        vm.recordLogs();
        settle(bytes.concat(record(7, ALMA, 70), record(8, BORIS, 80)));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 4, "logs");
        requireTransferThenSettled(logs, 0, ALMA, 70, 7);
        requireTransferThenSettled(logs, 2, BORIS, 80, 8);
    }

    // ------------------------------------------------------------------------------------------------ reverts

    function test_settle_reverts_whenTheCallerIsNoOperator(address caller) public {
        if (caller == LANE) return;
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotOperator.selector, caller));
        settlement.settle(record(1, ALMA, 1));
    }

    function test_settle_reverts_whenPaused() public {
        vm.prank(PAUSER);
        settlement.pause();
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.IsPaused.selector));
        settlement.settle(record(1, ALMA, 1));
    }

    function test_settle_reverts_whenTheBytesAreNotWholeRecords(uint256 length) public {
        length = bound(length, 1, 36 * 257);
        if (length % 36 == 0) ++length;
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.RecordsLengthInvalid.selector, length));
        settlement.settle(new bytes(length));
    }

    function test_settle_reverts_whenThereIsNoRecord() public {
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.BatchSizeOutOfRange.selector, 0, 256));
        settlement.settle("");
    }

    function test_settle_reverts_whenThereAreMoreThan256Records(uint256 count) public {
        count = bound(count, 257, 400);
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.BatchSizeOutOfRange.selector, count, 256));
        settlement.settle(new bytes(36 * count));
    }

    function test_settle_reverts_whenTheSumIsAboveTheFloat(uint64 excess) public {
        excess = uint64(bound(excess, 1, type(uint64).max - FLOAT));
        bytes memory records = bytes.concat(record(1, ALMA, uint64(FLOAT)), record(2, BORIS, excess));
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.FloatShort.selector, FLOAT + excess, FLOAT));
        settlement.settle(records);
        vm.assertTrue(!settlement.used(1) && !settlement.used(2), "nothing is marked");
    }

    function test_settle_countsUsedNumbersIntoTheSum() public {
        voidNumber(1);
        bytes memory records = bytes.concat(record(1, ALMA, 1), record(2, BORIS, uint64(FLOAT)));
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.FloatShort.selector, FLOAT + 1, FLOAT));
        settlement.settle(records);
    }

    function test_settle_sumsAmountsThatOverflow64Bits() public {
        bytes memory records =
            bytes.concat(record(1, ALMA, type(uint64).max), record(2, BORIS, type(uint64).max));
        uint256 sum = 2 * uint256(type(uint64).max);
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.FloatShort.selector, sum, FLOAT));
        settlement.settle(records);
    }

    // ------------------------------------------------------------------------------------------------ once

    function test_settle_skipsANumberThatWasPaid(address second, uint64 amount) public {
        amount = uint64(bound(amount, 0, FLOAT - 10));
        settle(record(5, ALMA, 10));
        uint256 balance = token.balanceOf(address(settlement));
        vm.recordLogs();
        vm.assertEq(settle(record(5, second, amount)), hex"02", "outcome");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 1, "one event");
        vm.assertEq(countLogs(logs, SKIPPED_TOPIC, 5), 1, "Skipped");
        vm.assertEq(token.balanceOf(address(settlement)), balance, "nothing left");
    }

    function test_settle_paysOnlyTheFirstOfEqualNumbers() public {
        bytes memory records = bytes.concat(record(5, ALMA, 10), record(5, BORIS, 20), record(5, ALMA, 10));
        vm.assertEq(settle(records), hex"000202", "outcomes");
        vm.assertEq(token.balanceOf(ALMA), 10, "ALMA");
        vm.assertEq(token.balanceOf(BORIS), 0, "BORIS");
    }

    /// The word of the first number is put away in between and must come back with its bit.
    function test_settle_paysOnlyTheFirstOfEqualNumbersAcrossWords(uint64 number, uint64 other) public {
        if (number >> 8 == other >> 8) other ^= 1 << 8;
        bytes memory records = bytes.concat(
            record(number, ALMA, 10),
            record(other, BORIS, 20),
            record(number, CHIDI, 30),
            record(other, ALMA, 40)
        );
        vm.assertEq(settle(records), hex"00000202", "outcomes");
        vm.assertEq(token.balanceOf(ALMA), 10, "ALMA");
        vm.assertEq(token.balanceOf(CHIDI), 0, "CHIDI");
        vm.assertTrue(settlement.used(number) && settlement.used(other), "used");
    }

    function test_settle_keepsTheBitsThatWereInTheWord(uint8 first, uint8 second) public {
        if (first == second) return;
        settle(record(first, ALMA, 1));
        deny(BORIS);
        settle(bytes.concat(record(256, ALMA, 1), record(second, ALMA, 1), record(257, BORIS, 1)));
        vm.assertTrue(settlement.used(first) && settlement.used(second), "both");
        vm.assertTrue(settlement.used(256) && !settlement.used(257), "the next word");
    }

    function test_settle_paysTheLargestNumberOnce() public {
        uint64 number = type(uint64).max;
        vm.assertEq(
            settle(bytes.concat(record(number, ALMA, 1), record(number, ALMA, 1))), hex"0002", "outcomes"
        );
        vm.assertTrue(!settlement.used(number - 1) && !settlement.used(0), "no other");
    }

    function test_settle_sendingTheSameBatchAgainPaysNobodyTwice(uint8 count) public {
        bytes memory records = recordsOf(250, bound(count, 1, 20));
        settle(records);
        uint256 balance = token.balanceOf(address(settlement));
        bytes memory outcomes = settle(records);
        for (uint256 i = 0; i < outcomes.length; ++i) {
            vm.assertTrue(outcomes[i] == 0x02, "skipped");
        }
        vm.assertEq(token.balanceOf(address(settlement)), balance, "float");
    }

    // ------------------------------------------------------------------------------------------------ fails

    function test_settle_failsADeniedBeneficiaryAndPaysTheOthers() public {
        deny(BORIS);
        vm.recordLogs();
        bytes memory records = bytes.concat(record(1, ALMA, 1), record(2, BORIS, 2), record(3, CHIDI, 3));
        vm.assertEq(settle(records), hex"000100", "outcomes");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(countLogs(logs, FAILED_TOPIC, 2), 1, "Failed");
        vm.assertEq(
            reasonIn(logs),
            abi.encodeWithSelector(TestUSD.AccountDenied.selector, BORIS),
            "the token's own words"
        );
        vm.assertTrue(settlement.used(1) && !settlement.used(2) && settlement.used(3), "used");
        vm.assertEq(token.balanceOf(address(settlement)), FLOAT - 4, "float");
    }

    function test_settle_paysAFailedNumberLater() public {
        deny(BORIS);
        vm.assertEq(settle(record(2, BORIS, 2)), hex"01", "refused");
        vm.prank(ISSUER);
        token.undeny(BORIS);
        vm.assertEq(settle(record(2, BORIS, 2)), hex"00", "paid");
    }

    function test_settle_triesALaterEqualNumberWhenTheFirstFailed() public {
        deny(BORIS);
        vm.assertEq(settle(bytes.concat(record(2, BORIS, 2), record(2, ALMA, 2))), hex"0100", "outcomes");
        vm.assertEq(token.balanceOf(ALMA), 2, "ALMA");
    }

    function test_settle_failsEveryRecordWhileTheTokenIsPaused() public {
        vm.prank(ISSUER);
        token.pause();
        vm.assertEq(settle(bytes.concat(record(1, ALMA, 1), record(2, BORIS, 2))), hex"0101", "outcomes");
        vm.assertTrue(!settlement.used(1) && !settlement.used(2), "used");
    }

    function test_settle_failsWhatCanNeverBePaid() public {
        requireUnpayable(1, address(0), 5);
        requireUnpayable(2, address(settlement), 5);
        requireUnpayable(3, ALMA, 0);
    }

    // ------------------------------------------------------------------------------------------------ order

    /// For distinct numbers within the float, a record's outcome does not depend on where it stands.
    function test_settle_outcomesDoNotDependOnOrder(uint256 seed) public {
        uint256 count = 2 + (seed % 15);
        bytes[] memory records = mixedRecords(seed, count);
        uint256 before = vm.snapshotState();
        bytes memory straight = settle(joined(records, 0, count));
        uint256 balance = token.balanceOf(address(settlement));
        vm.revertToState(before);

        uint256[] memory order = permutation(seed, count);
        bytes memory permuted = settle(joinedInOrder(records, order));

        for (uint256 i = 0; i < count; ++i) {
            vm.assertTrue(permuted[i] == straight[order[i]], "outcome");
        }
        vm.assertEq(token.balanceOf(address(settlement)), balance, "float");
    }

    /// For distinct numbers within the float, a record's outcome does not depend on its company.
    function test_settle_outcomesDoNotDependOnTheOtherRecords(uint256 seed) public {
        uint256 count = 2 + (seed % 15);
        bytes[] memory records = mixedRecords(seed, count);
        uint256 before = vm.snapshotState();
        bytes memory together = settle(joined(records, 0, count));
        vm.revertToState(before);
        for (uint256 i = 0; i < count; ++i) {
            bytes memory alone = settle(records[i]);
            vm.assertTrue(alone[0] == together[i], "outcome");
        }
    }

    // ------------------------------------------------------------------------------------------------ inside

    function deny(address account) private {
        vm.prank(ISSUER);
        token.deny(account);
    }

    function requireTransferThenSettled(
        Vm.Log[] memory logs,
        uint256 index,
        address beneficiary,
        uint256 amount,
        uint64 number
    ) private view {
        vm.assertEq(logs[index].emitter, address(token), "from the token");
        vm.assertTrue(logs[index].topics[0] == TRANSFER_TOPIC, "Transfer");
        vm.assertEq(
            address(uint160(uint256(logs[index].topics[1]))), address(settlement), "out of the contract"
        );
        vm.assertEq(address(uint160(uint256(logs[index].topics[2]))), beneficiary, "to the beneficiary");
        vm.assertEq(abi.decode(logs[index].data, (uint256)), amount, "amount");
        vm.assertEq(logs[index + 1].emitter, address(settlement), "then the contract");
        vm.assertTrue(logs[index + 1].topics[0] == SETTLED_TOPIC, "Settled");
        vm.assertEq(uint256(logs[index + 1].topics[1]), number, "number");
    }

    function requireUnpayable(uint64 number, address beneficiary, uint64 amount) private {
        vm.recordLogs();
        vm.assertEq(settle(record(number, beneficiary, amount)), hex"01", "outcome");
        vm.assertEq(
            reasonIn(vm.getRecordedLogs()),
            abi.encodeWithSelector(TransferSettlement.Unpayable.selector, number, beneficiary, amount),
            "reason"
        );
        vm.assertTrue(!settlement.used(number), "unused");
    }

    /// Records with distinct numbers: some paid before, some to a denied beneficiary, some unpayable, most payable.
    function mixedRecords(uint256 seed, uint256 count) private returns (bytes[] memory records) {
        deny(BORIS);
        records = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 roll = uint256(keccak256(abi.encode(seed, i)));
            // At most 300 apart, so that some share a word and some do not; i keeps them distinct.
            uint64 number = uint64(i * 1000 + (roll >> 32) % 300);
            uint64 amount = uint64(1 + (roll >> 64) % 1_000_000);
            uint256 kind = roll % 6;
            if (kind == 0) voidNumber(number);
            if (kind == 1) settle(record(number, ALMA, 1));
            address beneficiary = kind == 2 ? BORIS : kind == 3 ? address(0) : beneficiaryOf(number % 4);
            records[i] = record(number, beneficiary, kind == 4 && roll % 7 == 0 ? 0 : amount);
        }
    }

    function permutation(uint256 seed, uint256 count) private pure returns (uint256[] memory order) {
        order = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 j = uint256(keccak256(abi.encode("order", seed, i))) % (i + 1);
            order[i] = order[j];
            order[j] = i;
        }
    }

    function joined(bytes[] memory records, uint256 from, uint256 to)
        private
        pure
        returns (bytes memory all)
    {
        for (uint256 i = from; i < to; ++i) {
            all = bytes.concat(all, records[i]);
        }
    }

    function joinedInOrder(bytes[] memory records, uint256[] memory order)
        private
        pure
        returns (bytes memory all)
    {
        for (uint256 i = 0; i < order.length; ++i) {
            all = bytes.concat(all, records[order[i]]);
        }
    }
}
