//! Nodes inside the test's process.
