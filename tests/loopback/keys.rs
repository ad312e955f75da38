//! Keys and publishers as filters, and the one JSON shape.

use maille_tests::processes::{LOOPBACK, SOON, User};
use serde_json::{Value, json};

use crate::cast::{LONG, WAIT_TIMEOUT};

const ADDRESS: &str = "keys.example/equities/us";

#[test]
fn key_fields_and_key_filters_agree() {
    let user = User::new();
    let all = user
        .maille(["sub", ADDRESS, "--json", "--count", "4"])
        .args(LOOPBACK)
        .start();
    let some = user
        .maille(["sub", ADDRESS, "--key", "AAPL", "A,B", "--count", "3"])
        .args(LOOPBACK)
        .start();
    let options = ["--wait-for", "2", "--key-field", "2"];
    let publisher = user
        .maille(["pub", ADDRESS])
        .args(options)
        .args(LOOPBACK)
        .args(WAIT_TIMEOUT);
    let lines = ["1,AAPL,438", "2,MSFT,27.95", "3,\"A,B\",7", "4,AAPL,439"];
    let _ = publisher.input(lines.join("\n")).run(LONG).expect(0);
    let keys: Vec<Value> = all
        .wait(SOON)
        .expect(0)
        .text()
        .iter()
        .map(|line| json_of(line)["key"].clone())
        .collect();
    assert_eq!(keys, [json!("AAPL"), json!("MSFT"), json!("A,B"), json!("AAPL")]);
    assert_eq!(some.wait(SOON).expect(0).text(), [lines[0], lines[2], lines[3]]);
}

#[test]
fn fields_may_be_separated_by_other_characters_or_blanks() {
    let user = User::new();
    for (delimiter, line) in [(";", "1;KEY;x"), ("tab", "1\tKEY\tx"), ("blanks", "  1   KEY x")] {
        let subscriber = user
            .maille(["sub", ADDRESS, "--key", "KEY", "--count", "1"])
            .args(LOOPBACK)
            .start();
        let options = ["--key-field", "2", "--delimiter", delimiter];
        let publisher = user
            .maille(["pub", ADDRESS])
            .args(options)
            .args(LOOPBACK)
            .args(WAIT_TIMEOUT);
        let _ = publisher.input(line).run(LONG).expect(0);
        assert_eq!(subscriber.wait(SOON).expect(0).text(), [line]);
    }
}

#[test]
fn json_pointers_find_keys() {
    let user = User::new();
    let subscriber = user
        .maille(["sub", ADDRESS, "--json", "--count", "3"])
        .args(LOOPBACK)
        .start();
    let publisher = user
        .maille(["pub", ADDRESS, "--key-json", "/a/0/s"])
        .args(LOOPBACK)
        .args(WAIT_TIMEOUT);
    let input = "{\"a\":[{\"s\":\"IBM\"}]}\n{\"a\":[{\"s\":42}]}\n{\"a\":[{\"s\":true}]}\n";
    let _ = publisher.input(input).run(LONG).expect(0);
    let ended = subscriber.wait(SOON).expect(0);
    let keys: Vec<Value> = ended.text().iter().map(|line| json_of(line)["key"].clone()).collect();
    assert_eq!(keys, [json!("IBM"), json!("42"), json!("true")]);
}

