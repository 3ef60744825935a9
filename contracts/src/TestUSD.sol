// SPDX-License-Identifier: Apache-2.0
// A stablecoin for devnets and tests, with the powers an issuer has over a real one.
// Not here: EIP-2612 permits and EIP-3009 authorizations, a proxy, a rescuer. Worth nothing, on any chain.
pragma solidity ^0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title Test dollar, 6 digits.
/// @notice The issuer may pause everything and deny accounts. Minters are given an allowance that falls as they mint.
contract TestUSD is ERC20, Ownable2Step {
    /// @notice Stops and resumes the token.
    address public pauser;
    /// @notice Denies accounts and lets them in again.
    address public denylister;
    /// @notice True while nothing moves.
    bool public paused;
    /// @notice True for each account that may neither send, spend nor receive.
    mapping(address account => bool) public isDenied;
    /// @notice True for each account that may mint within its allowance and burn its own tokens.
    mapping(address account => bool) public isMinter;
    /// @notice How much each minter may still mint, in token units.
    mapping(address minter => uint256) public minterAllowance;

    /// @notice The token is stopped.
    event Pause();
    /// @notice The token goes on.
    event Unpause();
    /// @notice The account can no longer send, spend nor receive.
    event Denied(address indexed account);
    /// @notice The account can send, spend and receive again.
    event Undenied(address indexed account);
    /// @notice Tokens were made; a `Transfer` from zero goes with it.
    event Mint(address indexed minter, address indexed to, uint256 amount);
    /// @notice Tokens were unmade; a `Transfer` to zero goes with it.
    event Burn(address indexed burner, uint256 amount);
    /// @notice The minter may mint this much from now on.
    event MinterConfigured(address indexed minter, uint256 allowance);
    /// @notice The account may no longer mint nor burn.
    event MinterRemoved(address indexed minter);
    /// @notice Another account stops and resumes the token.
    event PauserChanged(address indexed previous, address indexed pauser);
    /// @notice Another account keeps the deny list.
    event DenylisterChanged(address indexed previous, address indexed denylister);

    /// @notice Only the pauser does this.
    error NotPauser(address caller);
    /// @notice Only the denylister does this.
    error NotDenylister(address caller);
    /// @notice Only a minter does this.
    error NotMinter(address caller);
    /// @notice The token is stopped.
    error TokenPaused();
    /// @notice The token is not stopped.
    error TokenNotPaused();
    /// @notice The account is on the deny list.
    error AccountDenied(address account);
    /// @notice The token's own address stays on the deny list: what is sent to it would be lost.
    error TokenStaysDenied();
    /// @notice The minter may not mint so much.
    error MinterAllowanceExceeded(address minter, uint256 allowance, uint256 amount);
    /// @notice There is nothing to mint or burn.
    error ZeroAmount();

    modifier onlyPauser() {
        if (msg.sender != pauser) revert NotPauser(msg.sender);
        _;
    }

    modifier onlyDenylister() {
        if (msg.sender != denylister) revert NotDenylister(msg.sender);
        _;
    }

    modifier onlyMinter() {
        if (!isMinter[msg.sender]) revert NotMinter(msg.sender);
        _;
    }

    modifier whenNotPaused() {
        _requireNotPaused();
        _;
    }

    /// @notice No tokens and no minters at first.
    /// @param firstOwner Names minters, pauser and denylister; not zero.
    /// @param firstPauser The first pauser.
    /// @param firstDenylister The first denylister.
    constructor(address firstOwner, address firstPauser, address firstDenylister)
        ERC20("Test USD", "tUSD")
        Ownable(firstOwner)
    {
        pauser = firstPauser;
        denylister = firstDenylister;
        isDenied[address(this)] = true;
        emit PauserChanged(address(0), firstPauser);
        emit DenylisterChanged(address(0), firstDenylister);
        emit Denied(address(this));
    }

    // ------------------------------------------------------------------------------------------------ token

    /// @notice Six, as the dollar stablecoins that are in use.
    /// @return The number of digits.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice As in ERC-20, but not while paused.
    /// @param spender Who may spend.
    /// @param amount How much, in token units.
    /// @return Always true.
    function approve(address spender, uint256 amount) public override whenNotPaused returns (bool) {
        return super.approve(spender, amount);
    }

    /// @notice Makes tokens and lowers the minter's allowance by as much.
    /// @param to Who receives them.
    /// @param amount How much, in token units, not zero.
    function mint(address to, uint256 amount) external onlyMinter {
        if (amount == 0) revert ZeroAmount();
        uint256 allowed = minterAllowance[msg.sender];
        if (amount > allowed) revert MinterAllowanceExceeded(msg.sender, allowed, amount);
        minterAllowance[msg.sender] = allowed - amount;
        emit Mint(msg.sender, to, amount);
        _mint(to, amount);
    }

    /// @notice Unmakes tokens of the minter's own balance. The allowance does not grow back.
    /// @param amount How much, in token units, not zero.
    function burn(uint256 amount) external onlyMinter {
        if (amount == 0) revert ZeroAmount();
        emit Burn(msg.sender, amount);
        _burn(msg.sender, amount);
    }

    // ------------------------------------------------------------------------------------------------ issuer

    /// @notice Makes an account a minter, or gives a minter another allowance; not while paused.
    /// @param minter The account.
    /// @param allowance How much it may mint from now on, in token units.
    function configureMinter(address minter, uint256 allowance) external onlyOwner whenNotPaused {
        isMinter[minter] = true;
        minterAllowance[minter] = allowance;
        emit MinterConfigured(minter, allowance);
    }

    /// @notice Takes the right to mint and burn away.
    /// @param minter The minter.
    function removeMinter(address minter) external onlyOwner {
        if (!isMinter[minter]) revert NotMinter(minter);
        isMinter[minter] = false;
        minterAllowance[minter] = 0;
        emit MinterRemoved(minter);
    }

    /// @notice Stops transfers, approvals, minting and burning.
    function pause() external onlyPauser whenNotPaused {
        paused = true;
        emit Pause();
    }

    /// @notice Lets them go on.
    function unpause() external onlyPauser {
        if (!paused) revert TokenNotPaused();
        paused = false;
        emit Unpause();
    }

    /// @notice Puts an account on the deny list.
    /// @param account The account.
    function deny(address account) external onlyDenylister {
        isDenied[account] = true;
        emit Denied(account);
    }

    /// @notice Takes an account off the deny list.
    /// @param account The account, not the token itself.
    function undeny(address account) external onlyDenylister {
        if (account == address(this)) revert TokenStaysDenied();
        isDenied[account] = false;
        emit Undenied(account);
    }

    /// @notice Names the pauser.
    /// @param next The account.
    function setPauser(address next) external onlyOwner {
        emit PauserChanged(pauser, next);
        pauser = next;
    }

    /// @notice Names the denylister.
    /// @param next The account.
    function setDenylister(address next) external onlyOwner {
        emit DenylisterChanged(denylister, next);
        denylister = next;
    }

    // ------------------------------------------------------------------------------------------------ inside

    /// @dev Every movement passes here: transfer, transferFrom, mint and burn.
    function _update(address from, address to, uint256 amount) internal override whenNotPaused {
        _requireNotDenied(from);
        _requireNotDenied(to);
        if (msg.sender != from) _requireNotDenied(msg.sender);
        super._update(from, to, amount);
    }

    function _requireNotPaused() private view {
        if (paused) revert TokenPaused();
    }

    function _requireNotDenied(address account) private view {
        if (isDenied[account]) revert AccountDenied(account);
    }
}
