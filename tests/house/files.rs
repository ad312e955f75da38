//! The commands about files that `--help` shows, run as they are typed.

use maille_tests::processes::SOON;

use crate::commands::{LONG, Terminal};

pub(crate) const FILES: [&str; 4] = [
    "maille share party.example beach.jpg cake.jpg",
    "maille share party.example film.mp4 --until-held 2 --data-dir /srv/party",
    "maille fetch party.example blob1… --out beach.jpg",
    "maille fetch party.example blob1… --timeout 2m | tar x",
];

#[test]
fn files_are_shared_and_fetched() {
    let terminal = Terminal::new();
    let user = &terminal.0;
    for name in ["beach.jpg", "cake.jpg"] {
        user.file(name, name);
    }
    let sharing = terminal.start(FILES[0]);
    sharing.stdout_count(2, SOON);
    let ids = sharing.stdout_lines();
    terminal
        .typed(FILES[2], &[("blob1…", &ids[0]), ("beach.jpg", "copy")])
        .run(LONG)
        .expect(0);
    assert_eq!(std::fs::read_to_string(user.path("copy")).unwrap(), "beach.jpg");
    sharing.kill();

    // Any archive: one file, packed by the shell's own tar.
    user.shell("echo film > inside && tar cf film.mp4 inside && rm inside")
        .run(SOON)
        .expect(0);
    let here = user.arg("party");
    let sharing = terminal.typed(FILES[1], &[("/srv/party", &here)]).start();
    let id = format!("blob1{}", sharing.stdout_line("blob1", SOON));
    terminal.typed(FILES[3], &[("blob1…", &id)]).run(LONG).expect(0);
    assert_eq!(std::fs::read_to_string(user.path("inside")).unwrap(), "film\n");
    sharing.signal("INT");
    let _ = sharing.wait(SOON).expect(130);
}
