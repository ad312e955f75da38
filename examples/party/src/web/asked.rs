//! What a page sent, read; what cannot be read is refused in the same form as everything else.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use serde::de::DeserializeOwned;

use super::error::Refusal;

/// How long a body may take; a page's are short.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body, as JSON.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let read = tokio::time::timeout(BODY_TIMEOUT, Json::from_request(request, state));
        let Json(asked) = read.await.map_err(|_| Refusal::late())??;
        Ok(Self(asked))
    }
}

/// What follows the question mark.
#[derive(FromRequestParts)]
#[from_request(via(Query), rejection(Refusal))]
pub(super) struct AskedIn<T>(pub(super) T);

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "bad_request", rejection.body_text())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "bad_request", rejection.body_text())
    }
}
