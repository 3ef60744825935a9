// SPDX-License-Identifier: Apache-2.0
// Loosening: proposed, applied a day later and not before, cancelled, overtaken by a tightening; each tells of itself.
pragma solidity ^0.8.37;

import {SettlementControl} from "../src/settlement/SettlementControl.sol";
import {SettlementTest} from "./base/SettlementTest.sol";
import {Vm} from "./base/Vm.sol";

contract TransferSettlementProposalsTest is SettlementTest {
    SettlementControl.Right private constant OPERATOR = SettlementControl.Right.OPERATOR;
    SettlementControl.Right private constant CONTRACT_CAP = SettlementControl.Right.CONTRACT_CAP;
    SettlementControl.Right private constant PAUSER_RIGHT = SettlementControl.Right.PAUSER;
    SettlementControl.Right private constant RESCUER_RIGHT = SettlementControl.Right.RESCUER;

    address private constant NEXT = address(0xAD09);
    uint64 private constant FIRST_CAP = 1_000_000;
    uint256 private constant START_S = 1_800_000_000;
    uint256 private constant DAY_S = 86_400;

    function setUp() public override {
        super.setUp();
        settlement = deploySettlement(address(token), ADMIN, 2 * FIRST_CAP, operatorsOf(LANE, FIRST_CAP));
        vm.prank(ISSUER);
        token.mint(address(settlement), FLOAT);
        vm.warp(START_S);
    }

    // ------------------------------------------------------------------------------------------------ the delay

    function test_applyProposal_reverts_untilADayHasPassed(uint8 which, uint40 elapsedS) public {
        SettlementControl.Right right = SettlementControl.Right(which % 4);
        address account = right == CONTRACT_CAP ? address(0) : NEXT;
        uint64 cap = right == OPERATOR || right == CONTRACT_CAP ? 5 * FIRST_CAP : 0;
        bytes32 before = state();
        propose(right, account, cap);
        vm.warp(START_S + elapsedS);
        vm.prank(ADMIN);
        if (elapsedS < DAY_S) {
            vm.expectRevert(
                abi.encodeWithSelector(SettlementControl.ProposalNotReady.selector, START_S + DAY_S)
            );
            settlement.applyProposal(right, account);
            vm.assertTrue(state() == before, "nothing changed");
        } else {
            settlement.applyProposal(right, account);
            vm.assertTrue(state() != before, "changed");
        }
    }

    function test_applyProposal_worksAtExactlyADayAndNotASecondBefore() public {
        propose(PAUSER_RIGHT, NEXT, 0);
        vm.warp(START_S + DAY_S - 1);
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.ProposalNotReady.selector, START_S + DAY_S));
        settlement.applyProposal(PAUSER_RIGHT, NEXT);
        vm.warp(START_S + DAY_S);
        apply_(PAUSER_RIGHT, NEXT);
        vm.assertEq(settlement.pauser(), NEXT, "pauser");
    }

    function test_propose_again_waitsAgain() public {
        propose(OPERATOR, NEXT, 1);
        vm.warp(START_S + DAY_S - 1);
        propose(OPERATOR, NEXT, 2);
        vm.warp(START_S + DAY_S);
        vm.prank(ADMIN);
        vm.expectRevert(
            abi.encodeWithSelector(SettlementControl.ProposalNotReady.selector, START_S + 2 * DAY_S - 1)
        );
        settlement.applyProposal(OPERATOR, NEXT);
    }

    function test_applyProposal_worksOnce() public {
        propose(OPERATOR, NEXT, 1);
        vm.warp(START_S + DAY_S);
        apply_(OPERATOR, NEXT);
        requireUnknown(OPERATOR, NEXT);
    }

    function test_cancelProposal_takesItBack() public {
        propose(OPERATOR, NEXT, 1);
        vm.prank(ADMIN);
        settlement.cancelProposal(OPERATOR, NEXT);
        vm.warp(START_S + DAY_S);
        requireUnknown(OPERATOR, NEXT);
        vm.assertTrue(!settlement.isOperator(NEXT), "no operator");
    }

    function test_cancelProposal_reverts_whenNothingIsProposed() public {
        propose(OPERATOR, NEXT, 1);
        vm.prank(ADMIN);
        vm.expectRevert(
            abi.encodeWithSelector(SettlementControl.ProposalUnknown.selector, PAUSER_RIGHT, NEXT)
        );
        settlement.cancelProposal(PAUSER_RIGHT, NEXT);
    }

    // ------------------------------------------------------------------------------------------------ operators

    function test_applyProposal_ofANewOperatorLetsItSettleFromAFullBucket() public {
        addOperator(NEXT, 700);
        (uint64 left,) = settlement.capLeft(NEXT);
        vm.assertEq(left, 700, "full");
        vm.prank(NEXT);
        vm.assertEq(settlement.settle(record(1, ALMA, 700)), hex"00", "settles");
    }

    function test_applyProposal_ofAHigherCapFillsUpWithTime() public {
        settle(record(1, ALMA, FIRST_CAP));
        propose(OPERATOR, LANE, 3 * FIRST_CAP);
        vm.warp(START_S + DAY_S);
        apply_(OPERATOR, LANE);
        (uint64 left,) = settlement.capLeft(LANE);
        vm.assertEq(left, FIRST_CAP, "what had refilled");
        vm.warp(START_S + DAY_S + DAY_S / 3);
        (left,) = settlement.capLeft(LANE);
        vm.assertEq(left, 2 * FIRST_CAP, "at the new rate");
    }

    function test_applyProposal_ofAHigherContractCap() public {
        propose(CONTRACT_CAP, address(0), type(uint64).max);
        vm.warp(START_S + DAY_S);
        apply_(CONTRACT_CAP, address(0));
        (, uint64 cap) = settlement.capOf(LANE);
        vm.assertEq(cap, type(uint64).max, "contract");
    }

    function test_aRemovedOperator_waitsADayToComeBack() public {
        vm.prank(ADMIN);
        settlement.removeOperator(LANE);
        propose(OPERATOR, LANE, 1);
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotOperator.selector, LANE));
        settlement.settle(record(1, ALMA, 1));
        vm.warp(START_S + DAY_S);
        apply_(OPERATOR, LANE);
        settle(record(1, ALMA, 1));
    }

    // ------------------------------------------------------------------------------------------------ tightening first

    function test_lowerOperatorCap_cancelsAProposalToRaiseIt() public {
        propose(OPERATOR, LANE, 5 * FIRST_CAP);
        vm.prank(ADMIN);
        settlement.lowerOperatorCap(LANE, 10);
        vm.warp(START_S + DAY_S);
        requireUnknown(OPERATOR, LANE);
    }

    function test_lowerContractCap_cancelsAProposalToRaiseIt() public {
        propose(CONTRACT_CAP, address(0), 5 * FIRST_CAP);
        vm.prank(ADMIN);
        settlement.lowerContractCap(10);
        vm.warp(START_S + DAY_S);
        requireUnknown(CONTRACT_CAP, address(0));
    }

    function test_removeOperator_cancelsAProposalToRaiseItsCap() public {
        propose(OPERATOR, LANE, 5 * FIRST_CAP);
        vm.prank(ADMIN);
        settlement.removeOperator(LANE);
        vm.warp(START_S + DAY_S);
        requireUnknown(OPERATOR, LANE);
    }

    // ------------------------------------------------------------------------------------------------ refusals

    function test_propose_reverts_whenTheCapWouldNotRise(uint64 cap) public {
        uint64 low = uint64(bound(cap, 0, FIRST_CAP));
        vm.startPrank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.CapNotHigher.selector, low, FIRST_CAP));
        settlement.propose(OPERATOR, LANE, low);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.CapNotHigher.selector, low, 2 * FIRST_CAP));
        settlement.propose(CONTRACT_CAP, address(0), low);
    }

    function test_propose_reverts_whenAccountOrCapDoNotGoWithTheRight() public {
        requireInvalid(OPERATOR, address(0), 5);
        requireInvalid(CONTRACT_CAP, NEXT, type(uint64).max);
        requireInvalid(PAUSER_RIGHT, address(0), 0);
        requireInvalid(PAUSER_RIGHT, NEXT, 1);
        requireInvalid(RESCUER_RIGHT, address(0), 0);
        requireInvalid(RESCUER_RIGHT, NEXT, 1);
    }

    // ------------------------------------------------------------------------------------------------ telling

    function test_proposals_tellOfEachStep() public {
        vm.recordLogs();
        propose(RESCUER_RIGHT, NEXT, 0);
        propose(OPERATOR, NEXT, 7);
        vm.prank(ADMIN);
        settlement.cancelProposal(OPERATOR, NEXT);
        vm.warp(START_S + DAY_S);
        apply_(RESCUER_RIGHT, NEXT);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 5, "logs");
        requireLog(logs[0], "Proposed(uint8,address,uint64,uint40)", 3, abi.encode(0, START_S + DAY_S));
        requireLog(logs[1], "Proposed(uint8,address,uint64,uint40)", 0, abi.encode(7, START_S + DAY_S));
        requireLog(logs[2], "ProposalCancelled(uint8,address,uint64)", 0, abi.encode(7));
        requireLog(logs[3], "ProposalApplied(uint8,address,uint64)", 3, abi.encode(0));
        vm.assertTrue(logs[4].topics[0] == keccak256("RescuerChanged(address,address)"), "the right's own");
    }

    function test_removingPauserOrRescuer_leavesTheirSuccessorsProposed() public {
        propose(PAUSER_RIGHT, NEXT, 0);
        propose(RESCUER_RIGHT, NEXT, 0);
        vm.startPrank(ADMIN);
        settlement.removePauser();
        settlement.removeRescuer();
        vm.stopPrank();
        vm.warp(START_S + DAY_S);
        apply_(PAUSER_RIGHT, NEXT);
        apply_(RESCUER_RIGHT, NEXT);
        vm.assertEq(settlement.pauser(), NEXT, "pauser");
        vm.assertEq(settlement.rescuer(), NEXT, "rescuer");
    }

    function test_proposal_isSeenUntilItIsAppliedOrGone() public {
        propose(OPERATOR, NEXT, 7);
        (uint64 cap, uint40 readyAt) = settlement.proposal(OPERATOR, NEXT);
        vm.assertEq(cap, 7, "cap");
        vm.assertEq(readyAt, START_S + DAY_S, "ready");
        vm.warp(START_S + DAY_S);
        apply_(OPERATOR, NEXT);
        (cap, readyAt) = settlement.proposal(OPERATOR, NEXT);
        vm.assertEq(cap, 0, "cap");
        vm.assertEq(readyAt, 0, "gone");
    }

    // ------------------------------------------------------------------------------------------------ inside

    function propose(SettlementControl.Right right, address account, uint64 cap) private {
        vm.prank(ADMIN);
        settlement.propose(right, account, cap);
    }

    function apply_(SettlementControl.Right right, address account) private {
        vm.prank(ADMIN);
        settlement.applyProposal(right, account);
    }

    function addOperator(address operator, uint64 cap) private {
        propose(OPERATOR, operator, cap);
        vm.warp(START_S + DAY_S);
        apply_(OPERATOR, operator);
    }

    function requireUnknown(SettlementControl.Right right, address account) private {
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.ProposalUnknown.selector, right, account));
        settlement.applyProposal(right, account);
    }

    function requireInvalid(SettlementControl.Right right, address account, uint64 cap) private {
        vm.prank(ADMIN);
        vm.expectRevert(
            abi.encodeWithSelector(SettlementControl.ProposalInvalid.selector, right, account, cap)
        );
        settlement.propose(right, account, cap);
    }

    function requireLog(Vm.Log memory log, string memory signature, uint256 right, bytes memory data)
        private
        pure
    {
        vm.assertTrue(log.topics[0] == keccak256(bytes(signature)), signature);
        vm.assertEq(uint256(log.topics[1]), right, "right");
        vm.assertEq(address(uint160(uint256(log.topics[2]))), NEXT, "account");
        vm.assertEq(log.data, data, "data");
    }

    /// What proposals can change, as one hash.
    function state() private view returns (bytes32) {
        (uint64 ofNext, uint64 ofContract) = settlement.capOf(NEXT);
        return keccak256(
            abi.encode(
                settlement.isOperator(NEXT), ofNext, ofContract, settlement.pauser(), settlement.rescuer()
            )
        );
    }
}
