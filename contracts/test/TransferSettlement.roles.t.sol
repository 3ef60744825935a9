// SPDX-License-Identifier: Apache-2.0
// Deployment, roles, pause and rescue.
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SettlementControl} from "../src/settlement/SettlementControl.sol";
import {TransferSettlement} from "../src/TransferSettlement.sol";
import {SettlementTest} from "./base/SettlementTest.sol";
import {NoReturnToken} from "./tokens/NoReturnToken.sol";
import {PlainToken} from "./tokens/PlainToken.sol";
import {TwoDoorToken} from "./tokens/TwoDoorToken.sol";

/// A token with as many digits as it is told.
contract DigitsToken {
    uint8 public immutable decimals;

    constructor(uint8 digits) {
        decimals = digits;
    }
}

contract TransferSettlementRolesTest is SettlementTest {
    address private constant NEXT = address(0xAD09);

    // ------------------------------------------------------------------------------------------------ deployment

    function test_constructor_setsTokenAndRoles() public view {
        vm.assertEq(address(settlement.TOKEN()), address(token), "token");
        vm.assertEq(settlement.admin(), ADMIN, "admin");
        vm.assertEq(settlement.pauser(), PAUSER, "pauser");
        vm.assertEq(settlement.rescuer(), RESCUER, "rescuer");
        vm.assertTrue(settlement.isOperator(LANE), "operator");
        vm.assertTrue(!settlement.isOperator(ADMIN), "no operator");
        vm.assertTrue(!settlement.paused(), "not paused");
    }

    function test_constructor_reverts_whenTheTokenHasNoCode() public {
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.TokenHasNoCode.selector, ALMA));
        deploySettlement(ALMA);
    }

    function test_constructor_refusesTokensWithMoreThan9Digits(uint8 digits) public {
        DigitsToken other = new DigitsToken(digits);
        if (digits > 9) {
            vm.expectRevert(abi.encodeWithSelector(TransferSettlement.TokenDigitsTooMany.selector, digits, 9));
        }
        deploySettlement(address(other));
    }

    function test_constructor_reverts_whenTheAdminIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.ZeroAddress.selector));
        deploySettlement(address(token), address(0), CAP, operatorsOf(LANE, CAP));
    }

    function test_constructor_reverts_whenAnOperatorIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.ZeroAddress.selector));
        deploySettlement(address(token), ADMIN, CAP, operatorsOf(address(0), CAP));
    }

    function test_constructor_reverts_whenAnOperatorIsNamedTwice() public {
        SettlementControl.OperatorCap[] memory operators = new SettlementControl.OperatorCap[](2);
        operators[0] = SettlementControl.OperatorCap(LANE, 1);
        operators[1] = SettlementControl.OperatorCap(LANE, 2);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.OperatorExists.selector, LANE));
        deploySettlement(address(token), ADMIN, CAP, operators);
    }

    // ------------------------------------------------------------------------------------------------ rights

    function test_removeOperator_stopsTheAccountFromSettlingAndVoiding() public {
        vm.prank(ADMIN);
        settlement.removeOperator(LANE);
        vm.startPrank(LANE);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotOperator.selector, LANE));
        settlement.settle(record(1, ALMA, 1));
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotOperator.selector, LANE));
        settlement.void(numbersOf(1));
    }

    function test_removeOperator_reverts_whenTheAccountIsNone() public {
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.OperatorUnknown.selector, NEXT));
        settlement.removeOperator(NEXT);
    }

    function test_removePauser_leavesThePauseToTheAdmin() public {
        vm.prank(ADMIN);
        settlement.removePauser();
        vm.assertEq(settlement.pauser(), address(0), "nobody");
        vm.prank(PAUSER);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotPauser.selector, PAUSER));
        settlement.pause();
        vm.prank(ADMIN);
        settlement.pause();
    }

    function test_removeRescuer_leavesNobodyWhoMayRescue() public {
        vm.prank(ADMIN);
        settlement.removeRescuer();
        vm.assertEq(settlement.rescuer(), address(0), "nobody");
        vm.prank(RESCUER);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotRescuer.selector, RESCUER));
        settlement.rescue(token, ALMA, 0);
    }

    // ------------------------------------------------------------------------------------------------ admin

    function test_admin_changesHandsInTwoStepsADayApart() public {
        vm.prank(ADMIN);
        settlement.proposeAdmin(NEXT);
        uint256 readyAt = vm.getBlockTimestamp() + 86_400;
        vm.assertEq(settlement.pendingAdminReadyAt(), readyAt, "a day");
        vm.assertEq(settlement.admin(), ADMIN, "not yet");
        vm.warp(readyAt - 1);
        vm.prank(NEXT);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.ProposalNotReady.selector, readyAt));
        settlement.acceptAdmin();
        vm.warp(readyAt);
        vm.prank(NEXT);
        settlement.acceptAdmin();
        vm.assertEq(settlement.admin(), NEXT, "now");
        vm.assertEq(settlement.pendingAdmin(), address(0), "nothing pending");
        vm.assertEq(settlement.pendingAdminReadyAt(), 0, "nothing pending");
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotAdmin.selector, ADMIN));
        settlement.removePauser();
    }

    function test_acceptAdmin_reverts_whenTheProposalWasTakenBack() public {
        vm.startPrank(ADMIN);
        settlement.proposeAdmin(NEXT);
        settlement.proposeAdmin(address(0));
        vm.stopPrank();
        vm.warp(vm.getBlockTimestamp() + 2 days);
        vm.prank(NEXT);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotPendingAdmin.selector, NEXT));
        settlement.acceptAdmin();
    }

    function test_acceptAdmin_reverts_whenTheCallerWasNotProposed(address caller) public {
        if (caller == NEXT) return;
        vm.prank(ADMIN);
        settlement.proposeAdmin(NEXT);
        vm.warp(vm.getBlockTimestamp() + 2 days);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotPendingAdmin.selector, caller));
        settlement.acceptAdmin();
    }

    function test_whatTheAdminDoes_nobodyElseDoes(address caller) public {
        if (caller == ADMIN) return;
        bytes memory refusal = abi.encodeWithSelector(SettlementControl.NotAdmin.selector, caller);
        vm.startPrank(caller);
        vm.expectRevert(refusal);
        settlement.propose(SettlementControl.Right.OPERATOR, caller, 1);
        vm.expectRevert(refusal);
        settlement.applyProposal(SettlementControl.Right.OPERATOR, caller);
        vm.expectRevert(refusal);
        settlement.cancelProposal(SettlementControl.Right.OPERATOR, caller);
        vm.expectRevert(refusal);
        settlement.lowerOperatorCap(LANE, 1);
        vm.expectRevert(refusal);
        settlement.lowerContractCap(1);
        vm.expectRevert(refusal);
        settlement.removeOperator(LANE);
        vm.expectRevert(refusal);
        settlement.removePauser();
        vm.expectRevert(refusal);
        settlement.removeRescuer();
        vm.expectRevert(refusal);
        settlement.proposeAdmin(caller);
    }

    // ------------------------------------------------------------------------------------------------ pause

    function test_pause_stopsPaymentsUntilUnpause() public {
        vm.prank(PAUSER);
        settlement.pause();
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.IsPaused.selector));
        settlement.settle(record(1, ALMA, 1));
        vm.prank(PAUSER);
        settlement.unpause();
        vm.assertEq(settle(record(1, ALMA, 1)), hex"00", "settles again");
    }

    function test_pause_worksForTheAdmin() public {
        vm.startPrank(ADMIN);
        settlement.pause();
        vm.assertTrue(settlement.paused(), "paused");
        settlement.unpause();
        vm.assertTrue(!settlement.paused(), "not paused");
    }

    function test_pause_reverts_whenTheCallerIsNeitherPauserNorAdmin(address caller) public {
        if (caller == PAUSER || caller == ADMIN) return;
        vm.startPrank(caller);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotPauser.selector, caller));
        settlement.pause();
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotPauser.selector, caller));
        settlement.unpause();
    }

    function test_pause_reverts_whenNothingWouldChange() public {
        vm.startPrank(PAUSER);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.IsNotPaused.selector));
        settlement.unpause();
        settlement.pause();
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.IsPaused.selector));
        settlement.pause();
    }

    // ------------------------------------------------------------------------------------------------ rescue

    function test_rescue_takesForeignTokensAlways(uint64 amount) public {
        PlainToken foreign = new PlainToken();
        foreign.mint(address(settlement), amount);
        vm.prank(RESCUER);
        settlement.rescue(foreign, ALMA, amount);
        vm.assertEq(foreign.balanceOf(ALMA), amount, "ALMA");
    }

    function test_rescue_takesForeignTokensThatReturnNothing() public {
        NoReturnToken foreign = new NoReturnToken();
        foreign.mint(address(settlement), 5);
        vm.prank(RESCUER);
        settlement.rescue(IERC20(address(foreign)), ALMA, 5);
        vm.assertEq(foreign.balanceOf(ALMA), 5, "ALMA");
    }

    function test_rescue_reverts_whenItIsTheFloatAndNotPaused() public {
        vm.prank(RESCUER);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.IsNotPaused.selector));
        settlement.rescue(token, ALMA, 1);
    }

    function test_rescue_takesTheFloatWhilePaused(uint64 amount) public {
        amount = uint64(bound(amount, 0, FLOAT));
        vm.prank(PAUSER);
        settlement.pause();
        vm.prank(RESCUER);
        settlement.rescue(token, ALMA, amount);
        vm.assertEq(token.balanceOf(ALMA), amount, "ALMA");
        vm.assertEq(token.balanceOf(address(settlement)), FLOAT - amount, "float");
    }

    function test_rescue_reverts_whenTheCallerIsNotTheRescuer(address caller) public {
        if (caller == RESCUER) return;
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.NotRescuer.selector, caller));
        settlement.rescue(token, caller, 1);
    }

    function test_rescue_reverts_whenASecondAddressOfTheTokenWouldTakeTheFloat() public {
        TwoDoorToken twoDoor = new TwoDoorToken();
        settlement = deploySettlement(address(twoDoor));
        twoDoor.mint(address(settlement), 100);
        IERC20 door = IERC20(address(twoDoor.DOOR()));
        vm.prank(RESCUER);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.IsNotPaused.selector));
        settlement.rescue(door, ALMA, 1);
        vm.prank(PAUSER);
        settlement.pause();
        vm.prank(RESCUER);
        settlement.rescue(door, ALMA, 100);
        vm.assertEq(twoDoor.balanceOf(ALMA), 100, "while paused it may");
    }

    function test_rescue_reverts_whenTheReceiverIsZero() public {
        vm.prank(RESCUER);
        vm.expectRevert(abi.encodeWithSelector(SettlementControl.ZeroAddress.selector));
        settlement.rescue(token, address(0), 1);
    }
}
