//! Who is in the demo: a helper, and three members with folders of their own. Starts and stops them, no more.

use std::sync::Arc;
use std::time::Duration;

use maille::{Credential, MeshName, Password};
use shared::{Failure, Helper, Network};
use tempfile::TempDir;

use crate::app::App;
use crate::group::Group;
use crate::home::{Home, Known};

const NAMES: [&str; 3] = ["Ada", "Bo", "Chloé"];
pub(crate) const TITLE: &str = "Été à la mer";
/// How long members may take to meet.
const MEETING: Duration = Duration::from_secs(60);

pub(crate) struct Cast {
    pub(crate) members: Vec<Member>,
    mesh: MeshName,
    password: Password,
    helper: Helper,
    _folder: TempDir,
}

pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) app: Arc<App>,
}

impl Member {
    pub(crate) fn group(&self) -> Result<Arc<Group>, Failure> {
        self.app
            .group()
            .map_err(|_| Failure::Other(format!("{} has no group open", self.name)))
    }
}

impl Cast {
    /// All of them, once they met.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let helper = Helper::start(&Network::loopback(vec![])).await?;
        let network = Network::loopback(helper.multiaddrs());
        let folder = tempfile::tempdir().map_err(Failure::other)?;
        let mesh = "p-demo.party".parse().map_err(Failure::other)?;
        let password = Password::generate(&mut rand::rng());
        let members = NAMES.map(|name| Member {
            name,
            app: App::new(Home::new(folder.path().join(name)), network.clone()),
        });
        let cast = Self {
            members: members.into(),
            mesh,
            password,
            helper,
            _folder: folder,
        };
        for place in 0..NAMES.len() {
            cast.come(place).await?;
        }
        cast.meet(&[0, 1, 2]).await?;
        Ok(cast)
    }

    /// Waits until these know of each other.
    pub(crate) async fn meet(&self, places: &[usize]) -> Result<(), Failure> {
        let met = async {
            for place in places {
                self.members[*place].group()?.met(places.len() - 1).await;
            }
            Ok(())
        };
        let late = |_| Failure::Nobody("the members did not meet within a minute".to_owned());
        tokio::time::timeout(MEETING, met).await.map_err(late)?
    }

    /// A member opens the group.
    pub(crate) async fn come(&self, place: usize) -> Result<(), Failure> {
        let member = &self.members[place];
        let known = Known {
            mesh: self.mesh.to_string(),
            title: TITLE.to_owned(),
            name: member.name.to_owned(),
            ticket: None,
        };
        let credential = Credential::password(self.password.clone());
        member
            .app
            .open_directly(self.mesh.clone(), known, credential)
            .await
            .map_err(Failure::other)
    }

    pub(crate) async fn end(self) {
        for member in &self.members {
            member.app.close().await;
        }
        self.helper.stop().await;
    }
}
