//! What goes wrong with a request, as the page is told: a word for the page, a sentence for people.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    sentence: String,
}

impl Refusal {
    /// The request cannot be done as it is.
    pub(crate) fn bad(code: &'static str, sentence: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, sentence)
    }

    pub(crate) fn new(status: StatusCode, code: &'static str, sentence: impl ToString) -> Self {
        Self {
            status,
            code,
            sentence: sentence.to_string(),
        }
    }

    /// Not let in.
    pub(crate) fn stranger() -> Self {
        let sentence = "this page opens from the party program: use the link that it shows";
        Self::new(StatusCode::FORBIDDEN, "stranger", sentence)
    }

    /// Nothing is open.
    pub(crate) fn closed() -> Self {
        Self::new(StatusCode::CONFLICT, "closed", "no group is open here")
    }

    /// It did not arrive in time.
    pub(super) fn late() -> Self {
        let sentence = "this took too long to arrive: try again";
        Self::new(StatusCode::REQUEST_TIMEOUT, "too_late", sentence)
    }

    /// It should have gone well.
    pub(crate) fn failed(error: impl ToString) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", error)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.sentence, "code": self.code }));
        (self.status, body).into_response()
    }
}
