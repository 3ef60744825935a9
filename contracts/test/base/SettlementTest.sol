// SPDX-License-Identifier: Apache-2.0
// What the tests of TransferSettlement share: the accounts, a funded contract, records, and reading logs.
pragma solidity ^0.8.37;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {TestUSD} from "../../src/TestUSD.sol";
import {SettlementControl} from "../../src/settlement/SettlementControl.sol";
import {TransferSettlement} from "../../src/TransferSettlement.sol";
import {PlainTransferSettlement} from "../plain/PlainTransferSettlement.sol";
import {Vm} from "./Vm.sol";

abstract contract SettlementTest {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    address internal constant ADMIN = address(0xAD01);
    address internal constant PAUSER = address(0xAD02);
    address internal constant RESCUER = address(0xAD03);
    address internal constant LANE = address(0xAD04);
    address internal constant ISSUER = address(0xAD05);
    address internal constant ALMA = address(0xBE01);
    address internal constant BORIS = address(0xBE02);
    address internal constant CHIDI = address(0xBE03);

    uint64 internal constant CAP = type(uint64).max;
    uint256 internal constant FLOAT = 1_000_000_000_000; // one million dollars

    bytes32 internal constant SETTLED_TOPIC = keccak256("Settled(uint64)");
    bytes32 internal constant FAILED_TOPIC = keccak256("Failed(uint64,bytes)");
    bytes32 internal constant SKIPPED_TOPIC = keccak256("Skipped(uint64)");
    bytes32 internal constant VOIDED_TOPIC = keccak256("Voided(uint64)");
    bytes32 internal constant TRANSFER_TOPIC = keccak256("Transfer(address,address,uint256)");

    TestUSD internal token;
    TransferSettlement internal settlement;

    function setUp() public virtual {
        token = new TestUSD(ISSUER, ISSUER, ISSUER);
        settlement = deploySettlement(address(token));
        vm.startPrank(ISSUER);
        token.configureMinter(ISSUER, type(uint256).max);
        token.mint(address(settlement), FLOAT);
        vm.stopPrank();
    }

    /// Which of both versions is tested. Every suite runs on the one that is shipped and, in `test/plain/`, on the
    /// plain one.
    function usesPlain() internal pure virtual returns (bool) {
        return false;
    }

    function deploySettlement(address paidToken) internal returns (TransferSettlement) {
        return deploySettlement(paidToken, ADMIN, CAP, operatorsOf(LANE, CAP));
    }

    function deploySettlement(
        address paidToken,
        address admin,
        uint64 contractCap,
        SettlementControl.OperatorCap[] memory operators
    ) internal returns (TransferSettlement) {
        IERC20Metadata paid = IERC20Metadata(paidToken);
        if (!usesPlain()) {
            return new TransferSettlement(paid, admin, PAUSER, RESCUER, contractCap, operators);
        }
        return TransferSettlement(
            address(new PlainTransferSettlement(paid, admin, PAUSER, RESCUER, contractCap, operators))
        );
    }

    function operatorsOf(address operator, uint64 cap)
        internal
        pure
        returns (SettlementControl.OperatorCap[] memory operators)
    {
        operators = new SettlementControl.OperatorCap[](1);
        operators[0] = SettlementControl.OperatorCap(operator, cap);
    }

    function record(uint64 number, address beneficiary, uint64 amount) internal pure returns (bytes memory) {
        return abi.encodePacked(number, beneficiary, amount);
    }

    /// `count` records of one dollar each, numbered from `first`, each to its own beneficiary.
    function recordsOf(uint64 first, uint256 count) internal pure returns (bytes memory records) {
        for (uint64 i = 0; i < count; ++i) {
            records = bytes.concat(records, record(first + i, beneficiaryOf(first + i), 1_000_000));
        }
    }

    function beneficiaryOf(uint64 number) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("beneficiary", number)))));
    }

    function settle(bytes memory records) internal returns (bytes memory) {
        vm.prank(LANE);
        return settlement.settle(records);
    }

    function numbersOf(uint64 number) internal pure returns (uint64[] memory numbers) {
        numbers = new uint64[](1);
        numbers[0] = number;
    }

    function voidNumber(uint64 number) internal {
        vm.prank(LANE);
        settlement.void(numbersOf(number));
    }

    /// How many recorded logs of the settlement contract carry the topic and number.
    function countLogs(Vm.Log[] memory logs, bytes32 topic, uint64 number)
        internal
        view
        returns (uint256 found)
    {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(settlement) || logs[i].topics[0] != topic) continue;
            if (uint256(logs[i].topics[1]) == number) ++found;
        }
    }

    /// The reason of the first Failed in the logs.
    function reasonIn(Vm.Log[] memory logs) internal view returns (bytes memory) {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(settlement) && logs[i].topics[0] == FAILED_TOPIC) {
                return abi.decode(logs[i].data, (bytes));
            }
        }
        revert("no Failed event");
    }

    /// A value from `low` to `high`, both possible, that follows from any `value`.
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        if (value >= low && value <= high) return value;
        return low + value % (high - low + 1);
    }
}
