// SPDX-License-Identifier: Apache-2.0
// Who may do what with a settlement contract, how much a day, and how these rights change.
// Not here: payments, voids and rescue (`TransferSettlement`).
pragma solidity ^0.8.37;

/// @title Roles, caps, pause and delays of a settlement contract.
/// @notice What tightens happens at once: pause, a lower cap, a right taken away. What loosens, a higher cap or another
/// account with a right, is proposed, waits a day and is then applied; until then it can be cancelled. The exception is
/// `unpause`: a pauser who could only stop would be no use in a false alarm.
abstract contract SettlementControl {
    // ------------------------------------------------------------------------------------------------ types

    /// @notice What can be loosened.
    /// @dev OPERATOR: an account may settle and void, or may settle more. CONTRACT_CAP: all operators together may
    /// settle more; its account is zero.
    enum Right {
        OPERATOR,
        CONTRACT_CAP,
        PAUSER,
        RESCUER
    }

    /// @notice An operator and the cap of its bucket, in token units.
    struct OperatorCap {
        address operator;
        uint64 cap;
    }

    /// @dev What may still be spent: a bucket of size `cap` that refills by `cap` per `REFILL_S`. One storage slot.
    /// `level` counts in 1/86,400 of a token unit, so that refilling second by second loses nothing to rounding.
    /// `isOpen`: of an operator, that it is one; of the contract, that it is not paused.
    struct Bucket {
        uint64 cap;
        uint88 level;
        uint40 filledAt;
        bool isOpen;
    }

    /// @dev `readyAt` zero: nothing is proposed.
    struct Proposal {
        uint64 cap;
        uint40 readyAt;
    }

    // ------------------------------------------------------------------------------------------------ limits

    /// @notice Seconds that a loosening waits between its proposal and its application.
    uint256 public constant DELAY_S = 86_400;
    /// @notice Seconds in which an empty bucket becomes full.
    uint256 public constant REFILL_S = 86_400;

    // ------------------------------------------------------------------------------------------------ state

    /// @notice Proposes and tightens. Changes hands in two steps, with the delay between them.
    address public admin;
    /// @notice May stop and resume payments, as may the admin; zero: nobody else.
    address public pauser;
    /// @notice May take out foreign tokens and, while paused, the float; zero: nobody.
    address public rescuer;
    /// @notice Whom the admin has proposed as the next one; zero: nobody.
    address public pendingAdmin;
    /// @notice From when on the proposed admin may accept, Unix seconds.
    uint40 public pendingAdminReadyAt;

    Bucket private _contractBucket;
    mapping(address operator => Bucket) private _operatorBuckets;
    mapping(Right right => mapping(address account => Proposal)) private _proposals;

    // ------------------------------------------------------------------------------------------------ events

    /// @notice Payments are stopped.
    event Paused(address indexed by);
    /// @notice Payments go on.
    event Unpaused(address indexed by);
    /// @notice The account may void, and settle up to this cap: a new operator, or another cap.
    event OperatorCapChanged(address indexed operator, uint64 cap);
    /// @notice The account may no longer settle nor void.
    event OperatorRemoved(address indexed operator);
    /// @notice All operators together may settle up to this cap.
    event ContractCapChanged(uint64 cap);
    /// @notice Another account stops and resumes payments.
    event PauserChanged(address indexed previous, address indexed pauser);
    /// @notice Another account rescues tokens.
    event RescuerChanged(address indexed previous, address indexed rescuer);
    /// @notice The first step of a change of admin; zero takes a proposal back.
    event AdminProposed(address indexed admin, address indexed proposed, uint40 readyAt);
    /// @notice The second step of a change of admin.
    event AdminChanged(address indexed previous, address indexed admin);
    /// @notice The admin wants to loosen a right; that can be applied from `readyAt` on.
    event Proposed(Right indexed right, address indexed account, uint64 cap, uint40 readyAt);
    /// @notice The proposal is in force; the event of the changed right goes with it.
    event ProposalApplied(Right indexed right, address indexed account, uint64 cap);
    /// @notice The proposal is gone: cancelled, or overtaken by a lower cap or the removal of its operator.
    event ProposalCancelled(Right indexed right, address indexed account, uint64 cap);

    // ------------------------------------------------------------------------------------------------ errors

    /// @notice Only an operator settles; only an operator or the admin voids.
    error NotOperator(address caller);
    /// @notice Only the admin does this.
    error NotAdmin(address caller);
    /// @notice Only the account proposed as admin accepts.
    error NotPendingAdmin(address caller);
    /// @notice Only the pauser or the admin does this.
    error NotPauser(address caller);
    /// @notice Only the rescuer does this.
    error NotRescuer(address caller);
    /// @notice The role cannot be held by the zero address.
    error ZeroAddress();
    /// @notice The account is an operator already.
    error OperatorExists(address operator);
    /// @notice The account is no operator.
    error OperatorUnknown(address operator);
    /// @notice Payments are stopped.
    error IsPaused();
    /// @notice Payments are not stopped.
    error IsNotPaused();
    /// @notice The batch is worth more than is left in the caller's bucket or in the contract's.
    error CapExceeded(uint256 needed, uint256 left);
    /// @notice This would not raise the cap; lowering needs no proposal.
    error CapNotHigher(uint256 cap, uint256 current);
    /// @notice This would not lower the cap; raising needs a proposal.
    error CapNotLower(uint256 cap, uint256 current);
    /// @notice The right does not go with such an account or cap: the contract's cap has no account, pauser and rescuer
    /// have no cap.
    error ProposalInvalid(Right right, address account, uint64 cap);
    /// @notice Nothing of the kind is proposed.
    error ProposalUnknown(Right right, address account);
    /// @notice The delay is not over.
    error ProposalNotReady(uint256 readyAt);

    modifier onlyAdmin() {
        _requireAdmin();
        _;
    }

    // ------------------------------------------------------------------------------------------------ set up

    /// @notice Every bucket is full at first.
    /// @param firstAdmin The first admin, not zero.
    /// @param firstPauser The first pauser; zero: the admin alone.
    /// @param firstRescuer The first rescuer; zero: nobody.
    /// @param contractCap The cap of all operators together, in token units.
    /// @param operators The first operators with their caps, without repetition.
    constructor(
        address firstAdmin,
        address firstPauser,
        address firstRescuer,
        uint64 contractCap,
        OperatorCap[] memory operators
    ) {
        if (firstAdmin == address(0)) revert ZeroAddress();
        admin = firstAdmin;
        pauser = firstPauser;
        rescuer = firstRescuer;
        _contractBucket = _fullBucket(contractCap);
        emit AdminChanged(address(0), firstAdmin);
        emit PauserChanged(address(0), firstPauser);
        emit RescuerChanged(address(0), firstRescuer);
        emit ContractCapChanged(contractCap);
        for (uint256 i = 0; i < operators.length; ++i) {
            address operator = operators[i].operator;
            if (operator == address(0)) revert ZeroAddress();
            if (isOperator(operator)) revert OperatorExists(operator);
            _operatorBuckets[operator] = _fullBucket(operators[i].cap);
            emit OperatorCapChanged(operator, operators[i].cap);
        }
    }

    // ------------------------------------------------------------------------------------------------ views

    /// @notice True while nothing is paid.
    /// @return True: `settle` reverts, the float can be rescued.
    function paused() public view returns (bool) {
        return !_contractBucket.isOpen;
    }

    /// @notice True for each account that may settle and void.
    /// @param account Any account.
    /// @return True: it may.
    function isOperator(address account) public view returns (bool) {
        return _operatorBuckets[account].isOpen;
    }

    /// @notice The caps: the sizes of the buckets, and what is refilled per `REFILL_S`. In token units.
    /// @param operator An operator; any other account has none.
    /// @return operatorCap That of the operator.
    /// @return contractCap That of all operators together.
    function capOf(address operator) external view returns (uint64 operatorCap, uint64 contractCap) {
        return (_operatorBuckets[operator].cap, _contractBucket.cap);
    }

    /// @notice What can be settled now, in token units, rounded down; the less of both counts.
    /// @param operator An operator; any other account has nothing left.
    /// @return operatorLeft What is left in the operator's bucket.
    /// @return contractLeft What is left in the bucket of all operators.
    function capLeft(address operator) external view returns (uint64 operatorLeft, uint64 contractLeft) {
        // Both fit: a level is at most its cap's.
        operatorLeft = uint64(_levelOf(_operatorBuckets[operator]) / REFILL_S);
        contractLeft = uint64(_levelOf(_contractBucket) / REFILL_S);
    }

    /// @notice What is proposed.
    /// @param right What would be loosened.
    /// @param account For whom; zero for the contract's cap.
    /// @return cap The cap it would have; zero for rights without one.
    /// @return readyAt From when on it can be applied, Unix seconds; zero: nothing is proposed.
    function proposal(Right right, address account) external view returns (uint64 cap, uint40 readyAt) {
        Proposal memory found = _proposals[right][account];
        return (found.cap, found.readyAt);
    }

    // ------------------------------------------------------------------------------------------------ at once

    /// @notice Stops payments at once. Voids still work.
    function pause() external {
        _requirePauser();
        if (paused()) revert IsPaused();
        _contractBucket.isOpen = false;
        emit Paused(msg.sender);
    }

    /// @notice Lets payments go on.
    function unpause() external {
        _requirePauser();
        if (!paused()) revert IsNotPaused();
        _contractBucket.isOpen = true;
        emit Unpaused(msg.sender);
    }

    /// @notice Lowers an operator's cap; what is above it in the bucket is gone, as is a proposal to raise it.
    /// @param operator The operator.
    /// @param cap Its new cap in token units, below the present one; with zero it can only void.
    function lowerOperatorCap(address operator, uint64 cap) external onlyAdmin {
        if (!isOperator(operator)) revert OperatorUnknown(operator);
        _dropProposal(Right.OPERATOR, operator);
        _lower(_operatorBuckets[operator], cap);
        emit OperatorCapChanged(operator, cap);
    }

    /// @notice Lowers the cap of all operators together, in the same way.
    /// @param cap The new cap in token units, below the present one.
    function lowerContractCap(uint64 cap) external onlyAdmin {
        _dropProposal(Right.CONTRACT_CAP, address(0));
        _lower(_contractBucket, cap);
        emit ContractCapChanged(cap);
    }

    /// @notice Takes the right to settle and void away.
    /// @param operator The operator.
    function removeOperator(address operator) external onlyAdmin {
        if (!isOperator(operator)) revert OperatorUnknown(operator);
        _dropProposal(Right.OPERATOR, operator);
        delete _operatorBuckets[operator];
        emit OperatorRemoved(operator);
    }

    /// @notice Leaves the right to stop and resume to the admin alone. Proposed pausers stay proposed: a successor can
    /// be named before the pauser goes. Only the admin applies or cancels that.
    function removePauser() external onlyAdmin {
        emit PauserChanged(pauser, address(0));
        pauser = address(0);
    }

    /// @notice Leaves nobody who may rescue. Proposed rescuers stay proposed, as with the pauser.
    function removeRescuer() external onlyAdmin {
        emit RescuerChanged(rescuer, address(0));
        rescuer = address(0);
    }

    // ------------------------------------------------------------------------------------------------ after a day

    /// @notice Proposes to loosen a right. Proposed again, it waits again.
    /// @param right What is loosened.
    /// @param account The operator, pauser or rescuer; zero for the contract's cap.
    /// @param cap The new cap in token units, above the present one; zero for pauser and rescuer.
    function propose(Right right, address account, uint64 cap) external onlyAdmin {
        bool isOfAccount = right != Right.CONTRACT_CAP;
        bool isCapped = right == Right.OPERATOR || right == Right.CONTRACT_CAP;
        if (isOfAccount != (account != address(0)) || (!isCapped && cap != 0)) {
            revert ProposalInvalid(right, account, cap);
        }
        if (right == Right.CONTRACT_CAP) _requireHigher(cap, _contractBucket.cap);
        if (right == Right.OPERATOR && isOperator(account)) {
            _requireHigher(cap, _operatorBuckets[account].cap);
        }
        uint40 readyAt = _readyAt();
        _proposals[right][account] = Proposal(cap, readyAt);
        emit Proposed(right, account, cap, readyAt);
    }

    /// @notice Puts a proposal in force, once its delay is over.
    /// @param right What is loosened.
    /// @param account For whom; zero for the contract's cap.
    function applyProposal(Right right, address account) external onlyAdmin {
        Proposal memory found = _proposals[right][account];
        if (found.readyAt == 0) revert ProposalUnknown(right, account);
        _requireReady(found.readyAt);
        delete _proposals[right][account];
        emit ProposalApplied(right, account, found.cap);
        if (right == Right.OPERATOR) {
            if (isOperator(account)) _raise(_operatorBuckets[account], found.cap);
            else _operatorBuckets[account] = _fullBucket(found.cap);
            emit OperatorCapChanged(account, found.cap);
        } else if (right == Right.CONTRACT_CAP) {
            _raise(_contractBucket, found.cap);
            emit ContractCapChanged(found.cap);
        } else if (right == Right.PAUSER) {
            emit PauserChanged(pauser, account);
            // slither-disable-next-line missing-zero-check: propose refuses zero, here and below
            pauser = account;
        } else {
            emit RescuerChanged(rescuer, account);
            rescuer = account;
        }
    }

    /// @notice Takes a proposal back.
    /// @param right What would have been loosened.
    /// @param account For whom; zero for the contract's cap.
    function cancelProposal(Right right, address account) external onlyAdmin {
        if (!_dropProposal(right, account)) revert ProposalUnknown(right, account);
    }

    /// @notice First step of a change of admin; nothing changes until the other side accepts, a day later or more.
    /// @param next The account; zero takes a proposal back.
    function proposeAdmin(address next) external onlyAdmin {
        // slither-disable-next-line missing-zero-check: zero takes a proposal back
        pendingAdmin = next;
        pendingAdminReadyAt = next == address(0) ? 0 : _readyAt();
        emit AdminProposed(admin, next, pendingAdminReadyAt);
    }

    /// @notice Second step of a change of admin, by the proposed account.
    function acceptAdmin() external {
        if (msg.sender != pendingAdmin) revert NotPendingAdmin(msg.sender);
        _requireReady(pendingAdminReadyAt);
        emit AdminChanged(admin, msg.sender);
        admin = msg.sender;
        pendingAdmin = address(0);
        pendingAdminReadyAt = 0;
    }

    // ------------------------------------------------------------------------------------------------ inside

    /// @dev Takes the amount out of both buckets, or reverts. Comes before the token is called: whatever a token does,
    /// no more than the caps leaves.
    function _spend(address operator, uint256 amount) internal {
        Bucket storage own = _operatorBuckets[operator];
        uint256 ownLevel = _levelOf(own);
        uint256 allLevel = _levelOf(_contractBucket);
        uint256 level = ownLevel < allLevel ? ownLevel : allLevel;
        uint256 spent = amount * REFILL_S;
        if (spent > level) revert CapExceeded(amount, level / REFILL_S);
        _setLevel(own, ownLevel - spent);
        _setLevel(_contractBucket, allLevel - spent);
    }

    /// @dev Puts back what was taken out and did not leave, in the same transaction.
    function _unspend(address operator, uint256 amount) internal {
        Bucket storage own = _operatorBuckets[operator];
        _setLevel(own, _lesser(_levelOf(own) + amount * REFILL_S, own.cap * REFILL_S));
        _setLevel(
            _contractBucket,
            _lesser(_levelOf(_contractBucket) + amount * REFILL_S, _contractBucket.cap * REFILL_S)
        );
    }

    function _requireMaySettle(address caller) internal view {
        if (!isOperator(caller)) revert NotOperator(caller);
        if (paused()) revert IsPaused();
    }

    function _requireAdmin() internal view {
        if (msg.sender != admin) revert NotAdmin(msg.sender);
    }

    function _requirePauser() private view {
        if (msg.sender != pauser && msg.sender != admin) revert NotPauser(msg.sender);
    }

    /// @dev A raised bucket holds what it held: it fills up to the new cap with time.
    function _raise(Bucket storage bucket, uint64 cap) private {
        _setLevel(bucket, _levelOf(bucket));
        bucket.cap = cap;
    }

    function _lower(Bucket storage bucket, uint64 cap) private {
        uint64 current = bucket.cap;
        if (!(cap < current)) revert CapNotLower(cap, current);
        _setLevel(bucket, _lesser(_levelOf(bucket), cap * REFILL_S));
        bucket.cap = cap;
    }

    /// @dev `level` is at most 2^64 * 86,400, below 2^81; seconds of the clock fit 40 bits for 34,000 years.
    function _setLevel(Bucket storage bucket, uint256 level) private {
        bucket.level = uint88(level);
        bucket.filledAt = uint40(block.timestamp);
    }

    function _dropProposal(Right right, address account) private returns (bool wasProposed) {
        Proposal memory found = _proposals[right][account];
        wasProposed = found.readyAt != 0;
        if (!wasProposed) return false;
        delete _proposals[right][account];
        emit ProposalCancelled(right, account, found.cap);
    }

    function _levelOf(Bucket storage bucket) private view returns (uint256) {
        uint256 refilled = bucket.cap * (block.timestamp - bucket.filledAt);
        return _lesser(bucket.level + refilled, bucket.cap * REFILL_S);
    }

    function _fullBucket(uint64 cap) private view returns (Bucket memory) {
        return Bucket(cap, uint88(cap * REFILL_S), uint40(block.timestamp), true);
    }

    function _readyAt() private view returns (uint40) {
        return uint40(block.timestamp + DELAY_S);
    }

    function _requireReady(uint256 readyAt) private view {
        if (block.timestamp < readyAt) revert ProposalNotReady(readyAt);
    }

    function _requireHigher(uint64 cap, uint64 current) private pure {
        if (!(cap > current)) revert CapNotHigher(cap, current);
    }

    function _lesser(uint256 left, uint256 right) private pure returns (uint256) {
        return left < right ? left : right;
    }
}
