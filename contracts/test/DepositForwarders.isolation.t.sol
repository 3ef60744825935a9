// SPDX-License-Identifier: Apache-2.0
// sweep() where a token misbehaves for one address or for all: the others are swept, and nothing goes elsewhere.
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {DepositForwarders} from "../src/DepositForwarders.sol";
import {DepositTest} from "./base/DepositTest.sol";
import {FeeToken} from "./tokens/FeeToken.sol";
import {NoReturnToken} from "./tokens/NoReturnToken.sol";
import {PlainToken} from "./tokens/PlainToken.sol";
import {TemperToken} from "./tokens/TemperToken.sol";

contract DepositForwardersIsolationTest is DepositTest {
    bytes private constant SECOND_FAILS = hex"000100";

    function threePaid() private {
        for (uint256 i = 0; i < 3; ++i) {
            pay(i, DEPOSIT);
        }
    }

    /// Three deposits in a token of which the second address cannot get rid.
    function temper(TemperToken.Temper kind) private returns (TemperToken moody) {
        moody = new TemperToken();
        for (uint256 i = 0; i < 3; ++i) {
            moody.mint(depositOf(i), DEPOSIT);
        }
        moody.setTemper(depositOf(1), kind);
    }

    function sweepThree(IERC20 swept) private returns (bytes memory reason) {
        vm.recordLogs();
        vm.assertEq(forwarders.sweep(swept, saltsOf(3)), SECOND_FAILS, "outcomes");
        bytes32[] memory failed;
        (failed, reason) = failuresIn(vm.getRecordedLogs());
        vm.assertTrue(failed.length == 1 && failed[0] == saltOf(1), "the second failed, and no other");
        vm.assertEq(swept.balanceOf(depositOf(1)), DEPOSIT, "it still holds its deposit");
        vm.assertEq(swept.balanceOf(depositOf(0)) + swept.balanceOf(depositOf(2)), 0, "the others do not");
    }

    // ------------------------------------------------------------------------------------------------ refusals

    function test_sweep_goesOnWhenOneAddressIsDenied() public {
        threePaid();
        address second = depositOf(1);
        deny(second);
        bytes memory denied = abi.encodeWithSignature("AccountDenied(address)", second);
        vm.assertEq(sweepThree(token), denied, "reason");
        vm.prank(ISSUER);
        token.undeny(second);
        vm.assertEq(forwarders.sweep(token, saltsOf(3)), hex"020002", "later");
        requireSwept(token, 3, 3 * DEPOSIT, FLOAT);
    }

    function test_sweep_failsEachAddressWhileTheDestinationIsDenied() public {
        threePaid();
        deny(address(settlement));
        vm.assertEq(forwarders.sweep(token, saltsOf(3)), hex"010101", "outcomes");
        vm.assertEq(token.balanceOf(depositOf(2)), DEPOSIT, "nothing moved");
    }

    function test_sweep_failsAnAddressThatTheTokenAnswersWithFalse() public {
        vm.assertEq(sweepThree(temper(TemperToken.Temper.RETURNS_FALSE)), abi.encode(false), "reason");
    }

    function test_sweep_failsAnAddressThatTheTokenAnswersWithLessThanAWord() public {
        vm.assertEq(sweepThree(temper(TemperToken.Temper.RETURNS_A_BYTE)), hex"01", "reason");
    }

    function test_sweep_failsAnAddressWhoseBalanceIsNotTold() public {
        sweepThree(temper(TemperToken.Temper.BALANCE_REVERTS));
        vm.assertEq(depositOf(1).code.length, 0, "nothing was deployed for it");
    }

    function test_sweep_worksWithATokenThatReturnsNothing() public {
        NoReturnToken silent = new NoReturnToken();
        silent.mint(depositOf(0), DEPOSIT);
        vm.assertEq(forwarders.sweep(IERC20(address(silent)), saltsOf(1)), hex"00", "outcome");
        vm.assertEq(silent.balanceOf(address(settlement)), DEPOSIT, "destination");
    }

    // ------------------------------------------------------------------------------------------------ bombs

    function test_sweep_carriesAtMostAHundredBytesOfAReason() public {
        uint256 gasBefore = gasleft();
        bytes memory reason = sweepThree(temper(TemperToken.Temper.REVERTS_WITH_MUCH));
        vm.assertEq(reason.length, forwarders.REASON_BYTES_MAX(), "bytes");
        vm.assertTrue(gasBefore - gasleft() < 3_000_000, "a huge answer is not paid for");
    }

    function test_sweep_goesOnWhenOneAnswerIsHuge() public {
        sweepThree(temper(TemperToken.Temper.RETURNS_MUCH));
    }

    function test_sweep_boundsTheGasOfOneAddress() public {
        TemperToken bomb = temper(TemperToken.Temper.BURNS_GAS);
        uint256 gasBefore = gasleft();
        vm.assertEq(forwarders.sweep(bomb, saltsOf(3)), SECOND_FAILS, "outcomes");
        uint256 most = 2 * forwarders.FORWARD_GAS() + 300_000;
        vm.assertTrue(gasBefore - gasleft() < most, "the bomb gets one forwarder's gas, no more");
    }

    function test_sweep_boundsTheGasOfABalance() public {
        TemperToken bomb = temper(TemperToken.Temper.BALANCE_BURNS_GAS);
        vm.assertEq(forwarders.sweep(bomb, saltsOf(3)), SECOND_FAILS, "outcomes");
    }

    /// With little gas the whole reverts, so that no address fails through the caller's fault.
    function test_sweep_marksNobodyFailedWhateverTheGas(uint256 gasLimit, uint8 deployed) public {
        for (uint256 i = 0; i < 8; ++i) {
            pay(i, DEPOSIT);
            bytes32[] memory one = new bytes32[](1);
            one[0] = saltOf(i);
            if ((deployed >> i) & 1 == 1) {
                forwarders.sweep(token, one);
                pay(i, DEPOSIT);
            }
        }
        uint256 before = token.balanceOf(address(settlement));
        bytes memory data = abi.encodeCall(DepositForwarders.sweep, (token, saltsOf(8)));
        (bool done, bytes memory answer) =
            address(forwarders).call{gas: bound(gasLimit, 30_000, 1_500_000)}(data);
        if (done) {
            vm.assertEq(abi.decode(answer, (bytes)), new bytes(8), "outcomes");
            requireSwept(token, 8, 8 * DEPOSIT, before);
        } else {
            vm.assertEq(token.balanceOf(address(settlement)), before, "nothing was swept");
            if (answer.length != 0) {
                vm.assertTrue(bytes4(answer) == DepositForwarders.GasShort.selector, "GasShort");
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ harm

    /// The fee is the token's; all that was there leaves towards the destination, as far as the token lets it.
    function test_sweep_leavesAFeeToTheToken() public {
        FeeToken taking = new FeeToken();
        taking.mint(depositOf(0), 1000);
        vm.assertEq(forwarders.sweep(taking, saltsOf(1)), hex"01", "the fee on top is not there");
        vm.assertEq(taking.balanceOf(depositOf(0)), 1000, "nothing moved");
        FeeWithinToken within = new FeeWithinToken();
        within.mint(depositOf(0), 1000);
        vm.assertEq(forwarders.sweep(within, saltsOf(1)), hex"00", "outcome");
        vm.assertEq(within.balanceOf(address(settlement)), 990, "destination");
        vm.assertEq(within.balanceOf(depositOf(0)), 0, "deposit");
    }

    function test_sweep_canBeEnteredAgainWithoutHarm(uint8 at) public {
        EnteringToken entering = new EnteringToken(forwarders, saltsOf(3));
        for (uint256 i = 0; i < 3; ++i) {
            entering.mint(depositOf(i), DEPOSIT);
            pay(i, DEPOSIT);
        }
        entering.enterAt(depositOf(at % 3));
        forwarders.sweep(entering, saltsOf(3));
        vm.assertTrue(entering.entered(), "it was entered");
        requireSwept(entering, 3, 3 * DEPOSIT, 0);
        forwarders.sweep(token, saltsOf(3));
        requireSwept(token, 3, 3 * DEPOSIT, FLOAT);
    }
}

/// Takes one part in a hundred out of what the receiver gets.
contract FeeWithinToken is PlainToken {
    function _update(address from, address to, uint256 amount) internal override {
        uint256 fee = from == address(0) ? 0 : amount / 100;
        super._update(from, to, amount - fee);
        if (fee != 0) super._update(from, address(0xFEE), fee);
    }
}

/// Sweeps the same addresses again while one of them is swept.
contract EnteringToken is PlainToken {
    DepositForwarders private immutable FORWARDERS;
    bytes32[] private _salts;
    address private _at;
    bool public entered;

    constructor(DepositForwarders forwarders, bytes32[] memory salts) {
        FORWARDERS = forwarders;
        _salts = salts;
    }

    function enterAt(address deposit) external {
        _at = deposit;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        bool enters = msg.sender == _at;
        super.transfer(to, amount);
        if (enters) {
            _at = address(0);
            entered = true;
            // It has less gas than a sweep wants: whether it reverts or not is of no matter.
            try FORWARDERS.sweep(this, _salts) returns (bytes memory) {} catch {}
        }
        return true;
    }
}
