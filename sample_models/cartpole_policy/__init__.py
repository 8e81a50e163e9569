"""The policy that balances a pole on a cart."""
