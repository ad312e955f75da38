//! Frames as they travelled: evidence of what somebody said.

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::core::catchup::Run;
use crate::net::Slot;
use crate::net::task::Task;
use crate::types::TopicName;

/// Asks for the frame that holds a record, if it is remembered.
#[derive(Debug)]
pub(crate) struct FrameAt {
    pub(super) topic: TopicName,
    pub(super) run: Run,
    pub(super) sequence: u64,
    pub(super) reply: oneshot::Sender<Option<Bytes>>,
}

impl Task {
    pub(in crate::net) fn frame_at(&self, slot: Slot, wanted: FrameAt) {
        let mesh = self.meshes.get(&slot);
        let frame = mesh.and_then(|mesh| mesh.history.frame(&wanted.topic, wanted.run, wanted.sequence));
        // An error means that it is not waited for any more.
        let _ = wanted.reply.send(frame);
    }
}
