//! A message with very many empty elements does not make a decoder allocate for them. One test, alone in its process,
//! because it reads the process's peak memory.

mod common;

use maille_proto::{
    CONTROL_FRAME_BYTES_MAX, DecodeError, FRAME_BODY_BYTES_MAX, PEER_CACHE_BYTES_MAX, append_lv, decode_control,
    decode_frame_body, decode_peer_cache,
};

const GROWTH_KIB_MAX: usize = 2_048;

#[test]
fn empty_elements_do_not_cost_memory() {
    // Two bytes for an element of 48 bytes in memory.
    let mut records = frame_head();
    records.extend([0x4a, 0].repeat((FRAME_BODY_BYTES_MAX - records.len()) / 2));
    let mut members = vec![];
    append_lv(&mut members, &[0x12, 0].repeat(PEER_CACHE_BYTES_MAX / 2 - 8));
    members.insert(0, 0x0a);
    let meshes = [0x0a, 0].repeat(PEER_CACHE_BYTES_MAX / 2);
    let mut acks = vec![];
    append_lv(&mut acks, &[0x0a, 0].repeat(CONTROL_FRAME_BYTES_MAX / 2 - 8));
    acks.insert(0, 0x0a);

    let before_kib = common::peak_memory_kib();
    let refused = [
        decode_frame_body(&records).map(drop),
        decode_peer_cache(&members).map(drop),
        decode_peer_cache(&meshes).map(drop),
        decode_control(&acks).map(drop),
    ];
    let after_kib = common::peak_memory_kib();

    for result in refused {
        assert!(matches!(result, Err(DecodeError::Count { .. })), "{result:?}");
    }
    let (Some(before_kib), Some(after_kib)) = (before_kib, after_kib) else {
        eprintln!("this system does not tell a process's peak memory: not checked");
        return;
    };
    let growth_kib = after_kib - before_kib;
    eprintln!("peak memory grew by {growth_kib} KiB");
    assert!(growth_kib <= GROWTH_KIB_MAX, "peak memory grew by {growth_kib} KiB");
}

fn frame_head() -> Vec<u8> {
    let mut head = vec![0x0a];
    append_lv(&mut head, &[1; 32]);
    head
}
