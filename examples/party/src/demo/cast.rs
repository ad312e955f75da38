//! Who is in the demo: a helper, and members with folders of their own. Starts and stops them, no more.

use std::collections::BTreeSet;
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
    credential: Credential,
    helper: Helper,
    _folder: TempDir,
}

pub(crate) struct Member {
    pub(crate) name: String,
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
    pub(crate) async fn start(members: usize) -> Result<Self, Failure> {
        let helper = Helper::start(&Network::loopback(vec![])).await?;
        let network = Network::loopback(helper.multiaddrs());
        let folder = tempfile::tempdir().map_err(Failure::other)?;
        let mesh = "p-demo.party".parse().map_err(Failure::other)?;
        // Stretched once for all.
        let credential = Credential::password(Password::generate(&mut rand::rng()));
        let names = NAMES.map(str::to_owned).into_iter();
        let names = names.chain((NAMES.len() + 1..).map(|number| format!("Member {number}")));
        let members = names.take(members).map(|name| Member {
            app: App::new(Home::new(folder.path().join(&name)), network.clone()),
            name,
        });
        let cast = Self {
            members: members.collect(),
            mesh,
            credential,
            helper,
            _folder: folder,
        };
        for place in cast.all() {
            cast.come(place).await?;
        }
        cast.meet(&cast.all()).await?;
        Ok(cast)
    }

    /// The places of all.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.members.len()).collect()
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
            name: member.name.clone(),
            ticket: None,
        };
        member
            .app
            .open_directly(self.mesh.clone(), known, self.credential.clone())
            .await
            .map_err(Failure::other)
    }

    /// Resolves once all members have the same plan.
    pub(crate) async fn merged(&self) {
        loop {
            let groups: Vec<_> = self.members.iter().filter_map(|member| member.group().ok()).collect();
            let hashes: BTreeSet<_> = groups.iter().map(|group| group.hash()).collect();
            if hashes.len() == 1 {
                return;
            }
            let changes = groups.iter().map(|group| Box::pin(group.changed()));
            // A change of any of them.
            let _ = futures::future::select_all(changes).await;
        }
    }

    pub(crate) async fn end(self) {
        for member in &self.members {
            member.app.close().await;
        }
        self.helper.stop().await;
    }
}
