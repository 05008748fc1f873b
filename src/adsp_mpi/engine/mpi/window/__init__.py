"""The one RMA window: who lies where, and both ends of every transfer; see docs/design.md."""
