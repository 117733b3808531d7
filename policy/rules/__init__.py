"""The rules, which are pure functions over resources."""
