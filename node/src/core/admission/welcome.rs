//! The sealed welcome: what an acceptor tells a new member and nobody else. Whom to name in it is decided elsewhere.

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use maille_proto::{
    MEMBER_ENVELOPE_BYTES_MAX, MEMBER_TOPICS_MAX, SAMPLE_RECORDS_MAX, WELCOME_BYTES_MAX, admission::Welcome,
    decode_welcome,
};
use prost::Message as _;

use super::wire::{Mac, Session};

/// Fits the sample into one `Accept` and seals the whole.
pub(super) fn seal(key: &[u8; 32], mac: &Mac, session: &Session, welcome: Welcome) -> Vec<u8> {
    let plain = fit(session, welcome).encode_to_vec();
    ChaCha20Poly1305::new(key.into())
        .encrypt(&Nonce::default(), Payload { msg: &plain, aad: mac })
        .expect("ChaCha20-Poly1305 seals up to 256 GiB")
}

/// Opens what [`seal`] made; `None` for anything else.
pub(super) fn open(key: &[u8; 32], mac: &Mac, sealed: &[u8]) -> Option<Welcome> {
    let plain = ChaCha20Poly1305::new(key.into())
        .decrypt(&Nonce::default(), Payload { msg: sealed, aad: mac })
        .ok()?;
    decode_welcome(&plain).ok()
}

/// Keeps the records that are within their bounds and, in their order, those that still have room.
fn fit(session: &Session, welcome: Welcome) -> Welcome {
    let mut fitted = Welcome {
        session: session.to_vec(),
        sample: Vec::new(),
    };
    let mut bytes = fitted.encoded_len();
    for record in welcome.sample {
        let in_bounds = (1..=MEMBER_ENVELOPE_BYTES_MAX).contains(&record.envelope.len())
            && record.topics.len() <= MEMBER_TOPICS_MAX;
        let length = record.encoded_len();
        // A record costs its field's key and length as well.
        let cost = 1 + prost::length_delimiter_len(length) + length;
        if in_bounds && bytes + cost <= WELCOME_BYTES_MAX && fitted.sample.len() < SAMPLE_RECORDS_MAX {
            bytes += cost;
            fitted.sample.push(record);
        }
    }
    fitted
}

#[cfg(test)]
mod tests {
    use maille_proto::admission::MemberRecord;

    use super::*;

    fn record(envelope: usize, topics: usize) -> MemberRecord {
        MemberRecord {
            envelope: vec![7; envelope],
            topics: vec![u64::MAX; topics],
        }
    }

    #[test]
    fn a_sample_is_cut_to_what_fits_and_comes_back() {
        let (key, mac, session) = ([1; 32], [2; 32], [3; 16]);
        for (records, kept) in [
            (vec![], 0),
            (vec![record(200, 3); 40], SAMPLE_RECORDS_MAX),
            (vec![record(1_024, 64); 16], 5),
            // Too long, empty, too many topics: skipped, not sent and not in the way of the good one.
            (vec![record(1_025, 0), record(0, 0), record(9, 65), record(9, 64)], 1),
            // What is too large for the rest of the room does not hide what would still fit.
            ([vec![record(1_024, 64); 6], vec![record(100, 0)]].concat(), 6),
        ] {
            let sealed = seal(
                &key,
                &mac,
                &session,
                Welcome {
                    session: vec![],
                    sample: records,
                },
            );
            assert!(sealed.len() <= WELCOME_BYTES_MAX + maille_proto::SEAL_BYTES);
            let welcome = open(&key, &mac, &sealed).unwrap();
            assert_eq!((welcome.session, welcome.sample.len()), (session.to_vec(), kept));
        }
    }

    #[test]
    fn a_welcome_opens_only_with_its_key_and_mac_and_unaltered() {
        let sealed = seal(
            &[1; 32],
            &[2; 32],
            &[3; 16],
            Welcome {
                session: vec![],
                sample: vec![record(9, 1)],
            },
        );
        assert!(open(&[1; 32], &[2; 32], &sealed).is_some());
        assert!(open(&[0; 32], &[2; 32], &sealed).is_none());
        assert!(open(&[1; 32], &[0; 32], &sealed).is_none());
        for i in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[i] ^= 1;
            assert!(open(&[1; 32], &[2; 32], &altered).is_none(), "byte {i}");
        }
    }
}
