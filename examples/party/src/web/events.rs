//! What changes, as the page hears it: Server-Sent Events (WHATWG HTML, section 9.2).

use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt};
use tokio_stream::wrappers::BroadcastStream;

use super::Here;

/// Said to a page that was too slow for what changed, and when another group is open.
const RELOAD: &str = r#"{"reload":true}"#;

pub(super) async fn events(State(here): State<Here>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = BroadcastStream::new(here.app.changes());
    let events = changes.map(|change| {
        let text = change.as_deref().unwrap_or(RELOAD);
        Ok(Event::default().data(text))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}
