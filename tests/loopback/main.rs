//! The programs as people run them: separate processes on 127.0.0.1, told to stay there.

mod bad_input;
mod bad_records;
mod blobs;
mod cast;
mod documents;
mod endings;
mod feed;
mod history;
mod identities;
mod keepers;
mod keys;
mod kills;
mod members;
#[cfg(unix)]
mod ports_and_rights;
#[cfg(target_os = "linux")]
mod prompt;
mod refusal;
#[cfg(unix)]
mod requests;
mod secrets;
mod secrets_in_memory;
mod small_commands;
mod stalled;
mod tickers;
mod tickets;
mod two_terminals;
