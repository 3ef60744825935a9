// SPDX-License-Identifier: Apache-2.0
// Deployment, roles, pause and rescue.
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {TransferSettlement} from "../src/TransferSettlement.sol";
import {SettlementTest} from "./base/SettlementTest.sol";
import {NoReturnToken} from "./tokens/NoReturnToken.sol";
import {PlainToken} from "./tokens/PlainToken.sol";

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
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.ZeroAddress.selector));
        new TransferSettlement(IERC20Metadata(address(token)), address(0), PAUSER, RESCUER, new address[](0));
    }

    function test_constructor_reverts_whenAnOperatorIsNamedTwice() public {
        address[] memory operators = new address[](2);
        operators[0] = LANE;
        operators[1] = LANE;
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.OperatorExists.selector, LANE));
        new TransferSettlement(IERC20Metadata(address(token)), ADMIN, PAUSER, RESCUER, operators);
    }

    // ------------------------------------------------------------------------------------------------ operators

    function test_addOperator_letsTheAccountSettle(address operator) public {
        if (operator == address(0) || operator == LANE) return;
        vm.prank(ADMIN);
        settlement.addOperator(operator);
        vm.prank(operator);
        vm.assertEq(settlement.settle(record(1, ALMA, 1)), hex"00", "settles");
    }

    function test_addOperator_reverts_whenZeroOrAnOperatorAlready() public {
        vm.startPrank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.ZeroAddress.selector));
        settlement.addOperator(address(0));
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.OperatorExists.selector, LANE));
        settlement.addOperator(LANE);
    }

    function test_removeOperator_stopsTheAccountFromSettlingAndVoiding() public {
        vm.prank(ADMIN);
        settlement.removeOperator(LANE);
        vm.startPrank(LANE);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.NotOperator.selector, LANE));
        settlement.settle(record(1, ALMA, 1));
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.NotOperator.selector, LANE));
        settlement.void(numbersOf(1));
    }

    function test_removeOperator_reverts_whenTheAccountIsNone() public {
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.OperatorUnknown.selector, NEXT));
        settlement.removeOperator(NEXT);
    }

    // ------------------------------------------------------------------------------------------------ admin

    function test_admin_changesHandsInTwoSteps() public {
        vm.prank(ADMIN);
        settlement.proposeAdmin(NEXT);
        vm.assertEq(settlement.admin(), ADMIN, "not yet");
        vm.prank(NEXT);
        settlement.acceptAdmin();
        vm.assertEq(settlement.admin(), NEXT, "now");
        vm.assertEq(settlement.pendingAdmin(), address(0), "nothing pending");
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.NotAdmin.selector, ADMIN));
        settlement.setPauser(ADMIN);
    }

    function test_acceptAdmin_reverts_whenTheProposalWasTakenBack() public {
        vm.startPrank(ADMIN);
        settlement.proposeAdmin(NEXT);
        settlement.proposeAdmin(address(0));
        vm.stopPrank();
        vm.prank(NEXT);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.NotPendingAdmin.selector, NEXT));
        settlement.acceptAdmin();
    }

    function test_acceptAdmin_reverts_whenTheCallerWasNotProposed(address caller) public {
        if (caller == NEXT) return;
        vm.prank(ADMIN);
        settlement.proposeAdmin(NEXT);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.NotPendingAdmin.selector, caller));
        settlement.acceptAdmin();
    }

    function test_rolesAreNamedByTheAdminOnly(address caller) public {
        if (caller == ADMIN) return;
        bytes memory refusal = abi.encodeWithSelector(TransferSettlement.NotAdmin.selector, caller);
        vm.startPrank(caller);
        vm.expectRevert(refusal);
        settlement.addOperator(caller);
        vm.expectRevert(refusal);
        settlement.removeOperator(LANE);
        vm.expectRevert(refusal);
        settlement.setPauser(caller);
        vm.expectRevert(refusal);
        settlement.setRescuer(caller);
        vm.expectRevert(refusal);
        settlement.proposeAdmin(caller);
    }

    // ------------------------------------------------------------------------------------------------ pause

    function test_pause_stopsPaymentsUntilUnpause() public {
        vm.prank(PAUSER);
        settlement.pause();
        vm.prank(LANE);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.IsPaused.selector));
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
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.NotPauser.selector, caller));
        settlement.pause();
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.NotPauser.selector, caller));
        settlement.unpause();
    }

    function test_pause_reverts_whenNothingWouldChange() public {
        vm.startPrank(PAUSER);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.IsNotPaused.selector));
        settlement.unpause();
        settlement.pause();
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.IsPaused.selector));
        settlement.pause();
    }

    function test_setPauser_movesTheRole() public {
        vm.prank(ADMIN);
        settlement.setPauser(NEXT);
        vm.prank(PAUSER);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.NotPauser.selector, PAUSER));
        settlement.pause();
        vm.prank(NEXT);
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
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.IsNotPaused.selector));
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
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.NotRescuer.selector, caller));
        settlement.rescue(token, caller, 1);
    }

    function test_rescue_reverts_whenTheReceiverIsZero() public {
        vm.prank(RESCUER);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.ZeroAddress.selector));
        settlement.rescue(token, address(0), 1);
    }

    function test_setRescuer_movesTheRole() public {
        vm.prank(ADMIN);
        settlement.setRescuer(NEXT);
        vm.prank(RESCUER);
        vm.expectRevert(abi.encodeWithSelector(TransferSettlement.NotRescuer.selector, RESCUER));
        settlement.rescue(token, ALMA, 0);
    }
}
