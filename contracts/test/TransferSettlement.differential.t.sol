// SPDX-License-Identifier: Apache-2.0
// The shipped contract and the plain one do the same: for any history of calls, the same answers, reverts, events,
// storage and balances, to the byte. Both run at the same address, on the same token and from the same state.
pragma solidity ^0.8.37;

import {SettlementControl} from "../src/settlement/SettlementControl.sol";
import {TransferSettlement} from "../src/TransferSettlement.sol";
import {PlainTransferSettlement} from "./plain/PlainTransferSettlement.sol";
import {SettlementTest} from "./base/SettlementTest.sol";
import {Vm} from "./base/Vm.sol";
import {MoodyToken} from "./tokens/MoodyToken.sol";
import {NoReturnToken} from "./tokens/NoReturnToken.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";

contract TransferSettlementDifferentialTest is SettlementTest {
    address private constant SECOND = address(0xAD08);
    uint64 private constant LANE_CAP = 30_000_000;
    uint64 private constant CONTRACT_CAP = 40_000_000;
    uint256 private constant STEPS = 8;

    MoodyToken private moody;
    bytes private plainCode;

    function setUp() public override {
        moody = new MoodyToken();
        useToken(address(moody));
        moody.mint(address(settlement), FLOAT);
        vm.warp(1_800_000_000);
    }

    function useToken(address paidToken) private {
        SettlementControl.OperatorCap[] memory operators = new SettlementControl.OperatorCap[](3);
        operators[0] = SettlementControl.OperatorCap(LANE, LANE_CAP);
        operators[1] = SettlementControl.OperatorCap(SECOND, 2 * LANE_CAP);
        operators[2] = SettlementControl.OperatorCap(paidToken, LANE_CAP); // may settle, were it not for the guard
        settlement = deploySettlement(paidToken, ADMIN, CONTRACT_CAP, operators);
        plainCode =
        address(
            new PlainTransferSettlement(
                IERC20Metadata(paidToken), ADMIN, PAUSER, RESCUER, CONTRACT_CAP, operators
            )
        )
        .code;
    }

    // ------------------------------------------------------------------------------------------------ histories

    function test_bothVersions_doTheSameInAnyHistory(uint256 seed) public {
        bytes[] memory calls = new bytes[](STEPS);
        address[] memory callers = new address[](STEPS);
        uint256[] memory waits = new uint256[](STEPS);
        for (uint256 i = 0; i < STEPS; ++i) {
            uint256 roll = uint256(keccak256(abi.encode(seed, i)));
            (callers[i], calls[i]) = anyCall(roll);
            waits[i] = roll % 5 == 0 ? (roll >> 200) % 100_000 : 0;
        }
        requireSame(callers, calls, waits);
    }

    /// A token without return values is another path of the shipped contract.
    function test_bothVersions_doTheSameWithATokenThatReturnsNothing(uint256 seed) public {
        NoReturnToken silent = new NoReturnToken();
        useToken(address(silent));
        silent.mint(address(settlement), 50_000_000);
        requireSame(LANE, abi.encodeCall(TransferSettlement.settle, (anyRecords(seed, 40))));
    }

    /// Most numbers meet again here; amounts are small, so that float and caps serve all.
    function test_bothVersions_doTheSameWithLongBatches(uint256 seed, uint16 count) public {
        bytes memory records;
        for (uint256 i = bound(count, 1, 256); i != 0; --i) {
            uint256 roll = uint256(keccak256(abi.encode("long", seed, i)));
            uint64 number = roll % 4 == 0 ? anyNumber(roll >> 32) : uint64((roll >> 32) % 1024);
            records = bytes.concat(
                records, record(number, anyBeneficiary(roll >> 16), uint64((roll >> 128) % 100_000))
            );
        }
        requireSame(LANE, abi.encodeCall(TransferSettlement.settle, (records)));
    }

    // ------------------------------------------------------------------------------------------------ calldata

    /// Any bytes behind the selector: offsets and lengths that point outside, and dirty words.
    function test_bothVersions_doTheSameWithAnyCalldata(bytes memory arguments) public {
        requireSame(LANE, bytes.concat(TransferSettlement.settle.selector, arguments));
    }

    /// A well-formed call, cut off, prolonged, or with one word of its head changed.
    function test_bothVersions_doTheSameWithBentCalldata(uint256 seed, uint16 cut, uint256 value) public {
        bytes memory data = abi.encodeCall(TransferSettlement.settle, (anyRecords(seed, 1 + seed % 6)));
        if (seed % 3 == 0) {
            uint256 length = cut % (data.length + 1);
            assembly ("memory-safe") {
                mstore(data, length)
            }
        } else if (seed % 3 == 1) {
            data = bytes.concat(data, abi.encode(value));
        } else {
            uint256 place = 4 + 32 * (uint256(cut) % 2);
            uint256 word = seed % 2 == 0 ? value : value % 512;
            assembly ("memory-safe") {
                mstore(add(add(data, 0x20), place), word)
            }
        }
        requireSame(LANE, data);
    }

    /// Records that are not where the usual encoding puts them: behind a gap of any size, and directly before bytes
    /// that would be records too if the length did not end before them.
    function test_bothVersions_doTheSameWhenTheRecordsAreElsewhere(uint256 seed, uint8 gap) public {
        bytes memory records = anyRecords(seed, 1 + seed % 6);
        bytes memory data = bytes.concat(
            TransferSettlement.settle.selector,
            abi.encode(32 + uint256(gap)),
            new bytes(gap),
            abi.encode(records.length),
            records, // without padding to whole words
            anyRecords(~seed, 4)
        );
        requireSame(LANE, data);
    }

    // ------------------------------------------------------------------------------------------------ order

    /// For distinct unused numbers within float and caps, the outcome of a record depends on no other and on no order,
    /// whatever the token does.
    function test_settle_outcomesDoNotDependOnOrderOrCompany(uint256 seed, uint8 count) public {
        uint256 total = bound(count, 2, 16);
        bytes[] memory records = new bytes[](total);
        bytes memory together;
        bytes memory reversed;
        for (uint256 i = 0; i < total; ++i) {
            uint256 roll = uint256(keccak256(abi.encode("distinct", seed, i)));
            uint64 number = uint64(i * (roll % 2 == 0 ? 1 : 700) + (i << 20));
            records[i] = record(number, anyBeneficiary(roll), uint64((roll >> 64) % 1000));
            together = bytes.concat(together, records[i]);
            reversed = bytes.concat(records[i], reversed);
        }
        uint256 before = vm.snapshotState();
        bytes memory outcomes = settle(together);
        uint256 balance = moody.balanceOf(address(settlement));
        vm.revertToState(before);
        bytes memory backwards = settle(reversed);
        vm.assertEq(moody.balanceOf(address(settlement)), balance, "float");
        vm.revertToState(before);
        for (uint256 i = 0; i < total; ++i) {
            bytes memory alone = settle(records[i]);
            vm.assertTrue(alone[0] == outcomes[i], "alone");
            vm.assertTrue(backwards[total - 1 - i] == outcomes[i], "backwards");
        }
    }

    // ------------------------------------------------------------------------------------------------ comparing

    function requireSame(address caller, bytes memory data) private {
        address[] memory callers = new address[](1);
        bytes[] memory calls = new bytes[](1);
        (callers[0], calls[0]) = (caller, data);
        requireSame(callers, calls, new uint256[](1));
    }

    function requireSame(address[] memory callers, bytes[] memory calls, uint256[] memory waits) private {
        uint256 before = vm.snapshotState();
        vm.recordLogs();
        bytes[] memory shipped = answersTo(callers, calls, waits);
        bytes memory shippedState = abi.encode(vm.getRecordedLogs(), state());
        vm.revertToState(before);

        vm.etch(address(settlement), plainCode);
        vm.recordLogs();
        bytes[] memory plain = answersTo(callers, calls, waits);
        bytes memory plainState = abi.encode(vm.getRecordedLogs(), state());

        for (uint256 i = 0; i < calls.length; ++i) {
            vm.assertEq(shipped[i], plain[i], "answers");
        }
        vm.assertEq(shippedState, plainState, "events and state");
    }

    function answersTo(address[] memory callers, bytes[] memory calls, uint256[] memory waits)
        private
        returns (bytes[] memory answers)
    {
        answers = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            if (waits[i] != 0) vm.warp(vm.getBlockTimestamp() + waits[i]);
            address target =
                bytes4(calls[i]) == MoodyToken.setFaults.selector ? address(moody) : address(settlement);
            vm.prank(callers[i]);
            (bool success, bytes memory returned) = target.call(calls[i]);
            answers[i] = abi.encode(success, returned);
        }
    }

    /// Words of the bitmap, buckets, roles, and who holds what.
    function state() private view returns (bytes memory all) {
        IERC20Metadata paid = IERC20Metadata(address(settlement.TOKEN()));
        for (uint256 slot = 0; slot < 8; ++slot) {
            all = bytes.concat(all, vm.load(address(settlement), bytes32(slot)));
        }
        for (uint256 i = 0; i < 64; ++i) {
            all = bytes.concat(all, abi.encode(settlement.used(anyNumber(i))));
        }
        for (uint256 i = 0; i < 64; ++i) {
            all = bytes.concat(all, abi.encode(paid.balanceOf(anyBeneficiary(i))));
        }
        return bytes.concat(
            all,
            abi.encode(paid.balanceOf(address(settlement))),
            leftOf(LANE),
            leftOf(SECOND),
            leftOf(address(paid))
        );
    }

    function leftOf(address operator) private view returns (bytes memory) {
        (uint64 left, uint64 contractLeft) = settlement.capLeft(operator);
        return abi.encode(left, contractLeft, settlement.isOperator(operator));
    }

    // ------------------------------------------------------------------------------------------------ making

    function anyCall(uint256 roll) private view returns (address caller, bytes memory data) {
        uint256 kind = roll % 32;
        uint256 some = roll >> 8;
        if (kind == 0) return (PAUSER, abi.encodeCall(SettlementControl.pause, ()));
        if (kind <= 2) return (PAUSER, abi.encodeCall(SettlementControl.unpause, ()));
        if (kind <= 5) return (LANE, abi.encodeCall(TransferSettlement.void, (anyNumbers(some))));
        if (kind == 6) {
            return
                (ADMIN, abi.encodeCall(SettlementControl.lowerOperatorCap, (LANE, uint64(some % LANE_CAP))));
        }
        if (kind == 7) {
            return (ADMIN, abi.encodeCall(SettlementControl.lowerContractCap, (uint64(some % CONTRACT_CAP))));
        }
        if (kind == 8) return (ADMIN, abi.encodeCall(SettlementControl.removeOperator, (SECOND)));
        if (kind == 9) return (ADMIN, abi.encodeCall(MoodyToken.setFaults, (some % 2, some % 5 == 0)));
        if (kind == 10) return (ADMIN, abi.encodeCall(MoodyToken.setFaults, (0, false)));
        if (kind == 11) {
            return (RESCUER, abi.encodeCall(TransferSettlement.rescue, (moody, RESCUER, some % FLOAT)));
        }
        caller = kind == 12 ? ALMA : kind < 20 ? SECOND : LANE;
        return (caller, abi.encodeCall(TransferSettlement.settle, (anyRecords(some, 1 + some % 12))));
    }

    function anyRecords(uint256 seed, uint256 count) private view returns (bytes memory records) {
        for (uint256 i = 0; i < count; ++i) {
            uint256 roll = uint256(keccak256(abi.encode("record", seed, i)));
            uint64 amount = uint64((roll >> 128) % 1_000_000);
            if (roll % 37 == 0) amount = 0;
            if (roll % 101 == 0) amount = type(uint64).max;
            address beneficiary = roll % 23 == 0
                ? address(0)
                : roll % 29 == 0 ? address(settlement) : anyBeneficiary(roll >> 16);
            records = bytes.concat(records, record(anyNumber(roll >> 32), beneficiary, amount));
        }
    }

    function anyNumbers(uint256 seed) private pure returns (uint64[] memory numbers) {
        numbers = new uint64[](seed % 5);
        for (uint256 i = 0; i < numbers.length; ++i) {
            numbers[i] = anyNumber(uint256(keccak256(abi.encode("void", seed, i))));
        }
    }

    /// One of 64 numbers in four words, among them the first and the last there are: they meet again and again.
    function anyNumber(uint256 roll) private pure returns (uint64) {
        uint64[4] memory words = [0, 1, uint64(1) << 40, type(uint56).max];
        uint64 bit = uint64((roll >> 2) % 16);
        return (words[roll % 4] << 8) | (bit < 8 ? bit : 247 + bit - 7);
    }

    /// One of 64: every mood in four variations.
    function anyBeneficiary(uint256 roll) private pure returns (address) {
        uint160 variation = [uint160(0), 1, 130, 255][(roll >> 4) % 4];
        return address((uint160(0xBEEF) << 16) | (variation << 4) | uint160(roll % 16));
    }
}
