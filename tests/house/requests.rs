//! The commands about requests that `--help` shows, run as they are typed.

use maille_tests::processes::SOON;

use crate::commands::Terminal;

pub(crate) const REQUESTS: [&str; 4] = [
    "echo Ada | maille request party.example greet",
    "echo Ada | maille request party.example greet --json",
    "maille reply party.example greet --exec cat",
    "maille reply party.example words --at-once 2 --exec wc -w",
];

#[test]
fn programs_answer_requests() {
    let terminal = Terminal::new();
    let greet = terminal.start(REQUESTS[2]);
    let words = terminal.start(REQUESTS[3]);
    for server in [&greet, &words] {
        server.stderr_line("serving ", SOON);
    }
    assert_eq!(terminal.run(REQUESTS[0]), ["Ada"]);
    let json = terminal.run(REQUESTS[1]);
    assert!(json[0].contains(r#""answer":"Ada\n""#), "{json:?}");
    let count = terminal.run("echo one two three | maille request party.example words");
    assert_eq!(count[0].trim(), "3");
}
