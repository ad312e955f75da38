//! T14 behind the API: the machines of a handshake hold what a password was stretched to, and print nothing of it.

use maille::Keypair;
use maille::core::admission::{Input, Secret};
use maille_tests::search::{CANARY, found, stretched};

use crate::by_hand::{key, opener};

const MESH: &str = "secrets.example";

#[test]
fn the_machines_of_a_handshake_print_no_secret() {
    let key = key(MESH, CANARY);
    let [me, peer] = [(); 2].map(|()| Keypair::generate_ed25519().public().to_peer_id());
    let mut opener = opener(&key, me, peer);
    let secret = Secret::stretch(&MESH.parse().unwrap(), &maille::Password::parse(CANARY).unwrap()).unwrap();
    let mut text = format!("{secret:?} {secret:#?} {key:?} {key:#?} {opener:?} {opener:#?}");
    let mut actions = Vec::new();
    opener.handle(Input::Started, std::time::Instant::now(), &mut actions);
    text += &format!("{opener:?} {opener:#?} {actions:?} {actions:#?}");
    assert!(text.contains(MESH) && text.contains("Opener"), "{text}");
    for secret in stretched().iter().map(Vec::as_slice).chain([CANARY.as_bytes()]) {
        assert_eq!(found(&text, secret), None, "in:\n{text}");
    }
}
