//! Lines of standard input that cannot be records: exit code 5, the line named, what came before it delivered.

use maille_tests::processes::{Ended, LOOPBACK, SOON, User};

use crate::cast::{LONG, WAIT_TIMEOUT};

const ADDRESS: &str = "records.example/x";
const RECORD_BYTES_MAX: usize = 256 * 1024;
const KEY_BYTES_MAX: usize = 256;

/// Publishes to nobody.
fn published(options: &[&str], input: impl Into<Vec<u8>>) -> Ended {
    let user = User::new();
    let publisher = user
        .maille(["pub", ADDRESS, "--wait-for", "0"])
        .args(LOOPBACK)
        .args(options);
    publisher.input(input).run(SOON)
}

#[test]
fn the_line_that_cannot_be_read_is_named() {
    let long = "x".repeat(RECORD_BYTES_MAX + 1);
    let cases: &[(&[&str], Vec<u8>, &[&str])] = &[
        (
            &[],
            long.clone().into(),
            &["line 1 is longer than a record may be (262144 bytes)"],
        ),
        (
            &[],
            format!("fine\n{long}\n").into(),
            &["line 2 is longer", "before it, published 1 record to 0 neighbours"],
        ),
        (
            &[],
            b"fine\nab\xff\n".to_vec(),
            &["line 2 is not valid UTF-8 at its byte 3", "--binary"],
        ),
        (
            &["--binary", "--key-field", "2"],
            b"\xff\n".to_vec(),
            &["line 1 cannot be published", "no field 2, only 1"],
        ),
        (
            &["--key-field", "9"],
            b"a,b,c\n".to_vec(),
            &["line 1 cannot be published: it has no field 9, only 3"],
        ),
        (
            &["--key-field", "2"],
            b"a,b\nc\n".to_vec(),
            &["line 2 cannot be published: it has no field 2, only 1"],
        ),
        (
            &["--key-json", "/s"],
            b"{\"s\":\"A\"}\n{\"t\":1}\n".to_vec(),
            &["line 2", "nothing at \"/s\""],
        ),
        (
            &["--key-json", "/s"],
            b"not json\n".to_vec(),
            &["line 1 cannot be published: it is not JSON"],
        ),
        (
            &["--key-json", "/s"],
            b"{\"s\":[1]}\n".to_vec(),
            &["neither text nor number nor boolean"],
        ),
        (
            &["--key-field", "1"],
            format!("{},x\n", "k".repeat(KEY_BYTES_MAX + 1)).into(),
            &["line 1 cannot be published: its key has 257 bytes, and a key at most 256"],
        ),
    ];
    for (options, input, words) in cases {
        let ended = published(options, input.clone()).expect(5).says(words);
        assert_eq!(ended.stdout.len(), 0, "{ended}");
    }
}

#[test]
fn what_came_before_a_bad_line_is_delivered_and_nothing_after_it() {
    let user = User::new();
    let subscriber = user.maille(["sub", ADDRESS]).args(LOOPBACK).start();
    subscriber.stderr_line("subscribed to ", SOON);
    let publisher = user.maille(["pub", ADDRESS]).args(LOOPBACK).args(WAIT_TIMEOUT);
    let ended = publisher
        .input(b"one\ntwo\n\xff\xfe\nfour\n".to_vec())
        .run(LONG)
        .expect(5);
    let ended = ended.says(&["line 3 is not valid UTF-8 at its byte 1"]);
    assert_eq!(
        ended.last_word(),
        "before it, published 2 records to 1 neighbour",
        "{ended}"
    );
    subscriber.stdout_count(2, SOON);
    let publisher = user.maille(["pub", ADDRESS]).args(LOOPBACK).args(WAIT_TIMEOUT);
    let _ = publisher.input("last\n").run(LONG).expect(0);
    subscriber.stdout_line("last", SOON);
    assert_eq!(subscriber.stdout_lines(), ["one", "two", "last"]);
}

#[test]
fn records_at_the_limit_of_any_bytes_empty_and_without_a_line_end_arrive_as_they_are() {
    let user = User::new();
    let subscriber = user.maille(["sub", ADDRESS]).args(LOOPBACK).start();
    subscriber.stderr_line("subscribed to ", SOON);
    let largest = "x".repeat(RECORD_BYTES_MAX);
    let mut input = format!("{largest}\n\ncr\r\nnaïve 🦀\n").into_bytes();
    input.extend_from_slice(b"\xff\x00\xfe\nno line end");
    let publisher = user
        .maille(["pub", ADDRESS, "--binary"])
        .args(LOOPBACK)
        .args(WAIT_TIMEOUT);
    let published = publisher.input(input).run(LONG).expect(0);
    assert_eq!(published.last_word(), "published 6 records to 1 neighbour");
    subscriber.stdout_count(6, SOON);
    subscriber.signal("INT");
    let got = subscriber.wait(SOON).expect(130).stdout;
    let expected = [
        largest.as_bytes(),
        b"",
        b"cr",
        "naïve 🦀".as_bytes(),
        b"\xff\x00\xfe",
        b"no line end",
    ];
    assert!(
        got.iter().eq(expected.iter()),
        "{} lines, the first of {} bytes",
        got.len(),
        got[0].len()
    );
}
