// SPDX-License-Identifier: Apache-2.0
// The issuer's side of TestUSD: minters and their allowances, and who may do what.
pragma solidity ^0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {TestUSD} from "../src/TestUSD.sol";
import {Vm} from "./base/Vm.sol";
import {SettlementTest} from "./base/SettlementTest.sol";

contract TestUSDIssuerTest is SettlementTest {
    address private constant MINTER = address(0xAD07);

    function configure(uint256 allowance) private {
        vm.prank(ISSUER);
        token.configureMinter(MINTER, allowance);
    }

    // ------------------------------------------------------------------------------------------------ minting

    function test_mint_lowersTheAllowanceByAsMuch(uint256 allowance, uint256 amount) public {
        allowance = bound(allowance, 1, type(uint128).max);
        amount = bound(amount, 1, allowance);
        configure(allowance);
        uint256 supply = token.totalSupply();
        vm.prank(MINTER);
        token.mint(ALMA, amount);
        vm.assertEq(token.minterAllowance(MINTER), allowance - amount, "allowance");
        vm.assertEq(token.balanceOf(ALMA), amount, "ALMA");
        vm.assertEq(token.totalSupply(), supply + amount, "supply");
    }

    function test_mint_emitsMintAndTransferFromZero() public {
        configure(10);
        vm.recordLogs();
        vm.prank(MINTER);
        token.mint(ALMA, 10);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 2, "logs");
        vm.assertTrue(logs[0].topics[0] == keccak256("Mint(address,address,uint256)"), "Mint");
        vm.assertTrue(logs[1].topics[0] == TRANSFER_TOPIC, "Transfer");
        vm.assertEq(uint256(logs[1].topics[1]), 0, "from zero");
    }

    function test_mint_reverts_whenTheAllowanceIsShort(uint128 allowance, uint256 amount) public {
        amount = bound(amount, uint256(allowance) + 1, type(uint256).max);
        configure(allowance);
        vm.prank(MINTER);
        vm.expectRevert(
            abi.encodeWithSelector(TestUSD.MinterAllowanceExceeded.selector, MINTER, allowance, amount)
        );
        token.mint(ALMA, amount);
    }

    function test_mint_reverts_whenTheCallerIsNoMinter(address caller) public {
        if (caller == ISSUER) return;
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.NotMinter.selector, caller));
        token.mint(ALMA, 1);
    }

    function test_burn_takesTheMintersOwnTokensAndLeavesTheAllowance() public {
        configure(100);
        vm.startPrank(MINTER);
        token.mint(MINTER, 60);
        token.burn(25);
        vm.stopPrank();
        vm.assertEq(token.balanceOf(MINTER), 35, "balance");
        vm.assertEq(token.minterAllowance(MINTER), 40, "allowance");
    }

    function test_burn_reverts_whenTheMinterHoldsLess() public {
        configure(100);
        vm.prank(MINTER);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, MINTER, 0, 1));
        token.burn(1);
    }

    function test_burn_reverts_whenTheCallerIsNoMinter() public {
        vm.prank(ALMA);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.NotMinter.selector, ALMA));
        token.burn(1);
    }

    function test_mintAndBurn_revert_whenTheAmountIsZero() public {
        vm.startPrank(ISSUER);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.ZeroAmount.selector));
        token.mint(ALMA, 0);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.ZeroAmount.selector));
        token.burn(0);
    }

    function test_configureMinter_replacesTheAllowance() public {
        configure(100);
        configure(7);
        vm.assertEq(token.minterAllowance(MINTER), 7, "allowance");
    }

    function test_removeMinter_takesRightAndAllowance() public {
        configure(100);
        vm.prank(ISSUER);
        token.removeMinter(MINTER);
        vm.assertEq(token.minterAllowance(MINTER), 0, "allowance");
        vm.prank(MINTER);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.NotMinter.selector, MINTER));
        token.mint(ALMA, 1);
    }

    function test_removeMinter_reverts_whenTheAccountIsNone() public {
        vm.prank(ISSUER);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.NotMinter.selector, MINTER));
        token.removeMinter(MINTER);
    }

    // ------------------------------------------------------------------------------------------------ roles

    function test_owner_changesHandsInTwoSteps() public {
        vm.prank(ISSUER);
        token.transferOwnership(ALMA);
        vm.assertEq(token.owner(), ISSUER, "not yet");
        vm.prank(ALMA);
        token.acceptOwnership();
        vm.assertEq(token.owner(), ALMA, "now");
    }

    function test_ownersPowers_areTheOwnersOnly(address caller) public {
        if (caller == ISSUER) return;
        bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, caller);
        vm.startPrank(caller);
        vm.expectRevert(refusal);
        token.configureMinter(caller, 1);
        vm.expectRevert(refusal);
        token.removeMinter(ISSUER);
        vm.expectRevert(refusal);
        token.setPauser(caller);
        vm.expectRevert(refusal);
        token.setDenylister(caller);
    }

    function test_pause_isThePausersOnly(address caller) public {
        if (caller == ISSUER) return;
        vm.startPrank(caller);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.NotPauser.selector, caller));
        token.pause();
        vm.expectRevert(abi.encodeWithSelector(TestUSD.NotPauser.selector, caller));
        token.unpause();
    }

    function test_deny_isTheDenylistersOnly(address caller) public {
        if (caller == ISSUER) return;
        vm.startPrank(caller);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.NotDenylister.selector, caller));
        token.deny(ALMA);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.NotDenylister.selector, caller));
        token.undeny(ALMA);
    }

    function test_pause_reverts_whenNothingWouldChange() public {
        vm.startPrank(ISSUER);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.TokenNotPaused.selector));
        token.unpause();
        token.pause();
        vm.expectRevert(abi.encodeWithSelector(TestUSD.TokenPaused.selector));
        token.pause();
    }

    function test_setPauserAndSetDenylister_moveTheRoles() public {
        vm.startPrank(ISSUER);
        token.setPauser(ALMA);
        token.setDenylister(BORIS);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.NotPauser.selector, ISSUER));
        token.pause();
        vm.expectRevert(abi.encodeWithSelector(TestUSD.NotDenylister.selector, ISSUER));
        token.deny(CHIDI);
        vm.stopPrank();
        vm.prank(BORIS);
        token.deny(CHIDI);
        vm.prank(ALMA);
        token.pause();
    }
}
