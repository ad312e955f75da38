//! Everything this program asks of maille: jobs and votes are records on two topics below the address, replicas are leases of a
//! group of the same name, inputs and large results are blobs.

use std::time::Duration;

use futures::StreamExt;
use maille::{
    Address, BlobId, Credential, Delivery, Json, Leases, Mesh, Node, Publisher, Start, Subscriber, Topic, TopicName,
};
use shared::{Failure, MeshArgs, Network, network, secret};

use crate::job::{Job, JobId, Said};

/// How long a lease outlives its holder.
const LEASE: Duration = Duration::from_secs(2);
/// How long a blob may take to come.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// A member, where jobs are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) node: Node,
    pub(crate) mesh: Mesh,
    topic: TopicName,
}

impl Place {
    /// Joins, without waiting for anybody.
    pub(crate) async fn join(address: &Address, network: &Network, args: &MeshArgs) -> Result<Self, Failure> {
        Self::enter(address, network, secret::credential(args, address)?).await
    }

    /// The same, with what opens the mesh at hand.
    pub(crate) async fn enter(address: &Address, network: &Network, credential: Credential) -> Result<Self, Failure> {
        let node = network.spawn(false).await?;
        let mesh = node
            .join(address.mesh().clone(), credential)
            .await
            .map_err(Failure::other)?;
        let topic = address.topic().clone();
        Ok(Self { node, mesh, topic })
    }

    /// Waits until somebody is there.
    pub(crate) async fn meet(&self, timeout: Duration) -> Result<(), Failure> {
        tokio::select! {
            () = self.mesh.joined() => Ok(()),
            failure = network::refused(&self.mesh) => Err(failure),
            () = tokio::time::sleep(timeout) => Err(Failure::Nobody(format!(
                "met no member of {} within {timeout:?}: is somebody there, and do you know a multiaddr of theirs (--bootstrap)?",
                self.mesh.name()
            ))),
        }
    }

    fn below<T>(&self, name: &str) -> Result<Topic<Json<T>>, Failure>
    where
        Json<T>: maille::Payload,
    {
        let topic = format!("{}/{name}", self.topic).parse();
        Ok(self
            .mesh
            .topic(topic.map_err(|error| Failure::Usage(format!("the topic: {error}")))?))
    }

    pub(crate) async fn jobs(&self) -> Result<Subscriber<Json<Job>>, Failure> {
        let subscribe = self
            .below("jobs")?
            .subscribe()
            .from(Start::All)
            .delivery(Delivery::Ordered);
        subscribe.start().await.map_err(Failure::other)
    }

    pub(crate) async fn submit(&self) -> Result<Publisher<Json<Job>>, Failure> {
        self.below("jobs")?.publisher().await.map_err(Failure::other)
    }

    pub(crate) async fn said(&self) -> Result<Subscriber<Json<Said>>, Failure> {
        let subscribe = self
            .below("votes")?
            .subscribe()
            .from(Start::All)
            .delivery(Delivery::Ordered);
        subscribe.start().await.map_err(Failure::other)
    }

    pub(crate) async fn say(&self) -> Result<Publisher<Json<Said>>, Failure> {
        self.below("votes")?.publisher().await.map_err(Failure::other)
    }

    pub(crate) async fn leases(&self) -> Result<Leases, Failure> {
        self.mesh
            .leases(self.topic.clone(), LEASE)
            .await
            .map_err(Failure::other)
    }

    /// A blob of at most so many bytes, from any holder.
    pub(crate) async fn blob(&self, id: BlobId, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let fetch = async {
            let fetch = self.mesh.fetch(id).await.map_err(Failure::other)?;
            let mut sizes = fetch.progress_changes();
            while let Some(progress) = sizes.next().await {
                if progress.bytes_total.is_some_and(|size| size > bytes_max as u64) {
                    return Err(Failure::Other(format!("the blob {id} has more than {bytes_max} bytes")));
                }
                if progress.bytes_total.is_some() {
                    break;
                }
            }
            Ok(fetch.bytes().await.map_err(Failure::other)?.to_vec())
        };
        let late = |_| Failure::Nobody(format!("nobody gave the blob {id} within {FETCH_TIMEOUT:?}"));
        tokio::time::timeout(FETCH_TIMEOUT, fetch).await.map_err(late)?
    }

    /// What a job is stored and found under.
    pub(crate) fn key(id: JobId) -> String {
        id.to_string()
    }
}
