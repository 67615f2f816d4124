"""Pages for people: where a buyer pays, where a developer controls the sandbox."""
