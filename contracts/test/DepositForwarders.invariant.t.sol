// SPDX-License-Identifier: Apache-2.0
// Random histories of deposits, sweeps by anybody, calls of forwarders and denials: no token ever leaves a deposit
// address but to the destination.
pragma solidity ^0.8.37;

import {TestUSD} from "../src/TestUSD.sol";
import {DepositForwarders} from "../src/DepositForwarders.sol";
import {DepositTest} from "./base/DepositTest.sol";
import {Vm} from "./base/Vm.sol";

/// Does the random steps and keeps its own books: what was paid to each address.
contract DepositHistory is DepositTest {
    uint256 public constant ADDRESSES = 6;

    mapping(uint256 number => uint256) public paidTo;
    uint256 public sumPaid;
    uint256 public elsewhere;

    function tokenUnderTest() external view returns (TestUSD) {
        return token;
    }

    function forwardersUnderTest() external view returns (DepositForwarders) {
        return forwarders;
    }

    function settlementAddress() external view returns (address) {
        return address(settlement);
    }

    function deposit(uint256 number, uint32 amount) external {
        if (token.paused() || token.isDenied(depositOf(number % ADDRESSES))) return;
        uint256 units = uint256(amount) + 1;
        pay(number % ADDRESSES, units);
        paidTo[number % ADDRESSES] += units;
        sumPaid += units;
    }

    function sweepSome(address caller, uint256 first, uint8 count) external {
        bytes32[] memory salts = new bytes32[](uint256(count) % 9);
        for (uint256 i = 0; i < salts.length; ++i) {
            salts[i] = saltOf((first % ADDRESSES + i) % ADDRESSES);
        }
        vm.recordLogs();
        vm.prank(caller);
        bytes memory outcomes = forwarders.sweep(token, salts);
        uint256 failed = 0;
        for (uint256 i = 0; i < outcomes.length; ++i) {
            if (outcomes[i] == 0x01) ++failed;
            else vm.assertEq(token.balanceOf(forwarders.addressOf(salts[i])), 0, "swept or empty");
        }
        Vm.Log[] memory logs = vm.getRecordedLogs();
        watch(logs);
        (bytes32[] memory told,) = failuresIn(logs);
        vm.assertEq(told.length, failed, "events and outcomes agree");
    }

    function callForwarder(address caller, uint256 number, uint256 amount, uint96 value) external {
        address at = depositOf(number % ADDRESSES);
        if (caller == address(forwarders)) caller = ALMA; // the coin given to the caller would stay there
        vm.recordLogs();
        vm.deal(caller, value);
        vm.prank(caller);
        (bool done,) = at.call{value: at.code.length == 0 ? 0 : value}(
            abi.encode(token, amount % (token.balanceOf(at) + 2))
        );
        vm.assertTrue(!done || at.code.length == 0 || value == 0, "coin is refused");
        watch(vm.getRecordedLogs());
    }

    function toggleDenied(uint256 number) external {
        address account = number % 7 == 6 ? address(settlement) : depositOf(number % ADDRESSES);
        vm.startPrank(ISSUER);
        token.isDenied(account) ? token.undeny(account) : token.deny(account);
        vm.stopPrank();
    }

    function toggleTokenPause() external {
        vm.startPrank(ISSUER);
        token.paused() ? token.unpause() : token.pause();
        vm.stopPrank();
    }

    /// Every transfer goes from a deposit address to the destination; another one counts as elsewhere.
    function watch(Vm.Log[] memory logs) private {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(token) || logs[i].topics[0] != TRANSFER_TOPIC) continue;
            if (address(uint160(uint256(logs[i].topics[2]))) != address(settlement)) ++elsewhere;
        }
    }
}

contract DepositForwardersInvariantTest {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant FLOAT = 1_000_000_000_000;

    DepositHistory private history;
    TestUSD private token;
    DepositForwarders private forwarders;

    function setUp() public {
        history = new DepositHistory();
        history.setUp();
        token = history.tokenUnderTest();
        forwarders = history.forwardersUnderTest();
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// forge asks for this: only the steps of the history are taken.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(history);
        targets[0].selectors = new bytes4[](7);
        targets[0].selectors[0] = DepositHistory.deposit.selector;
        targets[0].selectors[1] = DepositHistory.deposit.selector;
        targets[0].selectors[2] = DepositHistory.sweepSome.selector;
        targets[0].selectors[3] = DepositHistory.sweepSome.selector;
        targets[0].selectors[4] = DepositHistory.callForwarder.selector;
        targets[0].selectors[5] = DepositHistory.toggleDenied.selector;
        targets[0].selectors[6] = DepositHistory.toggleTokenPause.selector;
    }

    /// forge asks for this: no other contract is called.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(history);
    }

    function invariant_noTokenLeavesADepositAddressButToTheDestination() public view {
        uint256 held = 0;
        for (uint256 i = 0; i < history.ADDRESSES(); ++i) {
            uint256 balance = token.balanceOf(forwarders.addressOf(keccak256(abi.encode("salt", i))));
            vm.assertTrue(balance <= history.paidTo(i), "no address holds what was paid to another");
            held += balance;
        }
        uint256 arrived = token.balanceOf(history.settlementAddress()) - FLOAT;
        vm.assertEq(held + arrived, history.sumPaid(), "paid is held or arrived");
        vm.assertEq(history.elsewhere(), 0, "elsewhere");
    }

    function invariant_nothingStaysInTheFactory() public view {
        vm.assertEq(token.balanceOf(address(forwarders)), 0, "tokens");
        vm.assertEq(address(forwarders).balance, 0, "coin");
    }
}
