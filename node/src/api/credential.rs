//! What opens a mesh: a password, or nothing at all.

use std::fmt;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::core::admission::{Secret, StretchError};
use crate::net::aside;
use crate::types::{MeshName, Password};

/// What a node shows to be admitted to a mesh.
///
/// A clone shares the stretched password: a process that runs many nodes pays for Argon2id once a mesh.
#[derive(Clone)]
pub struct Credential {
    kind: Kind,
    founding: bool,
    weak_allowed: bool,
    stretched: Arc<OnceCell<(MeshName, Secret)>>,
}

#[derive(Clone)]
enum Kind {
    Password(Password),
    Open,
}

impl Credential {
    /// The mesh's password.
    #[must_use]
    pub fn password(password: Password) -> Self {
        Self::new(Kind::Password(password))
    }

    /// An open mesh: whoever knows its name enters. Members still encrypt and authenticate every connection.
    #[must_use]
    pub fn open() -> Self {
        Self::new(Kind::Open)
    }

    /// Says that this node founds the mesh, so that a weak password is refused rather than warned about.
    #[must_use]
    pub fn founding(mut self, founding: bool) -> Self {
        self.founding = founding;
        self
    }

    /// Lets a mesh be founded with a weak password.
    #[must_use]
    pub fn allow_weak(mut self, allowed: bool) -> Self {
        self.weak_allowed = allowed;
        self
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            founding: false,
            weak_allowed: false,
            stretched: Arc::default(),
        }
    }

    /// The secret of a mesh, stretched off the caller's thread (about 0.2 s and 64 MiB), once for all clones.
    pub(crate) async fn secret(&self, mesh: &MeshName) -> Result<Secret, StretchError> {
        let stretch = || async {
            let (kind, mesh) = (self.kind.clone(), mesh.clone());
            let stretched = aside::run(move || match kind {
                Kind::Password(password) => Ok((mesh.clone(), Secret::stretch(&mesh, &password)?)),
                Kind::Open => Ok((mesh.clone(), Secret::open(&mesh))),
            });
            match stretched.await {
                Ok(stretched) => stretched,
                // Only when the runtime is going down, and this future with it.
                Err(_) => std::future::pending().await,
            }
        };
        let (stretched_for, secret) = self.stretched.get_or_try_init(stretch).await?;
        match stretched_for == mesh {
            true => Ok(secret.clone()),
            false => stretch().await.map(|(_, secret)| secret),
        }
    }

    /// Binary logarithm of the guesses a weak password needs; nothing for a strong one, or an open mesh.
    pub(crate) fn weakness(&self) -> Option<f64> {
        let Kind::Password(password) = &self.kind else {
            return None;
        };
        let strength = password.strength();
        strength.is_weak().then_some(strength.guesses_log2)
    }

    /// A mesh that is being founded is refused a weak password, unless that was allowed.
    pub(crate) fn refuses_weak(&self) -> bool {
        self.founding && !self.weak_allowed
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Password(_) => "Credential::Password(..)",
            Kind::Open => "Credential::Open",
        })
    }
}
