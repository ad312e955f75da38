//! Modules and inputs of jobs, fetched once for all their tasks.

use std::collections::VecDeque;
use std::sync::Arc;

use maille::BlobId;
use shared::Failure;
use tokio::sync::Mutex;

use crate::job::{Job, Work};
use crate::mesh::Place;

/// Blobs that are kept at hand.
const AT_HAND_MAX: usize = 8;
/// One of them.
const BYTES_MAX: usize = 256 * 1_024 * 1_024;

/// What was fetched last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs(Arc<Mutex<AtHand>>);

/// The oldest first.
type AtHand = VecDeque<(BlobId, Arc<Vec<u8>>)>;

impl Inputs {
    /// Module and input of a job; nothing for those that need none.
    pub(crate) async fn of(&self, place: &Place, job: &Job) -> Result<Vec<Arc<Vec<u8>>>, Failure> {
        let Work::Module(module) = &job.work else {
            return Ok(Vec::new());
        };
        Ok(vec![
            self.blob(place, module.module).await?,
            self.blob(place, module.input).await?,
        ])
    }

    async fn blob(&self, place: &Place, id: BlobId) -> Result<Arc<Vec<u8>>, Failure> {
        // Held while it is fetched: tasks of one job want the same.
        let mut at_hand = self.0.lock().await;
        if let Some((_, bytes)) = at_hand.iter().find(|(known, _)| *known == id) {
            return Ok(bytes.clone());
        }
        let bytes = Arc::new(place.blob(id, BYTES_MAX).await?);
        if at_hand.len() >= AT_HAND_MAX {
            at_hand.pop_front();
        }
        at_hand.push_back((id, bytes.clone()));
        Ok(bytes)
    }
}
