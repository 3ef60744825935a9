// SPDX-License-Identifier: Apache-2.0
// Moving TestUSD: transfers, approvals, the pause and the deny list.
pragma solidity ^0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {TestUSD} from "../src/TestUSD.sol";
import {Vm} from "./base/Vm.sol";
import {SettlementTest} from "./base/SettlementTest.sol";

contract TestUSDTransferTest is SettlementTest {
    function setUp() public override {
        super.setUp();
        vm.prank(ISSUER);
        token.mint(ALMA, 1000);
        vm.prank(ALMA);
        token.approve(CHIDI, 500);
    }

    function test_metadata_isThatOfATestDollar() public view {
        vm.assertEq(bytes(token.name()), "Test USD", "name");
        vm.assertEq(bytes(token.symbol()), "tUSD", "symbol");
        vm.assertEq(token.decimals(), 6, "digits");
    }

    function test_transfer_movesTheAmount(uint256 amount) public {
        amount = bound(amount, 0, 1000);
        vm.prank(ALMA);
        vm.assertTrue(token.transfer(BORIS, amount), "true");
        vm.assertEq(token.balanceOf(ALMA), 1000 - amount, "ALMA");
        vm.assertEq(token.balanceOf(BORIS), amount, "BORIS");
    }

    function test_transfer_reverts_whenTheBalanceIsShort(uint256 amount) public {
        amount = bound(amount, 1001, type(uint256).max);
        vm.prank(ALMA);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, ALMA, 1000, amount)
        );
        token.transfer(BORIS, amount);
    }

    function test_transferFrom_spendsTheAllowance() public {
        vm.prank(CHIDI);
        token.transferFrom(ALMA, BORIS, 200);
        vm.assertEq(token.allowance(ALMA, CHIDI), 300, "allowance");
        vm.assertEq(token.balanceOf(BORIS), 200, "BORIS");
    }

    // ------------------------------------------------------------------------------------------------ pause

    function test_pause_blocksTransfersApprovalsMintingAndBurning() public {
        vm.prank(ISSUER);
        token.pause();
        bytes memory refusal = abi.encodeWithSelector(TestUSD.TokenPaused.selector);
        vm.startPrank(ALMA);
        vm.expectRevert(refusal);
        token.transfer(BORIS, 1);
        vm.expectRevert(refusal);
        token.approve(BORIS, 1);
        vm.stopPrank();
        vm.prank(CHIDI);
        vm.expectRevert(refusal);
        token.transferFrom(ALMA, BORIS, 1);
        vm.startPrank(ISSUER);
        vm.expectRevert(refusal);
        token.mint(ALMA, 1);
        vm.expectRevert(refusal);
        token.burn(1);
        vm.expectRevert(refusal);
        token.configureMinter(ALMA, 1);
    }

    function test_unpause_letsTransfersGoOn() public {
        vm.startPrank(ISSUER);
        token.pause();
        token.unpause();
        vm.stopPrank();
        vm.prank(ALMA);
        vm.assertTrue(token.transfer(BORIS, 1), "true");
    }

    // ------------------------------------------------------------------------------------------------ deny list

    function test_deny_blocksSendingAndReceiving() public {
        denyAccount(ALMA);
        vm.prank(ALMA);
        requireDenied(ALMA);
        token.transfer(BORIS, 1);

        vm.prank(ISSUER);
        token.undeny(ALMA);
        denyAccount(BORIS);
        vm.prank(ALMA);
        requireDenied(BORIS);
        token.transfer(BORIS, 1);
    }

    function test_deny_blocksOwnerBeneficiaryAndSpenderOfATransferFrom(uint8 who) public {
        address account = [ALMA, BORIS, CHIDI][who % 3];
        denyAccount(account);
        vm.prank(CHIDI);
        requireDenied(account);
        token.transferFrom(ALMA, BORIS, 1);
    }

    function test_deny_blocksMintingToAndByTheAccount() public {
        denyAccount(BORIS);
        vm.prank(ISSUER);
        requireDenied(BORIS);
        token.mint(BORIS, 1);

        denyAccount(ISSUER);
        vm.prank(ISSUER);
        requireDenied(ISSUER);
        token.mint(ALMA, 1);
    }

    function test_deny_theTokensOwnAddressIsDeniedForGood() public {
        vm.prank(ALMA);
        requireDenied(address(token));
        token.transfer(address(token), 1);
        vm.prank(ISSUER);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.TokenStaysDenied.selector));
        token.undeny(address(token));
    }

    function test_undeny_letsTheAccountInAgain() public {
        denyAccount(BORIS);
        vm.prank(ISSUER);
        token.undeny(BORIS);
        vm.prank(ALMA);
        vm.assertTrue(token.transfer(BORIS, 1), "true");
    }

    function test_denyAndPause_tellTheirStateInEvents() public {
        vm.recordLogs();
        vm.startPrank(ISSUER);
        token.deny(BORIS);
        token.undeny(BORIS);
        token.pause();
        token.unpause();
        vm.stopPrank();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 4, "one event each");
        vm.assertTrue(logs[0].topics[0] == keccak256("Denied(address)"), "Denied");
        vm.assertTrue(logs[1].topics[0] == keccak256("Undenied(address)"), "Undenied");
        vm.assertTrue(logs[2].topics[0] == keccak256("Pause()"), "Pause");
        vm.assertTrue(logs[3].topics[0] == keccak256("Unpause()"), "Unpause");
    }

    function denyAccount(address account) private {
        vm.prank(ISSUER);
        token.deny(account);
    }

    function requireDenied(address account) private {
        vm.expectRevert(abi.encodeWithSelector(TestUSD.AccountDenied.selector, account));
    }
}
