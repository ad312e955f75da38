//! What the page asks for, but for bytes of photos and files: the state, edits, groups to open.

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::asked::Asked;
use super::error::Refusal;
use super::{Here, Owner, Role};
use crate::app::{Join, Reopen, Start};
use crate::plan::Edit;

/// Bytes of a request: the longest text, as JSON.
const BODY_BYTES_MAX: usize = 2 * 1_024 * 1_024;

pub(super) fn routes() -> Router<Here> {
    Router::new()
        .route("/api/state", get(state))
        .route("/api/start", post(start))
        .route("/api/join", post(join))
        .route("/api/reopen", post(reopen))
        .route("/api/close", post(close))
        .route("/api/invite", get(invite))
        .route("/api/name", post(name))
        .route("/api/edit", post(edit))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

type Answer = Result<Json<Value>, Refusal>;

async fn state(State(here): State<Here>, Extension(role): Extension<Role>) -> Json<Value> {
    let mut state = here.app.state();
    if role == Role::Guest {
        // Which groups there are on this computer is nothing for guests.
        state.as_object_mut().and_then(|state| state.remove("groups"));
        state["guest"] = true.into();
    }
    Json(state)
}

async fn start(State(here): State<Here>, _: Owner, Asked(start): Asked<Start>) -> Answer {
    let passphrase = here.app.start(start)?;
    Ok(Json(json!({ "passphrase": passphrase })))
}

async fn join(State(here): State<Here>, _: Owner, Asked(join): Asked<Join>) -> Answer {
    here.app.join(join)?;
    Ok(Json(json!({})))
}

async fn reopen(State(here): State<Here>, _: Owner, Asked(reopen): Asked<Reopen>) -> Answer {
    here.app.reopen(reopen)?;
    Ok(Json(json!({})))
}

async fn close(State(here): State<Here>, _: Owner) -> Answer {
    here.app.close().await;
    Ok(Json(json!({})))
}

async fn invite(State(here): State<Here>, _: Owner) -> Answer {
    let ticket = here.app.group()?.ticket().map_err(Refusal::failed)?;
    Ok(Json(
        json!({ "link": crate::invite::link(&ticket), "qr": crate::invite::qr(&ticket), "passphrase": null }),
    ))
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

async fn name(State(here): State<Here>, _: Owner, Asked(Name { name }): Asked<Name>) -> Answer {
    here.app
        .group()?
        .rename(&name)
        .map_err(|error| Refusal::bad("bad_name", error))?;
    Ok(Json(json!({})))
}

async fn edit(State(here): State<Here>, Asked(edit): Asked<Edit>) -> Answer {
    here.app.group()?.edit(edit).await.map(Json)
}
