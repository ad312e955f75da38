//! The commands about members that `--help` shows, run as they are typed.

use maille_tests::processes::SOON;

use crate::commands::{LONG, Terminal};

pub(crate) const MEMBERS: [&str; 3] = [
    "maille members market.example",
    "maille members market.example --watch --nickname Ann",
    "maille members market.example --watch --json",
];

#[test]
fn members_are_listed_and_watched() {
    let terminal = Terminal::new();
    let [people, programs] = [MEMBERS[1], MEMBERS[2]].map(|command| {
        let running = terminal.start(command);
        running.stderr_line("watching market.example as ", SOON);
        running
    });
    people.stdout_line("joined  12D3KooW", LONG);
    programs.stdout_line("{\"event\":\"joined\"", LONG);
    let deadline = std::time::Instant::now() + LONG;
    while !terminal.run(MEMBERS[0]).iter().any(|row| row.ends_with("  Ann")) {
        assert!(std::time::Instant::now() < deadline, "Ann is not listed");
    }
}
