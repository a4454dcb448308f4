"""Models beside the rules (needs the extra `models`): novelty, learning from labels, trained trees."""
