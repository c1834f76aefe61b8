"""Public: verified fakes and one suite per contract, for those who add a store or a protocol."""
