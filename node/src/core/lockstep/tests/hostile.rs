//! What hostile members say: every byte is taken, nothing grows, and the game goes on.
