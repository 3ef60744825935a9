// SPDX-License-Identifier: Apache-2.0
// A stablecoin for devnets and tests, with the powers an issuer has over a real one.
// Not here: EIP-2612 permits and EIP-3009 authorizations, a proxy, a rescuer. Worth nothing, on any chain.
// Its storage is laid out as that of USDC 2.2, so that paying with it costs about what paying with a real one does.
pragma solidity ^0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";

/// @title Test dollar, 6 digits.
/// @notice The issuer may pause everything and deny accounts. Minters are given an allowance that falls as they mint.
contract TestUSD is IERC20Metadata, IERC20Errors, Ownable2Step {
    /// @dev Set in the word of a denied account. The bits below it are the balance, so one read tells both.
    uint256 private constant DENIED_BIT = 1 << 255;
    uint256 private constant SUPPLY_MAX = DENIED_BIT - 1;

    /// @notice Stops and resumes the token.
    address public pauser;
    /// @notice True while nothing moves. In one storage slot with the pauser.
    bool public paused;
    /// @notice Denies accounts and lets them in again.
    address public denylister;
    /// @inheritdoc IERC20
    uint256 public totalSupply;
    /// @inheritdoc IERC20
    mapping(address owner => mapping(address spender => uint256)) public allowance;
    /// @notice True for each account that may mint within its allowance and burn its own tokens.
    mapping(address account => bool) public isMinter;
    /// @notice How much each minter may still mint, in token units.
    mapping(address minter => uint256) public minterAllowance;

    /// @dev Balance and deny flag of each account.
    mapping(address account => uint256) private _words;

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
    /// @notice Balances have 255 bits.
    error SupplyTooLarge(uint256 supply);
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
    constructor(address firstOwner, address firstPauser, address firstDenylister) Ownable(firstOwner) {
        // slither-disable-next-line missing-zero-check: zero means that nobody may
        pauser = firstPauser;
        // slither-disable-next-line missing-zero-check: zero means that nobody may
        denylister = firstDenylister;
        _words[address(this)] = DENIED_BIT;
        emit PauserChanged(address(0), firstPauser);
        emit DenylisterChanged(address(0), firstDenylister);
        emit Denied(address(this));
    }

    // ------------------------------------------------------------------------------------------------ token

    /// @inheritdoc IERC20Metadata
    function name() external pure returns (string memory) {
        return "Test USD";
    }

    /// @inheritdoc IERC20Metadata
    function symbol() external pure returns (string memory) {
        return "tUSD";
    }

    /// @notice Six, as the dollar stablecoins that are in use.
    /// @return The number of digits.
    function decimals() external pure returns (uint8) {
        return 6;
    }

    /// @inheritdoc IERC20
    function balanceOf(address account) public view returns (uint256) {
        return _words[account] & ~DENIED_BIT;
    }

    /// @notice True for each account that may neither send, spend nor receive.
    /// @param account Any account.
    /// @return True: it is on the deny list.
    function isDenied(address account) public view returns (bool) {
        return _words[account] & DENIED_BIT != 0;
    }

    /// @notice As in ERC-20.
    /// @param to Who receives.
    /// @param amount How much, in token units.
    /// @return Always true.
    function transfer(address to, uint256 amount) public virtual returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    /// @notice As in ERC-20. An allowance of 2^256 - 1 stays what it is.
    /// @param from Whose tokens move.
    /// @param to Who receives.
    /// @param amount How much, in token units.
    /// @return Always true.
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (amount > allowed) revert ERC20InsufficientAllowance(msg.sender, allowed, amount);
        if (allowed != type(uint256).max) allowance[from][msg.sender] = allowed - amount;
        _requireNotDenied(msg.sender);
        _move(from, to, amount);
        return true;
    }

    /// @notice As in ERC-20, but not while paused.
    /// @param spender Who may spend.
    /// @param amount How much, in token units.
    /// @return Always true.
    function approve(address spender, uint256 amount) external whenNotPaused returns (bool) {
        if (spender == address(0)) revert ERC20InvalidSpender(address(0));
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    /// @notice Makes tokens and lowers the minter's allowance by as much.
    /// @param to Who receives them.
    /// @param amount How much, in token units, not zero.
    function mint(address to, uint256 amount) external onlyMinter whenNotPaused {
        if (to == address(0)) revert ERC20InvalidReceiver(address(0));
        if (amount == 0) revert ZeroAmount();
        _requireNotDenied(msg.sender);
        _requireNotDenied(to);
        uint256 allowed = minterAllowance[msg.sender];
        if (amount > allowed) revert MinterAllowanceExceeded(msg.sender, allowed, amount);
        minterAllowance[msg.sender] = allowed - amount;
        totalSupply += amount;
        if (totalSupply > SUPPLY_MAX) revert SupplyTooLarge(totalSupply);
        _words[to] += amount;
        emit Mint(msg.sender, to, amount);
        emit Transfer(address(0), to, amount);
    }

    /// @notice Unmakes tokens of the minter's own balance. The allowance does not grow back.
    /// @param amount How much, in token units, not zero.
    function burn(uint256 amount) external onlyMinter whenNotPaused {
        if (amount == 0) revert ZeroAmount();
        _requireNotDenied(msg.sender);
        uint256 balance = _words[msg.sender];
        if (amount > balance) revert ERC20InsufficientBalance(msg.sender, balance, amount);
        _words[msg.sender] = balance - amount;
        totalSupply -= amount;
        emit Burn(msg.sender, amount);
        emit Transfer(msg.sender, address(0), amount);
    }

    // ------------------------------------------------------------------------------------------------ issuer

    /// @notice Makes an account a minter, or gives a minter another allowance; not while paused.
    /// @param minter The account.
    /// @param allowed How much it may mint from now on, in token units.
    function configureMinter(address minter, uint256 allowed) external onlyOwner whenNotPaused {
        isMinter[minter] = true;
        minterAllowance[minter] = allowed;
        emit MinterConfigured(minter, allowed);
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
        _words[account] |= DENIED_BIT;
        emit Denied(account);
    }

    /// @notice Takes an account off the deny list.
    /// @param account The account, not the token itself.
    function undeny(address account) external onlyDenylister {
        if (account == address(this)) revert TokenStaysDenied();
        _words[account] &= ~DENIED_BIT;
        emit Undenied(account);
    }

    /// @notice Names the pauser.
    /// @param next The account.
    function setPauser(address next) external onlyOwner {
        emit PauserChanged(pauser, next);
        // slither-disable-next-line missing-zero-check: zero means that nobody may
        pauser = next;
    }

    /// @notice Names the denylister.
    /// @param next The account.
    function setDenylister(address next) external onlyOwner {
        emit DenylisterChanged(denylister, next);
        // slither-disable-next-line missing-zero-check: zero means that nobody may
        denylister = next;
    }

    // ------------------------------------------------------------------------------------------------ inside

    /// @dev Words of accounts that are not denied are their balances.
    function _move(address from, address to, uint256 amount) private whenNotPaused {
        if (to == address(0)) revert ERC20InvalidReceiver(address(0));
        uint256 balance = _words[from];
        if (balance & DENIED_BIT != 0) revert AccountDenied(from);
        _requireNotDenied(to);
        if (amount > balance) revert ERC20InsufficientBalance(from, balance, amount);
        unchecked {
            // All balances together are the supply, which is below 2^255.
            _words[from] = balance - amount;
            _words[to] += amount;
        }
        emit Transfer(from, to, amount);
    }

    function _requireNotPaused() private view {
        if (paused) revert TokenPaused();
    }

    function _requireNotDenied(address account) private view {
        if (isDenied(account)) revert AccountDenied(account);
    }
}
