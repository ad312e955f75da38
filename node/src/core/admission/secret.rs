//! The 32 bytes that members of a mesh share. Not the password: that is stretched into one of these, once a join.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::types::{MeshName, Password};

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;
/// What one guess costs a guesser: memory, in KiB (64 MiB).
const STRETCH_MEMORY_KIB: u32 = 64 * 1024;
/// Passes over that memory.
const STRETCH_PASSES: u32 = 3;
/// Lanes of that memory.
const STRETCH_LANES: u32 = 4;
const SALT_BYTES: usize = 16;
const SALT_CONTEXT: &str = "maille 1 password salt";
const OPEN_CONTEXT: &str = "maille 1 open mesh";

/// What the members of a mesh share. Wiped on drop, never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

/// A password could not be stretched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not enough memory to stretch a password: {} MiB must be free", STRETCH_MEMORY_KIB / 1024)]
pub struct StretchError;

impl Secret {
    /// Stretches a password with Argon2id (64 MiB, 3 passes, 4 lanes), salted with the mesh's name so that a table made
    /// for one mesh is worthless for another. Takes a good part of a second: never on the swarm's task.
    ///
    /// # Errors
    /// [`StretchError`] when the memory cannot be had.
    pub fn stretch(mesh: &MeshName, password: &Password) -> Result<Self, StretchError> {
        let params = Params::new(STRETCH_MEMORY_KIB, STRETCH_PASSES, STRETCH_LANES, Some(SECRET_BYTES))
            .map_err(|_| StretchError)?;
        let salt = blake3::derive_key(SALT_CONTEXT, mesh.as_str().as_bytes());
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.expose().as_bytes(), &salt[..SALT_BYTES], secret.as_mut())
            .map_err(|_| StretchError)?;
        Ok(Secret(secret))
    }

    /// The secret of an open mesh, which is none: **anyone who knows the mesh's name can compute it and enter.** It goes
    /// through the same handshake, so that open and closed meshes look alike, and it is no password's: a mesh is open
    /// because its founder said so, never because a password happened to be empty.
    #[must_use]
    pub fn open(mesh: &MeshName) -> Self {
        Secret(Zeroizing::new(blake3::derive_key(
            OPEN_CONTEXT,
            mesh.as_str().as_bytes(),
        )))
    }

    /// A secret that nobody else has.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        rng.fill_bytes(secret.as_mut());
        Secret(secret)
    }

    pub(super) fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    impl Secret {
        /// A secret that differs in one bit.
        pub(in crate::core::admission) fn with_flipped_bit(mut self, bit: usize) -> Self {
            self.0[bit / 8] ^= 1 << (bit % 8);
            self
        }
    }

    #[test]
    fn stretching_depends_on_password_and_mesh_and_on_nothing_else() {
        let (mesh, other): (MeshName, MeshName) = ("market.example".parse().unwrap(), "b.example".parse().unwrap());
        let password = Password::parse("correct horse battery staple").unwrap();
        let stretched = Secret::stretch(&mesh, &password).unwrap();
        assert_eq!(stretched.expose(), Secret::stretch(&mesh, &password).unwrap().expose());
        assert_ne!(stretched.expose(), Secret::stretch(&other, &password).unwrap().expose());
        let another = Password::parse("correct horse battery stapl").unwrap();
        assert_ne!(stretched.expose(), Secret::stretch(&mesh, &another).unwrap().expose());
        // An open mesh's secret is its own derivation: not the stretching of anything somebody may type.
        assert_ne!(stretched.expose(), Secret::open(&mesh).expose());
        assert_ne!(Secret::open(&mesh).expose(), Secret::open(&other).expose());
        assert_eq!(Secret::open(&mesh).expose(), Secret::open(&mesh.clone()).expose());
    }

    #[test]
    fn random_secrets_differ_and_none_is_shown() {
        let mut rng = StdRng::seed_from_u64(1);
        let (a, b) = (Secret::random(&mut rng), Secret::random(&mut rng));
        assert_ne!(a.expose(), b.expose());
        assert_eq!(
            format!("{a:?} {:#?}", Some(b)),
            "Secret(redacted) Some(\n    Secret(redacted),\n)"
        );
    }
}
