"""State to pictures: map, surface, profile and the card at the marker."""
