// SPDX-License-Identifier: Apache-2.0
// The suites about payments once more, on the plain contract. Not here: those about roles, caps and delays, which both
// versions inherit from one contract, and void, which is the same in both.
pragma solidity ^0.8.37;

import {History, TransferSettlementInvariantTest} from "../TransferSettlement.invariant.t.sol";
import {TransferSettlementIsolationTest} from "../TransferSettlement.isolation.t.sol";
import {TransferSettlementSettleTest} from "../TransferSettlement.settle.t.sol";

contract PlainIsolationTest is TransferSettlementIsolationTest {
    function usesPlain() internal pure override returns (bool) {
        return true;
    }
}

contract PlainSettleTest is TransferSettlementSettleTest {
    function usesPlain() internal pure override returns (bool) {
        return true;
    }
}

contract PlainHistory is History {
    function usesPlain() internal pure override returns (bool) {
        return true;
    }
}

contract PlainInvariantTest is TransferSettlementInvariantTest {
    function newHistory() internal override returns (History) {
        return new PlainHistory();
    }
}
