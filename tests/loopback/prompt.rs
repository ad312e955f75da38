//! The prompt for a password: it is on the terminal, whatever standard input is, and shows nothing that is typed.

use maille_tests::processes::{LOOPBACK, PASSWORD, SOON, User, WRONG_PASSWORD};

use crate::cast::{LONG, WAIT_TIMEOUT};

const ADDRESS: &str = "prompt.example/x";
const PROMPT: &str = "Password of prompt.example: ";
/// What Ctrl-C is to a program at a terminal.
const CTRL_C: &str = "\x03";

/// The control of all below: a terminal shows what is typed into it, unless the program there asks it not to.
#[test]
fn a_terminal_shows_what_is_typed() {
    let user = User::new();
    let (running, terminal) = user.shell("read line < /dev/tty; echo \"$line\"").start_at_terminal();
    terminal.types(&format!("{PASSWORD}\r"));
    terminal.shows(PASSWORD, SOON);
    assert_eq!(running.wait(SOON).expect(0).text(), [PASSWORD]);
}

#[test]
fn a_password_is_asked_for_on_the_terminal_and_not_shown() {
    let user = User::new();
    let sub = user
        .maille(["sub", ADDRESS, "--count", "2"])
        .args(LOOPBACK)
        .no_password();
    let (subscriber, terminal) = sub.start_at_terminal();
    terminal.asks(PROMPT, SOON);
    terminal.types(&format!("{PASSWORD}\r"));
    subscriber.stderr_line("subscribed to ", SOON);

    // Standard input holds records, all of them there before the password is.
    let publish = user
        .maille(["pub", ADDRESS])
        .args(LOOPBACK)
        .args(WAIT_TIMEOUT)
        .no_password();
    let (publisher, keyboard) = publish.input("not the password\nnor this\n").start_at_terminal();
    keyboard.asks(PROMPT, SOON);
    // A mistake that is corrected: Backspace takes one letter back.
    keyboard.types(&format!("{PASSWORD}x\x7f\r"));
    let published = publisher.wait(LONG).expect(0);
    assert_eq!(
        published.last_word(),
        "published 2 records to 1 neighbour",
        "{published}"
    );
    let subscribed = subscriber.wait(LONG).expect(0);
    assert_eq!(subscribed.text(), ["not the password", "nor this"]);

    for (ended, terminal) in [(published, keyboard), (subscribed, terminal)] {
        assert_eq!(
            terminal.screen().trim_end(),
            PROMPT.trim_end(),
            "nothing but the prompt"
        );
        assert!(!ended.stderr.concat().contains("shrine"), "{ended}");
    }
}

#[test]
fn a_wrong_password_that_is_typed_is_refused() {
    let user = User::new();
    let right = user.maille(["sub", ADDRESS]).args(LOOPBACK).start();
    right.stderr_line("subscribed to ", SOON);
    let wrong = user
        .maille(["pub", ADDRESS])
        .args(LOOPBACK)
        .args(WAIT_TIMEOUT)
        .no_password();
    let (wrong, terminal) = wrong.input("hi\n").start_at_terminal();
    terminal.asks(PROMPT, SOON);
    terminal.types(&format!("{WRONG_PASSWORD}\r"));
    let _ = wrong
        .wait(LONG)
        .expect(3)
        .says(&["accepted this password: it may be wrong"]);
    assert_eq!(right.stdout_lines(), [""; 0]);
}

#[test]
fn ctrl_c_at_the_prompt_ends_with_130_and_the_terminal_is_as_before() {
    let user = User::new();
    for command in ["sub", "pub"] {
        let line = format!(
            "before=$(stty -g < /dev/tty); maille {command} {ADDRESS} {}; echo \"ended with $?\"; \
             test \"$before\" = \"$(stty -g < /dev/tty)\" && echo as before; stty -a < /dev/tty",
            LOOPBACK.join(" ")
        );
        let (running, terminal) = user.shell(&line).no_password().start_at_terminal();
        terminal.asks(PROMPT, SOON);
        terminal.types(&format!("half of it{CTRL_C}"));
        let ended = running.wait(SOON).expect(0);
        let lines = ended.text();
        assert_eq!(lines[..2], ["ended with 130", "as before"], "{ended}");
        assert!(
            lines[2..].concat().contains(" echo "),
            "what is typed is shown again: {ended}"
        );
        assert!(!terminal.screen().contains("half"), "{:?}", terminal.screen());
        assert_eq!(ended.stderr, [""; 0], "who interrupts is told nothing: {ended}");
    }
}

#[test]
fn a_founder_is_asked_twice_and_an_empty_password_opens_nothing() {
    let user = User::new();
    let found = || {
        user.maille(["sub", ADDRESS, "--found", "--timeout", "1"])
            .args(LOOPBACK)
            .no_password()
    };
    let answered = |second: &str| {
        let (running, terminal) = found().start_at_terminal();
        terminal.asks(PROMPT, SOON);
        terminal.types(&format!("{PASSWORD}\r"));
        terminal.asks("Again: ", SOON);
        terminal.types(&format!("{second}\r"));
        let ended = running.wait(SOON);
        assert!(!terminal.screen().contains("shrine"), "{:?}", terminal.screen());
        ended
    };
    let _ = answered(PASSWORD).expect(4);
    let _ = answered(WRONG_PASSWORD).expect(2).says(&["the two passwords differ"]);

    let (running, terminal) = user
        .maille(["sub", ADDRESS])
        .args(LOOPBACK)
        .no_password()
        .start_at_terminal();
    terminal.asks(PROMPT, SOON);
    terminal.types("\r");
    let _ = running
        .wait(SOON)
        .expect(2)
        .says(&["the password that was typed is empty", "--open"]);
}

/// Without a terminal there is nobody to ask; standard input is not read for it.
#[test]
fn without_a_terminal_nobody_is_asked() {
    let user = User::new();
    let line = format!("exec setsid maille pub {ADDRESS} {}", LOOPBACK.join(" "));
    let ended = user.shell(&line).no_password().input(format!("{PASSWORD}\n")).run(SOON);
    let _ = ended.expect(2).says(&[
        "there is no password and no terminal to ask for it",
        "--password-file FILE",
    ]);
}
