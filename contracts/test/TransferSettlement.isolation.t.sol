// SPDX-License-Identifier: Apache-2.0
// settle() on tokens that misbehave for one beneficiary or for all: the others are paid, or nothing is.
pragma solidity ^0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SettlementControl} from "../src/settlement/SettlementControl.sol";
import {TransferSettlement} from "../src/TransferSettlement.sol";
import {SettlementTest} from "./base/SettlementTest.sol";
import {Vm} from "./base/Vm.sol";
import {FalseReturnToken} from "./tokens/FalseReturnToken.sol";
import {FeeToken} from "./tokens/FeeToken.sol";
import {GasBombToken} from "./tokens/GasBombToken.sol";
import {DemandingToken} from "./tokens/DemandingToken.sol";
import {LookalikeToken} from "./tokens/LookalikeToken.sol";
import {NoReturnToken} from "./tokens/NoReturnToken.sol";
import {PlainToken} from "./tokens/PlainToken.sol";
import {ReentrantToken} from "./tokens/ReentrantToken.sol";
import {ReturnBombToken} from "./tokens/ReturnBombToken.sol";

contract TransferSettlementIsolationTest is SettlementTest {
    bytes private constant THREE = hex"000100"; // the second record fails

    function threeRecords() private pure returns (bytes memory) {
        return bytes.concat(record(1, ALMA, 10), record(2, BORIS, 20), record(3, CHIDI, 30));
    }

    function useToken(PlainToken plain) private {
        settlement = deploySettlement(address(plain));
        plain.mint(address(settlement), FLOAT);
    }

    function requireOnlyBorisUnpaid(IERC20 paid) private view {
        vm.assertEq(paid.balanceOf(ALMA), 10, "ALMA");
        vm.assertEq(paid.balanceOf(BORIS), 0, "BORIS");
        vm.assertEq(paid.balanceOf(CHIDI), 30, "CHIDI");
        vm.assertTrue(settlement.used(1) && !settlement.used(2) && settlement.used(3), "used");
    }

    // ------------------------------------------------------------------------------------------------ answers

    function test_settle_paysWithATokenThatReturnsNothing() public {
        NoReturnToken silent = new NoReturnToken();
        settlement = deploySettlement(address(silent));
        silent.mint(address(settlement), FLOAT);
        vm.assertEq(settle(threeRecords()), hex"000000", "outcomes");
        vm.assertEq(silent.balanceOf(BORIS), 20, "BORIS");
    }

    function test_settle_failsARecordThatTheTokenAnswersWithFalse() public {
        FalseReturnToken refusing = new FalseReturnToken();
        useToken(refusing);
        refusing.refuse(BORIS);
        vm.recordLogs();
        vm.assertEq(settle(threeRecords()), THREE, "outcomes");
        vm.assertEq(reasonIn(vm.getRecordedLogs()), abi.encode(false), "reason");
        requireOnlyBorisUnpaid(refusing);
    }

    function test_settle_failsARecordThatTheTokenAnswersWithNoBoolean(uint256 word, uint8 length) public {
        FalseReturnToken refusing = new FalseReturnToken();
        useToken(refusing);
        refusing.refuse(BORIS);
        bytes memory answer = abi.encode(word == 1 ? 2 : word, word);
        uint256 cut = bound(length, 1, 64);
        assembly ("memory-safe") {
            mstore(answer, cut)
        }
        refusing.setAnswer(answer);
        vm.recordLogs();
        vm.assertEq(settle(threeRecords()), THREE, "outcomes");
        vm.assertEq(reasonIn(vm.getRecordedLogs()), answer, "reason");
        requireOnlyBorisUnpaid(refusing);
    }

    /// Less than a word is no boolean, whatever stood in memory where the missing bytes would be.
    function test_settle_failsARecordThatTheTokenAnswersWithLessThanAWord(uint64 number, uint8 length)
        public
    {
        FalseReturnToken refusing = new FalseReturnToken();
        useToken(refusing);
        refusing.refuse(BORIS);
        refusing.setAnswer(new bytes(bound(length, 1, 31)));
        // Numbers of word 1 too: its index is what the contract last wrote to that place.
        number = number % 2 == 0 ? number : 256 + number % 256;
        vm.assertEq(settle(record(number, BORIS, 20)), hex"01", "outcome");
        vm.assertTrue(!settlement.used(number), "used");
    }

    /// True counts with more bytes behind it too; that nothing moved shows in the balance.
    function test_settle_reverts_whenTheTokenSaysTrueAndMovesNothing() public {
        FalseReturnToken lying = new FalseReturnToken();
        useToken(lying);
        lying.refuse(BORIS);
        lying.setAnswer(abi.encode(true, true));
        vm.prank(LANE);
        vm.expectRevert(
            abi.encodeWithSelector(TransferSettlement.TokenTakesFee.selector, FLOAT - 60, FLOAT - 40)
        );
        settlement.settle(threeRecords());
    }

    function test_settle_reverts_whenTheTokenTakesAFee() public {
        FeeToken taking = new FeeToken();
        useToken(taking);
        vm.prank(LANE);
        vm.expectRevert(
            abi.encodeWithSelector(TransferSettlement.TokenTakesFee.selector, FLOAT - 1000, FLOAT - 1010)
        );
        settlement.settle(record(1, ALMA, 1000));
        vm.assertEq(taking.balanceOf(ALMA), 0, "ALMA");
        vm.assertTrue(!settlement.used(1), "used");
    }

    // ------------------------------------------------------------------------------------------------ bombs

    function test_settle_paysTheOthersWhenOneBurnsAllItsGas() public {
        GasBombToken bomb = new GasBombToken();
        useToken(bomb);
        bomb.setBomb(BORIS, true);
        vm.recordLogs();
        uint256 gasBefore = gasleft();
        vm.assertEq(settle(threeRecords()), THREE, "outcomes");
        uint256 gasTaken = gasBefore - gasleft();
        vm.assertTrue(gasTaken < 2 * settlement.TOKEN_CALL_GAS(), "the bomb gets one call's gas, no more");
        vm.assertEq(reasonIn(vm.getRecordedLogs()).length, 0, "no reason");
        requireOnlyBorisUnpaid(bomb);
    }

    function test_settle_marksOnlyTheBombsFailedWhateverTheGas(uint256 gasLimit, uint8 bombs) public {
        GasBombToken bomb = new GasBombToken();
        useToken(bomb);
        bytes memory expected = new bytes(8);
        for (uint64 i = 0; i < 8; ++i) {
            if ((bombs >> i) & 1 == 1) {
                bomb.setBomb(beneficiaryOf(i), true);
                expected[i] = 0x01;
            }
        }
        gasLimit = bound(gasLimit, 100_000, 2_500_000);
        (bool success, bytes memory answer) = settleWithGas(recordsOf(0, 8), gasLimit);
        if (success) vm.assertEq(abi.decode(answer, (bytes)), expected, "outcomes");
    }

    function test_settle_copiesAtMost100BytesOfAHugeAnswer(bool asRevert) public {
        ReturnBombToken bomb = new ReturnBombToken();
        useToken(bomb);
        // 200,000 gas buy about 240 kB of memory.
        bomb.setBomb(BORIS, 200_000, asRevert);
        vm.recordLogs();
        uint256 gasBefore = gasleft();
        vm.assertEq(settle(threeRecords()), THREE, "outcomes");
        vm.assertTrue(gasBefore - gasleft() < 500_000, "the answer is not copied");
        bytes memory reason = reasonIn(vm.getRecordedLogs());
        vm.assertEq(reason.length, 100, "reason");
        vm.assertTrue(
            bytes32(reason) == bytes32(hex"b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0"),
            "its first bytes"
        );
        requireOnlyBorisUnpaid(bomb);
    }

    function test_settle_carriesTheReasonUpTo100Bytes(uint8 size) public {
        ReturnBombToken bomb = new ReturnBombToken();
        useToken(bomb);
        bomb.setBomb(BORIS, size, true);
        vm.recordLogs();
        vm.assertEq(settle(threeRecords()), THREE, "outcomes");
        vm.assertEq(reasonIn(vm.getRecordedLogs()).length, size < 100 ? size : 100, "reason");
    }

    // ------------------------------------------------------------------------------------------------ gas

    /// A payable beneficiary is never marked as failed because the transaction had too little gas.
    function test_settle_paysAllOrRevertsWhateverTheGas(uint256 gasLimit) public {
        DemandingToken demanding = new DemandingToken();
        useToken(demanding);
        gasLimit = bound(gasLimit, 50_000, 1_500_000);
        (bool success, bytes memory answer) = settleWithGas(threeRecords(), gasLimit);
        if (success) vm.assertEq(abi.decode(answer, (bytes)), hex"000000", "outcomes");
        vm.assertEq(demanding.balanceOf(ALMA), success ? 10 : 0, "ALMA");
        vm.assertEq(demanding.balanceOf(CHIDI), success ? 30 : 0, "CHIDI");
    }

    /// The same, walked in small steps across the limits at which it turns from revert to success; two words, so that
    /// the gas may run out before, between and after both payments and both writes of the bitmap.
    function test_settle_paysAllOrRevertsAtEveryGasLimitNearTheEdge() public {
        DemandingToken demanding = new DemandingToken();
        useToken(demanding);
        bool hasReverted = false;
        bool hasPaid = false;
        for (uint64 i = 0; i < 400; ++i) {
            uint64 other = i + 100_000;
            bytes memory records = bytes.concat(record(i, ALMA, 1), record(other, BORIS, 2));
            (bool success, bytes memory answer) = settleWithGas(records, 150_000 + 800 * i);
            if (success) vm.assertEq(abi.decode(answer, (bytes)), hex"0000", "outcomes");
            vm.assertTrue(settlement.used(i) == success && settlement.used(other) == success, "used");
            hasPaid = hasPaid || success;
            hasReverted = hasReverted || !success;
        }
        vm.assertTrue(hasPaid && hasReverted, "the edge was crossed");
    }

    function test_settle_reverts_whenTheGasIsShortForThePayment() public {
        uint256 gasMin = settlement.GAS_BEFORE_PAYMENT_MIN();
        (bool success, bytes memory answer) = settleWithGas(record(1, ALMA, 1), gasMin);
        vm.assertTrue(!success, "reverts");
        vm.assertTrue(bytes4(answer) == TransferSettlement.GasShort.selector, "GasShort");
    }

    // ------------------------------------------------------------------------------------------------ reentry

    function test_settle_refusesToBeEnteredAgainThroughTheToken() public {
        requireReentryRefused(abi.encodeCall(TransferSettlement.settle, (record(9, CHIDI, 90))));
    }

    function test_void_refusesToBeEnteredThroughTheToken() public {
        requireReentryRefused(abi.encodeCall(TransferSettlement.void, (numbersOf(9))));
    }

    function test_rescue_refusesToBeEnteredThroughTheToken() public {
        requireReentryRefused(abi.encodeCall(TransferSettlement.rescue, (IERC20(address(token)), CHIDI, 90)));
    }

    function test_settle_failsARecordWhoseTokenInsistsOnEnteringAgain() public {
        ReentrantToken reentrant = reentrantWithAllRoles();
        reentrant.prepare(abi.encodeCall(TransferSettlement.settle, (record(1, CHIDI, 90))), true);
        vm.recordLogs();
        vm.assertEq(settle(record(1, ALMA, 10)), hex"01", "outcome");
        vm.assertEq(
            reasonIn(vm.getRecordedLogs()),
            abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "reason"
        );
        vm.assertTrue(!settlement.used(1), "used");
    }

    /// While a batch runs the words in storage are not yet up to date: no answer is better than a wrong one.
    function test_used_refusesToAnswerTheTokenWhileABatchIsPaid() public {
        requireReentryRefused(abi.encodeCall(TransferSettlement.used, (1)));
        requireReentryRefused(abi.encodeCall(TransferSettlement.usedMany, (numbersOf(1))));
    }

    // ------------------------------------------------------------------------------------------------ lookalike

    function test_settle_paysTheTokenItWasBuiltForAndNoLookalike() public {
        LookalikeToken lookalike = new LookalikeToken();
        lookalike.mint(address(settlement), FLOAT);
        settle(record(1, ALMA, 10));
        vm.assertEq(lookalike.balanceOf(ALMA), 0, "lookalike");
        vm.assertEq(token.balanceOf(ALMA), 10, "token");
    }

    // ------------------------------------------------------------------------------------------------ inside

    function settleWithGas(bytes memory records, uint256 gasLimit) private returns (bool, bytes memory) {
        vm.prank(LANE);
        return address(settlement).call{gas: gasLimit}(abi.encodeCall(TransferSettlement.settle, (records)));
    }

    function reentrantWithAllRoles() private returns (ReentrantToken reentrant) {
        reentrant = new ReentrantToken();
        SettlementControl.OperatorCap[] memory operators = new SettlementControl.OperatorCap[](2);
        operators[0] = SettlementControl.OperatorCap(LANE, CAP);
        operators[1] = SettlementControl.OperatorCap(address(reentrant), CAP);
        settlement = deploySettlement(address(reentrant), ADMIN, CAP, operators);
        reentrant.mint(address(settlement), FLOAT);
        vm.startPrank(ADMIN);
        settlement.propose(SettlementControl.Right.RESCUER, address(reentrant), 0);
        vm.warp(vm.getBlockTimestamp() + 86_400);
        settlement.applyProposal(SettlementControl.Right.RESCUER, address(reentrant));
        vm.stopPrank();
    }

    /// The token holds every role it would need, so only the guard can refuse it.
    function requireReentryRefused(bytes memory callback) private {
        ReentrantToken reentrant = reentrantWithAllRoles();
        reentrant.prepare(callback, false);
        vm.assertEq(settle(record(1, ALMA, 10)), hex"00", "the payment itself");
        vm.assertEq(reentrant.callbacks(), 1, "it was tried");
        vm.assertEq(
            reentrant.lastAnswer(),
            abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "refused by the guard"
        );
        vm.assertTrue(!settlement.used(9), "9 is untouched");
        vm.assertEq(reentrant.balanceOf(CHIDI), 0, "CHIDI");
    }
}
