//! Keys under which a mesh and its topics are looked up: computed from names only, never from a password.

use maille_proto::append_lv;

use super::{MeshName, ServiceName, TopicName};

/// The length of a rendezvous key.
const KEY_BYTES: usize = blake3::OUT_LEN;
const MESH_CONTEXT: &str = "maille 1 mesh rendezvous";
const TOPIC_CONTEXT: &str = "maille 1 topic rendezvous";
const SERVICE_CONTEXT: &str = "maille 1 service";

/// The key of a mesh in the DHT.
#[must_use]
pub fn mesh_key(mesh: &MeshName) -> [u8; KEY_BYTES] {
    blake3::derive_key(MESH_CONTEXT, mesh.as_str().as_bytes())
}

/// The key of a topic in the DHT.
#[must_use]
pub fn topic_key(mesh: &MeshName, topic: &TopicName) -> [u8; KEY_BYTES] {
    key(TOPIC_CONTEXT, mesh, topic.as_str())
}

fn key(context: &str, mesh: &MeshName, name: &str) -> [u8; KEY_BYTES] {
    let mut names = Vec::new();
    append_lv(&mut names, mesh.as_str().as_bytes());
    append_lv(&mut names, name.as_bytes());
    blake3::derive_key(context, &names)
}

/// A topic, as member records name it: the first 8 bytes of its key. Two topics of a mesh may share one; that costs a
/// needless neighbour, nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicHint(
    /// The bytes, big endian.
    pub u64,
);

impl TopicHint {
    /// The hint of `topic` in `mesh`.
    #[must_use]
    pub fn of(mesh: &MeshName, topic: &TopicName) -> Self {
        Self::first_of(&topic_key(mesh, topic))
    }

    /// The hint of a service: records name what a member serves as they name its topics.
    #[must_use]
    pub fn of_service(mesh: &MeshName, service: &ServiceName) -> Self {
        Self::first_of(&key(SERVICE_CONTEXT, mesh, service.as_str()))
    }

    fn first_of(key: &[u8; KEY_BYTES]) -> Self {
        let (first, _) = key.split_first_chunk().expect("a key is longer than 8 bytes");
        Self(u64::from_be_bytes(*first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_specification() {
        let mesh: MeshName = "market.example".parse().unwrap();
        let topic: TopicName = "equities/us".parse().unwrap();
        assert_eq!(
            mesh_key(&mesh),
            blake3::derive_key("maille 1 mesh rendezvous", b"market.example")
        );
        let key = blake3::derive_key("maille 1 topic rendezvous", b"\x0emarket.example\x0bequities/us");
        assert_eq!(topic_key(&mesh, &topic), key);
        assert_eq!(TopicHint::of(&mesh, &topic).0.to_be_bytes(), key[..8]);
        let service: ServiceName = "equities/us".parse().unwrap();
        let key = blake3::derive_key("maille 1 service", b"\x0emarket.example\x0bequities/us");
        assert_eq!(TopicHint::of_service(&mesh, &service).0.to_be_bytes(), key[..8]);
    }

    #[test]
    fn names_do_not_run_into_each_other() {
        let key = |mesh: &str, topic: &str| topic_key(&mesh.parse().unwrap(), &topic.parse().unwrap());
        assert_ne!(key("ab", "c"), key("a", "bc"));
        assert_ne!(key("a", "b"), key("a", "B"));
    }
}
