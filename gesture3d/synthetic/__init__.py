"""How a generated clip comes about: hand, performer, gesture, scene, and the pictures of it."""
