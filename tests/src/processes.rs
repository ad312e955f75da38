//! The programs as processes of their own.
