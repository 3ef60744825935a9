// SPDX-License-Identifier: Apache-2.0
// What the tests of DepositForwarders share: the factory of a settlement contract, deposits, and reading logs.
pragma solidity ^0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {DepositForwarders} from "../../src/DepositForwarders.sol";
import {SettlementTest} from "./SettlementTest.sol";
import {Vm} from "./Vm.sol";

abstract contract DepositTest is SettlementTest {
    bytes32 internal constant SWEEP_FAILED_TOPIC = keccak256("SweepFailed(bytes32,address,bytes)");
    uint256 internal constant DEPOSIT = 5_000_000;

    DepositForwarders internal forwarders;

    function setUp() public virtual override {
        super.setUp();
        forwarders = new DepositForwarders(address(settlement));
    }

    /// Not zero in the low bits only: salts are 32 bytes.
    function saltOf(uint256 number) internal pure returns (bytes32) {
        return keccak256(abi.encode("salt", number));
    }

    function depositOf(uint256 number) internal view returns (address) {
        return forwarders.addressOf(saltOf(number));
    }

    function saltsOf(uint256 count) internal pure returns (bytes32[] memory salts) {
        salts = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            salts[i] = saltOf(i);
        }
    }

    function pay(uint256 number, uint256 amount) internal {
        address deposit = depositOf(number);
        vm.prank(ISSUER);
        token.mint(deposit, amount);
    }

    function deny(address account) internal {
        vm.prank(ISSUER);
        token.deny(account);
    }

    /// A forwarder called by hand, as anybody may.
    function forward(address deposit, address sweptToken, uint256 amount) internal returns (bool done) {
        (done,) = deposit.call(abi.encode(sweptToken, amount));
    }

    function requireSwept(IERC20 sweptToken, uint256 count, uint256 sum, uint256 before) internal view {
        for (uint256 i = 0; i < count; ++i) {
            vm.assertEq(sweptToken.balanceOf(depositOf(i)), 0, "a deposit address still holds something");
        }
        vm.assertEq(sweptToken.balanceOf(address(settlement)), before + sum, "destination");
    }

    /// The failures in the logs, in order: their salts and the first one's reason.
    function failuresIn(Vm.Log[] memory logs)
        internal
        view
        returns (bytes32[] memory salts, bytes memory reason)
    {
        uint256 count = 0;
        salts = new bytes32[](logs.length);
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(forwarders)) continue;
            vm.assertTrue(logs[i].topics[0] == SWEEP_FAILED_TOPIC, "no other event");
            if (count == 0) reason = abi.decode(logs[i].data, (bytes));
            salts[count++] = logs[i].topics[1];
        }
        assembly ("memory-safe") {
            mstore(salts, count)
        }
    }
}
