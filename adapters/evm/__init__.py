"""EVM chains: JSON-RPC, signing, contracts."""
