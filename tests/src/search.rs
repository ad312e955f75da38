//! What T14 searches for, and how: secrets in every form in which they could be printed, and parts of them.

/// The mesh and topic that the stretched secret is for.
pub const ADDRESS: &str = "secrets.example/x";
/// A password that is nowhere by chance.
pub const CANARY: &str = "canary-Quoll7-Vexing9-Zephyr";
/// Members that must not get in say something like it.
pub const OTHER_CANARY: &str = "canary-Quoll7-Vexing9-Zebras";
/// What members stretch them to for this mesh: Argon2id of 64 MiB, 3 passes and 4 lanes, with the salt that the mesh's name
/// gives, computed apart from this project's code.
const STRETCHED: [&str; 2] = [
    "2eb934bca97c812b171b8008ea0d9737dd798a100b5a7380066dc51c5df74903",
    "69912c97542fb0ca9c5f605143db37f99b170d4e922a815e37c40fc4da3046a0",
];
/// What of it has to be absent: long enough not to be there by chance, so that parts of it count as well.
const PART_BYTES: usize = 12;
/// Between the parts that are searched; whatever leaks more than both holds one.
const PART_STEP_BYTES: usize = 4;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The forms in which a secret could be printed: itself, hexadecimal, as a list of bytes, and base64 at each of its three
/// alignments.
fn forms(secret: &[u8]) -> Vec<String> {
    let joined = |separator: &str, form: fn(&u8) -> String| secret.iter().map(form).collect::<Vec<_>>().join(separator);
    let mut forms = vec![
        String::from_utf8_lossy(secret).into_owned(),
        joined("", |byte| format!("{byte:02x}")),
        joined("", |byte| format!("{byte:02X}")),
        joined(" ", |byte| format!("{byte:02x}")),
        joined(":", |byte| format!("{byte:02x}")),
        joined(", ", |byte| format!("{byte}")),
        joined("", |byte| format!("\\x{byte:02x}")),
    ];
    for skipped in 0..3 {
        let bytes = &secret[skipped..];
        let base64 = bytes.chunks_exact(3).flat_map(|three| {
            let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
            [18, 12, 6, 0].map(|shift| char::from(BASE64[bits >> shift & 63]))
        });
        let base64: String = base64.collect();
        forms.push(base64.replace('+', "-").replace('/', "_"));
        forms.push(base64);
    }
    forms.retain(|form| form.len() >= PART_BYTES / 2);
    forms
}

/// What of a secret is in a text.
#[must_use]
pub fn found(text: &str, secret: &[u8]) -> Option<String> {
    let parts = secret.windows(PART_BYTES.min(secret.len())).step_by(PART_STEP_BYTES);
    parts.flat_map(forms).find(|form| text.contains(form.as_str()))
}

/// The canary's stretched secret, and the other's.
///
/// # Panics
/// Never: they are hexadecimal.
#[must_use]
pub fn stretched() -> [Vec<u8>; 2] {
    STRETCHED.map(bytes_of_hex)
}

fn bytes_of_hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn the_search_finds_what_it_searches() {
    for form in forms(CANARY.as_bytes()) {
        assert!(
            found(&format!("before {form} after"), CANARY.as_bytes()).is_some(),
            "{form}"
        );
    }
    assert!(
        found("xbase64 Y2FuYXJ5LVF1b2xs", CANARY.as_bytes()).is_some(),
        "of `canary-Quoll`, by another encoder"
    );
    assert!(found("63616e6172792d51756f6c6c", CANARY.as_bytes()).is_some());
    assert_eq!(found("nothing of it", CANARY.as_bytes()), None);
}