#[test]
fn one_publisher_can_be_followed_alone() {
    let user = User::new();
    let publish = |name: &str| {
        let publisher = user
            .maille(["pub", ADDRESS, "--json", "--wait-for", "2"])
            .args(LOOPBACK)
            .args(WAIT_TIMEOUT);
        let publisher = publisher.start();
        let id = json_of(&publisher.stdout_line("", SOON))["author"]
            .as_str()
            .unwrap()
            .to_owned();
        // The command that it prints is the one to use.
        let command = publisher.stderr_line("to follow this publisher alone: maille ", SOON);
        assert_eq!(command, format!("sub maille://{ADDRESS} --publisher {id}"), "{name}");
        (publisher, id, command)
    };
    let (mut wanted, id, command) = publish("wanted");
    let (mut other, other_id, _) = publish("other");
    let follower = user.maille(command.split(' ')).args(["--json"]).args(LOOPBACK).start();
    let both = user
        .maille(["sub", ADDRESS, "--json", "--count", "4"])
        .args(LOOPBACK)
        .start();
    for (publisher, text) in [(&other, "no"), (&wanted, "yes")] {
        publisher.write(format!("{text} 1\n{text} 2\n"));
    }
    wanted.close_input();
    other.close_input();
    let published = wanted.wait(LONG).expect(0);
    let report = json_of(&published.text()[1]);
    assert_eq!(
        (&report["event"], &report["records"], &report["author"]),
        (&json!("published"), &json!(2), &json!(id))
    );
    let _ = other.wait(LONG).expect(0);
    let both = both.wait(SOON).expect(0);
    follower.stdout_count(2, SOON);
    follower.signal("INT");
    let followed = follower.wait(SOON).expect(130);
    let followed: Vec<Value> = followed.text().iter().map(|line| json_of(line)).collect();
    assert!(
        followed.iter().all(|record| record["author"] == id.as_str()),
        "{followed:?}"
    );
    let payloads: Vec<_> = followed.iter().map(|record| &record["payload"]).collect();
    assert_eq!(payloads, ["yes 1", "yes 2"]);
    let both: Vec<Value> = both.text().iter().map(|line| json_of(line)).collect();
    for author in [id, other_id] {
        assert_eq!(
            both.iter().filter(|record| record["author"] == author.as_str()).count(),
            2
        );
    }
}

#[test]
fn records_have_the_documented_json_shape() {
    let user = User::new();
    let subscriber = user
        .maille(["sub", ADDRESS, "--json", "--count", "3"])
        .args(LOOPBACK)
        .start();
    let publisher = user
        .maille(["pub", ADDRESS, "--json", "--binary", "--key-field", "1"])
        .args(LOOPBACK)
        .args(WAIT_TIMEOUT);
    let mut input = b"AAPL,na\xc3\xafve \"quoted\" \\ \xf0\x9f\xa6\x80\n".to_vec();
    input.extend_from_slice(b"\xff\xfe,x\n");
    input.extend_from_slice(b"k,\x00\x01\n");
    let published = publisher.input(input).run(LONG).expect(0);
    let introduction = json_of(&published.text()[0]);
    assert_eq!(introduction["event"], "publishing");
    let records: Vec<Value> = subscriber
        .wait(SOON)
        .expect(0)
        .text()
        .iter()
        .map(|line| json_of(line))
        .collect();
    for (sequence, record) in records.iter().enumerate() {
        assert_eq!(record["event"], "record");
        assert_eq!(record["topic"], "equities/us");
        assert_eq!(
            (&record["author"], &record["incarnation"]),
            (&introduction["author"], &introduction["incarnation"])
        );
        assert_eq!(record["sequence"], sequence);
        let (sent, received) = (instant(&record["sent_at"]), instant(&record["received_at"]));
        assert!(sent <= received, "{record}");
        let mut fields: Vec<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
        fields.retain(|field| !field.ends_with("_base64") && *field != "payload");
        fields.sort_unstable();
        let expected = [
            "author",
            "event",
            "incarnation",
            "key",
            "received_at",
            "sent_at",
            "sequence",
            "topic",
        ];
        assert_eq!(fields, expected, "{record}");
    }
    assert_eq!(
        (&records[0]["key"], &records[0]["payload"]),
        (&json!("AAPL"), &json!("AAPL,naïve \"quoted\" \\ 🦀"))
    );
    assert_eq!(
        (&records[1]["key"], &records[1]["key_base64"]),
        (&Value::Null, &json!("//4="))
    );
    assert_eq!(
        (&records[1]["payload"], &records[1]["payload_base64"]),
        (&Value::Null, &json!("//4seA=="))
    );
    assert_eq!(records[2]["payload"], "k,\u{0}\u{1}");
    assert!(records[0].get("payload_base64").is_none());
}

fn json_of(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// A time of RFC 3339 in UTC to the millisecond, which sorts as text.
fn instant(time: &Value) -> &str {
    let text = time.as_str().unwrap();
    let shape: String = text
        .chars()
        .map(|character| if character.is_ascii_digit() { '0' } else { character })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z");
    text
}
