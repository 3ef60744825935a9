// SPDX-License-Identifier: Apache-2.0
// sweep() and addressOf(): every balance goes to the destination, whoever sweeps, as often as there is one.
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {DepositForwarders} from "../src/DepositForwarders.sol";
import {DepositTest} from "./base/DepositTest.sol";
import {PlainToken} from "./tokens/PlainToken.sol";

contract DepositForwardersSweepTest is DepositTest {
    // ------------------------------------------------------------------------------------------------ addresses

    function test_addressOf_isTheAddressOfEip1014(bytes32 salt) public view {
        bytes32 word =
            keccak256(abi.encodePacked(bytes1(0xff), address(forwarders), salt, forwarders.FORWARDER_HASH()));
        vm.assertEq(forwarders.addressOf(salt), address(uint160(uint256(word))), "address");
    }

    function test_addressOf_isTheSameBeforeAndAfterASweep() public {
        address before = depositOf(0);
        pay(0, DEPOSIT);
        forwarders.sweep(token, saltsOf(1));
        vm.assertEq(depositOf(0), before, "address");
        vm.assertTrue(before.code.length != 0, "deployed");
    }

    function test_addressOf_differsWithTheDestination(bytes32 salt) public {
        DepositForwarders other = new DepositForwarders(address(token));
        vm.assertTrue(other.FORWARDER_HASH() != forwarders.FORWARDER_HASH(), "hash");
        vm.assertTrue(other.addressOf(salt) != forwarders.addressOf(salt), "address");
    }

    function test_constructor_reverts_whenNothingIsAtTheDestination() public {
        vm.expectRevert(abi.encodeWithSelector(DepositForwarders.DestinationHasNoCode.selector, ALMA));
        new DepositForwarders(ALMA);
    }

    function test_forwarder_isSixtySixBytesWithTheDestinationAmongThem() public {
        pay(0, DEPOSIT);
        forwarders.sweep(token, saltsOf(1));
        bytes memory expected = abi.encodePacked(
            hex"5f5f3460405763a9059cbb5f5273",
            address(settlement),
            hex"6020526020356040526044601c345f355af13d5f5f3e5f3d9115604057f35bfd"
        );
        vm.assertEq(depositOf(0).code, expected, "code");
        vm.assertEq(expected.length, 66, "bytes");
    }

    // ------------------------------------------------------------------------------------------------ sweeping

    function test_sweep_movesEveryBalanceWhoeverCalls(address caller, uint64[5] memory amounts) public {
        uint256 sum = 0;
        bytes memory expected = new bytes(5);
        for (uint256 i = 0; i < 5; ++i) {
            if (amounts[i] == 0) expected[i] = 0x02;
            else pay(i, amounts[i]);
            sum += amounts[i];
        }
        vm.prank(caller);
        vm.assertEq(forwarders.sweep(token, saltsOf(5)), expected, "outcomes");
        requireSwept(token, 5, sum, FLOAT);
    }

    function test_sweep_worksAgainAtTheSameAddress(uint64 first, uint64 second) public {
        pay(0, bound(first, 1, type(uint64).max));
        forwarders.sweep(token, saltsOf(1));
        pay(0, bound(second, 1, type(uint64).max));
        vm.assertEq(forwarders.sweep(token, saltsOf(1)), hex"00", "outcome");
        uint256 sum = bound(first, 1, type(uint64).max) + bound(second, 1, type(uint64).max);
        requireSwept(token, 1, sum, FLOAT);
    }

    function test_sweep_leavesAnEmptyAddressAlone() public {
        vm.recordLogs();
        vm.assertEq(forwarders.sweep(token, saltsOf(3)), hex"020202", "outcomes");
        vm.assertEq(vm.getRecordedLogs().length, 0, "events");
        vm.assertEq(depositOf(0).code.length, 0, "nothing was deployed");
    }

    function test_sweep_takesEqualSaltsOnce() public {
        pay(0, DEPOSIT);
        bytes32[] memory twice = new bytes32[](2);
        (twice[0], twice[1]) = (saltOf(0), saltOf(0));
        vm.assertEq(forwarders.sweep(token, twice), hex"0002", "outcomes");
        requireSwept(token, 1, DEPOSIT, FLOAT);
    }

    function test_sweep_ofNothingDoesNothing() public {
        vm.assertEq(forwarders.sweep(token, new bytes32[](0)), "", "outcomes");
    }

    function test_sweep_takesAnyTokenToTheDestination() public {
        PlainToken foreign = new PlainToken();
        foreign.mint(depositOf(0), 7);
        vm.assertEq(forwarders.sweep(foreign, saltsOf(1)), hex"00", "outcome");
        requireSwept(foreign, 1, 7, 0);
        vm.prank(RESCUER); // from there it can be taken out
        settlement.rescue(foreign, BORIS, 7);
        vm.assertEq(foreign.balanceOf(BORIS), 7, "rescued");
    }

    function test_sweep_whatIsSweptCanBePaidOut() public {
        pay(0, DEPOSIT);
        forwarders.sweep(token, saltsOf(1));
        vm.assertEq(settle(record(1, ALMA, uint64(FLOAT + DEPOSIT))), hex"00", "outcome");
    }

    function test_sweep_reverts_whenThereIsNoTokenAtTheAddress() public {
        vm.expectRevert(abi.encodeWithSelector(DepositForwarders.TokenHasNoCode.selector, ALMA));
        forwarders.sweep(IERC20(ALMA), saltsOf(1));
    }

    // ------------------------------------------------------------------------------------------------ forwarders

    function test_forwarder_sendsToTheDestinationWhoeverCalls(address caller, uint64 amount) public {
        pay(0, DEPOSIT);
        forwarders.sweep(token, saltsOf(1));
        pay(0, DEPOSIT);
        address deposit = depositOf(0);
        uint256 part = bound(amount, 0, DEPOSIT);
        vm.prank(caller);
        vm.assertTrue(forward(deposit, address(token), part), "forwarded");
        vm.assertEq(token.balanceOf(deposit), DEPOSIT - part, "the rest stays");
        vm.assertEq(token.balanceOf(address(settlement)), FLOAT + DEPOSIT + part, "destination");
    }

    /// Whatever bytes it is called with, it makes one call of `transfer` to its destination, or reverts.
    function test_forwarder_makesOnlyOneKindOfCall(bytes memory data) public {
        pay(0, DEPOSIT);
        forwarders.sweep(token, saltsOf(1));
        Recorder recorder = new Recorder();
        (bool done,) = depositOf(0).call(bytes.concat(abi.encode(recorder), data));
        vm.assertTrue(done, "called");
        bytes32 amount = data.length == 0 ? bytes32(0) : bytes32(data);
        bytes memory expected = abi.encodeCall(IERC20.transfer, (address(settlement), uint256(amount)));
        vm.assertEq(recorder.seen(), expected, "call");
        vm.assertEq(recorder.count(), 1, "once");
    }

    function test_forwarder_answersWhatTheTokenAnswers() public {
        pay(0, DEPOSIT);
        forwarders.sweep(token, saltsOf(1));
        (bool done, bytes memory answer) = depositOf(0).call(abi.encode(token, 1));
        bytes memory short =
            abi.encodeWithSignature("ERC20InsufficientBalance(address,uint256,uint256)", depositOf(0), 0, 1);
        vm.assertTrue(!done, "reverted");
        vm.assertEq(answer, short, "answer");
    }

    // ------------------------------------------------------------------------------------------------ coin

    function test_forwarder_refusesCoin(uint96 value, bytes memory data) public {
        pay(0, DEPOSIT);
        forwarders.sweep(token, saltsOf(1));
        uint256 sent = bound(value, 1, type(uint96).max);
        vm.deal(address(this), sent);
        uint256 gasBefore = gasleft();
        (bool done, bytes memory answer) = depositOf(0).call{value: sent}(data);
        vm.assertTrue(!done && answer.length == 0, "refused");
        vm.assertTrue(gasBefore - gasleft() < 50_000, "and does not take all the gas");
        vm.assertEq(depositOf(0).balance, 0, "coin");
    }

    /// Nobody can take it out, the destination neither; tokens can be swept all the same.
    function test_sweep_leavesCoinThatCameBeforeTheForwarder() public {
        vm.deal(depositOf(0), 1 ether);
        pay(0, DEPOSIT);
        vm.assertEq(forwarders.sweep(token, saltsOf(1)), hex"00", "outcome");
        vm.assertEq(depositOf(0).balance, 1 ether, "coin");
        requireSwept(token, 1, DEPOSIT, FLOAT);
    }

    function test_factory_refusesCoin() public {
        vm.deal(address(this), 1);
        (bool done,) = address(forwarders).call{value: 1}("");
        vm.assertTrue(!done, "refused");
    }
}

/// Notes what it is called with.
contract Recorder {
    bytes public seen;
    uint256 public count;

    fallback() external {
        seen = msg.data;
        ++count;
    }
}
